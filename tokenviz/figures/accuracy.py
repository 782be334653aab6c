"""Accuracy over minimal pairs, by group and model, as marks with their intervals."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.labels import plain_text, short_name
from tokenviz.figures.marks import draw_marks
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points

if TYPE_CHECKING:
    import pandas as pd


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
