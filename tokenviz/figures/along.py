"""Log-probs along a text: one line per model, in reading order."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.colours import LINE_COLOURS
from tokenviz.figures.keys import add_key, described_models
from tokenviz.figures.labels import label_axes, legend_above, short_name
from tokenviz.figures.measures import Values
from tokenviz.figures.picture import Picture
from tokenviz.figures.rows import common_rows
from tokenviz.figures.widths import inches, points
from tokenviz.scores import TokenScores

_FEW = 400  # the most units that are drawn one by one; with more, a mean is easier to read
_SMOOTHING = 51
_STYLES = ("-", (0, (3, 1)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (6, 2)), (0, (3, 1, 1, 1, 1, 1)))


def along_text(
    source: Comparison | Sequence[TokenScores], *, width: float | str = 7.0, height: float = 2.8, font_size: float = 9.0
) -> Figure:
    """Draw models' log-probs of one text in reading order; missing values are gaps.

    Long texts are drawn as a running mean, which does not cross from one passage into the next.

    Args:
        source: A comparison, or token tables of the same text by any number of models. Where the tokenizers differ, the units
            are the segments that all of them share, with the sum of their tokens' log-probs.
        width: In inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by default 7 inches.
        height: In inches; by default 2.8.
        font_size: Size of the axes' names, in points; all other text follows it. By default 9.

    Raises:
        ComparisonError: The tables are of different texts.
    """
    tables = [source.a, source.b] if isinstance(source, Comparison) else list(source)
    figure = Picture(figsize=(inches(width), height), layout="constrained", facecolor="white")
    draw_along_text(figure.add_subplot(), source, font_size=points(font_size))
    return add_key(figure, described_models(tables), font_size=font_size)


def draw_along_text(axes: Axes, source: Comparison | Sequence[TokenScores], *, font_size: float = 9.0) -> Axes:
    """Draw `along_text` on given axes and return them."""
    tables = [source.a, source.b] if isinstance(source, Comparison) else list(source)
    rows = common_rows(tables)
    smoothed = len(rows) > _FEW
    cuts = np.flatnonzero(np.diff(rows.passage)) + 1
    places = np.insert(np.arange(len(rows), dtype=float), cuts, cuts - 0.5)
    lines = []
    for number, logprob in enumerate(rows.logprobs):
        parts = np.split(logprob, cuts)
        values = np.concatenate([_running_mean(part, _SMOOTHING) for part in parts]) if smoothed else logprob
        lines += axes.plot(
            places,
            np.insert(values, cuts, np.nan),  # ends a line with its passage
            color=LINE_COLOURS[number % len(LINE_COLOURS)],
            linestyle=_STYLES[number % len(_STYLES)],
            # Where lines coincide, the lower ones are wider and remain visible as rims.
            linewidth=1.1 + 0.9 * (len(tables) - 1 - number),
            zorder=2 + 0.01 * number,
        )
    mean = f" (running mean over {_SMOOTHING} {rows.by}s)" if smoothed else ""
    where = f"{rows.by} of {short_name(tables[0].text_name)}, in reading order{mean}"
    label_axes(axes, where, f"log-prob (nats per {rows.by})", font_size)
    axes.margins(x=0.01)
    legend_above(axes, lines, [short_name(table.spec.model) for table in tables], font_size)
    return axes


def _running_mean(values: Values, width: int) -> Values:
    """Return the centred running mean over the existing values; NaN where the window has none."""
    there = ~np.isnan(values)
    window = np.ones(width)

    def sums(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.convolve(of, window)[width // 2 : width // 2 + len(values)]

    counts = sums(there.astype(float))
    means: Values = np.divide(sums(np.where(there, values, 0.0)), counts, out=np.full(len(values), np.nan), where=counts > 0.5)
    return means
