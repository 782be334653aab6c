"""The effect of rounding a model's numbers on its predictions: how often they change, and at which tokens."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.colours import LINE_COLOURS, MARKERS
from tokenviz.figures.labels import label_axes, legend_above, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points

if TYPE_CHECKING:
    import pandas as pd

_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # a grey copy distinguishes them
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
        lines += axes.plot(values, above, color=_colour(place), linestyle=_STYLES[place % len(_STYLES)], linewidth=1.3)
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
            means.index, means, color=_colour(place), linestyle=_STYLES[place % len(_STYLES)],
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
