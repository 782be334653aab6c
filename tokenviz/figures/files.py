"""Text heatmaps as files in any format, for runs, the command line and notebooks."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from tokenviz.errors import FigureError
from tokenviz.figures.colours import COLOUR_MAPS
from tokenviz.figures.definition import Source, TextHeatmap, text_heatmap
from tokenviz.figures.fonts import drawable
from tokenviz.figures.heatmap import heatmap_pages
from tokenviz.figures.html import heatmap_html
from tokenviz.figures.latex import heatmap_latex, heatmap_latex_document
from tokenviz.figures.limits import Chosen
from tokenviz.figures.measures import PairMeasure, TokenMeasure
from tokenviz.figures.picture import Picture
from tokenviz.figures.saving import FigureFormat, fixed_settings, save_figure, together
from tokenviz.figures.terminal import heatmap_ansi
from tokenviz.figures.widths import inches
from tokenviz.scores import nan_to_none

HeatmapFormat = Literal["png", "svg", "pdf", "html", "tex", "tex-document", "ansi"]
FORMATS: tuple[HeatmapFormat, ...] = get_args(HeatmapFormat)
_PICTURES: tuple[FigureFormat, ...] = get_args(FigureFormat)


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
    def pages() -> list[Picture]:
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
    return drawable(f"{', '.join(models)} on {text_name}", set())


def _write(
    heatmap: TextHeatmap,
    pages: Callable[[], list[Picture]],
    stem: Path,
    form: HeatmapFormat,
    width: float | str,
    font_size: float,
    has_title: bool,
    description: str,
) -> list[Path]:
    if form in _PICTURES:
        title = file_title(heatmap.models, heatmap.text_name)
        return save_figure(pages(), stem, title=title, description=description, formats=[form])
    if form == "html":
        name, text = f"{stem.name}.html", heatmap_html(heatmap, about=description, title=has_title)
    elif form == "tex":
        name, text = f"{stem.name}.tex", heatmap_latex(heatmap, font_size=font_size, about=description)
    elif form == "tex-document":
        name = f"{stem.name}-document.tex"
        text = heatmap_latex_document(heatmap, width=width, font_size=font_size, about=description)
    else:
        name, text = f"{stem.name}.ansi", heatmap_ansi(heatmap, title=has_title)
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
