"""Plots of computing: speed next to a baseline, and the effect of rounding on predictions."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.plots.labels import label_axes, legend_above, legend_outside, line_width, short_name, title_axes
from tokenviz.figures.typeset.colours import LINE_COLOURS, LINE_STYLES, MARKERS
from tokenviz.figures.typeset.lines import wrapped
from tokenviz.figures.typeset.saving import Picture, inches, points

if TYPE_CHECKING:
    import pandas as pd


# Figures of speed: each tool's ratio to a baseline as bars, and tokens per second against workers as lines.

_OWN, _OTHER = "#1f3b57", "#c9ced4"  # distinguished by lightness alone
# Keeps the line at the baseline from crossing words.
_ON_WHITE: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
_BAR = 0.27  # inches per row


@dataclass(frozen=True)
class RatioPanel:
    """The content of one panel.

    Attributes:
        title: Title above the panel.
        names: Names of the rows, from the top.
        ratios: Ratios to the baseline; NaN where there is none.
        remarks: Words in a row without a ratio.
        own: Rows that are highlighted.
    """

    title: str
    names: tuple[str, ...]
    ratios: tuple[float, ...]
    remarks: tuple[str, ...]
    own: frozenset[int] = frozenset()


def ratio_bars(panels: Sequence[RatioPanel], *, baseline: str, width: float = 7.0) -> Figure:
    """Draw horizontal bars with their values, and a line at the baseline; all panels share one scale.

    Args:
        panels: The panels, from the top.
        baseline: Name of the baseline, for the axis label.
        width: In inches; by default 7.
    """
    rows = [len(panel.names) for panel in panels]
    height = 0.5 + sum(0.45 + _BAR * count for count in rows)
    figure = Picture(figsize=(width, height), layout="constrained", facecolor="white")
    found = [ratio for panel in panels for ratio in panel.ratios if not math.isnan(ratio)]
    right = 1.12 * max([1.0, *found])
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        draw_ratio_bars(axes, panel)
        axes.set_xlim(0, right)
    figure.supxlabel("\n".join(wrapped(f"tokens per second, as a multiple of {baseline}", _fits(72 * width - 8))), fontsize=9)
    figure.draw_without_rendering()  # the width of titles depends on the names next to the bars
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        title_axes(axes, panel.title, 9)
    return figure


def _fits(room: float) -> Callable[[str], bool]:
    return lambda shown: line_width(shown, 9) <= room


def draw_ratio_bars(axes: Axes, panel: RatioPanel) -> Axes:
    """Draw one panel of `ratio_bars` on given axes."""
    for row, (ratio, remark) in enumerate(zip(panel.ratios, panel.remarks, strict=True)):
        if math.isnan(ratio):
            axes.annotate(remark, (0, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7,
                          color="#555555", parse_math=False, bbox=_ON_WHITE)  # fmt: skip
            continue
        axes.barh(row, ratio, height=0.68, color=_OWN if row in panel.own else _OTHER, edgecolor="#44505c", linewidth=0.6)
        axes.annotate(f"{ratio:.2f}", (ratio, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
                      bbox=_ON_WHITE)  # fmt: skip
    axes.axvline(1.0, color="#333333", linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks(range(len(panel.names)), panel.names, parse_math=False)
    axes.set_ylim(len(panel.names) - 0.4, -0.6)
    title_axes(axes, panel.title, 9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return axes


def worker_lines(series: Mapping[str, Mapping[int, float]], *, width: float = 5.0) -> Figure:
    """Draw tokens per second against the number of workers, each series next to the straight line from its first point.

    Args:
        series: Tokens per second by number of workers, by the name of the series.
        width: Width in inches.
    """
    figure = Picture(figsize=(width, 0.72 * width), layout="constrained", facecolor="white")
    axes = figure.subplots()
    lines: list[Any] = []
    for place, rates in enumerate(series.values()):
        counts = sorted(rates)
        colour, marker = LINE_COLOURS[place % len(LINE_COLOURS)], MARKERS[place % len(MARKERS)]
        straight = [rates[counts[0]] * count / counts[0] for count in counts]
        axes.plot(counts, straight, color="#8a8a8a", linewidth=1, linestyle=(0, (4, 3)))
        lines += axes.plot(counts, [rates[count] for count in counts], color=colour, marker=marker, linewidth=1.3, markersize=5)
        last = counts[-1]
        axes.annotate(f"× {rates[last] / rates[counts[0]] * counts[0]:.1f}", (last, rates[last]), xytext=(6, -9),
                      textcoords="offset points", fontsize=8, parse_math=False)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=10)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ticks = sorted({count for rates in series.values() for count in rates})
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.set_xlim(min(ticks) / 1.15, max(ticks) * 1.6)
    axes.minorticks_off()
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, "workers (dashed: in proportion)", "tokens per second", 9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    legend_outside(figure, lines, list(series), "outside upper center", 9)
    return figure


# The effect of rounding a model's numbers on its predictions: how often they change, and at which tokens.

_LEAST = 1e-9  # nats; smaller values are rounding of float32
_EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, math.inf)  # bits of surprisal


def precision_curves(moved: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw two panels: the share of tokens whose prediction changed by more than a value, and where it changes most.

    Args:
        moved: One row per variant and token: `model`, `kl` from the reference in nats, `surprisal_bits` by the reference.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    across = inches(width)
    rows, columns = (2, 1) if across < 5 else (1, 2)
    figure = Picture(figsize=(across, 2.9 * rows), layout="constrained", facecolor="white")
    left, right = figure.subplots(rows, columns).flat
    draw_movement(left, moved, font_size=points(font_size))
    draw_movement_by_surprisal(right, moved, font_size=points(font_size))
    return figure


def draw_movement(axes: Axes, moved: "pd.DataFrame", *, font_size: float = 9.0) -> Axes:
    """Draw the share of tokens with a divergence above each value, on given axes."""
    lines, labels = [], []
    for place, (name, own) in enumerate(moved.groupby("model", sort=False)):
        values = np.sort(np.maximum(own["kl"].to_numpy(), _LEAST))
        above = 1 - np.arange(1, len(values) + 1) / len(values)
        lines += axes.plot(values, above, color=_colour(place), linestyle=LINE_STYLES[place % len(LINE_STYLES)], linewidth=1.3)
        labels.append(short_name(str(name), 32))
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, "KL divergence from the reference (nats per token)", "share of tokens above", font_size)
    legend_above(axes, lines, labels, font_size)
    return axes


def draw_movement_by_surprisal(axes: Axes, moved: "pd.DataFrame", *, font_size: float = 9.0) -> Axes:
    """Draw the mean divergence of tokens by their surprisal under the reference, on given axes."""
    bins = np.digitize(moved["surprisal_bits"].to_numpy(), _EDGES[1:-1])
    lines, labels = [], []
    for place, (name, own) in enumerate(moved.assign(bin=bins).groupby("model", sort=False)):
        means = own.groupby("bin")["kl"].mean()
        lines += axes.plot(
            means.index, means, color=_colour(place), linestyle=LINE_STYLES[place % len(LINE_STYLES)],
            marker=MARKERS[place % len(MARKERS)], markersize=4, linewidth=1.1,
        )  # fmt: skip
        labels.append(short_name(str(name), 32))
    axes.set_yscale("log")
    names = [f"{low:g} to {high:g}" if math.isfinite(high) else f"≥ {low:g}"
             for low, high in pairwise(_EDGES)]  # fmt: skip
    axes.set_xticks(range(len(names)), names)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, "surprisal by the reference (bits)", "mean KL divergence (nats per token)", font_size)
    legend_above(axes, lines, labels, font_size)
    return axes


def _colour(place: int) -> str:
    return LINE_COLOURS[place % len(LINE_COLOURS)]
