"""Pairs of models as a matrix: a number and its interval in each cell, with the number's colour behind them."""

import math
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tokenviz.errors import FigureError
from tokenviz.figures.colours import ColourScale, colour_map, text_colour
from tokenviz.figures.labels import families, line_width, short_name, title_axes
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points
from tokenviz.stats.estimate import Estimate, level_of, percent, rounded, rounded_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    across = axes.get_figure(root=True).get_figwidth() * 72  # type: ignore[union-attr]
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
    scale_to_points = 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
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
