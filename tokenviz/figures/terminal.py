"""The text heatmap for a terminal, as rich text in which no control sequence of the text is active."""

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tokenviz.controls import visible
from tokenviz.figures.colours import text_colour, to_hex
from tokenviz.figures.definition import SHARED, TextHeatmap
from tokenviz.figures.panels import Panel

_STEPS = 12
_OPENS, _CLOSES = "⟦", "⟧"
_SHARED = "a character that several tokens share has the colour of the most surprising"


def heatmap_text(heatmap: TextHeatmap, panel: Panel) -> Text:
    """Return one panel of a text heatmap: its text with every piece on its background.

    A terminal has one background per character: where several tokens share one, the most surprising is shown. It has no line
    above a character either: spans are in brackets with their names, which are not part of the text.
    """
    drawn = Text(end="")
    within = (0, "")  # the passage and the span of the piece before
    for piece in panel.pieces:
        row = piece.rows[0]
        passage, span = int(panel.passage[row]), panel.spans[row] if panel.spans else ""
        if within[1] and within != (passage, span):
            drawn.append(_CLOSES, style="bold")
        if drawn and within[0] != passage:
            drawn.append("\n")
        if span and within != (passage, span):
            drawn.append(visible(f"{_OPENS}{span}: "), style="bold")
        within = (passage, span)
        value = heatmap.scale.most_telling([float(panel.values[row]) for row in piece.rows])
        colour = heatmap.scale.colour(value)
        style = f"{text_colour(colour)} on {to_hex(colour)}" if colour else "underline"
        if colour and heatmap.scale.underlined(value):
            style = f"underline {style}"
        drawn.append(visible(piece.text), style=style)
    if within[1]:
        drawn.append(_CLOSES, style="bold")
    return drawn


def legend_text(heatmap: TextHeatmap) -> Text:
    """Return one line with the limits and the meaning of the colours and the underlining."""
    words, scale, line = heatmap.legend, heatmap.scale, Text()
    if heatmap.buckets:
        line.append(words.axis)
        for number, name in enumerate(heatmap.buckets):
            line.append("  ")
            line.append("   ", style=_background(heatmap, float(number)))
            line.append(f" {name}")
        line.append("; ")
    elif words.ticks:
        for value in scale.steps(_STEPS):
            line.append(" ", style=_background(heatmap, value))
        line.append(f" {words.axis}, {' to '.join((words.ticks[0], words.ticks[-1]))}; ")
    line.append(visible("; ".join(_SHARED if sentence == SHARED else sentence for sentence in words.lines)))
    if heatmap.span_names:
        line.append("; " if words.lines else "")
        line.append(f"{_OPENS}name: …{_CLOSES}", style="bold")
        line.append(": a span of the text")
    if words.unscored:
        line.append("; " if words.lines or heatmap.span_names else "")
        line.append("underlined without colour" if scale.colours.diverging else "underlined", style="underline")
        line.append(": not scored")
    return line


def heatmap_ansi(heatmap: TextHeatmap, *, title: bool = True) -> str:
    """Return a text heatmap with escape sequences that colour it in a terminal: headings, text and legend.

    `cat` and `less -R` show it; the terminal wraps the lines.
    """
    before, after = heatmap.title
    parts = [Text(visible(f"{before}{heatmap.text_name}{after}".replace("\n", " "))), Text()] if title else []
    for panel in heatmap.panels:
        heading = Text(visible(f"{panel.name}: {panel.remark}".replace("\n", " ")))
        parts += [heading, heatmap_text(heatmap, panel), Text()]
    return "".join(f"{_ansi(part)}\n" for part in [*parts, legend_text(heatmap)])


def _ansi(text: Text) -> str:
    """Return the text with its escape sequences; no colour crosses the end of a line, and tabs are kept."""
    return "".join(
        "\n".join((style or Style()).render(line, color_system=ColorSystem.TRUECOLOR) for line in piece.split("\n"))
        for piece, style, _ in text.render(Console(force_terminal=True))
    )


def _background(heatmap: TextHeatmap, value: float) -> str:
    colour = heatmap.scale.colour(value)
    return f"on {to_hex(colour)}" if colour else ""
