"""Plots of two models on one text: the unity scatter, and the kinds of strings that their difference comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox
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
_RESERVED = (0.0, 0.0, 0.16, 0.07)  # shares of the axes, for the line's name
_EDGE = 0.03  # inches; no word is nearer to the edge of the figure
_MARGINS = 0.17  # share of the square's side: the histograms next to it, with the space around them


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
    while True:
        figure = _placed(comparison, across, left, below, above, outliers, font_size, title)
        x0, y0, y1 = _reach(figure)
        over = (_EDGE - x0 if left <= across / 2 else 0.0, _EDGE - y0, y1 + _EDGE - figure.get_figheight())
        if max(over) < 0.5 / figure.dpi:
            return add_key(figure, described_models([comparison.a, comparison.b]), font_size=font_size)
        # Room for longer names, longer numbers, or a title of more lines.
        left, below, above = (room + 1.1 * max(0.0, more) for room, more in zip((left, below, above), over, strict=True))


def _reach(figure: Figure) -> tuple[float, float, float]:
    """Return how far a scatter's words reach, in inches: to the left, downwards and upwards.

    They are those of the axes, and the title above the upper histogram: all others are inside the axes.
    """
    axes = figure.axes[0]
    boxes = [one.get_tightbbox(bbox_extra_artists=[]) for one in (axes, *axes.child_axes)]
    drawn = Bbox.union([box for box in boxes if box is not None])
    return drawn.x0 / figure.dpi, drawn.y0 / figure.dpi, drawn.y1 / figure.dpi


def _placed(
    comparison: Comparison, size: float, left: float, below: float, above: float, outliers: int, font_size: float, title: bool
) -> Picture:
    """Return the figure with the given room on the left, below and above; all lengths in inches."""
    side = (size - left) / (1 + _MARGINS)
    height = below + side * (1 + _MARGINS) + above
    figure = Picture(figsize=(size, height), facecolor="white")
    axes = figure.add_axes((left / size, below / height, side / size, side / height))
    draw_unity_scatter(axes, comparison, outliers=outliers, font_size=font_size)
    if not title:
        axes.set_title("", loc="left")
    draw_margins(axes, comparison)
    return figure


def draw_unity_scatter(axes: Axes, comparison: Comparison, *, outliers: int = 5, font_size: float = 9.0) -> Axes:
    """Draw `unity_scatter` on given axes, without the margins.

    Args:
        axes: The axes to draw on. They must have the size in which they will be printed, so that names do not overlap.
        comparison: The comparison to draw.
        outliers: Number of units to name; by default 5.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    units = comparison.units
    there = _scored(comparison)
    x, y = units.logprob_a[there], units.logprob_b[there]
    low = float(min(x.min(), y.min())) if len(x) else 0.0
    low = low or -1.0  # limits must not be equal
    limits = (low * 1.04, -low * 0.03)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.plot(limits, limits, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    if len(x) > _MANY:
        _cells(axes, x, y, limits, units.by, font_size)
    else:
        size, alpha = (14, 0.55) if len(x) < _FEW else (6, 0.3)
        axes.scatter(x, y, s=size, alpha=alpha, linewidths=0, color=LINE_COLOURS[0], zorder=2)
    label_axes(
        axes,
        f"log-prob by {short_name(comparison.a.spec.model)} (nats per {units.by})",
        f"log-prob by {short_name(comparison.b.spec.model)} (nats per {units.by})",
        font_size,
    )
    r, rho = number(comparison.pearson_r), printed(comparison.spearman_rho.value, 3)
    name, said, sample = (
        comparison.text_name.rpartition(", a sample of ") if comparison.whole else (comparison.text_name, "", "")
    )
    ranked = f"\u00a0(n\u00a0=\u00a0{comparison.spearman_rho.n})" if comparison.whole else ""
    title_axes(
        axes,
        f"{short_name(name)}{said}{sample}\nr\u00a0=\u00a0{r}, ρ\u00a0=\u00a0{rho}{ranked}, "
        f"n\u00a0=\u00a0{comparison.n}\u00a0{units.by}s",  # a line may break between the numbers
        font_size,
    )
    axes.annotate("equal", (limits[0] * 0.97, limits[0] * 0.97), xytext=(8, 0), textcoords="offset points",
                  fontsize=0.9 * font_size, color="#555555", va="center")  # fmt: skip
    order = there[np.argsort(-np.abs(x - y), kind="stable")]
    rows = [row for row in order if units.text[row]][:outliers]  # the rest of a shared character has no text to name it
    names = [short_name(units.text[row].strip() or units.text[row], _LONGEST_LABEL) for row in rows]
    _name_points(axes, units.logprob_a[rows], units.logprob_b[rows], names, np.column_stack([x, y]), 0.8 * font_size)
    return axes


def draw_margins(axes: Axes, comparison: Comparison) -> tuple[Axes, Axes]:
    """Draw histograms of both models' log-probs above and to the right of a unity scatter, with its title above them."""
    there = _scored(comparison)
    edges = np.linspace(*axes.get_xlim(), _BINS + 1)
    above = axes.inset_axes((0.0, 1.02, 1.0, _MARGINS - 0.04), sharex=axes)
    beside = axes.inset_axes((1.02, 0.0, _MARGINS - 0.04, 1.0), sharey=axes)
    for margin, values, turned in ((above, comparison.units.logprob_a, False), (beside, comparison.units.logprob_b, True)):
        counts = np.histogram(values[there], edges)[0]
        margin.add_collection(_bars(edges, counts, turned), autolim=False)
        (margin.set_xlim if turned else margin.set_ylim)(0, 1.05 * max(1, counts.max()))
        margin.set_axis_off()
    title, font_size = axes.get_title(loc="left"), float(axes.xaxis.label.get_fontsize())
    axes.set_title("", loc="left")
    title_axes(above, title, font_size)
    return above, beside


def _bars(edges: NDArray[np.float64], counts: NDArray[np.intp], turned: bool) -> PolyCollection:
    """Return a histogram's bars as one object, which is drawn several times as fast as one for each bar."""
    zero = np.zeros_like(counts)
    corners = np.stack([edges[:-1], zero, edges[1:], zero, edges[1:], counts, edges[:-1], counts], 1).reshape(-1, 4, 2)
    return PolyCollection(
        list(corners[..., ::-1] if turned else corners), facecolor="#9aa5b1", edgecolor="white", linewidth=0.3
    )


def _scored(comparison: Comparison) -> NDArray[np.intp]:
    """Return the units that both models scored."""
    units = comparison.units
    return np.flatnonzero(~(np.isnan(units.logprob_a) | np.isnan(units.logprob_b)))


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


@dataclass(frozen=True)
class _Box:
    """A rectangle on the page, in points."""

    left: float
    below: float
    width: float
    height: float

    def overlaps(self, other: "_Box") -> bool:
        apart = (
            self.left + self.width <= other.left
            or other.left + other.width <= self.left
            or self.below + self.height <= other.below
            or other.below + other.height <= self.below
        )
        return not apart

    def inside(self, other: "_Box") -> bool:
        right = self.left + self.width <= other.left + other.width
        return (
            other.left <= self.left
            and right
            and other.below <= self.below
            and self.below + self.height <= other.below + other.height
        )

    def line_to(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points of the line from a name in the box to its point, in equal steps, (steps, 2)."""
        middle = np.array([self.left + self.width / 2, self.below + self.height / 2])
        line: NDArray[np.float64] = middle + np.linspace(0, 1, 25)[:, None] * (point - middle)
        return line

    def crossed(self, point: NDArray[np.float64], names: Sequence["_Box"], lines: Sequence[NDArray[np.float64]]) -> bool:
        """Return whether the line to its point crosses another name, or another line crosses the box."""
        own = self.line_to(point)
        return any(name.holds(own) for name in names) or any(self.holds(line) for line in lines)

    def holds(self, points: NDArray[np.float64]) -> int:
        across = (points[:, 0] > self.left) & (points[:, 0] < self.left + self.width)
        return int((across & (points[:, 1] > self.below) & (points[:, 1] < self.below + self.height)).sum())


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
    extent = axes.get_window_extent()
    frame = _Box(extent.x0 * scale, extent.y0 * scale, extent.width * scale, extent.height * scale)
    others = axes.transData.transform(cloud) * scale
    left, below, width, height = (share * side for share, side in zip(_RESERVED, (frame.width, frame.height) * 2, strict=True))
    taken = [_Box(frame.left + left, frame.below + below, width, height)]
    for corner in axes.child_axes:  # the cells' scale, with its title and numbers
        drawn = corner.get_tightbbox()
        assert drawn is not None
        taken.append(_Box(drawn.x0 * scale, drawn.y0 * scale, drawn.width * scale, drawn.height * scale))
    lines: list[NDArray[np.float64]] = []
    for at, name in zip(np.column_stack([x, y]), names, strict=True):
        point = axes.transData.transform(at) * scale
        font = FontProperties(family=families(name), size=font_size)
        width = float(text_to_path.get_text_width_height_descent(name, font, ismath=False)[0])
        boxes = [
            (min(box.holds(others), _CROWD) + step + _CROWD * box.crossed(point, taken, lines), box)
            for step, box in _around(point, width, 1.5 * font_size)
            if box.inside(frame) and not any(map(box.overlaps, taken))
        ]
        if not boxes:
            continue
        _, best = min(boxes, key=lambda one: one[0])
        taken.append(best)
        lines.append(best.line_to(point))
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": "#555555", "shrinkA": 0, "shrinkB": 1.5}
        axes.annotate(
            name, at, xytext=(best.left + 1 - point[0], best.below + 2 - point[1]), textcoords="offset points",
            fontproperties=font, parse_math=False, arrowprops=line, zorder=5,
        )  # fmt: skip


def _around(point: NDArray[np.float64], width: float, height: float) -> Iterator[tuple[int, _Box]]:
    """Yield boxes for a name next to a point, the nearest first, each with its number of steps from the point."""
    for step, distance in enumerate((6, 12, 20, 30, 44)):
        for right, up in ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)):
            middle = point[0] + right * (distance + width / 2), point[1] + up * (distance + height / 2)
            yield step, _Box(middle[0] - width / 2 - 1, middle[1] - height / 2, width + 2, height)


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
