"""The figures of token tables by name: for runs, for papers and for redrawing, each drawn and captioned in one way."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from matplotlib.figure import Figure

from tokenviz.base.errors import FigureError
from tokenviz.comparing.comparison import Comparison
from tokenviz.comparing.gaps import parts_of_gap
from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.definition import tables_of
from tokenviz.figures.heatmap.files import FORMATS, HeatmapFormat, file_title, save_heatmap
from tokenviz.figures.heatmap.measures import Chosen, PairMeasure, chosen_limits, limits_fit, measure_named
from tokenviz.figures.plots.comparison import gap_bars, unity_scatter
from tokenviz.figures.plots.curves import along_text, entropy_calibration
from tokenviz.figures.typeset.saving import FigureFormat, fixed_settings, inches, points, save_pages, together
from tokenviz.models.describing import description_of, full_name, full_name_of
from tokenviz.stats.estimate import printed, rounded, rounded_interval

# Captions of plots for a paper: models, text, what is shown and n in sentences. A heatmap has its own caption.


def scatter_caption(comparison: Comparison, *, rho: bool = False) -> str:
    """Return the caption of a unity scatter, with Spearman's rho where the figure has no title that contains it."""
    unit, r = comparison.units.by, comparison.pearson_r
    a, b = full_name_of(comparison.a.spec), full_name_of(comparison.b.spec)
    found = f"Pearson’s r = {rounded(r)}" if r.determined else "Pearson’s r is not determined"
    source = f", resampled {r.drawn_from}" if r.drawn_from else ""
    interval = f" (95 % interval {rounded_interval(r, ' to ')}{source})" if r.has_interval else ""
    rank = comparison.spearman_rho
    other = f", Spearman’s rho = {printed(rank.value, 3)}" if rho and rank.determined else ""
    return (
        f"Log-prob (nats) of each {unit} of “{comparison.text_name}” by {a} (across) and by "
        f"{b} (upwards). {found}{interval}{other}, n = {comparison.n} of {comparison.n_units} {unit}s. "
        f"On the dashed line the models agree; the {unit}s on which they differ most are named."
    )


def along_caption(tables: Sequence[TokenScores]) -> str:
    """Return the caption of log-probs along a text."""
    return f"Log-probs (nats) along “{tables[0].text_name}”, in reading order, by {_models(tables)}. A gap has no prediction."


def calibration_caption(tables: Sequence[TokenScores]) -> str:
    """Return the caption of a calibration plot."""
    return (
        f"Mean surprisal of the tokens of “{tables[0].text_name}” against the mean entropy of their predictions (nats), in "
        f"bins of equal counts, by {_models(tables)}. Bars are one standard error. On the dashed line a model is as surprised "
        "as it expected."
    )


def _models(tables: Sequence[TokenScores]) -> str:
    counts = [
        full_name(
            table.spec.model,
            "; ".join(filter(None, (description_of(table.spec), f"n = {summary.n_scored} of {summary.n_tokens} tokens"))),
        )
        for table in tables
        for summary in (table.summary(),)
    ]
    return " and ".join(counts)


def gaps_caption(comparison: Comparison) -> str:
    """Return the caption of `gap_bars`."""
    a, b = comparison.full_names
    return (
        f"What each {parts_of_gap(comparison.unit)} adds to the mean difference of “{comparison.text_name}”, in bits per "
        f"{comparison.unit}: {b} minus {a}. n = {comparison.n:,} of {comparison.n_units:,} "
        f"{comparison.unit}s; percentages are shares of the whole difference, which the bars add up to (below 0 where a kind "
        "goes against it). Lines: 95 % intervals by resampling."
    )


# The figures by name.

_HEATMAPS = {"heatmap": "logprob", "segments": "logprob", "difference": "difference"}  # with their default measures
_HEATMAP_WIDTH = 7.0  # inches
PLOT_FORMATS: tuple[FigureFormat, ...] = get_args(FigureFormat)


@dataclass(frozen=True)
class Plot:
    """A figure that is not a heatmap.

    Attributes:
        draw: Draws it, given its source, its width in inches, the font size in points, and whether it has its title.
        caption: Returns its caption, given its source and whether it has its title.
        width: Default width, in inches.
    """

    draw: Callable[[Any, float, float, bool], Figure]
    caption: Callable[[Any, bool], str]
    width: float


_PLOTS = {
    "scatter": Plot(
        lambda source, width, size, title: unity_scatter(source, width=width, font_size=size, title=title),
        lambda source, title: scatter_caption(source, rho=not title),
        4.6,
    ),
    "along_text": Plot(
        lambda source, width, size, _: along_text(tables_of(source), width=width, font_size=size),
        lambda source, _: along_caption(tables_of(source)),
        7.0,
    ),
    "gaps": Plot(
        lambda source, width, size, _: gap_bars(source, width=width, font_size=size),
        lambda source, _: gaps_caption(source),
        7.0,
    ),
    "calibration": Plot(
        lambda source, width, size, _: entropy_calibration(tables_of(source), width=width, font_size=size),
        lambda source, _: calibration_caption(tables_of(source)),
        4.6,
    ),
}

FIGURES = (*_HEATMAPS, *_PLOTS)
OF_ONE_MODEL = ("heatmap", "along_text", "calibration")
"""The figures that need only one model."""
TITLED = (*_HEATMAPS, "scatter")
"""The figures that have a title, which can be left out."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The look of a figure; None stands for the figure's default.

    Attributes:
        measure: For heatmaps: what the colours show; one of `MEASURES`.
        limits: For heatmaps: limits of the colours, as in `text_heatmap`.
        colours: For heatmaps: one of `COLOUR_MAPS`.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl".
        font_size: In points; by default 9.
        title: Whether the figures in `TITLED` have their title, which a paper's caption repeats; by default they do.
    """

    measure: str | None = None
    limits: str | Chosen | None = None
    colours: str | None = None
    width: float | str | None = None
    font_size: float = 9.0
    title: bool = True


OWN_LOOK = Look()


def formats_of(figure: str) -> tuple[str, ...]:
    """Return the formats that a figure can be written in.

    Raises:
        FigureError: There is no such figure.
    """
    if figure not in FIGURES:
        raise FigureError(f"no figure {figure!r}: there are {', '.join(FIGURES)}")
    return FORMATS if figure in _HEATMAPS else PLOT_FORMATS


def with_limits(figure: str, look: Look, limits: str | Chosen) -> Look:
    """Return a look with limits that were given for several figures, where they apply to a figure and it has none of its own.

    Args:
        figure: Name of the figure.
        look: The look.
        limits: The limits, as in `text_heatmap`; numbers are log-probs.

    Raises:
        FigureError: The limits or the look's measure are not possible.
    """
    if figure not in _HEATMAPS or look.limits is not None:
        return look
    fit = limits_fit(chosen_limits(limits), measure_named(look.measure or _HEATMAPS[figure]))
    return replace(look, limits=limits) if fit else look


def save_named(
    figure: str,
    source: TokenScores | Comparison,
    stem: Path,
    *,
    formats: Sequence[Any],
    look: Look = OWN_LOOK,
    about: Mapping[str, object] | None = None,
) -> list[Path]:
    """Draw a figure and write it; either all its files appear or none.

    Args:
        figure: One of `FIGURES`.
        source: One model's scores of a text, or a comparison.
        stem: Path without suffix.
        formats: Formats from `formats_of(figure)`.
        look: The look of the figure.
        about: What made it, for the files' metadata, which also contain what it shows and how.

    Returns:
        The files, in the order of `formats`.

    Raises:
        FigureError: The figure is not possible for this source, in such a format or with such a look.
        DiskError: A file cannot be written.
    """
    allowed = formats_of(figure)
    for form in formats:
        if form not in allowed:
            raise FigureError(f"the figure {figure!r} has no format {form!r}: it has {', '.join(allowed)}")
    if isinstance(source, TokenScores) and figure not in OF_ONE_MODEL:
        raise FigureError(
            f"the figure {figure!r} is of two models, and one model's scores were given: take a comparison, or one of "
            f"{', '.join(OF_ONE_MODEL)}"
        )
    if figure in _HEATMAPS:
        return _save_heatmap(figure, source, stem, formats, look, about)
    tables = tables_of(source)
    names = [table.spec.model for table in tables]
    plot = _PLOTS[figure]
    return save_plot(
        figure, plot, source, stem, models=names, text=tables[0].text_name, formats=formats, look=look, about=about,
        titled=figure in TITLED,
    )  # fmt: skip


def save_plot(
    figure: str,
    plot: Plot,
    source: object,
    stem: Path,
    *,
    models: Sequence[str],
    text: str,
    formats: Sequence[Any],
    look: Look = OWN_LOOK,
    about: Mapping[str, object] | None = None,
    titled: bool = False,
) -> list[Path]:
    """Draw a figure that is not a heatmap and write it; either all its files appear or none.

    Args:
        figure: Name of the figure.
        plot: How it is drawn.
        source: The data.
        stem: Path without suffix.
        models: The models that it shows.
        text: The text's name.
        formats: Formats from `PLOT_FORMATS`.
        look: The look of the figure.
        about: What made it, for the files' metadata, which also contain what it shows and how.
        titled: Whether the figure has a title that can be left out; by default not.

    Returns:
        The files, in the order of `formats`.

    Raises:
        FigureError: The format or the look is not possible.
        DiskError: A file cannot be written.
    """
    for form in formats:
        if form not in PLOT_FORMATS:
            raise FigureError(f"the figure {figure!r} has no format {form!r}: it has {', '.join(PLOT_FORMATS)}")
    for name in ("measure", "limits", "colours"):
        if getattr(look, name) is not None:
            raise FigureError(f"the figure {figure!r} takes no {name}: only {', '.join(_HEATMAPS)} do")
    width = inches(look.width if look.width is not None else plot.width)
    font_size = points(look.font_size)
    shown: dict[str, object] = {"figure": figure, "models": list(models), "text": text}
    shown |= {"caption": plot.caption(source, look.title)} | ({} if look.title or not titled else {"title": False})
    description = json.dumps({**(about or {}), **shown, "width_inches": width, "font_size": font_size})

    def write(place: Path) -> list[Path]:
        with fixed_settings():
            drawn = plot.draw(source, width, font_size, look.title)
        return save_pages(drawn, place, title=file_title(models, text), description=description, formats=formats)

    return together(stem, write)


def _save_heatmap(
    figure: str,
    source: TokenScores | Comparison,
    stem: Path,
    formats: Sequence[HeatmapFormat],
    look: Look,
    about: Mapping[str, object] | None,
) -> list[Path]:
    measure = look.measure or _HEATMAPS[figure]
    if figure == "difference" and measure != "difference":
        raise FigureError(f"the figure 'difference' shows the difference, not {measure!r}: take the figure 'heatmap' for it")
    if figure == "segments" and isinstance(measure_named(measure), PairMeasure):
        raise FigureError(f"the figure 'segments' shows a measure of each model, not {measure!r}: take the figure 'difference'")
    return save_heatmap(
        source, stem, formats=formats, measure=measure, limits=look.limits, colours=look.colours,
        by="segment" if figure == "segments" else "token",
        width=look.width if look.width is not None else _HEATMAP_WIDTH, font_size=look.font_size, title=look.title, about=about,
    )  # fmt: skip
