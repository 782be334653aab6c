"""The gain from surprisal in regressions of reading times, by model, as marks with their intervals."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.labels import legend_outside
from tokenviz.figures.marks import draw_marks
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points

if TYPE_CHECKING:
    import pandas as pd

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
