"""Plots of two models on one text: the unity scatter, and the kinds of strings that their difference comes from."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.path import Path as Line
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox, TransformedBbox
from numpy.typing import NDArray

from tokenviz.base.errors import FigureError, check_kind
from tokenviz.comparing.comparison import Comparison
from tokenviz.comparing.gaps import ALL, gaps_by_kind
from tokenviz.figures.plots.labels import (
    add_key,
    described_models,
    families,
    label_axes,
    line_width,
    number,
    short_name,
    title_axes,
)
from tokenviz.figures.typeset.colours import LINE_COLOURS
from tokenviz.figures.typeset.saving import Picture, inches, points
from tokenviz.stats.estimate import printed

if TYPE_CHECKING:
    import pandas as pd


# The unity scatter: two models' log-probs of each unit, one on each axis.
#
# Names are placed here and not by textalloc 1.2, which keeps a dozen of them clearer of the points, but takes four times as
# long (47 ms, not 12), leaves more of them out where the axes are narrow, and draws all in the same fonts.

_FEW = 400  # the most points that are drawn as marks of full size
_MANY = 2000  # with more points, cells that count them show more than marks
_BINS = 40
_CROWD = 3  # penalty of a crossing line, and the largest for points under a name, in steps of distance from its own point
_LONGEST_LABEL = 16
_RESERVED = ((0.0, 0.0), (0.16, 0.07))  # corners of the room for the line's name, in shares of the axes
# The places that a name may take, the nearest to its point first: steps of distance, distances in points, and directions.
_STEPS = np.repeat(np.arange(5), 8)
_DISTANCES = np.array([6.0, 12.0, 20.0, 30.0, 44.0])[_STEPS]
_TO_SIDES = np.tile([(1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)], (5, 1))
_ALONG = np.linspace(0, 1, 25)  # points of a line, by which it is looked for in boxes
_EDGE = 0.03  # inches; no word is nearer to the edge of the figure
_MARGINS = 0.17  # share of the square's side: the histograms next to it, with the space around them
_BARS_FROM = 1.02  # where the bars begin, and where the longest may end, in shares of the square's side
_TOP = _BARS_FROM + _MARGINS - 0.04


def unity_scatter(
    comparison: Comparison, *, width: float | str = 4.6, outliers: int = 5, font_size: float = 9.0, title: bool = True
) -> Figure:
    """Draw both models' log-probs of each unit, one on each axis, with the line where they agree.

    The units with the largest differences are named, and each model has a histogram in the margin. Many points are drawn as
    cells that count them.

    Args:
        comparison: The comparison to draw.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 4.6 inches.
        outliers: Number of units to name, those with the largest differences; by default 5.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
        title: Whether the text's name, the correlations and n are above, as in a caption; by default they are.

    Returns:
        The figure, outside of pyplot's state: a notebook shows it, `savefig` or `save_figure` writes it.

    Raises:
        FigureError: The width or the font size is not possible.

    Example:
        >>> model = tv.load_model("glass-en")
        >>> a, b = (tv.score(model, "Alice was very tired.", context=context) for context in (4, 128))
        >>> tv.unity_scatter(tv.compare(a, b), width="acl").savefig("scatter.png")
    """
    check_kind(comparison, Comparison, FigureError, "a comparison: give what compare returns, for two models' scores")
    across, line = inches(width), points(font_size) / 72
    left, below, above = 6.2 * line, 5.0 * line, (5.5 if title else 0.5) * line  # names of two lines, numbers, three lines
    figure = Picture(figsize=(across, across), facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    while True:
        side = (across - left) / (1 + _MARGINS)
        height = below + side * (1 + _MARGINS) + above
        figure.set_size_inches(across, height)
        axes.set_position((left / across, below / height, side / across, side / height))
        _frame(axes, comparison, font_size, title=title, title_at=_TOP)
        x0, y0, y1 = _reach(axes)
        over = (_EDGE - x0 if left <= across / 2 else 0.0, _EDGE - y0, y1 + _EDGE - height)
        if max(over) < 0.5 / figure.dpi:
            break
        # Room for longer names, longer numbers, or a title of more lines.
        left, below, above = (room + 1.1 * max(0.0, more) for room, more in zip((left, below, above), over, strict=True))
    # What is inside the frame, and the bars next to it, are drawn once, when the frame has its place.
    _fill(axes, comparison, outliers, font_size)
    _draw_margins(axes, comparison)
    return add_key(figure, described_models([comparison.a, comparison.b]), font_size=font_size)


def _reach(axes: Axes) -> tuple[float, float, float]:
    """Return how far a scatter's words and bars reach, in inches: to the left, downwards and upwards."""
    dpi = axes.get_figure(root=True).dpi  # type: ignore[union-attr]  # axes that are drawn are of a figure
    drawn = axes.get_tightbbox(bbox_extra_artists=[])
    assert drawn is not None
    top = float(axes.transAxes.transform((0.0, _TOP))[1])
    return drawn.x0 / dpi, drawn.y0 / dpi, max(drawn.y1, top) / dpi


def draw_unity_scatter(axes: Axes, comparison: Comparison, *, outliers: int = 5, font_size: float = 9.0) -> Axes:
    """Draw `unity_scatter` on given axes, without the margins.

    Args:
        axes: The axes to draw on. They must have the size in which they will be printed, so that names do not overlap.
        comparison: The comparison to draw.
        outliers: Number of units to name; by default 5.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    _frame(axes, comparison, font_size)
    _fill(axes, comparison, outliers, font_size)
    return axes


def _frame(axes: Axes, comparison: Comparison, font_size: float, *, title: bool = True, title_at: float | None = None) -> None:
    """Set the limits, name the axes and write the title, in as many lines as their present size needs.

    The title is at a given height, in shares of the axes' height, or directly above them.
    """
    low = min((float(values.min()) for values in _points(comparison) if len(values)), default=0.0)
    low = low or -1.0  # limits must not be equal
    limits = (low * 1.04, -low * 0.03)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    unit = comparison.units.by
    label_axes(
        axes,
        f"log-prob by {short_name(comparison.a.spec.model)} (nats per {unit})",
        f"log-prob by {short_name(comparison.b.spec.model)} (nats per {unit})",
        font_size,
    )
    if not title:
        return
    r, rho = number(comparison.pearson_r), printed(comparison.spearman_rho.value, 3)
    name, said, sample = (
        comparison.text_name.rpartition(", a sample of ") if comparison.whole else (comparison.text_name, "", "")
    )
    ranked = f"\u00a0(n\u00a0=\u00a0{comparison.spearman_rho.n})" if comparison.whole else ""
    title_axes(
        axes,
        f"{short_name(name)}{said}{sample}\nr\u00a0=\u00a0{r}, ρ\u00a0=\u00a0{rho}{ranked}, "
        f"n\u00a0=\u00a0{comparison.n}\u00a0{unit}s",  # a line may break between the numbers
        font_size,
        at=title_at,
    )


def _fill(axes: Axes, comparison: Comparison, outliers: int, font_size: float) -> None:
    """Draw what is inside the frame: the line, the points or cells, and the names of the units that differ most."""
    units = comparison.units
    limits = axes.get_xlim()
    x, y = _points(comparison)
    axes.plot(limits, limits, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    if len(x) > _MANY:
        _cells(axes, x, y, limits, units.by, font_size)
    else:
        size, alpha = (14, 0.55) if len(x) < _FEW else (6, 0.3)
        axes.scatter(x, y, s=size, alpha=alpha, linewidths=0, color=LINE_COLOURS[0], zorder=2)
    axes.annotate("equal", (limits[0] * 0.97, limits[0] * 0.97), xytext=(8, 0), textcoords="offset points",
                  fontsize=0.9 * font_size, color="#555555", va="center")  # fmt: skip
    order = _scored(comparison)[np.argsort(-np.abs(x - y), kind="stable")]
    rows = [row for row in order if units.text[row]][:outliers]  # the rest of a shared character has no text to name it
    names = [short_name(units.text[row].strip() or units.text[row], _LONGEST_LABEL) for row in rows]
    _name_points(axes, units.logprob_a[rows], units.logprob_b[rows], names, np.column_stack([x, y]), 0.8 * font_size)


def _draw_margins(axes: Axes, comparison: Comparison) -> None:
    """Draw histograms of both models' log-probs above and to the right of a unity scatter.

    They are artists of the same axes: two more axes, with ticks that nobody sees, would take a sixth of the drawing's time.
    """
    edges = np.linspace(*axes.get_xlim(), _BINS + 1)
    for values, turned in zip(_points(comparison), (False, True), strict=True):
        counts = np.histogram(values, edges)[0]
        bars = _bars(edges, _BARS_FROM + (_TOP - _BARS_FROM) * counts / (1.05 * max(1, counts.max())), turned)
        bars.set_transform(axes.get_yaxis_transform() if turned else axes.get_xaxis_transform())
        axes.add_collection(bars, autolim=False)
        room = Bbox([(_BARS_FROM, 0.0), (_TOP, 1.0)] if turned else [(0.0, _BARS_FROM), (1.0, _TOP)])
        bars.set_clip_box(TransformedBbox(room, axes.transAxes))  # where the limits are changed, bars beyond them are left out


def _bars(edges: NDArray[np.float64], ends: NDArray[np.float64], turned: bool) -> PolyCollection:
    """Return a histogram's bars as one object, which is drawn several times as fast as one for each bar."""
    foot = np.full_like(ends, _BARS_FROM)
    corners = np.stack([edges[:-1], foot, edges[1:], foot, edges[1:], ends, edges[:-1], ends], 1).reshape(-1, 4, 2)
    return PolyCollection(
        list(corners[..., ::-1] if turned else corners), facecolor="#9aa5b1", edgecolor="white", linewidth=0.3
    )


def _scored(comparison: Comparison) -> NDArray[np.intp]:
    """Return the units that both models scored."""
    units = comparison.units
    return np.flatnonzero(~(np.isnan(units.logprob_a) | np.isnan(units.logprob_b)))


def _points(comparison: Comparison) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both models' log-probs of the units that both scored."""
    there = _scored(comparison)
    return comparison.units.logprob_a[there], comparison.units.logprob_b[there]


def _cells(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], limits: tuple[float, float], unit: str, font_size: float
) -> None:
    """Draw hexagons whose darkness shows how many points they hold, with their scale in the corner below the line."""
    cells = axes.hexbin(
        x, y, gridsize=_BINS, extent=(*limits, *limits), bins="log", mincnt=1, cmap="Blues", linewidths=0.1, zorder=1
    )
    cells.set_clim(vmin=0.5)  # so that a cell of one point is not white
    corner = axes.inset_axes((0.60, 0.10, 0.34, 0.025))
    bar = axes.get_figure(root=True).colorbar(  # type: ignore[union-attr]  # axes that are drawn are of a figure
        cells, cax=corner, orientation="horizontal"
    )
    bar.ax.tick_params(labelsize=0.8 * font_size)
    bar.outline.set_linewidth(0.4)
    corner.set_title(f"{unit}s in a cell", fontsize=0.8 * font_size, pad=3)


def _name_points(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    names: list[str],
    cloud: NDArray[np.float64],
    font_size: float,
) -> None:
    """Write names next to points, without overlap and inside the axes; a name without room is left out.

    Places over few other points and near their own are preferred.
    """
    axes.apply_aspect()
    scale = 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]  # axes that are drawn are of a figure
    frame = axes.get_window_extent().get_points() * scale  # points, as are all that follow: lower left and upper right
    others = axes.transData.transform(cloud) * scale
    side = frame[1] - frame[0]
    taken = [frame[0] + np.array(_RESERVED) * side]
    for corner in axes.child_axes:  # the cells' scale, with its title and numbers
        drawn = corner.get_tightbbox()
        assert drawn is not None
        taken.append(drawn.get_points() * scale)
    lines = np.empty((0, len(_ALONG), 2))
    for at, name in zip(np.column_stack([x, y]), names, strict=True):
        point = axes.transData.transform(at) * scale
        font = FontProperties(family=families(name), size=font_size)
        width = float(text_to_path.get_text_width_height_descent(name, font, ismath=False)[0])
        size = np.array([width + 2, 1.5 * font_size])
        middles = point + _TO_SIDES * (_DISTANCES[:, None] + [width / 2, 0.75 * font_size])
        low, high = middles - size / 2, middles + size / 2
        corners = np.array(taken)
        free = ~_meet(low, high, corners[:, 0], corners[:, 1]).any(1) & ((low >= frame[0]) & (high <= frame[1])).all(1)
        if not free.any():
            continue
        low, high, steps = low[free], high[free], _STEPS[free]
        own = middles[free, None] + _ALONG[:, None] * (point - middles[free, None])  # (places, points of a line, 2)
        near = others[(np.abs(others - point) <= _DISTANCES[-1] + size).all(1)]
        under = _within(near, low, high).sum(1)
        crossed = _within(lines.reshape(-1, 2), low, high).any(1)
        crossed |= _within(own.reshape(-1, 2), corners[:, 0], corners[:, 1]).any(0).reshape(own.shape[:2]).any(1)
        best = int(np.argmin(np.minimum(under, _CROWD) + steps + _CROWD * crossed))  # the first of equals is the nearest
        taken.append(np.array([low[best], high[best]]))
        lines = np.concatenate([lines, own[best : best + 1]])
        line = {"arrowstyle": "-", "connectionstyle": _straight, "linewidth": 0.4, "color": "#555555", "shrinkA": 0,
                "shrinkB": 1.5}  # fmt: skip
        axes.annotate(
            name, at, xytext=(low[best, 0] + 1 - point[0], low[best, 1] + 2 - point[1]), textcoords="offset points",
            fontproperties=font, parse_math=False, arrowprops=line, zorder=5,
        )  # fmt: skip


def _meet(
    low: NDArray[np.float64], high: NDArray[np.float64], other_low: NDArray[np.float64], other_high: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which of some boxes overlap which of others, (boxes, others)."""
    met = (low[:, None] < other_high) & (high[:, None] > other_low)
    return met[..., 0] & met[..., 1]


def _within(points: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which boxes hold which points, (boxes, points)."""
    held = (points > low[:, None]) & (points < high[:, None])
    return held[..., 0] & held[..., 1]


def _straight(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    shrinkA: float,
    shrinkB: float,
    patchA: Rectangle | None,
    patchB: None,
) -> Line:
    """Return the line from a name's middle to its point, from the border of the name's box to shortly before the point.

    It is called as matplotlib's own connection styles are, in pixels. Those may be curves, whose ends are searched for, which
    takes ten times as long.
    """
    way = np.subtract(end, start)
    length = max(float(np.hypot(*way)), 1e-9)
    halves = (patchA.get_width() / 2, patchA.get_height() / 2) if patchA else (0.0, 0.0)
    leaves = min((half / abs(step) for half, step in zip(halves, way, strict=True) if step), default=0.0)
    return Line([start + min(leaves, 1.0) * way, end - min(shrinkB / length, 1.0) * way])


# Where two models differ: one bar per kind of string, whose lengths add up to the mean difference.

_BETTER, _WORSE, _WHOLE = LINE_COLOURS[4], LINE_COLOURS[1], "#999999"
_LONGEST = 20  # characters of a name under the axis
_WIDEST = 0.45  # share of the figure; where a kind's name is wider, its count is on a line of its own


def gap_bars(comparison: Comparison, *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw each kind of string's contribution to the mean difference of two models, in bits per unit, with 95 % intervals.

    Bars to the right are in favour of the second model; those to the left, hatched, in favour of the first. The lowest bar is
    their sum.

    Args:
        comparison: A comparison of two models on a text.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    check_kind(comparison, Comparison, FigureError, "a comparison: give what compare returns, for two models' scores")
    table = gaps_by_kind(comparison)
    size = points(font_size)
    figure = Picture(figsize=(inches(width), 1.2 + 0.30 * max(len(table), 1)), layout="constrained", facecolor="white")
    axes = draw_gap_bars(figure.add_subplot(), table, unit=comparison.unit, models=comparison.models, font_size=size)
    figure.draw_without_rendering()  # the room for the axis' name depends on the names of the kinds
    _name_gap(axes, comparison.unit, comparison.models, size)
    lines = axes.get_xlabel().count("\n") + sum("\n" in label.get_text() for label in axes.get_yticklabels())
    figure.set_figheight(figure.get_figheight() + max(0, lines - 1) * size / 72)  # for each line more than one per kind
    return add_key(figure, described_models([comparison.a, comparison.b]), font_size=font_size)


def draw_gap_bars(axes: Axes, table: "pd.DataFrame", *, unit: str, models: tuple[str, str], font_size: float = 9.0) -> Axes:
    """Draw `gap_bars` on given axes.

    Args:
        axes: The axes to draw on.
        table: The table of `tokenviz.comparing.gaps.gaps_by_kind`.
        unit: The noun for a unit, such as "token".
        models: The names of a and b.
        font_size: Size of the axes' names, in points; by default 9.
    """
    rim = [withStroke(linewidth=2.6, foreground="white")]  # makes an interval visible on a dark bar, in grey as well
    values, names = table["bits_per_unit"].to_numpy(float), list(table["kind"])
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        colour = _WHOLE if name == ALL else _BETTER if value >= 0 else _WORSE
        # Hatched to the left: a grey copy shows the sign even where a bar is as short as its line.
        axes.barh(
            place, value, 0.62, color=colour if value >= 0 else "white", edgecolor=colour, hatch="" if value >= 0 else "////"
        )
        low, high = table["low"].iloc[place], table["high"].iloc[place]
        if not np.isnan(low):
            axes.hlines(place, low, high, color="black", linewidth=1.1, zorder=3, path_effects=rim)
            axes.vlines([low, high], place - 0.13, place + 0.13, color="black", linewidth=1.1, zorder=3)
    if ALL in names:
        axes.axhline(len(names) - 1.5, color="#999999", linewidth=0.6)
    axes.axvline(0, color="#333333", linewidth=0.8)
    shares = [printed(100 * share, 0) + " %" if share == share else "–" for share in table["share"]]
    counts = [f"(n = {count:,}; {share})" for count, share in zip(table["n"], shares, strict=True)]
    labels = [f"{short_name(name)} {count}" for name, count in zip(names, counts, strict=True)]
    across = axes.get_figure(root=True).get_figwidth() * 72  # type: ignore[union-attr]  # axes of no figure have no extent
    if max((line_width(label, 0.9 * font_size) for label in labels), default=0.0) > _WIDEST * across:
        labels = [f"{short_name(name)}\n{count}" for name, count in zip(names, counts, strict=True)]
    axes.set_yticks(range(len(names)), labels, parse_math=False, fontsize=0.9 * font_size, fontfamily=families("".join(labels)))
    axes.set_ylim(len(names) - 0.4, -0.6)
    _name_gap(axes, unit, models, font_size)
    return axes


def _name_gap(axes: Axes, unit: str, models: tuple[str, str], font_size: float) -> None:
    a, b = (short_name(name, _LONGEST) for name in models)
    side = f"left of 0 {a} predicts better, right of 0 {b}"
    label_axes(axes, f"bits per {unit}: {b} minus {a}\n{side}", "", 0.95 * font_size)
