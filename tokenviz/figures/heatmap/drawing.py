"""The text heatmap in matplotlib: as separate pages, or on given axes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import PolyCollection
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.text import Text
from matplotlib.textpath import TextPath, text_to_path
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from tokenviz.base.errors import FigureError
from tokenviz.base.progress import warn
from tokenviz.figures.heatmap.definition import TextHeatmap
from tokenviz.figures.heatmap.layout import PAD, TextBlock, lay_out, paginate, same_stretch
from tokenviz.figures.heatmap.panels import Panel
from tokenviz.figures.typeset.colours import UNSCORED_EDGE, Colour, span_colours, stands_out, text_colour
from tokenviz.figures.typeset.fonts import drawable, fonts_for, missing_note, shortened
from tokenviz.figures.typeset.lines import wrapped
from tokenviz.figures.typeset.saving import DPI, Picture, inches, points

_INCH = 72.0
_MARGIN = 4.0
_LINES_A_PAGE = 40
_LINE_PITCH = 1.75  # distance of lines, in font sizes
_SPAN_ROOM = 0.85  # additional room above a line for the lines and names of spans, in font sizes
_BOX_HEIGHT = 1.5
_GAP = 0.6  # width of the white line between two tokens, in points
_BASELINE = 0.72  # in box heights from the top
_STRIPS = 64

_Box = tuple[float, float, float, float]
"""Left, top, width and height, in points."""


def heatmap_pages(
    heatmap: TextHeatmap, *, width: float | str = 7.0, font_size: float = 9.0, title: bool = True
) -> list[Picture]:
    """Draw a text heatmap, one figure per page.

    Args:
        heatmap: A heatmap from `text_heatmap`.
        width: Width of the figure: in inches, a length such as "8.4cm", or the name of a venue's column such as "acl"; by
            default 7 inches.
        font_size: Size of the text, in points; legend and headings follow it. By default 9.
        title: Whether a line above says what is shown, as a caption does; by default it does.
    Raises:
        FigureError: The width or the font size is not possible.
    """
    sheet = _Sheet(heatmap, inches(width) * _INCH - 2 * _MARGIN, points(font_size), title)
    parts = sheet.pages(max(4, _LINES_A_PAGE // len(heatmap.panels)))
    figures: list[Picture] = []
    for number, rows in enumerate(parts, start=1):
        page = sheet.page(rows, f"page {number} of {len(parts)}" if len(parts) > 1 else "")
        size = (inches(width), (page.height + 2 * _MARGIN) / _INCH)
        figure = Picture(figsize=size, dpi=DPI, facecolor="white")
        page.put(figure.add_axes((0.0, 0.0, 1.0, 1.0)), _MARGIN)
        figures.append(figure)
    return figures


def draw_heatmap(axes: Axes, heatmap: TextHeatmap, *, font_size: float = 9.0) -> Axes:
    """Draw a text heatmap on given axes, from their upper left corner; the text is as wide as they are.

    Args:
        axes: The axes to draw on. They must have the size in which they will be printed.
        heatmap: A heatmap from `text_heatmap`.
        font_size: Size of the text, in points; by default 9.

    Raises:
        FigureError: The axes are not high enough, or the font size is not possible.
    """
    box = axes.get_window_extent()
    scale = _INCH / axes.get_figure(root=True).dpi  # type: ignore[union-attr]  # axes of no figure have no extent either
    sheet = _Sheet(heatmap, inches(box.width * scale / _INCH) * _INCH, points(font_size))
    page = sheet.page(range(len(heatmap.panels[0])), "")
    if page.height > box.height * scale + 0.5:
        raise FigureError(
            f"the heatmap of {heatmap.text_name!r} takes {page.height / _INCH:.2f} inches at this width and font size, and the "
            f"axes are {box.height * scale / _INCH:.2f} high: give higher or wider axes, or a smaller font"
        )
    page.put(axes, 0.0, box.height * scale)
    return axes


@dataclass
class _Page:
    """The content of a page, in points from its upper left corner."""

    width: float
    height: float = 0.0
    texts: list[tuple[float, float, str, FontProperties, str, str]] = field(default_factory=list)
    scored: list[tuple[_Box, Colour]] = field(default_factory=list)
    unscored: list[_Box] = field(default_factory=list)
    gaps: list[_Box] = field(default_factory=list)
    strips: list[tuple[_Box, Colour]] = field(default_factory=list)
    lines: list[tuple[_Box, str]] = field(default_factory=list)
    rules: list[tuple[_Box, str]] = field(default_factory=list)
    edged: list[tuple[float, float, str, FontProperties, str, _Box]] = field(default_factory=list)

    def put(self, axes: Axes, margin: float, height: float | None = None) -> None:
        """Add the content to axes as artists."""
        axes.set(xlim=(-margin, self.width + margin), ylim=((height or self.height) + margin, -margin))
        axes.set_axis_off()
        axes.add_collection(_boxes(self.scored))
        axes.add_collection(_unscored(self.unscored))
        axes.add_collection(_boxes(self.strips))
        axes.add_collection(_boxes([(gap, "white") for gap in self.gaps]))
        axes.add_collection(_boxes(self.lines))
        if self.rules:  # the files of a text without spans stay the same, byte for byte
            axes.add_collection(_boxes(self.rules))
        for x, y, text, font, colour, place in self.texts:
            # a text may contain dollar signs
            kind = _Letters if place == "baseline" else Text
            look: dict[str, Any] = {"fontproperties": font, "color": colour, "va": place, "parse_math": False, "usetex": False}
            axes.add_artist(kind(x, y, text, clip_on=False, **look))
        for x, y, text, font, colour, part in self.edged:
            # Drawn as shapes, so that the text itself is in a PDF or an SVG only once, for a search.
            place_of = Affine2D().scale(1, -1).translate(x, y) + axes.transData
            letters = PathPatch(TextPath((0, 0), text, prop=font), transform=place_of, facecolor=colour, linewidth=0, zorder=4)
            axes.add_patch(letters)
            left, top, width, height_of_part = part
            clip = Rectangle((left, top), width, height_of_part)
            letters.set_clip_path(clip.get_path(), clip.get_patch_transform() + axes.transData)


class _Letters(Text):
    """Letters at an exact place, on their baseline: drawn without matplotlib's layout of lines, which takes half the time."""

    def draw(self, renderer: RendererBase) -> None:
        changed = self.get_rotation() or self.get_path_effects() or self.get_verticalalignment() != "baseline"
        if changed or self.get_alpha() is not None or not self.get_visible() or not self.get_text():
            super().draw(renderer)
            return
        x, y = self.get_transform().transform(self.get_position())
        renderer.open_group("text", self.get_gid())
        gc = renderer.new_gc()
        gc.set_foreground(self.get_color())
        height = renderer.get_canvas_width_height()[1]
        font = self.get_fontproperties()
        renderer.draw_text(gc, x, height - y if renderer.flipy() else y, self.get_text(), font, 0.0, mtext=self)
        gc.restore()
        renderer.close_group("text")
        self.stale = False


def _boxes(filled: Sequence[tuple[_Box, Colour | str]]) -> PolyCollection:
    return PolyCollection(
        _corners([box for box, _ in filled]), facecolor=[colour for _, colour in filled], edgecolor="none", linewidth=0
    )


def _corners(boxes: Sequence[_Box]) -> Sequence[NDArray[np.float64]]:
    left, top, width, height = np.array(boxes, dtype=np.float64).reshape(-1, 4).T
    right, bottom = left + width, top + height
    corners = np.stack([np.stack([left, right, right, left], 1), np.stack([top, top, bottom, bottom], 1)], 2)
    return cast("Sequence[NDArray[np.float64]]", corners)


def _unscored(boxes: Sequence[_Box]) -> PolyCollection:
    return PolyCollection(
        _corners(boxes),
        facecolor="white",
        edgecolor=UNSCORED_EDGE,
        linewidth=0.8,
        linestyle=(0, (2, 1.5)),
        hatch="....",
        hatchcolor="#dddddd",
    )


def _stretches(block: TextBlock) -> Iterator[tuple[int, float, float, float]]:
    """Yield each token's boxes: its row, the line, the left and right end; adjacent boxes on a line are one."""
    found: list[tuple[int, float, float, float]] = []
    for cell in block.cells:
        part = cell.width / len(cell.rows)
        parts = [(row, cell.line, cell.x + k * part, cell.x + (k + 1) * part) for k, row in enumerate(cell.rows)]
        for row, line, left, right in sorted(parts):
            if found and found[-1][:2] == (row, line) and min(abs(found[-1][3] - left), abs(found[-1][2] - right)) < 1e-6:
                _, _, begin, end = found.pop()
                left, right = min(left, begin), max(right, end)
            found.append((row, line, left, right))
    yield from found


class _Sheet:
    """The layout that the pages of one heatmap share; lengths in points."""

    def __init__(self, heatmap: TextHeatmap, width: float, font_size: float, title: bool = True) -> None:
        self.heatmap, self.width, self.size, self.title = heatmap, width, font_size, title
        self.legend_words = heatmap.legend
        self.span_colours = span_colours(heatmap.span_names)
        self.pitch = _LINE_PITCH + _SPAN_ROOM * bool(self.span_colours)  # from line to line, in font sizes
        names = [heatmap.text_name, *heatmap.models, *self.span_colours, *(panel.name for panel in heatmap.panels)]
        characters = {sign for panel in heatmap.panels for piece in panel.text for sign in piece}.union(*names)
        families, self.missing = fonts_for(characters, fixed_width=heatmap.is_code)
        self.footnotes = []
        warning = missing_note(self.missing)
        if warning:
            warn(f"heatmap of {heatmap.text_name}: {warning}")
            self.footnotes.append("⟨...⟩: the code point of a character that no installed font has")
        self.font = FontProperties(family=families, size=font_size)
        families = families[heatmap.is_code :]  # headings are not code
        self.small = FontProperties(family=families, size=font_size * 0.85)
        self.label = FontProperties(family=families, size=font_size * 0.6)
        self.large = FontProperties(family=families, size=font_size * 1.2)

    def pages(self, lines: int) -> list[range]:
        """Return the rows of the first panel on each page."""
        first = self.heatmap.panels[0]
        return paginate(self._block(first, range(len(first))), lines)

    def page(self, rows: range, remark: str) -> _Page:
        """Return the page with `rows` of the first panel, and the same part of the text from the other panels."""
        page = _Page(self.width)
        before, after = self.heatmap.title
        if self.title:
            shown = f"{before}{self.heatmap.text_name}{after}{f' ({remark})' if remark else ''}"
            self._paragraph(page, shown, self.large)
            page.height += self.size * 0.5
        elif remark:  # the caption does not contain it
            self._paragraph(page, remark, self.small)
            page.height += self.size * 0.3
        for panel in self.heatmap.panels:
            self._paragraph(page, f"{panel.name}: {panel.remark}", self.small)
            page.height += self.size * 0.3
            block = self._block(panel, same_stretch(panel, self.heatmap.panels[0], rows))
            page.height += self.size * _SPAN_ROOM * bool(self.span_colours)
            self._cells(page, panel, block)
            self._marks(page, panel, block)
            page.height += block.lines * self.size * self.pitch + self.size * 0.8
        self._legend(page)
        return page

    def _block(self, panel: Panel, rows: range) -> TextBlock:
        pad = PAD * self.size
        return lay_out(panel, rows, width=self.width, pad=pad, visible=self._visible, measure=_measure(self.font))

    def _visible(self, text: str) -> str:
        return drawable(text, self.missing)

    def _cells(self, page: _Page, panel: Panel, block: TextBlock) -> None:
        box = self.size * _BOX_HEIGHT
        for row, line, left, right in _stretches(block):
            y = page.height + line * self.size * self.pitch
            value = float(panel.values[row])
            colour = self.heatmap.scale.colour(value)
            rectangle = (left, y, right - left, box)
            if colour is None:
                page.unscored.append(rectangle)
            else:
                page.scored.append((rectangle, colour))
                if self.heatmap.scale.underlined(value):
                    page.lines.append((self._underline(left, y, right - left), text_colour(colour)))
        shared = {
            (cell.line, round(cell.x + cell.width * k / n, 3))
            for cell in block.cells
            for n in [len(cell.rows)]
            for k in range(1, n)
        }
        for _, line, left, right in _stretches(block):
            y = page.height + line * self.size * self.pitch
            # A white line between tokens, but none through a shared character, which would be hard to read.
            page.gaps += [(x - _GAP / 2, y, _GAP, box) for x in (left, right) if (line, round(x, 3)) not in shared]
        for cell in block.cells:
            y = page.height + cell.line * self.size * self.pitch
            grounds = [self.heatmap.scale.colour(float(panel.values[row])) for row in cell.rows]
            ink = text_colour(*grounds)
            # Aligned by the baseline, so that the letters of a line are at one height.
            left = cell.x + (cell.width - _measure(self.font)(cell.text)) / 2
            page.texts.append((left, y + box * _BASELINE, cell.text, self.font, ink, "baseline"))
            for number, ground in enumerate(grounds):
                if not stands_out(ink, ground):
                    part = (cell.x + cell.width * number / len(grounds), y, cell.width / len(grounds), box)
                    page.edged.append((left, y + box * _BASELINE, cell.text, self.font, text_colour(ground), part))

    def _marks(self, page: _Page, panel: Panel, block: TextBlock) -> None:
        """Draw a line above the boxes of each span, with its name at the beginning."""
        if not panel.spans:
            return
        places: dict[int, tuple[float, float]] = {}  # line and left end of each name
        for row, line, left, right in _stretches(block):
            if name := panel.spans[row]:
                y = page.height + line * self.size * self.pitch
                page.rules.append(((left, y - 1.6, right - left, 1.0), self.span_colours[name]))
            if row in panel.labels:
                places.setdefault(row, (line, left))
        measure = _measure(self.label)

        def fits(room: float, words: str) -> bool:
            return measure(words) <= room

        for row, (line, left) in places.items():
            # Right-to-left text may begin its next span to the left of this one.
            ends = [other - 0.2 * self.size for on, other in places.values() if on == line and other > left]
            room = min([self.width, *ends]) - left
            shown = shortened(self._visible(panel.labels[row]), partial(fits, room))
            if fits(room, shown):
                y = page.height + line * self.size * self.pitch
                page.texts.append((left, y - 2.4, shown, self.label, "black", "baseline"))

    def _underline(self, x: float, y: float, width: float) -> _Box:
        inset = min(0.8, width / 4)
        return (x + inset, y + self.size * _BOX_HEIGHT * 0.87, width - 2 * inset, max(0.6, self.size * 0.09))

    def _legend(self, page: _Page) -> None:
        words, top = self.legend_words, page.height
        if words.ticks and not self.heatmap.buckets:
            self._bar(page)
        elif words.ticks:
            self._swatches(page)
        below, used = page.height, page.width
        beside = self.width - self._bar_width - 1.5 * self.size
        if words.ticks and not self.heatmap.buckets and beside > 22 * self.size:
            page.height, used = top, beside
        left = self.width - used
        for line in words.lines:
            self._paragraph(page, line, self.small, left=left)
        if words.unscored:
            swatch = 2.2 * self.size
            page.unscored.append((left, page.height + 0.1 * self.size, 1.6 * self.size, 0.9 * self.size))
            self._paragraph(page, words.unscored, self.small, left=left + swatch)
        page.height = max(page.height, below)
        for footnote in self.footnotes:
            self._paragraph(page, footnote, self.small)

    @property
    def _bar_width(self) -> float:
        needed = 1.6 * sum(map(_measure(self.small), self.legend_words.ticks))
        return min(self.width, max(self.width * 0.3, 14 * self.size, needed))

    def _bar(self, page: _Page) -> None:
        scale, width, height = self.heatmap.scale, self._bar_width, self.size * 0.9
        self._paragraph(page, self.legend_words.axis, self.small)
        for step, value in enumerate(scale.steps(_STRIPS)):
            colour = scale.colour(value)
            if colour is not None:
                strip = (width * step / _STRIPS, page.height, width / _STRIPS + 0.3 * (step < _STRIPS - 1), height)
                page.strips.append((strip, colour))
        if scale.colours.diverging:
            page.lines.append(((0, page.height + height * 0.8, width / 2, height * 0.2), "black"))
        page.height += height + self.size * 0.3
        measure, ticks = _measure(self.small), self.legend_words.ticks
        for place, tick in enumerate(ticks):
            share = place / (len(ticks) - 1)
            page.texts.append((share * (width - measure(tick)), page.height, tick, self.small, "black", "top"))
        page.height += self.size * 1.3

    def _swatches(self, page: _Page) -> None:
        measure, scale = _measure(self.small), self.heatmap.scale
        page.texts.append((0.0, page.height, self.legend_words.axis, self.small, "black", "top"))
        x = measure(self.legend_words.axis) + self.size
        for number, name in enumerate(self.legend_words.ticks):
            taken = 2.0 * self.size + measure(name)
            if x and x + taken > self.width:
                x, page.height = 0.0, page.height + self.size * 1.4
            colour = scale.colour(float(number))
            if colour is not None:
                box = (x, page.height + 0.1 * self.size, 1.6 * self.size, 0.9 * self.size)
                page.strips.append((box, colour))
            page.texts.append((x + 2.0 * self.size, page.height, name, self.small, "black", "top"))
            x += taken + self.size
        page.height += self.size * 1.5

    def _paragraph(self, page: _Page, text: str, font: FontProperties, *, left: float = 0.0) -> None:
        """Add a sentence in as many lines as necessary; a word that is wider than a line is shortened in the middle."""
        room, measure = self.width - left, _measure(font)
        for line in wrapped(self._visible(text), lambda shown: measure(shown) <= room):
            shown = shortened(line, lambda shown: measure(shown) <= room)
            page.texts.append((left, page.height, shown, font, "black", "top"))
            page.height += font.get_size_in_points() * 1.45


def _measure(font: FontProperties) -> Callable[[str], float]:
    return _measures(tuple(font.get_family()), font.get_size_in_points())


@cache
def _measures(families: tuple[str, ...], size: float) -> Callable[[str], float]:
    font = FontProperties(family=list(families), size=size)

    @cache
    def width(text: str) -> float:
        return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) if text else 0.0

    return width
