"""Comparison figures: two models' log-probs against each other, along the text, and a grid's correlations."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from numpy.typing import NDArray

from tokenviz.comparing.comparison import Comparison
from tokenviz.comparing.estimate import rounded, rounded_interval
from tokenviz.figures.colours import LINE_COLOURS
from tokenviz.figures.fonts import drawable, fonts_for, shortened

_MARKERS = "osD^v"  # five, against six colours: thirty pairs look different
_FEW = 400  # units up to which each is drawn; beyond, the eye needs a mean
_SMOOTHING = 51
_LONGEST_NAME = 28  # characters that leave room for the rest of an axis label


def unity_scatter(comparison: Comparison, *, size: float = 4.6) -> Figure:
    """Both models' log-probs of each unit against each other, with the line on which they agree.

    Args:
        comparison: What to draw.
        size: Of the square figure, in inches.
    """
    figure = Figure(figsize=(size, size + 0.5), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    draw_unity_scatter(axes, comparison)
    return figure


def draw_unity_scatter(axes: Axes, comparison: Comparison) -> Axes:
    """`unity_scatter` on given axes."""
    units = comparison.units
    both = ~(np.isnan(units.logprob_a) | np.isnan(units.logprob_b))
    x, y = units.logprob_a[both], units.logprob_b[both]
    low = float(min(x.min(), y.min())) if len(x) else 0.0
    low = low or -1.0  # limits that coincide are none
    limits = (low * 1.04, -low * 0.03)
    axes.plot(limits, limits, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.scatter(
        x,
        y,
        s=14 if len(x) < _FEW else 6,
        alpha=0.55 if len(x) < _FEW else 0.3,
        linewidths=0,
        color=LINE_COLOURS[0],
        zorder=2,
    )
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    unit = units.by
    _label(
        axes,
        f"log-prob by {_name(comparison.a.spec.model)} (nats a {unit})",
        f"log-prob by {_name(comparison.b.spec.model)} (nats a {unit})",
    )
    r, rho = comparison.pearson_r, comparison.spearman_rho
    interval = f", 95 % interval {rounded_interval(r, ' to ')}\n" if r.has_interval else ", "
    title = f"{_name(comparison.text_name)}\nr = {rounded(r)}{interval}ρ = {rounded(rho)}, n = {comparison.n} {unit}s"
    axes.set_title(title, fontsize=9, loc="left", parse_math=False, fontfamily=_families(title))
    axes.annotate("equal", (limits[0] * 0.97, limits[0] * 0.97), xytext=(8, 0), textcoords="offset points",
                  fontsize=8, color="#555555", va="center")  # fmt: skip
    _plain(axes)
    return axes


def along_text(comparison: Comparison, *, width: float = 7.0, height: float = 2.8) -> Figure:
    """Both models' log-probs in reading order; missing ones are gaps. Long texts are drawn as a running mean.

    Args:
        comparison: What to draw.
        width: In inches.
        height: In inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    draw_along_text(figure.add_subplot(), comparison)
    return figure


def draw_along_text(axes: Axes, comparison: Comparison) -> Axes:
    """`along_text` on given axes."""
    units = comparison.units
    smoothed = len(units) > _FEW
    for logprob, colour, style in (
        (units.logprob_a, LINE_COLOURS[0], "-"),
        (units.logprob_b, LINE_COLOURS[1], (0, (3, 1))),
    ):
        values = _running_mean(logprob, _SMOOTHING) if smoothed else logprob
        axes.plot(
            np.arange(len(values)),
            values,
            color=colour,
            linestyle=style,
            linewidth=1.1,
        )
    unit = units.by
    mean = f" (running mean over {_SMOOTHING} {unit}s)" if smoothed else ""
    _label(axes, f"{unit} of {_name(comparison.text_name)}, in reading order{mean}", f"log-prob (nats a {unit})")
    axes.margins(x=0.01)
    models = [_name(table.spec.model) for table in (comparison.a, comparison.b)]
    # Given one by one: of its own accord a legend leaves out a name that begins with an underscore.
    legend = axes.legend(
        axes.get_lines(), models, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8
    )
    _plain_text(legend)
    _plain(axes)
    return axes


def correlation_overview(comparisons: Sequence[Comparison], *, width: float = 7.0) -> Figure:
    """Every pair of models on every text: Pearson's r as a mark with its 95 % interval, texts as rows. Hollow marks are
    over segments: their r is another quantity than one over tokens.

    Args:
        comparisons: What to draw, in the order in which pairs and texts shall appear.
        width: In inches.
    """
    texts = list(dict.fromkeys(comparison.text_name for comparison in comparisons))
    pairs = list(dict.fromkeys((comparison.a.spec.model, comparison.b.spec.model) for comparison in comparisons))
    row = max(0.32, 0.1 * len(pairs))  # inches; room for the marks of one text, one above the other
    height = 1.3 + row * len(texts) + 0.24 * len(pairs)
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for place, pair in enumerate(pairs):
        own = [c for c in comparisons if (c.a.spec.model, c.b.spec.model) == pair]
        shift = 0.7 * ((place + 0.5) / len(pairs) - 0.5)
        hollow = all(c.units.by == "segment" for c in own)
        axes.plot(
            [c.pearson_r.value for c in own],
            [texts.index(c.text_name) + shift for c in own],
            _MARKERS[place % len(_MARKERS)],
            color=LINE_COLOURS[place % len(LINE_COLOURS)],
            fillstyle="none" if hollow else "full",
            markersize=6,
        )
        known = [c for c in own if c.pearson_r.has_interval]
        axes.hlines(
            [texts.index(c.text_name) + shift for c in known],
            [c.pearson_r.low for c in known],
            [c.pearson_r.high for c in known],
            color=LINE_COLOURS[place % len(LINE_COLOURS)],
            linewidth=0.9,
        )
    names = [_name(text) for text in texts]
    axes.set_yticks(range(len(texts)), names, parse_math=False, fontfamily=_families("".join(names)))
    axes.set_ylim(len(texts) - 0.4, -0.6)
    axes.grid(axis="both", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlim(right=1.0 + 0.02 * (1.0 - axes.get_xlim()[0]))
    label = "Pearson's r between two models' log-probs of one text, with its 95 % interval"
    _label(axes, f"{label}\nfilled: over tokens, hollow: over segments", "")
    models = [f"{_name(a)} and {_name(b)}" for a, b in pairs]
    _plain_text(figure.legend(axes.get_lines(), models, loc="outside upper left", frameon=False, fontsize=8))
    _plain(axes)
    return figure


def _running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred, over the values that are there; NaN where the window holds none."""
    there = ~np.isnan(values)
    window = np.ones(width)
    sums = np.convolve(np.where(there, values, 0.0), window, mode="same")
    counts = np.convolve(there.astype(float), window, mode="same")
    means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0.5)
    return means


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=9, parse_math=False, fontfamily=_families(x))
    axes.set_ylabel(y, fontsize=9, parse_math=False, fontfamily=_families(y))


def _name(name: str) -> str:
    """A model's or text's name as it is drawn: not too long, and no sign that would come out as an empty box."""
    _, missing = fonts_for(set(name))
    return shortened(drawable(name, missing), lambda shown: len(shown) <= _LONGEST_NAME)


def _families(text: str) -> list[str]:
    return fonts_for(set(text))[0]


def _plain_text(legend: Legend) -> None:
    for label in legend.get_texts():
        label.set_parse_math(False)
        label.set_fontfamily(_families(label.get_text()))


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
