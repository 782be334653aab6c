"""What surprisal adds to regressions of reading times, by model, as marks with their intervals."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.colours import LINE_COLOURS
from tokenviz.figures.labels import families, label_axes, legend_outside, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points

if TYPE_CHECKING:
    import pandas as pd

_MARKERS = "osD^v"
_NAMES = {"ols_on_means": "ordinary least squares on means", "mixed": "mixed model of single readings"}


def likelihood_gains(gains: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw every model's gain in log-likelihood per observation, with its 95 % interval; a line marks no gain.

    Args:
        gains: One row per model and regression: `model`, `regression`, `gain`, `low`, `high`, in nats per observation.
        width: Inches, a length such as "8.4cm", or the name of a venue's column such as "acl".
        font_size: Of the axes' names, in points; everything else follows it.
    """
    models, regressions = (list(dict.fromkeys(gains[name])) for name in ("model", "regression"))
    height = 1.1 + max(0.42, 0.2 * len(regressions)) * len(models)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    axes = draw_likelihood_gains(figure.add_subplot(), gains, font_size=points(font_size))
    names = [_NAMES.get(str(one), str(one)) for one in regressions]
    legend_outside(figure, axes.get_lines()[: len(regressions)], names, "outside upper left", font_size)
    return figure


def draw_likelihood_gains(axes: Axes, gains: "pd.DataFrame", *, font_size: float = 9.0) -> Axes:
    """Draw `likelihood_gains` on given axes, without its legend: the first lines are the regressions in order."""
    models, regressions = (list(dict.fromkeys(gains[name])) for name in ("model", "regression"))
    for place, regression in enumerate(regressions):
        own = gains[gains["regression"] == regression]
        shift = 0.5 * ((place + 0.5) / len(regressions) - 0.5)
        rows = [models.index(model) + shift for model in own["model"]]
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        axes.plot(own["gain"], rows, _MARKERS[place % len(_MARKERS)], color=colour, markersize=5)
        axes.hlines(rows, own["low"], own["high"], color=colour, linewidth=0.9)
    axes.axvline(0, color="#888888", linewidth=0.8, linestyle=(0, (4, 3)))
    names = [short_name(str(model), 40) for model in models]
    axes.set_yticks(range(len(models)), names, parse_math=False, fontfamily=families("".join(names)))
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(
        axes,
        "gain in log-likelihood by surprisal (nats per observation),\nitems left out, 95 % interval over items",
        "",
        font_size,
    )
    return axes
