"""The text heatmap for a terminal, as rich text that never carries a control sequence of the text's own."""

from rich.text import Text

from tokenviz.controls import visible
from tokenviz.figures.colours import ColourScale, printed, shared_scale, text_colour, to_hex
from tokenviz.scores import TokenScores


def heatmap_text(scores: TokenScores, *, scale: ColourScale | None = None) -> Text:
    """The text with every token on a background scaled from its log-prob, predictable tokens darkest.

    Args:
        scores: The table.
        scale: Colour limits; by default from the least to the greatest scored log-prob.
    """
    scale = scale or shared_scale([scores])
    drawn = Text(end="")
    for row, token in enumerate(scores.token):
        if row and scores.passage[row] != scores.passage[row - 1]:
            drawn.append("\n")
        colour = scale.colour(float(scores.logprob[row]))
        style = f"{text_colour(colour)} on {to_hex(colour)}" if colour else "underline"
        drawn.append(visible(token), style=style)
    return drawn


def legend_text(scale: ColourScale) -> Text:
    """One line that prints the limits and says what the colours and the underlining mean."""
    line = Text()
    for step in range(12):
        colour = scale.colour(scale.low + (scale.high - scale.low) * step / 11)
        line.append(" ", style=f"on {to_hex(colour)}" if colour else "")
    line.append(f" log-prob {printed(scale.low)} (surprising) to {printed(scale.high)} nats (predictable); ")
    line.append("underlined", style="underline")
    line.append(": not scored")
    return line
