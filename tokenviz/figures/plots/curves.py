"""Curves of models: along a text, by the length of the context, and expected against found surprisal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tokenviz.base.errors import FigureError
from tokenviz.comparing.comparison import Comparison
from tokenviz.data.scores import TokenScores, tables_in
from tokenviz.figures.heatmap.definition import tables_of
from tokenviz.figures.heatmap.measures import Values, common_rows
from tokenviz.figures.plots.labels import (
    add_key,
    described_models,
    label_axes,
    legend_above,
    legend_outside,
    name_values,
    short_name,
)
from tokenviz.figures.typeset.colours import LINE_COLOURS, LINE_STYLES, MARKERS
from tokenviz.figures.typeset.saving import Picture, inches, points
from tokenviz.stats.definitions import calibrate
from tokenviz.stats.estimate import printed

if TYPE_CHECKING:
    import pandas as pd


# Log-probs along a text: one line per model, in reading order.

_FEW = 400  # the most units that are drawn one by one; with more, a mean is easier to read
_SMOOTHING = 51
_MODEL_STYLES = ("-", (0, (3, 1)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (6, 2)), (0, (3, 1, 1, 1, 1, 1)))


def along_text(
    source: Comparison | Sequence[TokenScores], *, width: float | str = 7.0, height: float = 2.8, font_size: float = 9.0
) -> Figure:
    """Draw models' log-probs of one text in reading order; missing values are gaps.

    Long texts are drawn as a running mean, which does not cross from one passage into the next.

    Args:
        source: A comparison, or token tables of the same text by any number of models. Where the tokenizers differ, the units
            are the segments that all of them share, with the sum of their tokens' log-probs.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        height: In inches; by default 2.8.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.

    Raises:
        ComparisonError: The tables are of different texts.
    """
    tables = tables_of(source)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    draw_along_text(figure.add_subplot(), source, font_size=points(font_size))
    return add_key(figure, described_models(tables), font_size=font_size)


def draw_along_text(axes: Axes, source: Comparison | Sequence[TokenScores], *, font_size: float = 9.0) -> Axes:
    """Draw `along_text` on given axes and return them."""
    tables = tables_of(source)
    rows = common_rows(tables)
    smoothed = len(rows) > _FEW
    cuts = np.flatnonzero(np.diff(rows.passage)) + 1
    places = np.insert(np.arange(len(rows), dtype=float), cuts, cuts - 0.5)
    lines = []
    for number, logprob in enumerate(rows.logprobs):
        parts = np.split(logprob, cuts)
        values = np.concatenate([_running_mean(part, _SMOOTHING) for part in parts]) if smoothed else logprob
        lines += axes.plot(
            places,
            np.insert(values, cuts, np.nan),  # ends a line with its passage
            color=LINE_COLOURS[number % len(LINE_COLOURS)],
            linestyle=_MODEL_STYLES[number % len(_MODEL_STYLES)],
            # Where lines coincide, the lower ones are wider and remain visible as rims.
            linewidth=1.1 + 0.9 * (len(tables) - 1 - number),
            zorder=2 + 0.01 * number,
        )
    mean = f" (running mean over {_SMOOTHING} {rows.by}s)" if smoothed else ""
    where = f"{rows.by} of {short_name(tables[0].text_name)}, in reading order{mean}"
    label_axes(axes, where, f"log-prob (nats per {rows.by})", font_size)
    axes.margins(x=0.01)
    legend_above(axes, lines, [short_name(table.spec.model) for table in tables], font_size)
    return axes


def _running_mean(values: Values, width: int) -> Values:
    """Return the centred running mean over the existing values; NaN where the window has none."""
    there = ~np.isnan(values)
    window = np.ones(width)

    def sums(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.convolve(of, window)[width // 2 : width // 2 + len(values)]

    counts = sums(there.astype(float))
    means: Values = np.divide(sums(np.where(there, values, 0.0)), counts, out=np.full(len(values), np.nan), where=counts > 0.5)
    return means


# The effect of context: mean log-prob, and correlations, by the number of tokens that may be read.

_LEAST_SPAN = 0.02


def context_curves(
    means: "pd.DataFrame", between: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0
) -> Figure:
    """Draw the mean log-prob, r with the whole context, and r between models, by the number of tokens that may be read.

    Args:
        means: One row per model, text and context: `model`, `text`, `seen`, `mean log-prob`, `r with whole context`.
        between: One row per pair of models, text and context: `a`, `b`, `text`, `seen`, `r between models`; may be empty.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    panels = 3 if len(between) else 2
    across = inches(width)
    rows, columns = (panels, 1) if across < 5 else (1, panels)
    figure = Picture(figsize=(across, 2.7 * rows), layout="constrained", facecolor="white")
    axes = list(figure.subplots(rows, columns).flat)
    size = points(font_size)
    draw_context_curves(axes[0], means, ["model"], "mean log-prob", "mean log-prob (nats per token)", font_size=size)
    draw_context_curves(axes[1], means, ["model"], "r with whole context", "Pearson's r with the whole context", font_size=size)
    if len(between):
        draw_context_curves(axes[2], between, ["a", "b"], "r between models", "Pearson's r between models", font_size=size)
    # One legend for the panels of models, and one for that of pairs: a legend in each panel would leave no room.
    _legend_outside(figure, axes[0], "outside upper center", size)
    if len(between):
        _legend_outside(figure, axes[2], "outside lower center", size)
    axes[1].get_legend().remove()
    return figure


def _legend_outside(
    figure: Figure, axes: Axes, place: Literal["outside upper center", "outside lower center"], font_size: float
) -> None:
    """Move the legend of a panel outside of it."""
    legend = axes.get_legend()
    assert legend is not None  # every panel has lines
    names = [" ".join(text.get_text().split("\n")) for text in legend.get_texts()]
    legend.remove()
    legend_outside(figure, axes.get_lines(), names, place, font_size)


def draw_context_curves(
    axes: Axes, frame: "pd.DataFrame", models: list[str], value: str, label: str, *, font_size: float = 9.0
) -> Axes:
    """Draw one of the panels of `context_curves` on given axes.

    Args:
        axes: The axes to draw on.
        frame: `means` or `between` of `context_curves`.
        models: The columns that name the model, or the models.
        value: The column to draw.
        label: Label of the vertical axis.
        font_size: Size of the axes' names, in points; by default 9.
    """
    names, texts = list(dict.fromkeys(zip(*(frame[name] for name in models), strict=True))), list(dict.fromkeys(frame["text"]))
    lines, labels = [], []
    for key, own in frame.groupby([*models, "text"], sort=False):
        place, text = names.index(key[:-1]), str(key[-1])
        lines += axes.plot(
            own["seen"], own[value], color=LINE_COLOURS[place % len(LINE_COLOURS)], marker=MARKERS[place % len(MARKERS)],
            linestyle=LINE_STYLES[texts.index(text) % len(LINE_STYLES)], linewidth=1.1, markersize=4,
        )  # fmt: skip
        name = " and ".join(short_name(str(part), 30) for part in key[:-1])
        labels.append(f"{name}, {short_name(text, 16)}" if len(texts) > 1 else name)
    ticks = sorted(set(frame["seen"]))
    axes.set_xscale("log", base=2)
    name_values(axes, ticks, [f"{tick:,}" for tick in ticks], font_size)
    low, high = axes.get_ylim()
    if high - low < _LEAST_SPAN:  # two precisions of one model: rounding must not look like a finding
        axes.set_ylim((low + high - _LEAST_SPAN) / 2, (low + high + _LEAST_SPAN) / 2)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, "tokens before the predicted one", label, font_size)
    legend_above(axes, lines, labels, font_size)
    return axes


# Calibration: the entropy of a model's predictions compared with the surprisal of the tokens.


def entropy_calibration(
    tables: Sequence[TokenScores], *, bins: int = 10, width: float | str = 4.6, font_size: float = 9.0
) -> Figure:
    """Draw the mean surprisal of tokens over the mean entropy of their predictions, in bins of equal counts by entropy.

    A line marks where both are equal.

    Args:
        tables: One token table per model.
        bins: The most bins per model; by default 10.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 4.6 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    size, tables = inches(width), tables_in(tables, FigureError)
    figure = Picture(figsize=(size, size + 0.3 * len(tables)), layout="constrained", facecolor="white")
    draw_entropy_calibration(figure.add_subplot(), tables, bins=bins, font_size=points(font_size))
    return add_key(figure, described_models(tables), font_size=font_size)


def draw_entropy_calibration(axes: Axes, tables: Sequence[TokenScores], *, bins: int = 10, font_size: float = 9.0) -> Axes:
    """Draw `entropy_calibration` on given axes and return them."""
    lines, names, highest = [], [], 1.0
    for number, table in enumerate(tables_in(tables, FigureError)):
        found = calibrate(table.entropy, -table.logprob, bins=bins)
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        bars = np.nan_to_num(found.standard_error)
        axes.errorbar(found.entropy, found.surprisal, yerr=bars, fmt="none", ecolor=colour, elinewidth=0.9, zorder=2)
        lines += axes.plot(
            found.entropy, found.surprisal, MARKERS[number % len(MARKERS)] + "-", color=colour, markersize=4.5, linewidth=0.8
        )
        summary = table.summary()
        means = f"entropy {printed(summary.mean_entropy)}, surprisal {printed(-summary.mean_logprob)}, n = {summary.n_scored}"
        names.append(f"{short_name(table.spec.model)}: {means}")
        highest = max([highest, *found.entropy, *(found.surprisal + bars)])
    limits = (0.0, 1.05 * highest)
    axes.plot(limits, limits, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    # Along the upper end of the line, where points are rare: the highest one is mostly above the line.
    axes.annotate(
        "as expected", (limits[1] * 0.98, limits[1] * 0.98), xytext=(2, -2), textcoords="offset points", ha="right", va="top",
        fontsize=0.9 * font_size, color="#555555", rotation=45, rotation_mode="anchor",
    )  # fmt: skip
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    label_axes(
        axes,
        "mean entropy of the predictions (nats)",
        "mean surprisal of the tokens (nats), bars: one standard error",
        font_size,
    )
    legend_above(axes, lines, names, font_size)
    return axes
