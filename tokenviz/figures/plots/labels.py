"""The words of a plot: names that cannot spoil it, numbers as they are printed, and the key of its models."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from tokenviz.data.scores import TokenScores
from tokenviz.figures.typeset.fonts import drawable, fonts_for, shortened
from tokenviz.figures.typeset.lines import wrapped
from tokenviz.models.describing import description_of, full_name
from tokenviz.stats.estimate import Estimate, rounded, rounded_interval

# The words of a plot: safe names, fonts that have their characters, and printed numbers.

LONGEST_NAME = 28  # characters; leaves room for the rest of an axis label
_TITLE_PAD = 6.0  # points between the axes and a title, as by matplotlib's default


def number(estimate: Estimate) -> str:
    """Return an estimate as figures print it, with its interval where it has one."""
    interval = f", 95 % interval {rounded_interval(estimate, ' to ')}" if estimate.has_interval else ""
    return rounded(estimate) + interval + (f", resampled {estimate.drawn_from}" if estimate.drawn_from else "")


def short_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a model's or text's name as it is drawn: shortened, and without characters that would be empty boxes."""
    _, missing = fonts_for(set(name))
    return shortened(drawable(name, missing), lambda shown: len(shown) <= longest)


def families(text: str) -> list[str]:
    """Return the fonts for a text."""
    return fonts_for(set(text))[0]


def label_axes(axes: Axes, x: str, y: str, font_size: float) -> None:
    """Name both axes, in as many lines as necessary, and keep only the left and lower spines."""
    width, height = _room(axes)
    axes.set_xlabel(_fitted(x, width, font_size), fontsize=font_size, parse_math=False, fontfamily=families(x))
    axes.set_ylabel(_fitted(y, height, font_size), fontsize=font_size, parse_math=False, fontfamily=families(y))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=0.9 * font_size)


def title_axes(axes: Axes, title: str, font_size: float, *, at: float | None = None) -> None:
    """Write a title above the left edge, in as many lines as necessary.

    Args:
        axes: The axes.
        title: The title.
        font_size: In points.
        at: The height above which the title is, in shares of the axes' own; by default it is above all that belongs to them,
            which is measured whenever they are drawn.
    """
    shown = _fitted(title, _room(axes)[0], font_size)
    pad = None if at is None else max(_TITLE_PAD, 0.3 * font_size)  # letters that reach below the line stay above it too
    axes.set_title(shown, fontsize=font_size, loc="left", y=at, pad=pad, parse_math=False, fontfamily=families(title))


def legend_above(axes: Axes, lines: Sequence[Line2D], names: Sequence[str], font_size: float) -> Legend:
    """Add a legend above the axes, with as many lines per row as there is room for.

    The lines are passed one by one: by default a legend omits a name that begins with an underscore.
    """
    width, size = _room(axes)[0], 0.9 * font_size
    shown = [_broken(name, width - 4 * size, size) for name in names]
    longest = max((line_width(line, size) for name in shown for line in name.split("\n")), default=0.0)
    columns = max(1, min(len(names), int(width / (longest + 5 * size))))
    legend = axes.legend(
        list(lines), shown, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, fontsize=size
    )
    plain_text(legend)
    return legend


def legend_outside(
    figure: Figure,
    lines: Sequence[Artist],
    names: Sequence[str],
    place: Literal["outside upper left", "outside upper center", "outside lower center"],
    font_size: float,
) -> None:
    """Add a legend above or below all panels of a figure in the constrained layout, which becomes higher.

    Args:
        figure: The figure.
        lines: The lines or bands to name.
        names: Their names.
        place: Above or below; on the left side the names are below each other.
        font_size: Size of the axes' names, in points; the legend is slightly smaller.
    """
    across, size = figure.get_figwidth() * 72, 0.9 * font_size
    shown = [_broken(name, across - 6 * size, size) for name in names]
    longest = max((line_width(line, size) for name in shown for line in name.split("\n")), default=0.0)
    columns = 1 if place.endswith("left") else max(1, min(len(names), int(across / (longest + 6 * size))))
    rows = -(-len(shown) // columns) * max((name.count("\n") + 1 for name in shown), default=0)
    figure.set_figheight(figure.get_figheight() + (1.5 * rows + 1) * size / 72)
    legend = figure.legend(list(lines), shown, loc=place, ncols=columns, frameon=False, fontsize=size)
    plain_text(legend)


def name_places(axes: Axes, names: Sequence[str], font_size: float) -> None:
    """Name the places 0, 1, ... along an axis: in lines that fit between them, or rotated where a word is too wide."""
    room, size = 0.95 * _room(axes)[0] / len(names), 0.9 * font_size
    shown = [_broken(name, room, size) for name in names]
    too_wide = any(line_width(line, size) > room for name in shown for line in name.split("\n"))
    axes.set_xticks(range(len(names)), names if too_wide else shown, parse_math=False, fontfamily=families("".join(names)))
    if too_wide:
        turn_names(axes)


def name_values(axes: Axes, values: Sequence[float], names: Sequence[str], font_size: float) -> None:
    """Name values along a logarithmic axis, rotated where two of them are too close for their names."""
    axes.set_xticks(values, names, minor=False)
    low, high = (math.log(end) for end in axes.get_xlim())
    places = [_room(axes)[0] * (math.log(value) - low) / (high - low) for value in values]
    widths = [line_width(name, 0.9 * font_size) for name in names]
    beside = zip(pairwise(places), pairwise(widths), strict=True)
    if any(right - left < 1.15 * (first + second) / 2 for (left, right), (first, second) in beside):
        turn_names(axes)


def turn_names(axes: Axes) -> None:
    """Rotate the names along an axis, so that they end at their places."""
    for label in axes.get_xticklabels():
        label.set(rotation=35, ha="right", rotation_mode="anchor")


def _room(axes: Axes) -> tuple[float, float]:
    """Return the width and height available for words next to axes, in points."""
    box = axes.get_window_extent()
    scale = 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]  # axes that are drawn are of a figure
    return box.width * scale, box.height * scale


def _broken(text: str, room: float, size: float) -> str:
    lines = [part for line in text.split("\n") for part in wrapped(line, lambda shown: line_width(shown, size) <= room)]
    return "\n".join(lines)


def _fitted(text: str, room: float, size: float) -> str:
    """Return a text in lines that fit; a word that is wider than a line is shortened in the middle."""
    lines = _broken(text, room, size).split("\n")
    return "\n".join(shortened(line, lambda shown: line_width(shown, size) <= room) for line in lines)


@lru_cache(4096)  # the figures of a grid have most of their words in common
def line_width(text: str, size: float) -> float:
    """Return the width of a line, in points."""
    font = FontProperties(family=families(text), size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) if text else 0.0


def plain_text(legend: Legend) -> None:
    """Draw the names of a legend literally: no formulas, and fonts that have their characters."""
    for label in legend.get_texts():
        label.set_parse_math(False)
        label.set_fontfamily(families(label.get_text()))


# The key of a plot: lines below it that describe each model, since axes and legends have room for short names only.

_GID = "what-the-models-are"
_LINE = 1.35  # height of a line, in font sizes
_LEFT = 4.0  # left margin, in points
_LONGEST = 120  # characters of a name


def described_models(tables: Sequence[TokenScores]) -> dict[str, str]:
    """Return the descriptions of token tables' models, by label."""
    return {table.spec.model: description_of(table.spec) for table in tables}


def add_key(figure: Figure, descriptions: Mapping[str, str], *, font_size: float = 9.0) -> Figure:
    """Write descriptions of models below a plot, which becomes higher; nothing where the names say everything.

    Args:
        figure: The plot, by itself or in the constrained layout.
        descriptions: The description of each model, by its label.
        font_size: Size of the axes' names, in points; the key is slightly smaller. By default 9.
    """
    names = [full_name(short_name(label), words) for label, words in descriptions.items() if full_name(label, words) != label]
    if not names or any(text.get_gid() == _GID for text in figure.texts):
        return figure
    size = 0.8 * font_size
    across, before = figure.get_size_inches()
    room = across * 72 - 2 * _LEFT
    lines = [
        line for name in names for line in wrapped(short_name(name, _LONGEST), lambda shown: line_width(shown, size) <= room)
    ]
    key = (len(lines) + 0.6) * _LINE * size / 72
    height = before + key
    figure.set_size_inches(across, height)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0.0, key / height, 1.0, before / height))
    else:
        for axes in figure.axes:
            box = axes.get_position(original=True)
            axes.set_position((box.x0, (box.y0 * before + key) / height, box.width, box.height * before / height))
    for number, line in enumerate(reversed(lines)):
        figure.text(
            _LEFT / 72 / across, (number + 0.4) * _LINE * size / 72 / height, line, fontsize=size, color="#444444",
            fontfamily=families(line), parse_math=False, gid=_GID,
        ).set_in_layout(False)  # fmt: skip
    return figure
