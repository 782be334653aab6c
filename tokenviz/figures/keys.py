"""The key of a plot: lines below it that describe each model, since axes and legends have room for short names only."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tokenviz.figures.labels import families, line_width, short_name
from tokenviz.figures.layout import wrapped
from tokenviz.models.describing import description_of, full_name
from tokenviz.scores import TokenScores

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
