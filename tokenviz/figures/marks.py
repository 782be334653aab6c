"""Marks with their intervals in rows, one mark per series, for accuracies and gains."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from tokenviz.figures.colours import LINE_COLOURS, MARKERS
from tokenviz.figures.labels import families, label_axes, short_name

if TYPE_CHECKING:
    import pandas as pd


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
