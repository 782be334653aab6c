"""Plots of every pair of some models: a matrix of numbers with intervals, and all correlations of a grid."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tokenviz.base.errors import FigureError, check_kind
from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.plots.labels import (
    add_key,
    described_models,
    families,
    label_axes,
    legend_outside,
    line_width,
    short_name,
    title_axes,
)
from tokenviz.figures.typeset.colours import LINE_COLOURS, MARKERS, ColourScale, colour_map, text_colour
from tokenviz.figures.typeset.saving import Picture, inches, points
from tokenviz.stats.estimate import Estimate, level_of, percent, rounded, rounded_interval

if TYPE_CHECKING:
    from collections.abc import Mapping


# Pairs of models as a matrix: a number and its interval in each cell, with the number's colour behind them.

_LONGEST_NAME = 30
_WIDEST_NAME = 0.4  # share of the figure; a wider name is broken at its commas
_EMPTY = "#f2f2f2"
_CELL = 0.46  # height in inches
_LETTER = 0.64  # width of a digit, in font sizes
_SMALLEST = 5.0  # points; a narrower cell has no interval


def model_matrix(
    cells: "Mapping[tuple[str, str], Estimate]",
    *,
    title: str,
    limits: tuple[float, float] | None = None,
    colours: str = "cividis",
    width: float | str = 7.0,
    font_size: float = 9.0,
) -> Figure:
    """Draw a matrix of models: row a, column b.

    Args:
        cells: A number for each pair (a, b). For a symmetric number one order of each pair is enough; it is drawn below the
            diagonal.
        title: The name of the numbers, with their unit.
        limits: The ends of the colour scale; by default the least and the greatest number.
        colours: One of `COLOUR_MAPS`, a sequential one; by default "cividis".
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the title and the names, in points; the numbers follow it, smaller where cells are narrow. By default
            9.

    Raises:
        FigureError: There is no pair, or a setting is not possible.
    """
    names = _names(cells)
    across, size = inches(width), points(font_size)
    figure = Picture(figsize=(across, 0.6 + _CELL * len(names)), dpi=200, layout="constrained", facecolor="white")
    axes = figure.subplots()
    _draw_frame(axes, names, size)
    figure.draw_without_rendering()  # the width of title and cells depends on the names next to them
    title_axes(axes, _with_source(title, cells), size)
    figure.draw_without_rendering()
    _draw_cells(axes, cells, names, limits, colours, size)
    return figure


def draw_model_matrix(
    axes: Axes,
    cells: "Mapping[tuple[str, str], Estimate]",
    *,
    title: str,
    limits: tuple[float, float] | None = None,
    colours: str = "cividis",
    font_size: float = 9.0,
) -> Axes:
    """Draw `model_matrix` on given axes and return them."""
    names = _names(cells)
    _draw_frame(axes, names, font_size)
    title_axes(axes, _with_source(title, cells), font_size)
    _draw_cells(axes, cells, names, limits, colours, font_size)
    return axes


def _draw_frame(axes: Axes, names: list[str], font_size: float) -> None:
    """Draw rows with a number and a name, and columns with the number."""
    places = range(len(names))
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks(places, [f"{place + 1}" for place in places])
    shown = [short_name(name, _LONGEST_NAME) for name in names]
    across = axes.get_figure(root=True).get_figwidth() * 72  # type: ignore[union-attr]  # axes that are drawn are of a figure
    if max(line_width(name, 0.85 * font_size) for name in shown) > _WIDEST_NAME * across:
        shown = [name.replace(",", ",\n") for name in shown]
    axes.set_yticks(places, [f"{name}  {place + 1}" for place, name in enumerate(shown)])
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set(fontsize=0.85 * font_size, parse_math=False, fontfamily=families(label.get_text()))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_cells(
    axes: Axes,
    cells: "Mapping[tuple[str, str], Estimate]",
    names: list[str],
    limits: tuple[float, float] | None,
    colours: str,
    font_size: float,
) -> None:
    known = [one.value for one in cells.values() if one.determined]
    low, high = limits or (min(known, default=math.nan), max(known, default=math.nan))
    scale = ColourScale(low, high, colour_map(colours, diverging=False))
    placed = _placed(cells, names)
    values = [rounded(one) for one in placed.values()]
    intervals = [rounded_interval(one, " to ") for one in placed.values() if one.has_interval]
    scale_to_points = 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]  # axes that are drawn are of a figure
    room = 0.9 * axes.get_window_extent().width * scale_to_points / len(names)
    size = min(0.95 * font_size, room / max(map(len, values)) / _LETTER)
    small = min(0.72 * font_size, room / max(map(len, intervals), default=1) / _LETTER)
    with_intervals = bool(intervals) and small >= _SMALLEST
    for place in range(len(names)):
        axes.add_patch(Rectangle((place - 0.5, place - 0.5), 1, 1, facecolor=_EMPTY, edgecolor="white", linewidth=1))
    for (row, column), estimate in placed.items():
        colour = None if scale.is_empty else scale.colour(estimate.value)
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour or _EMPTY, edgecolor="white", linewidth=1))
        ink = text_colour(colour)
        above = 0.14 if with_intervals and estimate.has_interval else 0.0
        axes.text(column, row - above, rounded(estimate), ha="center", va="center", fontsize=size, color=ink)
        if above:
            words = rounded_interval(estimate, " to ")
            axes.text(column, row + 0.22, words, ha="center", va="center", fontsize=small, color=ink)


def _with_source(title: str, cells: "Mapping[tuple[str, str], Estimate]") -> str:
    """Return the title, with what was resampled if it is the same for all intervals."""
    sources = {one.drawn_from for one in cells.values() if one.has_interval}
    return (
        f"{title}; {percent(level_of(cells.values()))} intervals, resampled {''.join(sources)}"
        if len(sources) == 1 and any(sources)
        else title
    )


def _names(cells: "Mapping[tuple[str, str], Estimate]") -> list[str]:
    if not cells:
        raise FigureError("a matrix needs at least one pair of models: compare some first")
    return list(dict.fromkeys(name for pair in cells for name in pair))


def _placed(cells: "Mapping[tuple[str, str], Estimate]", names: list[str]) -> dict[tuple[int, int], Estimate]:
    """Return each pair's cell: below the diagonal, unless both orders are given."""
    placed = {}
    for (a, b), estimate in cells.items():
        row, column = names.index(a), names.index(b)
        both = (b, a) in cells
        placed[(row, column) if both else (max(row, column), min(row, column))] = estimate
    return placed


# All correlations of a grid in one figure.


def correlation_overview(comparisons: Sequence[Comparison], *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw Pearson's r of every pair of models on every text as a mark, with its interval where there is one; texts are rows.

    Hollow marks are over segments: their r is not comparable with one over tokens.

    Args:
        comparisons: The comparisons, in the order in which pairs and texts appear.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    comparisons = list(comparisons) if isinstance(comparisons, Sequence) else [comparisons]
    for one in comparisons:
        check_kind(one, Comparison, FigureError, "a comparison: give a list of what compare returns")
    texts, pairs = _rows_and_pairs(comparisons)
    row = max(0.32, 0.1 * len(pairs))  # inches; room for the marks of one text, one above the other
    height = 1.3 + row * len(texts)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    axes = draw_correlation_overview(figure.add_subplot(), comparisons, font_size=points(font_size))
    models = [f"{short_name(a)} and {short_name(b)}" for a, b in pairs]
    legend_outside(figure, axes.get_lines(), models, "outside upper left", font_size)
    tables = [table for comparison in comparisons for table in (comparison.a, comparison.b)]
    return add_key(figure, described_models(tables), font_size=font_size)


def draw_correlation_overview(axes: Axes, comparisons: Sequence[Comparison], *, font_size: float = 9.0) -> Axes:
    """Draw `correlation_overview` on given axes, without a legend: the lines are the pairs in order."""
    texts, pairs = _rows_and_pairs(comparisons)
    for place, pair in enumerate(pairs):
        own = [c for c in comparisons if (c.a.spec.model, c.b.spec.model) == pair]
        shift = 0.7 * ((place + 0.5) / len(pairs) - 0.5)
        axes.plot(
            [c.pearson_r.value for c in own],
            [texts.index(c.text_name) + shift for c in own],
            MARKERS[place % len(MARKERS)],
            color=LINE_COLOURS[place % len(LINE_COLOURS)],
            fillstyle="none" if all(c.units.by == "segment" for c in own) else "full",
            markersize=6,
        )
        for comparison in own:
            low, high = comparison.pearson_r.low, comparison.pearson_r.high
            if not math.isnan(low):
                row = texts.index(comparison.text_name) + shift
                axes.hlines(row, low, high, color=LINE_COLOURS[place % len(LINE_COLOURS)], linewidth=0.9)
    names = [short_name(text) for text in texts]
    axes.set_yticks(range(len(texts)), names, parse_math=False, fontfamily=families("".join(names)))
    axes.set_ylim(len(texts) - 0.4, -0.6)
    axes.grid(axis="both", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlim(right=1.0 + 0.02 * (1.0 - axes.get_xlim()[0]))
    drawn = sorted({one.resampling.of for one in comparisons if one.resampling})
    source = f" (resampled {' or '.join(drawn)} of it)" if drawn else ""
    intervals = f",\nwith its 95 % interval{source}" if axes.collections else ""
    meaning = f"Pearson's r between two models' log-probs of one text{intervals}\nfilled: over tokens, hollow: over segments"
    label_axes(axes, meaning, "", font_size)
    return axes


def _rows_and_pairs(comparisons: Sequence[Comparison]) -> tuple[list[str], list[tuple[str, str]]]:
    texts = dict.fromkeys(comparison.text_name for comparison in comparisons)
    return list(texts), list(dict.fromkeys((comparison.a.spec.model, comparison.b.spec.model) for comparison in comparisons))
