"""All correlations of a grid in one figure."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.colours import LINE_COLOURS, MARKERS
from tokenviz.figures.keys import add_key, described_models
from tokenviz.figures.labels import families, label_axes, legend_outside, short_name
from tokenviz.figures.picture import Picture
from tokenviz.figures.widths import inches, points


def correlation_overview(comparisons: Sequence[Comparison], *, width: float | str = 7.0, font_size: float = 9.0) -> Figure:
    """Draw Pearson's r of every pair of models on every text as a mark, with its interval where there is one; texts are rows.

    Hollow marks are over segments: their r is not comparable with one over tokens.

    Args:
        comparisons: The comparisons, in the order in which pairs and texts appear.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.
    """
    texts, pairs = _rows_and_pairs(comparisons)
    row = max(0.32, 0.1 * len(pairs))  # inches; room for the marks of one text, one above the other
    height = 1.3 + row * len(texts)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    axes = draw_correlation_overview(figure.add_subplot(), comparisons, font_size=points(font_size))
    models = [f"{short_name(a)} and {short_name(b)}" for a, b in pairs]
    legend_outside(figure, axes.get_lines(), models, "outside upper left", font_size)
    tables = [table for comparison in comparisons for table in (comparison.a, comparison.b)]
    return add_key(figure, described_models(tables), font_size=font_size)


def draw_correlation_overview(axes: Axes, comparisons: Sequence[Comparison], *, font_size: float = 9.0) -> Axes:
    """Draw `correlation_overview` on given axes, without a legend: the lines are the pairs in order."""
    texts, pairs = _rows_and_pairs(comparisons)
    for place, pair in enumerate(pairs):
        own = [c for c in comparisons if (c.a.spec.model, c.b.spec.model) == pair]
        shift = 0.7 * ((place + 0.5) / len(pairs) - 0.5)
        axes.plot(
            [c.pearson_r.value for c in own],
            [texts.index(c.text_name) + shift for c in own],
            MARKERS[place % len(MARKERS)],
            color=LINE_COLOURS[place % len(LINE_COLOURS)],
            fillstyle="none" if all(c.units.by == "segment" for c in own) else "full",
            markersize=6,
        )
        for comparison in own:
            low, high = comparison.pearson_r.low, comparison.pearson_r.high
            if not math.isnan(low):
                row = texts.index(comparison.text_name) + shift
                axes.hlines(row, low, high, color=LINE_COLOURS[place % len(LINE_COLOURS)], linewidth=0.9)
    names = [short_name(text) for text in texts]
    axes.set_yticks(range(len(texts)), names, parse_math=False, fontfamily=families("".join(names)))
    axes.set_ylim(len(texts) - 0.4, -0.6)
    axes.grid(axis="both", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlim(right=1.0 + 0.02 * (1.0 - axes.get_xlim()[0]))
    drawn = sorted({one.resampling.of for one in comparisons if one.resampling})
    source = f" (resampled {' or '.join(drawn)} of it)" if drawn else ""
    intervals = f",\nwith its 95 % interval{source}" if axes.collections else ""
    meaning = f"Pearson's r between two models' log-probs of one text{intervals}\nfilled: over tokens, hollow: over segments"
    label_axes(axes, meaning, "", font_size)
    return axes


def _rows_and_pairs(comparisons: Sequence[Comparison]) -> tuple[list[str], list[tuple[str, str]]]:
    texts = dict.fromkeys(comparison.text_name for comparison in comparisons)
    return list(texts), list(dict.fromkeys((comparison.a.spec.model, comparison.b.spec.model) for comparison in comparisons))
