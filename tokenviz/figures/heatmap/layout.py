"""The layout of a text on the page, computed once for all formats.

All lengths are points (1/72 inch); y grows downwards from the top of the text block.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from tokenviz.base.characters import clusters
from tokenviz.figures.heatmap.panels import Break, Panel, Piece
from tokenviz.figures.typeset.lines import base_level, joined, levels, parted, turned, visual_order

PAD = 0.04  # to the left and right of a token's text, in font sizes; with more, PDF readers take cuts for spaces


@dataclass(frozen=True)
class Cell:
    """A piece of text on one line, with its box.

    Attributes:
        rows: Its rows in the panel, from left to right: one row; or several that share a character and divide its box into
            equal parts.
        x: Left end of the box.
        line: Number of the line.
        width: Width of the box.
        text: The text in the box.
    """

    rows: tuple[int, ...]
    x: float
    line: float
    width: float
    text: str

    @property
    def right(self) -> float:
        """Right end of the box."""
        return self.x + self.width


@dataclass(frozen=True)
class TextBlock:
    """Cells of consecutive tokens in reading order, and the number of their lines (passages are half a line apart)."""

    cells: tuple[Cell, ...]
    lines: float


@dataclass(frozen=True)
class Paragraph:
    """The pieces of text between two line ends, as they are drawn, with their rows.

    Attributes:
        rows: The rows in the panel of each piece; several where they share a character.
        texts: The pieces; Arabic letters that join across two pieces have joiners at the cut.
        breaks: Whether a line may end before each piece.
        ends_passage: Whether another passage follows.
    """

    rows: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    breaks: tuple[Break, ...]
    ends_passage: bool

    def words(self) -> Iterator[range]:
        """Yield the pieces between two places where a line may end."""
        begins = [place for place, kind in enumerate(self.breaks) if kind == "word" or not place]
        return map(range, begins, [*begins[1:], len(self.breaks)])


def paragraphs(panel: Panel, rows: range, visible: Callable[[str], str]) -> Iterator[Paragraph]:
    """Cut a panel's pieces after newlines and between passages.

    Args:
        panel: The panel.
        rows: Consecutive rows of the panel.
        visible: Returns a piece of text as it is drawn.
    """
    found: list[Piece] = []
    own = [piece for piece in panel.pieces if piece.rows[0] in rows]
    for number, piece in enumerate(own, start=1):
        found.append(piece)
        following = own[number].rows[0] if number < len(own) else rows.stop
        ends_passage = following < len(panel) and panel.passage[piece.rows[0]] != panel.passage[following]
        if piece.text.endswith("\n") or ends_passage:
            yield _paragraph(found, visible, bool(ends_passage))
            found = []
    if found:
        yield _paragraph(found, visible, False)


def _paragraph(found: list[Piece], visible: Callable[[str], str], ends_passage: bool) -> Paragraph:
    parts = parted(joined([visible(piece.text) for piece in found]))
    places = [place for place, _ in parts]
    breaks = tuple(
        found[place].before if not k or places[k - 1] != place else "none"  # spaces that are separated from their word
        for k, place in enumerate(places)
    )
    return Paragraph(tuple(found[place].rows for place in places), tuple(text for _, text in parts), breaks, ends_passage)


def lay_out(
    panel: Panel, rows: range, *, width: float, pad: float, visible: Callable[[str], str], measure: Callable[[str], float]
) -> TextBlock:
    """Set pieces in lines like a text: a word that does not fit begins the next line, and a newline ends a line.

    A word that is longer than a line is broken between its tokens, and a longer token between its characters. A paragraph whose
    first letter is of a right-to-left script begins at the right edge.

    Args:
        panel: The panel.
        rows: Consecutive rows of the panel.
        width: Width of a line, in points.
        pad: Space to the left and right of a piece in its box, in points.
        visible: Returns a piece of text as it is drawn.
        measure: Returns the width of a drawn string, in points.

    Returns:
        One cell for each token on each of its lines; a character that several tokens share has its own cell.
    """
    cells: list[Cell] = []
    line = 0.0
    for paragraph in paragraphs(panel, rows, visible):
        setter = _Setter(width, pad, measure, line, whole=not any(levels(paragraph.texts)))
        for word in paragraph.words():
            setter.set([_Part(paragraph.rows[k], paragraph.texts[k], paragraph.breaks[k] == "none") for k in word])
        cells += _placed(setter.cells, width, pad, measure)
        line = setter.line + (1.5 if paragraph.ends_passage else 1)
    return TextBlock(tuple(cells), line)


@dataclass(frozen=True)
class _Part:
    """A piece of a word, and whether it should stay with the one before it."""

    rows: tuple[int, ...]
    text: str
    stays: bool = False


@dataclass
class _Setter:
    """Sets the words of one paragraph from left to right."""

    width: float
    pad: float
    measure: Callable[[str], float]
    line: float
    whole: bool  # whether the pieces of a token are one cell; not while their order on the line is unknown
    x: float = 0.0
    cells: list[Cell] = field(default_factory=list)

    def set(self, word: list[_Part]) -> None:
        if self.x and self._reached(word) > self.width:
            self._end_line()
        if self._reached(word) <= self.width:
            self._add(word)
            return
        for parts in _kept_together(word):
            if self.x and self._reached(parts) > self.width:
                self._end_line()
            if self._reached(parts) <= self.width:
                self._add(parts)
                continue
            for part in parts:
                for text in _fitting(part.text, self.width - 2 * self.pad, self.measure):
                    fitting = [_Part(part.rows, text)]
                    if self.x and self._reached(fitting) > self.width:
                        self._end_line()
                    self._add(fitting)

    def _end_line(self) -> None:
        self.x, self.line = 0.0, self.line + 1

    def _reached(self, parts: list[_Part]) -> float:
        """Return the right end of the line with some parts added."""
        return self._with(parts)[-1].right

    def _add(self, parts: list[_Part]) -> None:
        cells = self._with(parts)
        self.cells[len(self.cells) - bool(self._last()) :] = cells
        self.x = cells[-1].right

    def _with(self, parts: list[_Part]) -> list[Cell]:
        """Return the last cell of the line, if there is one, and the cells of some parts after it."""
        last = self._last()
        cells = [last] if last else []
        x = self.x
        for part in parts:
            text, begin = part.text, x
            if self.whole and cells and cells[-1].rows == part.rows:
                before = cells.pop()
                text, begin = before.text + text, before.x
            cells.append(Cell(part.rows, begin, self.line, _width(text, self.pad, self.measure), text))
            x = cells[-1].right
        return cells

    def _last(self) -> Cell | None:
        return self.cells[-1] if self.x and self.cells else None


def _kept_together(word: list[_Part]) -> list[list[_Part]]:
    """Return the parts of a word that is longer than a line, grouped where a line should end if possible."""
    found: list[list[_Part]] = []
    for part in word:
        if found and part.stays:
            found[-1].append(part)
        else:
            found.append([part])
    return found


def _width(text: str, pad: float, measure: Callable[[str], float]) -> float:
    """Return the width of a box; one without characters is still visible."""
    return measure(text) + 2 * pad if text else 8 * pad


def _placed(cells: list[Cell], width: float, pad: float, measure: Callable[[str], float]) -> list[Cell]:
    """Return the cells of a paragraph at their places on the line, by their directions."""
    texts = [cell.text for cell in cells]
    found = levels(texts)
    if not any(found):
        return cells
    placed: list[Cell] = []
    for _, group in groupby(range(len(cells)), key=lambda i: cells[i].line):
        own = list(group)
        trailing = next((k for k in range(len(own), 0, -1) if texts[own[k - 1]].strip(" \t↵")), 0)
        line = [found[i] if k < trailing else base_level(texts) for k, i in enumerate(own)]  # rule L1
        shown = {i: turned(texts[i], level) for i, level in zip(own, line, strict=True)}
        widths = {i: _width(shown[i], pad, measure) for i in own}
        x = width - sum(widths.values()) if base_level(texts) else 0.0
        place: dict[int, float] = {}
        for k in visual_order(line):
            place[own[k]] = x
            x += widths[own[k]]
        placed += [
            Cell(cells[i].rows[:: -1 if level % 2 else 1], place[i], cells[i].line, widths[i], shown[i])
            for i, level in zip(own, line, strict=True)
        ]
    return placed


def _fitting(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Cut a text into pieces that fit into a line, with at least one cluster each."""
    if len(text) < 2 or measure(text) <= width:
        return [text]
    pieces = [""]
    for cluster in clusters(text):
        if pieces[-1] and measure(pieces[-1] + cluster) > width:
            pieces.append("")
        pieces[-1] += cluster
    return pieces


def paginate(block: TextBlock, lines_a_page: int) -> list[range]:
    """Cut a block's tokens into pages of at most `lines_a_page` lines; no token or character is cut between pages."""
    pages: list[range] = []
    first_row, first_line = (min(block.cells[0].rows) if block.cells else 0), 0.0
    last_row = first_row
    for cell in block.cells:
        row = min(cell.rows)
        if cell.line - first_line >= lines_a_page and row > first_row and row > last_row:
            pages.append(range(first_row, row))
            first_row, first_line = row, cell.line
        last_row = max(cell.rows)
    return [*pages, range(first_row, last_row + 1)]


def same_stretch(panel: Panel, first: Panel, rows: range) -> range:
    """Return the rows of a panel that begin within the characters of another panel's rows."""
    if panel is first:
        return rows
    begin = (first.passage[rows.start], first.start[rows.start])
    end = (first.passage[rows.stop], first.start[rows.stop]) if rows.stop < len(first) else None
    where: Sequence[tuple[int, int]] = list(zip(panel.passage, panel.start, strict=True))
    start = next((i for i, place in enumerate(where) if place >= begin), len(where))
    stop = next((i for i, place in enumerate(where) if end and place >= end), len(where))
    return range(start, stop)
