"""Plots of a course of training: curves over the steps by text, and one text's log-probs with one row per step."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from tokenviz.figures.plots.labels import families, label_axes, legend_outside, line_width, short_name, title_axes
from tokenviz.figures.typeset.colours import LINE_COLOURS, LINE_STYLES, MARKERS, UNSCORED_EDGE, ColourScale
from tokenviz.figures.typeset.fonts import drawable, fonts_for
from tokenviz.figures.typeset.saving import Picture, inches, points

if TYPE_CHECKING:
    import pandas as pd

_PANELS = (
    ("mean_logprob", "mean log-prob (nats per token)"),
    ("bits_per_byte", "bits per byte"),
    ("r_to_last", "Pearson's r with the last"),
    ("kl_to_last", "KL from the last (nats per token)"),
)
_BAND = 0.18  # opacity: the lines and the bands of other texts stay visible below
_BLOCKS = 3  # blocks of tokens, one below the other
_CELL = 0.165  # least width, and height, in inches
_FEWEST = 8  # columns: the cells of a text of a few tokens are not much wider than high
_BESIDE = 1.6  # inches left and right of the cells: steps, colour bar
_NAME = 0.75  # size of tokens and steps, in font sizes


def training_curves(
    table: "pd.DataFrame", intervals: "pd.DataFrame | None" = None, *, width: float | str = 7.0, font_size: float = 9.0
) -> Figure:
    """Draw four numbers over the training steps, one line per text, with their intervals as bands.

    Args:
        table: The table of `training_table`, with a column `text`.
        intervals: The table of `training_statistics`, with a column `text`; None or an empty one for no bands.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    across, size = inches(width), points(font_size)
    rows, columns = (4, 1) if across < 5 else (2, 2)
    figure = Picture(figsize=(across, 2.1 * rows), layout="constrained", facecolor="white")
    texts = list(dict.fromkeys(table["text"]))
    lines: list[Any] = []
    for axes, (name, label) in zip(figure.subplots(rows, columns, squeeze=False).flat, _PANELS, strict=True):
        drawn = draw_training_curve(axes, table, name, label, intervals, font_size=size)
        lines = lines or drawn
    shown, names = (lines, [short_name(text) for text in texts]) if len(texts) > 1 else ([], [])
    if any(axes.collections for axes in figure.axes):
        shown, names = [*shown, Patch(facecolor="#888888", alpha=_BAND)], [*names, "95 % interval"]
    if shown:
        legend_outside(figure, shown, names, "outside upper center", size)
    return figure


def draw_training_curve(
    axes: Axes,
    table: "pd.DataFrame",
    name: str,
    label: str,
    intervals: "pd.DataFrame | None" = None,
    *,
    font_size: float = 9.0,
) -> list[Any]:
    """Draw one panel of `training_curves` on given axes; return its lines, one per text."""
    lines = []
    for place, (text, own) in enumerate(table.groupby("text", sort=False)):
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        lines += axes.plot(
            own["step"], own[name], color=colour, marker=MARKERS[place % len(MARKERS)],
            linestyle=LINE_STYLES[place % len(LINE_STYLES)], linewidth=1.1, markersize=3.5,
        )  # fmt: skip
        if intervals is not None and not intervals.empty:
            found = intervals[(intervals["text"] == text) & (intervals["statistic"] == name)]
            ends = found.set_index("step")[["low", "high"]].reindex(own["step"])
            # A number without a row is exact, as that of the last checkpoint compared with itself: there the band closes.
            exact = ~own["step"].isin(found["step"])
            low, high = (np.where(exact, own[name], ends[end]) for end in ("low", "high"))
            if (low < high).any():
                axes.fill_between(own["step"], low, high, color=colour, alpha=_BAND, linewidth=0)
    steps = sorted(set(table["step"]))
    if steps[-1] > 20 * max(steps[1], 1):  # steps at growing distances: a logarithmic axis, on which step 0 has a place
        axes.set_xscale("symlog", base=2, linthresh=max(steps[1] if steps[0] == 0 else steps[0], 1))
        axes.set_xticks(steps, [f"{step:,}" for step in steps], minor=False)
        if len(steps) > 6:
            axes.set_xticks(steps[:: -(-len(steps) // 6)], [f"{step:,}" for step in steps[:: -(-len(steps) // 6)]])
        axes.minorticks_off()
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    label_axes(axes, "training step", "", font_size)
    title_axes(axes, label, font_size)
    return lines


def step_heatmap(logprobs: "pd.DataFrame", *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw the beginning of a text with one column per token and one row per step; dark is predictable, as in text heatmaps.

    Args:
        logprobs: The table of `step_logprobs`, in nats. As many tokens are drawn as fit in three blocks.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    across, size = inches(width), points(font_size)
    steps = [str(name).removeprefix("step_") for name in logprobs if str(name).startswith("step_")]
    most = max(4, int((across - _BESIDE) / _CELL))
    shown = logprobs.iloc[: most * _BLOCKS]
    blocks = max(1, -(-len(shown) // most))
    per_block = min(most, max(_FEWEST, -(-len(shown) // blocks)))
    values = shown[[f"step_{step}" for step in steps]].to_numpy(float).T  # (steps, tokens)
    known = values[~np.isnan(values)]
    scale = ColourScale(float(known.min()), float(known.max())) if len(known) else ColourScale(np.nan, np.nan)
    names = [_written(token) for token in shown["token"]]
    longest = max((line_width(name, _NAME * size) for name in names), default=0.0) / 72
    upright = longest <= 0.9 * (across - _BESIDE) / per_block
    high = _CELL * len(steps) + (0.02 * size if upright else longest) + 0.15
    note = 0.03 * size * (len(shown) < len(logprobs))
    figure = Picture(figsize=(across, high * blocks + note), layout="constrained", facecolor="white")
    panels = list(figure.subplots(blocks, 1, squeeze=False).flat)
    for place, axes in enumerate(panels):
        part = slice(place * per_block, (place + 1) * per_block)
        draw_step_heatmap(axes, names[part], steps, values[:, part], scale, per_block, upright=upright, font_size=size)
    figure.supylabel("training step", fontsize=size)
    if len(shown) < len(logprobs):
        panels[-1].set_xlabel(f"the first {len(shown):,} of {len(logprobs):,} tokens", fontsize=size)
    if not scale.is_empty:
        ends = Normalize(scale.low, scale.high)
        bar = figure.colorbar(ScalarMappable(ends, ListedColormap(scale.colours.shades)), ax=panels, fraction=0.02, pad=0.01)
        bar.set_label("log-prob (nats)", fontsize=0.9 * size)
        bar.ax.tick_params(labelsize=0.85 * size)
    return figure


def draw_step_heatmap(
    axes: Axes,
    tokens: list[str],
    steps: list[str],
    values: np.ndarray[Any, np.dtype[np.float64]],
    scale: ColourScale,
    columns: int,
    *,
    upright: bool = False,
    font_size: float = 9.0,
) -> Axes:
    """Draw one block of `step_heatmap` on given axes.

    Args:
        axes: The axes to draw on.
        tokens: Names of the columns, as they are written.
        steps: Labels of the rows, the first at the top.
        values: (steps, tokens), in nats; NaN has an outline instead of a colour.
        scale: The scale from values to colours.
        columns: The number of columns that fit.
        upright: Whether the tokens are written across and not upwards; by default not.
        font_size: Size of the axes' names, in points; by default 9.
    """
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    for row, column in np.ndindex(values.shape):
        colour = None if scale.is_empty else scale.colour(float(values[row, column]))
        edge = UNSCORED_EDGE if colour is None else "white"
        place = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(place, 1, 1, facecolor=colour or "white", edgecolor=edge, linewidth=0.3))
    axes.set_xticks(range(len(tokens)), tokens, rotation=0 if upright else 90)
    axes.set_yticks(range(len(steps)), [f"{int(step):,}" for step in steps])
    for label in axes.get_xticklabels():
        label.set(fontsize=_NAME * font_size, parse_math=False, fontfamily=families(label.get_text()))
    axes.tick_params(length=0, labelsize=_NAME * font_size)
    axes.spines[:].set_visible(False)
    return axes


def _written(token: str) -> str:
    """Return a token as a label: line ends as symbols, long tokens shortened."""
    shown = token.replace("\n", "↵").replace("\t", "→").strip(" ") or "␣" * bool(token)
    _, missing = fonts_for(set(shown))
    shown = drawable(shown, missing)
    return shown if len(shown) <= 12 else f"{shown[:11]}…"
