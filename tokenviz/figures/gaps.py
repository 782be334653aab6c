"""Where two models differ: one bar per kind of string, whose lengths add up to the mean difference."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tokenviz.comparing.comparison import Comparison
from tokenviz.comparing.gaps import ALL, gaps
from tokenviz.figures.colours import LINE_COLOURS
from tokenviz.figures.keys import add_key, described_models
from tokenviz.figures.labels import label_axes, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points
from tokenviz.stats.estimate import printed

if TYPE_CHECKING:
    import pandas as pd

_BETTER, _WORSE, _WHOLE = LINE_COLOURS[4], LINE_COLOURS[1], "#999999"
_LONGEST = 20  # characters of a name under the axis


def gap_bars(comparison: Comparison, *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw each kind of string's contribution to the mean difference of two models, in bits per unit, with 95 % intervals.

    Bars to the right are in favour of the second model; those to the left, hatched, in favour of the first. The lowest bar is
    their sum.

    Args:
        comparison: A comparison of two models on a text.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    table = gaps(comparison)
    size = points(font_size)
    figure = Picture(figsize=(inches(width), 1.2 + 0.30 * max(len(table), 1)), layout="constrained", facecolor="white")
    draw_gap_bars(figure.add_subplot(), table, unit=comparison.unit, models=comparison.models, font_size=size)
    return add_key(figure, described_models([comparison.a, comparison.b]), font_size=font_size)


def draw_gap_bars(axes: Axes, table: "pd.DataFrame", *, unit: str, models: tuple[str, str], font_size: float = 9.0) -> Axes:
    """Draw `gap_bars` on given axes.

    Args:
        axes: The axes to draw on.
        table: The table of `tokenviz.comparing.gaps.gaps`.
        unit: The noun for a unit, such as "token".
        models: The names of a and b.
        font_size: Size of the axes' names, in points; by default 9.
    """
    a, b = (short_name(name, _LONGEST) for name in models)
    rim = [withStroke(linewidth=2.6, foreground="white")]  # makes an interval visible on a dark bar, in grey as well
    values, names = table["bits_per_unit"].to_numpy(float), list(table["kind"])
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        colour = _WHOLE if name == ALL else _BETTER if value >= 0 else _WORSE
        # Hatched to the left: a grey copy shows the sign even where a bar is as short as its line.
        axes.barh(
            place, value, 0.62, color=colour if value >= 0 else "white", edgecolor=colour, hatch="" if value >= 0 else "////"
        )
        low, high = table["low"].iloc[place], table["high"].iloc[place]
        if not np.isnan(low):
            axes.hlines(place, low, high, color="black", linewidth=1.1, zorder=3, path_effects=rim)
            axes.vlines([low, high], place - 0.13, place + 0.13, color="black", linewidth=1.1, zorder=3)
    if ALL in names:
        axes.axhline(len(names) - 1.5, color="#999999", linewidth=0.6)
    axes.axvline(0, color="#333333", linewidth=0.8)
    shares = [printed(100 * share, 0) + " %" if share == share else "–" for share in table["share"]]
    labels = [f"{name} (n = {count:,}; {share})" for name, count, share in zip(names, table["n"], shares, strict=True)]
    axes.set_yticks(range(len(names)), labels, parse_math=False, fontsize=0.9 * font_size)
    axes.set_ylim(len(names) - 0.4, -0.6)
    side = f"left of 0 {a} predicts better, right of 0 {b}"
    label_axes(axes, f"bits per {unit}: {b} minus {a}\n{side}", "", 0.95 * font_size)
    return axes
