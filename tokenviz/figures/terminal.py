"""The text heatmap for a terminal, as rich text that never carries a control sequence of the text's own."""

from rich.text import Text

from tokenviz.figures.colours import ColourScale, printed, shared_scale, text_colour, to_hex
from tokenviz.scores import TokenScores

_VISIBLE = {chr(code): chr(0x2400 + code) for code in [*range(0x20)] if chr(code) not in "\n\t"}
_VISIBLE |= {chr(code): f"<{code:02X}>" for code in range(0x7F, 0xA0)}
# Overrides of the writing direction would show words in another order than they stand.
_VISIBLE |= {chr(code): f"<{code:X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_ESCAPED = str.maketrans(_VISIBLE)


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


def visible(text: str) -> str:
    """Text with its control characters made visible, newline and tab excepted: a terminal must not obey it."""
    return text.translate(_ESCAPED)
