"""Figures of studies: accuracies and gains as marks with intervals, regions by condition, continuations of prompts."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.plots.labels import (
    families,
    label_axes,
    legend_above,
    legend_outside,
    name_places,
    plain_text,
    short_name,
)
from tokenviz.figures.typeset.colours import LINE_COLOURS, LINE_STYLES, MARKERS
from tokenviz.figures.typeset.saving import Picture, inches, points

if TYPE_CHECKING:
    import pandas as pd


# Marks with their intervals in rows, one mark per series, for accuracies and gains.


def draw_marks(
    axes: Axes, frame: "pd.DataFrame", *, row: str, series: str, value: str, spread: float, nothing: float, label: str,
    font_size: float,
) -> None:  # fmt: skip
    """Draw a mark and its interval for each row of a frame; the first lines of the axes are the series in order.

    Args:
        axes: The axes to draw on.
        frame: A frame with the columns `low` and `high`, and those named below.
        row: The column whose values are the rows of the picture.
        series: The column whose values differ in colour and mark.
        value: The column of the marks.
        spread: The share of a row's height that its marks occupy.
        nothing: Place of a dashed line: chance, or no gain.
        label: Label of the values' axis.
        font_size: Size of the axis' name, in points.
    """
    rows, names = (list(dict.fromkeys(frame[column])) for column in (row, series))
    for place, name in enumerate(names):
        own = frame[frame[series] == name]
        shift = spread * ((place + 0.5) / len(names) - 0.5)
        heights = [rows.index(one) + shift for one in own[row]]
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        axes.plot(own[value], heights, MARKERS[place % len(MARKERS)], color=colour, markersize=5)
        axes.hlines(heights, own["low"], own["high"], color=colour, linewidth=0.9)
    axes.axvline(nothing, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
    words = [short_name(str(one), 40) for one in rows]
    axes.set_yticks(range(len(rows)), words, parse_math=False, fontfamily=families("".join(words)))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, label, "", font_size)


# Accuracy over minimal pairs, by group and model, as marks with their intervals.


def pair_accuracy(accuracies: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw every model's accuracy on every group, with its 95 % interval; a line marks chance.

    Args:
        accuracies: One row per model and group: `model`, `group`, `accuracy`, `low`, `high`.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    groups, models = (list(dict.fromkeys(accuracies[name])) for name in ("group", "model"))
    row = max(0.28, 0.12 * len(models))  # inches; room for the marks of one group, one above the other
    height = 0.9 + row * len(groups) + 0.24 * len(models)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    axes = draw_pair_accuracy(figure.add_subplot(), accuracies, font_size=points(font_size))
    names = [short_name(str(model), 40) for model in models]
    lines = axes.get_lines()[: len(models)]
    plain_text(figure.legend(lines, names, loc="outside upper left", frameon=False, fontsize=0.9 * font_size))
    return figure


def draw_pair_accuracy(axes: Axes, accuracies: "pd.DataFrame", *, font_size: float = 9.0) -> Axes:
    """Draw `pair_accuracy` on given axes, without a legend: the first lines are the models in order."""
    label = "share of pairs in which the good sentence wins, 95 % interval"
    draw_marks(
        axes,
        accuracies,
        row="group",
        series="model",
        value="accuracy",
        spread=0.7,
        nothing=0.5,
        label=label,
        font_size=font_size,
    )
    axes.set_xlim(-0.02, 1.02)
    return axes


# The gain from surprisal in regressions of reading times, by model, as marks with their intervals.

_NAMES = {"ols_on_means": "ordinary least squares on means", "mixed": "mixed model of single readings"}


def likelihood_gains(gains: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw every model's gain in log-likelihood per observation, with its 95 % interval; a line marks no gain.

    Args:
        gains: One row per model and regression: `model`, `regression`, `gain`, `low`, `high`, in nats per observation.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    models, regressions = (list(dict.fromkeys(gains[name])) for name in ("model", "regression"))
    height = 1.1 + max(0.42, 0.2 * len(regressions)) * len(models)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    axes = draw_likelihood_gains(figure.add_subplot(), gains, font_size=points(font_size))
    names = [_NAMES.get(str(one), str(one)) for one in regressions]
    legend_outside(figure, axes.get_lines()[: len(regressions)], names, "outside upper left", font_size)
    return figure


def draw_likelihood_gains(axes: Axes, gains: "pd.DataFrame", *, font_size: float = 9.0) -> Axes:
    """Draw `likelihood_gains` on given axes, without a legend: the first lines are the regressions in order."""
    label = "gain in log-likelihood by surprisal (nats per observation),\nitems left out, 95 % interval over items"
    draw_marks(
        axes, gains, row="model", series="regression", value="gain", spread=0.5, nothing=0, label=label, font_size=font_size
    )
    return axes


# A study in one figure: mean surprisal by region and condition, one panel per model.

_MEAN = "mean surprisal (bits per region),\n95 % interval over items"


def region_means(means: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw mean surprisal by region, one line per condition, with 95 % intervals over items.

    Args:
        means: One row per model, region and condition, as `condition_means` returns them; in bits.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    models = list(dict.fromkeys(means["model"]))
    across = inches(width)
    columns = 1 if across < 5 else min(len(models), 2)
    rows = -(-len(models) // columns)
    figure = Picture(figsize=(across, 2.9 * rows), layout="constrained", facecolor="white")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axes, model in zip(panels, models, strict=False):
        draw_region_means(axes, means[means["model"] == model], font_size=points(font_size))
        if len(models) > 1:
            axes.set_xlabel(short_name(str(model), 40), parse_math=False, fontsize=points(font_size))
            axes.set_ylabel("")
    if len(models) > 1:
        figure.supylabel(_MEAN, fontsize=points(font_size))
    for axes in panels[len(models) :]:
        axes.remove()
    return figure


def draw_region_means(axes: Axes, means: "pd.DataFrame", *, font_size: float = 9.0) -> Axes:
    """Draw one model's panel of `region_means` on given axes."""
    regions, conditions = (list(dict.fromkeys(means[name])) for name in ("region", "condition"))
    lines = []
    for place, condition in enumerate(conditions):
        own = means[means["condition"] == condition]
        shift = 0.16 * (place - (len(conditions) - 1) / 2) / max(1, len(conditions) - 1)
        x = [regions.index(region) + shift for region in own["region"]]
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        lines += axes.plot(
            x, own["mean"], color=colour, marker=MARKERS[place % len(MARKERS)], linestyle=LINE_STYLES[place % len(LINE_STYLES)],
            linewidth=1.1, markersize=4,
        )  # fmt: skip
        axes.vlines(x, own["low"], own["high"], color=colour, linewidth=0.9)
    names = [short_name(region or "whole item", 16) for region in regions]
    name_places(axes, names, font_size)
    axes.set_xlim(-0.5, len(regions) - 0.5)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, "", _MEAN, font_size)
    if len(conditions) > 1:
        legend_above(axes, lines, [short_name(name, 24) for name in conditions], font_size)
    return axes


# Continuations of prompts: the log-prob of each, as marks in one row per continuation and one colour per model.

MOST = 40
"""The most continuations that are drawn; with more the figure gives their total number."""


def continuation_marks(table: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw the log-prob of each continuation, given its prompt, below the prompt's end.

    Args:
        table: A table from `prompt_table`, of one model or of several below each other. The first `MOST` continuations are
            drawn.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    models = list(dict.fromkeys(table["model"]))
    shown = table[table["passage"] < MOST]
    lines = shown["passage"].nunique() + shown["prompt_number"].nunique()
    height = 0.7 + 0.21 * lines + 0.24 * len(models)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    axes = draw_continuation_marks(figure.add_subplot(), table, font_size=points(font_size))
    names = [short_name(str(model), 40) for model in models]
    marks = axes.get_lines()[: len(models)]
    plain_text(figure.legend(marks, names, loc="outside upper left", frameon=False, fontsize=0.9 * font_size))
    return figure


def draw_continuation_marks(axes: Axes, table: "pd.DataFrame", *, font_size: float = 9.0) -> Axes:
    """Draw `continuation_marks` on given axes, without a legend: the first lines are the models in order."""
    shown = table[table["passage"] < MOST]
    rows: dict[int, int] = {}
    names: list[str] = []
    prompts: list[int] = []
    of_first = shown.drop_duplicates("passage").sort_values(["prompt_number", "passage"])
    for number, own in of_first.groupby("prompt_number"):
        prompts.append(len(names))
        names.append(_end_of(str(own["prompt"].iloc[0])))
        for passage, continuation in zip(own["passage"], own["continuation"], strict=True):
            rows[int(passage)] = len(names)
            names.append(short_name(repr(str(continuation)), 32))
        assert number is not None
    models = list(dict.fromkeys(table["model"]))
    for place, model in enumerate(models):
        own = shown[shown["model"] == model]
        shift = 0.5 * ((place + 0.5) / len(models) - 0.5)
        y = [rows[int(passage)] + shift for passage in own["passage"]]
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        axes.plot(own["logprob"], y, MARKERS[place % len(MARKERS)], color=colour, markersize=4.5)
    axes.set_yticks(range(len(names)), names, parse_math=False, fontfamily=families("".join(names)))
    for place, label in enumerate(axes.get_yticklabels()):
        if place in prompts:
            label.set_color("#5a5a5a")
            label.set_fontstyle("italic")
            axes.axhline(place - 0.5, color="#dddddd", linewidth=0.7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    left_out = table["passage"].nunique() - len(rows)
    more = f"; the first {len(rows)} of {len(rows) + left_out} continuations" if left_out else ""
    label_axes(axes, f"log P(continuation | prompt) (nats){more}", "", font_size)
    return axes


def _end_of(prompt: str) -> str:
    """Return the end of a prompt, up to 38 characters."""
    line = prompt.replace("\n", "↵")
    return f"… {line[-38:]}" if len(line) > 40 else line
