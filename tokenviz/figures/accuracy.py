"""Accuracy over minimal pairs, by group and model, as marks with their intervals."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.colours import LINE_COLOURS
from tokenviz.figures.labels import families, label_axes, plain_text, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points

if TYPE_CHECKING:
    import pandas as pd

_MARKERS = "osD^v"


def pair_accuracy(accuracies: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw every model's accuracy on every group, with its 95 % interval; a line marks chance.

    Args:
        accuracies: One row per model and group: `model`, `group`, `accuracy`, `low`, `high`.
        width: Inches, a length such as "8.4cm", or the name of a venue's column such as "acl".
        font_size: Of the axes' names, in points; everything else follows it.
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
    """Draw `pair_accuracy` on given axes, without its legend: the first lines are the models in order."""
    groups, models = (list(dict.fromkeys(accuracies[name])) for name in ("group", "model"))
    for place, model in enumerate(models):
        own = accuracies[accuracies["model"] == model]
        shift = 0.7 * ((place + 0.5) / len(models) - 0.5)
        rows = [groups.index(group) + shift for group in own["group"]]
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        axes.plot(own["accuracy"], rows, _MARKERS[place % len(_MARKERS)], color=colour, markersize=5)
        axes.hlines(rows, own["low"], own["high"], color=colour, linewidth=0.9)
    axes.axvline(0.5, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
    names = [short_name(str(group), 40) for group in groups]
    axes.set_yticks(range(len(groups)), names, parse_math=False, fontfamily=families("".join(names)))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, "share of pairs in which the good sentence wins, 95 % interval", "", font_size)
    return axes
