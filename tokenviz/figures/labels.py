"""The words of a plot: names that cannot spoil it, in fonts that have their characters, and numbers as they are printed."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from tokenviz.comparing.estimate import Estimate, rounded, rounded_interval
from tokenviz.figures.fonts import drawable, fonts_for, shortened
from tokenviz.figures.layout import wrapped

LONGEST_NAME = 28  # characters that leave room for the rest of an axis label


def number(estimate: Estimate) -> str:
    """An estimate as figures print it, with its interval where it has one."""
    interval = f", 95 % interval {rounded_interval(estimate, ' to ')}" if estimate.has_interval else ""
    return rounded(estimate) + interval + (f", resampled {estimate.drawn_from}" if estimate.drawn_from else "")


def short_name(name: str, longest: int = LONGEST_NAME) -> str:
    """A model's or text's name as it is drawn: not too long, and no sign that would come out as an empty box."""
    _, missing = fonts_for(set(name))
    return shortened(drawable(name, missing), lambda shown: len(shown) <= longest)


def families(text: str) -> list[str]:
    """The fonts for a text."""
    return fonts_for(set(text))[0]


def label_axes(axes: Axes, x: str, y: str, font_size: float) -> None:
    """Name both axes, in as many lines as it takes, and leave them the lines on the left and below alone."""
    width, height = _room(axes)
    axes.set_xlabel(_broken(x, width, font_size), fontsize=font_size, parse_math=False, fontfamily=families(x))
    axes.set_ylabel(_broken(y, height, font_size), fontsize=font_size, parse_math=False, fontfamily=families(y))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=0.9 * font_size)


def title_axes(axes: Axes, title: str, font_size: float) -> None:
    """Write a title above the left edge, in as many lines as it takes."""
    shown = _broken(title, _room(axes)[0], font_size)
    axes.set_title(shown, fontsize=font_size, loc="left", parse_math=False, fontfamily=families(title))


def legend_above(axes: Axes, lines: Sequence[Line2D], names: Sequence[str], font_size: float) -> Legend:
    """Name lines above the axes, as many in a row as there is room for.

    They are given one by one: of its own accord a legend leaves out a name that begins with an underscore.
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


def _room(axes: Axes) -> tuple[float, float]:
    """How wide and high words beside axes may be, in points."""
    box = axes.get_window_extent()
    scale = 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    return box.width * scale, box.height * scale


def _broken(text: str, room: float, size: float) -> str:
    lines = [part for line in text.split("\n") for part in wrapped(line, lambda shown: line_width(shown, size) <= room)]
    return "\n".join(lines)


def line_width(text: str, size: float) -> float:
    """Of a line, in points."""
    font = FontProperties(family=families(text), size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) if text else 0.0


def plain_text(legend: Legend) -> None:
    """Take the names of a legend for what they are: no formulas, and fonts that have them."""
    for label in legend.get_texts():
        label.set_parse_math(False)
        label.set_fontfamily(families(label.get_text()))
