"""Continuations of prompts: the log-prob of each, as marks in one row per continuation and one colour per model."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.colours import LINE_COLOURS, MARKERS
from tokenviz.figures.labels import families, label_axes, plain_text, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points

if TYPE_CHECKING:
    import pandas as pd

MOST = 40
"""The most continuations that are drawn; with more the figure gives their total number."""


def continuation_marks(table: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw the log-prob of each continuation, given its prompt, below the prompt's end.

    Args:
        table: A table from `prompt_table`, of one model or of several below each other. The first `MOST` continuations are
            drawn.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    models = list(dict.fromkeys(table["model"]))
    shown = table[table["passage"] < MOST]
    lines = shown["passage"].nunique() + shown["prompt_number"].nunique()
    height = 0.7 + 0.21 * lines + 0.24 * len(models)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    axes = draw_continuation_marks(figure.add_subplot(), table, font_size=points(font_size))
    names = [short_name(str(model), 40) for model in models]
    marks = axes.get_lines()[: len(models)]
    plain_text(figure.legend(marks, names, loc="outside upper left", frameon=False, fontsize=0.9 * font_size))
    return figure


def draw_continuation_marks(axes: Axes, table: "pd.DataFrame", *, font_size: float = 9.0) -> Axes:
    """Draw `continuation_marks` on given axes, without a legend: the first lines are the models in order."""
    shown = table[table["passage"] < MOST]
    rows: dict[int, int] = {}
    names: list[str] = []
    prompts: list[int] = []
    of_first = shown.drop_duplicates("passage").sort_values(["prompt_number", "passage"])
    for number, own in of_first.groupby("prompt_number"):
        prompts.append(len(names))
        names.append(_end_of(str(own["prompt"].iloc[0])))
        for passage, continuation in zip(own["passage"], own["continuation"], strict=True):
            rows[int(passage)] = len(names)
            names.append(short_name(repr(str(continuation)), 32))
        assert number is not None
    models = list(dict.fromkeys(table["model"]))
    for place, model in enumerate(models):
        own = shown[shown["model"] == model]
        shift = 0.5 * ((place + 0.5) / len(models) - 0.5)
        y = [rows[int(passage)] + shift for passage in own["passage"]]
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        axes.plot(own["logprob"], y, MARKERS[place % len(MARKERS)], color=colour, markersize=4.5)
    axes.set_yticks(range(len(names)), names, parse_math=False, fontfamily=families("".join(names)))
    for place, label in enumerate(axes.get_yticklabels()):
        if place in prompts:
            label.set_color("#5a5a5a")
            label.set_fontstyle("italic")
            axes.axhline(place - 0.5, color="#dddddd", linewidth=0.7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    left_out = table["passage"].nunique() - len(rows)
    more = f"; the first {len(rows)} of {len(rows) + left_out} continuations" if left_out else ""
    label_axes(axes, f"log P(continuation | prompt) (nats){more}", "", font_size)
    return axes


def _end_of(prompt: str) -> str:
    """Return the end of a prompt, up to 38 characters."""
    line = prompt.replace("\n", "↵")
    return f"… {line[-38:]}" if len(line) > 40 else line
