"""Text heatmaps: every token on a background that shows its log-prob, for one model or several on one scale."""

import math
from collections.abc import Callable, Sequence
from functools import cache

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from tokenviz.figures.colours import UNSCORED_EDGE, ColourScale, printed, shared_scale, text_colour
from tokenviz.figures.fonts import drawable, fonts_for, missing_note, shortened
from tokenviz.figures.layout import TextBlock, lay_out, paginate, panels_of_one_text
from tokenviz.progress import note
from tokenviz.scores import TokenScores

_INCH = 72.0
_MARGIN = 14.0
_DPI = 200  # with far fewer, hinting makes a word wider than its box
_LINES_A_PAGE = 40
_LINE_PITCH = 1.75  # in font sizes
_BOX_HEIGHT = 1.5


def draw_heatmap(
    scores: TokenScores | Sequence[TokenScores],
    *,
    scale: ColourScale | None = None,
    width: float = 7.0,
    font_size: float = 9.0,
) -> list[Figure]:
    """Draw a text with every token on a background scaled from its log-prob, predictable tokens darkest.

    Args:
        scores: One table, or several of the same text, drawn one above the other on one scale.
        scale: Colour limits; by default from the least to the greatest scored log-prob of all the tables.
        width: Of the figure, in inches.
        font_size: Of the text, in points.

    Returns:
        One figure a page.

    Raises:
        ComparisonError: The tables are of different texts.
    """
    tables = panels_of_one_text(scores)
    scale = scale or shared_scale(tables)
    names = [tables[0].text_name, *(table.spec.model for table in tables)]
    characters = {sign for table in tables for token in table.token for sign in token}.union(*names)
    families, missing = fonts_for(characters)
    warning = missing_note(missing)
    if warning:
        note(f"heatmap of {tables[0].text_name}: {warning}")
    page = _Page(tables, scale, width * _INCH, FontProperties(family=families, size=font_size), missing)
    lines = max(4, _LINES_A_PAGE // len(tables))
    pages = paginate(page.block(tables[0], range(len(tables[0]))), lines)
    return [page.draw(rows, number, len(pages)) for number, rows in enumerate(pages, start=1)]


class _Page:
    """What the pages of one heatmap have in common."""

    def __init__(
        self,
        tables: list[TokenScores],
        scale: ColourScale,
        width: float,
        font: FontProperties,
        missing: set[str],
    ) -> None:
        self.tables, self.scale, self.width, self.font, self.missing = tables, scale, width, font, missing
        self.footnotes = []
        if missing_note(missing):
            self.footnotes.append("⟨...⟩: the code point of a character that no installed font has")
        if any(token == "" for table in tables for token in table.token):
            self.footnotes.append("empty box: one more token of the character before it")
        self.size = font.get_size_in_points()
        self.measure = _measure(font)
        self.small = self._sized(0.85)

    def _sized(self, factor: float) -> FontProperties:
        font = self.font.copy()
        font.set_size(self.size * factor)
        return font

    def block(self, table: TokenScores, rows: range) -> TextBlock:
        """Some of a table's tokens, set in lines."""
        return lay_out(
            table,
            rows,
            width=self.width - 2 * _MARGIN,
            visible=lambda piece: drawable(piece, self.missing),
            measure=self.measure,
        )

    def draw(self, rows: range, number: int, of: int) -> Figure:
        """The page on which the first table's `rows` stand, with the same stretch of text from the others."""
        blocks = [self.block(table, self._same_stretch(table, rows)) for table in self.tables]
        pitch, heading = self.size * _LINE_PITCH, self.size * 2.2
        body = sum(heading + block.lines * pitch + self.size for block in blocks)
        footer = self.size * (4.8 + 1.4 * len(self.footnotes))
        height = 2 * _MARGIN + self.size * 2.4 + body + footer
        figure = Figure(figsize=(self.width / _INCH, height / _INCH), dpi=_DPI, facecolor="white")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set(xlim=(0, self.width), ylim=(height, 0))
        axes.set_axis_off()
        page = f" (page {number} of {of})" if of > 1 else ""
        self._heading(axes, _MARGIN, "Log-prob of each token of “", self.tables[0].text_name, f"”{page}", self._sized(1.2))
        top = _MARGIN + self.size * 2.4
        for table, block in zip(self.tables, blocks, strict=True):
            summary = table.summary()
            counts = f": {summary.n_scored} of {summary.n_tokens} tokens scored"
            mean = f"mean {printed(summary.mean_logprob)} nats a token"
            self._heading(axes, top, "", table.spec.model, f"{counts}, {mean}", self.small)
            top += heading * 0.75
            self._boxes(axes, table, block, top)
            top += heading * 0.25 + block.lines * pitch + self.size
        self._legend(axes, height - _MARGIN - footer + self.size)
        return figure

    def _heading(self, axes: Axes, y: float, before: str, name: str, after: str, font: FontProperties) -> None:
        """A line with a name in it, which is shortened where the line would leave the page."""
        measure = _measure(font)
        room = self.width - 2 * _MARGIN
        name = shortened(drawable(name, self.missing), lambda shown: measure(f"{before}{shown}{after}") <= room)
        self._write(axes, _MARGIN, y, f"{before}{name}{after}", font)

    def _same_stretch(self, table: TokenScores, rows: range) -> range:
        """The rows of a table that begin in the stretch of text in which the first table's rows lie."""
        first = self.tables[0]
        if table is first:
            return rows
        begin = (first.passage[rows.start], first.start[rows.start])
        end = (first.passage[rows.stop], first.start[rows.stop]) if rows.stop < len(first) else None
        where = list(zip(table.passage, table.start, strict=True))
        start = next((i for i, place in enumerate(where) if place >= begin), len(where))
        stop = next((i for i, place in enumerate(where) if end and place >= end), len(where))
        return range(start, stop)

    def _boxes(self, axes: Axes, table: TokenScores, block: TextBlock, top: float) -> None:
        pitch, box = self.size * _LINE_PITCH, self.size * _BOX_HEIGHT
        scored, colours, unscored = [], [], []
        for cell in block.cells:
            x, y = _MARGIN + cell.x, top + cell.line * pitch
            colour = self.scale.colour(float(table.logprob[cell.row]))
            rectangle = Rectangle((x, y), cell.width, box)
            if colour is None:
                unscored.append(rectangle)
            else:
                scored.append(rectangle)
                colours.append(colour)
            # Aligned by the baseline, so that the letters of a line stand on one line.
            self._write(axes, x + (cell.width - self.measure(cell.text)) / 2, y + box * 0.72, cell.text, self.font,
                        color=text_colour(colour), va="baseline")  # fmt: skip
        axes.add_collection(PatchCollection(scored, facecolor=colours, edgecolor="white", linewidth=0.6))
        axes.add_collection(_unscored(unscored))

    def _legend(self, axes: Axes, y: float) -> None:
        left, bar, height, steps = _MARGIN, self.width * 0.3, self.size * 0.9, 64
        if not math.isnan(self.scale.low):
            span = self.scale.high - self.scale.low
            strips = [Rectangle((left + bar * i / steps, y), bar / steps + 0.3, height) for i in range(steps)]
            colours = [self.scale.colour(self.scale.low + span * (i + 0.5) / steps) for i in range(steps)]
            axes.add_collection(PatchCollection(strips, facecolor=colours, edgecolor="none"))
            below = y + height + self.size * 0.4
            self._write(axes, left, below, printed(self.scale.low), self.small)
            self._write(axes, left + bar / 2, below, "log-prob (nats)", self.small, ha="center")
            self._write(axes, left + bar, below, printed(self.scale.high), self.small, ha="right")
            ends = "surprising at the light end, predictable at the dark end"
            self._write(axes, left + bar + self.size, y, ends, self.small)
        swatch = left + bar + self.size
        axes.add_collection(_unscored([Rectangle((swatch, y + self.size * 1.5), self.size * 1.6, height)]))
        legend = "not scored: no prediction, and no part in the scale"
        self._write(axes, swatch + self.size * 2.2, y + self.size * 1.5, legend, self.small)
        for number, footnote in enumerate(self.footnotes):
            self._write(axes, left, y + self.size * (3.6 + 1.4 * number), footnote, self.small)

    def _write(
        self,
        axes: Axes,
        x: float,
        y: float,
        text: str,
        font: FontProperties,
        *,
        color: str = "black",
        ha: str = "left",
        va: str = "top",
    ) -> None:
        # parse_math: a text may hold dollar signs of its own
        axes.text(x, y, text, fontproperties=font, color=color, ha=ha, va=va, parse_math=False)


def _unscored(rectangles: list[Rectangle]) -> PatchCollection:
    return PatchCollection(
        rectangles,
        facecolor="white",
        edgecolor=UNSCORED_EDGE,
        linewidth=0.8,
        linestyle=(0, (2, 1.5)),
        hatch="....",
        hatchcolor="#dddddd",
    )


def _measure(font: FontProperties) -> Callable[[str], float]:
    @cache
    def width(text: str) -> float:
        return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) if text else 0.0

    return width
