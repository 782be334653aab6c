"""A text heatmap as files in any format, and as text for a terminal, for runs, the command line and notebooks."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from rich.color import Color, ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tokenviz.base.characters import visible
from tokenviz.base.errors import FigureError
from tokenviz.data.scores import nan_to_none
from tokenviz.figures.heatmap.definition import SHARED, Source, TextHeatmap, text_heatmap
from tokenviz.figures.heatmap.measures import Chosen, PairMeasure, TokenMeasure
from tokenviz.figures.heatmap.panels import Panel
from tokenviz.figures.typeset.colours import COLOUR_MAPS, INKS, Colour, text_colour, to_hex

if TYPE_CHECKING:
    from tokenviz.figures.typeset.saving import Picture

# What draws pictures is imported when one is drawn: a terminal needs none of it.

HeatmapFormat = Literal["png", "svg", "pdf", "html", "tex", "tex-document", "ansi"]
FORMATS: tuple[HeatmapFormat, ...] = get_args(HeatmapFormat)


def save_heatmap(
    source: Source | TextHeatmap,
    stem: Path | str,
    formats: Sequence[HeatmapFormat] = ("png", "svg", "pdf", "html"),
    *,
    measure: str | TokenMeasure | PairMeasure = "logprob",
    limits: str | Chosen | None = None,
    colours: str | None = None,
    by: Literal["token", "segment"] = "token",
    width: float | str = 7.0,
    font_size: float = 9.0,
    title: bool = True,
    about: Mapping[str, object] | None = None,
) -> list[Path]:
    """Draw a text heatmap and write it; either all its files appear or none.

    Args:
        source: Token tables of one text, or a comparison, as for `text_heatmap`; or a heatmap that it returned, whose measure,
            limits, colours and pieces are fixed.
        stem: Path without suffix: `STEM.png`, `STEM.svg`, `STEM.pdf`, `STEM.html`; `STEM.tex` for \\input and
            `STEM-document.tex`, which compiles by itself; `STEM.ansi` for a terminal. For several pages PNG and SVG are called
            `STEM_p1.png`, ...
        formats: Formats to write, from `FORMATS`; by default PNG, SVG, PDF and HTML.
        measure: What the colours show; one of `MEASURES` (by default "logprob"), or your own as for `text_heatmap`.
        limits: Limits of the colours: low and high, a percentile such as "p1", or those of a set from `shared_limits`, as for
            `text_heatmap`; by default the text's own.
        colours: One of `COLOUR_MAPS`; by default the measure's own.
        by: The kind of piece: tokens (the default), or the segments that all models share, as for `text_heatmap`.
        width: In inches (by default 7), a length such as "8.4cm", or the name of a venue's column such as "acl". HTML and a
            terminal use the width they have, and a fragment that of the lines around it.
        font_size: Size of the text, in points; not for HTML and the terminal. By default 9.
        title: Whether a line above says what is shown; by default it does. A paper's caption says it as well; LaTeX has the
            caption alone.
        about: What made the figure, for its metadata, which also contain what it shows and with which settings. A terminal's
            file has no metadata.

    Returns:
        The files, in the order of `formats`.

    Raises:
        ComparisonError: The tables are of different texts.
        FigureError: A setting is not possible.
        DiskError: A file cannot be written.
    """
    from tokenviz.figures.heatmap.drawing import heatmap_pages
    from tokenviz.figures.typeset.saving import fixed_settings, inches, together

    for form in formats:
        if form not in FORMATS:
            raise FigureError(f"no format {form!r}: there are {', '.join(FORMATS)}")
    if isinstance(source, TextHeatmap):
        if (measure, limits, colours, by) != ("logprob", None, None, "token"):
            raise FigureError("the heatmap has its measure, limits, colours and pieces already: give them to text_heatmap")
        heatmap = source
    else:
        heatmap = text_heatmap(source, measure=measure, limits=limits, colours=colours, by=by)
    settings: dict[str, object] = {
        "colours": next(name for name, one in COLOUR_MAPS.items() if one == heatmap.scale.colours),
        "width_inches": inches(width),
        "font_size": font_size,
    }
    settings |= {} if title else {"title": False}
    description = _description(heatmap, settings, about or {})

    @cache
    def pages() -> "list[Picture]":
        with fixed_settings():
            return heatmap_pages(heatmap, width=width, font_size=font_size, title=title)

    def write(place: Path) -> list[Path]:
        return [path for form in formats for path in _write(heatmap, pages, place, form, width, font_size, title, description)]

    return together(Path(stem), write)


def format_of(path: Path) -> tuple[Path, HeatmapFormat]:
    """Return a file's path without its ending, and the format of that ending.

    Raises:
        FigureError: No format has that ending.
    """
    for form in sorted(FORMATS, key=len, reverse=True):
        ending = "-document.tex" if form == "tex-document" else f".{form}"
        if path.name.endswith(ending) and path.name != ending:
            return path.with_name(path.name.removesuffix(ending)), form
    endings = ", ".join("-document.tex" if form == "tex-document" else f".{form}" for form in FORMATS)
    raise FigureError(f"a heatmap cannot be saved as {str(path)!r}: give a file that ends in one of {endings}")


def file_title(models: Sequence[str], text_name: str) -> str:
    """Return the title in a figure file's metadata."""
    from tokenviz.figures.typeset.fonts import drawable

    return drawable(f"{', '.join(models)} on {text_name}", set())


def _write(
    heatmap: TextHeatmap,
    pages: "Callable[[], list[Picture]]",
    stem: Path,
    form: HeatmapFormat,
    width: float | str,
    font_size: float,
    has_title: bool,
    description: str,
) -> list[Path]:
    from tokenviz.figures.heatmap.html import heatmap_html
    from tokenviz.figures.heatmap.latex import heatmap_latex, heatmap_latex_document
    from tokenviz.figures.typeset.saving import save_pages

    if form == "html":
        name, text = f"{stem.name}.html", heatmap_html(heatmap, about=description, title=has_title)
    elif form == "tex":
        name, text = f"{stem.name}.tex", heatmap_latex(heatmap, font_size=font_size, about=description)
    elif form == "tex-document":
        name = f"{stem.name}-document.tex"
        text = heatmap_latex_document(heatmap, width=width, font_size=font_size, about=description)
    elif form == "ansi":
        name, text = f"{stem.name}.ansi", heatmap_ansi(heatmap, title=has_title)
    else:
        title = file_title(heatmap.models, heatmap.text_name)
        return save_pages(pages(), stem, title=title, description=description, formats=[form])
    path = stem.with_name(name)
    path.write_text(text, encoding="utf-8", newline="")
    return [path]


def _description(heatmap: TextHeatmap, settings: Mapping[str, object], about: Mapping[str, object]) -> str:
    """Return what made the figure and what it shows, as JSON in ASCII, which is valid in every format's metadata."""
    limits = heatmap.limits
    shown = {
        "figure": "heatmap",
        "measure": heatmap.measure.name,
        "unit": heatmap.unit,
        "limits": [nan_to_none(limits.low), nan_to_none(limits.high)],
        "limits_of": str(limits.percentiles) if limits.percentiles else limits.origin,
        "models": heatmap.models,
        "text": heatmap.text_name,
        "caption": heatmap.caption,
    }
    return json.dumps({**about, **shown, **settings}, allow_nan=False)


# The text heatmap for a terminal, as rich text in which no control sequence of the text is active.

_STEPS = 12
_FEWER = {"256": ColorSystem.EIGHT_BIT, "standard": ColorSystem.STANDARD}
_OPENS, _CLOSES = "⟦", "⟧"
_SHARED = "a character that several tokens share has the colour of the most surprising"


def heatmap_text(heatmap: TextHeatmap, panel: Panel, *, colours: str | None = "truecolor") -> Text:
    """Return one panel of a text heatmap: its text with every piece on its background.

    Letters are black or white by their numbers: a terminal's own "white" may be a grey, with 2.9 to 1 on a dark background. A
    terminal has one background per character: where several tokens share one, the most surprising is shown. It has no line
    above a character either: spans are in brackets with their names, which are not part of the text.

    Args:
        heatmap: The heatmap.
        panel: One of its panels.
        colours: The terminal's colours, as rich's `Console.color_system` names them; by default all that there are. One with
            256 or 16 shows a similar background, and the letters are chosen for that one.
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
        style = f"{_ink(colour, colours)} on {to_hex(colour)}" if colour else "underline"
        if colour and heatmap.scale.underlined(value):
            style = f"underline {style}"
        drawn.append(visible(piece.text), style=style)
    if within[1]:
        drawn.append(_CLOSES, style="bold")
    return drawn


@cache
def _ink(colour: Colour, colours: str | None) -> str:
    """Return the colour of letters on a background, as a terminal of a colour system shows it."""
    if colours in _FEWER:
        red, green, blue = Color.parse(to_hex(colour)).downgrade(_FEWER[colours]).get_truecolor()
        colour = (red / 255, green / 255, blue / 255)
    return to_hex(INKS[text_colour(colour)])


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
