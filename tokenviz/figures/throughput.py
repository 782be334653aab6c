"""Bars of speed: each contender's ratio to a baseline, one panel a case."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.labels import line_width, title_axes
from tokenviz.figures.layout import wrapped
from tokenviz.figures.picture import Picture

_OWN, _OTHER = "#1f3b57", "#c9ced4"  # told apart by lightness alone
# So that the line at the baseline crosses no words.
_ON_WHITE: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
_BAR = 0.27  # inches a row


@dataclass(frozen=True)
class RatioPanel:
    """What one panel shows.

    Attributes:
        title: Above it.
        names: Of the rows, from the top.
        ratios: To the baseline; NaN where there is none.
        remarks: What stands in a row without a ratio.
        own: Rows to set off from the others.
    """

    title: str
    names: tuple[str, ...]
    ratios: tuple[float, ...]
    remarks: tuple[str, ...]
    own: frozenset[int] = frozenset()


def ratio_bars(panels: Sequence[RatioPanel], *, baseline: str, width: float = 7.0) -> Figure:
    """Horizontal bars with their values, and a line at the baseline; all panels share one scale.

    Args:
        panels: What to draw, from the top.
        baseline: What the ratios are to, for the axis label.
        width: In inches.
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
    figure.draw_without_rendering()  # how wide titles may be depends on the names next to the bars
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        title_axes(axes, panel.title, 9)
    return figure


def _fits(room: float) -> Callable[[str], bool]:
    return lambda shown: line_width(shown, 9) <= room


def draw_ratio_bars(axes: Axes, panel: RatioPanel) -> Axes:
    """One panel of `ratio_bars` on given axes."""
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
