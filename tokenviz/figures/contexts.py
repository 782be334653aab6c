"""The effect of context: mean log-prob, and correlations, by the number of tokens that may be read."""

from typing import TYPE_CHECKING, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.figures.colours import LINE_COLOURS, MARKERS
from tokenviz.figures.labels import label_axes, legend_above, legend_outside, name_values, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points

if TYPE_CHECKING:
    import pandas as pd

_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # one per text, so that a grey copy distinguishes them
_LEAST_SPAN = 0.02


def context_curves(
    means: "pd.DataFrame", between: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0
) -> Figure:
    """Draw the mean log-prob, r with the whole context, and r between models, by the number of tokens that may be read.

    Args:
        means: One row per model, text and context: `model`, `text`, `seen`, `mean log-prob`, `r with whole context`.
        between: One row per pair of models, text and context: `a`, `b`, `text`, `seen`, `r between models`; may be empty.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    panels = 3 if len(between) else 2
    across = inches(width)
    rows, columns = (panels, 1) if across < 5 else (1, panels)
    figure = Picture(figsize=(across, 2.7 * rows), layout="constrained", facecolor="white")
    axes = list(figure.subplots(rows, columns).flat)
    size = points(font_size)
    draw_context_curves(axes[0], means, ["model"], "mean log-prob", "mean log-prob (nats per token)", font_size=size)
    draw_context_curves(axes[1], means, ["model"], "r with whole context", "Pearson's r with the whole context", font_size=size)
    if len(between):
        draw_context_curves(axes[2], between, ["a", "b"], "r between models", "Pearson's r between models", font_size=size)
    # One legend for the panels of models, and one for that of pairs: a legend in each panel would leave no room.
    _legend_outside(figure, axes[0], "outside upper center", size)
    if len(between):
        _legend_outside(figure, axes[2], "outside lower center", size)
    axes[1].get_legend().remove()
    return figure


def _legend_outside(
    figure: Figure, axes: Axes, place: Literal["outside upper center", "outside lower center"], font_size: float
) -> None:
    """Move the legend of a panel outside of it."""
    legend = axes.get_legend()
    assert legend is not None  # every panel has lines
    names = [" ".join(text.get_text().split("\n")) for text in legend.get_texts()]
    legend.remove()
    legend_outside(figure, axes.get_lines(), names, place, font_size)


def draw_context_curves(
    axes: Axes, frame: "pd.DataFrame", models: list[str], value: str, label: str, *, font_size: float = 9.0
) -> Axes:
    """Draw one of the panels of `context_curves` on given axes.

    Args:
        axes: The axes to draw on.
        frame: `means` or `between` of `context_curves`.
        models: The columns that name the model, or the models.
        value: The column to draw.
        label: Label of the vertical axis.
        font_size: Size of the axes' names, in points; by default 9.
    """
    names, texts = list(dict.fromkeys(zip(*(frame[name] for name in models), strict=True))), list(dict.fromkeys(frame["text"]))
    lines, labels = [], []
    for key, own in frame.groupby([*models, "text"], sort=False):
        place, text = names.index(key[:-1]), str(key[-1])
        lines += axes.plot(
            own["seen"], own[value], color=LINE_COLOURS[place % len(LINE_COLOURS)], marker=MARKERS[place % len(MARKERS)],
            linestyle=_STYLES[texts.index(text) % len(_STYLES)], linewidth=1.1, markersize=4,
        )  # fmt: skip
        name = " and ".join(short_name(str(part), 30) for part in key[:-1])
        labels.append(f"{name}, {short_name(text, 16)}" if len(texts) > 1 else name)
    ticks = sorted(set(frame["seen"]))
    axes.set_xscale("log", base=2)
    name_values(axes, ticks, [f"{tick:,}" for tick in ticks], font_size)
    low, high = axes.get_ylim()
    if high - low < _LEAST_SPAN:  # two precisions of one model: rounding must not look like a finding
        axes.set_ylim((low + high - _LEAST_SPAN) / 2, (low + high + _LEAST_SPAN) / 2)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, "tokens before the predicted one", label, font_size)
    legend_above(axes, lines, labels, font_size)
    return axes
