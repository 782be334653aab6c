"""A study in one figure: mean surprisal by region and condition, one panel per model."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.colours import LINE_COLOURS, MARKERS
from tokenviz.figures.labels import label_axes, legend_above, name_places, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points

if TYPE_CHECKING:
    import pandas as pd

_MEAN = "mean surprisal (bits per region)"
_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


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
            x, own["mean"], color=colour, marker=MARKERS[place % len(MARKERS)], linestyle=_STYLES[place % len(_STYLES)],
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
