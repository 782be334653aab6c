"""Calibration: the entropy of a model's predictions compared with the surprisal of the tokens."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.colours import LINE_COLOURS, MARKERS
from tokenviz.figures.keys import add_key, described_models
from tokenviz.figures.labels import label_axes, legend_above, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points
from tokenviz.scores import TokenScores
from tokenviz.stats.calibration import calibrate
from tokenviz.stats.estimate import printed


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
    size = inches(width)
    figure = Picture(figsize=(size, size + 0.3 * len(tables)), layout="constrained", facecolor="white")
    draw_entropy_calibration(figure.add_subplot(), tables, bins=bins, font_size=points(font_size))
    return add_key(figure, described_models(tables), font_size=font_size)


def draw_entropy_calibration(axes: Axes, tables: Sequence[TokenScores], *, bins: int = 10, font_size: float = 9.0) -> Axes:
    """Draw `entropy_calibration` on given axes and return them."""
    lines, names, highest = [], [], 1.0
    for number, table in enumerate(tables):
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
    axes.annotate("as expected", (limits[1] * 0.6, limits[1] * 0.6), xytext=(8, -2), textcoords="offset points",
                  fontsize=0.9 * font_size, color="#555555", va="top")  # fmt: skip
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    label_axes(
        axes,
        "mean entropy of the predictions (nats)",
        "mean surprisal of the tokens (nats), bars: one standard error",
        font_size,
    )
    legend_above(axes, lines, names, font_size)
    return axes
