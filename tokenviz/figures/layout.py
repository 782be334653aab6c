"""Where each piece of a text stands on the page: computed once, drawn by whoever asks.

All lengths are points (1/72 inch), y grows downwards from the top of the text block.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tokenviz.figures.bidi import base_level, joined, levels, parted, turned, visual_order
from tokenviz.figures.panels import Panel

PAD = 0.04  # to the left and right of a token's text, in font sizes: with more, readers of a PDF take cuts for spaces


@dataclass(frozen=True)
class Cell:
    """A piece of a token on one line: its row in the panel, the place of its box, and what is drawn in it."""

    row: int
    x: float
    line: float
    width: float
    text: str


@dataclass(frozen=True)
class TextBlock:
    """Cells of consecutive tokens in reading order, and the number of lines they take (passages are half a line apart)."""

    cells: tuple[Cell, ...]
    lines: float


@dataclass(frozen=True)
class Paragraph:
    """What stands between two line ends: the pieces of text, as they are drawn, and where they come from.

    Attributes:
        rows: The row in the panel of each piece.
        texts: The pieces; Arabic letters that join across two have joiners at the cut.
        ends_passage: Whether another passage follows.
    """

    rows: tuple[int, ...]
    texts: tuple[str, ...]
    ends_passage: bool


def paragraphs(panel: Panel, rows: range, visible: Callable[[str], str]) -> Iterator[Paragraph]:
    """A panel's pieces, cut after newlines and between passages.

    Args:
        panel: The panel.
        rows: Which of its rows, consecutive.
        visible: A piece of text as it is drawn.
    """
    found: list[tuple[int, str]] = []
    for row in rows:
        last_of_passage = row + 1 < len(panel) and panel.passage[row] != panel.passage[row + 1]
        parts = _cut_after_newlines(panel.text[row])
        for number, part in enumerate(parts, start=1):
            found.append((row, visible(part)))
            ends_passage = last_of_passage and number == len(parts)
            if part.endswith("\n") or ends_passage:
                yield _paragraph(found, ends_passage)
                found = []
    if found:
        yield _paragraph(found, False)


def _paragraph(found: list[tuple[int, str]], ends_passage: bool) -> Paragraph:
    parts = parted(joined([text for _, text in found]))
    return Paragraph(tuple(found[place][0] for place, _ in parts), tuple(text for _, text in parts), ends_passage)


def lay_out(
    panel: Panel, rows: range, *, width: float, pad: float, visible: Callable[[str], str], measure: Callable[[str], float]
) -> TextBlock:
    """Set pieces in lines like a text: one that does not fit begins the next line, a newline ends one. A paragraph whose first
    letter is of a right-to-left script runs from the right edge.

    Args:
        panel: The panel.
        rows: Which of its rows, consecutive.
        width: Of a line, in points.
        pad: To the left and right of a piece in its box, in points.
        visible: A piece of text as it is drawn.
        measure: The width of a drawn string, in points.

    Returns:
        One cell for each piece; a piece is cut further where it is wider than a line.
    """
    cells: list[Cell] = []
    line = 0.0
    for paragraph in paragraphs(panel, rows, visible):
        x = 0.0
        own: list[Cell] = []
        for row, text in zip(paragraph.rows, paragraph.texts, strict=True):
            for part in _fitting(text, width - 2 * pad, measure):
                cell_width = _width(part, pad, measure)
                if x and x + cell_width > width:
                    x, line = 0.0, line + 1
                own.append(Cell(row, x, line, cell_width, part))
                x += cell_width
        cells += _placed(own, width, pad, measure)
        line += 1.5 if paragraph.ends_passage else 1
    return TextBlock(tuple(cells), line)


def _width(text: str, pad: float, measure: Callable[[str], float]) -> float:
    """Of a box; one without characters is still to be seen."""
    return measure(text) + 2 * pad if text else 8 * pad


def _placed(cells: list[Cell], width: float, pad: float, measure: Callable[[str], float]) -> list[Cell]:
    """The cells of a paragraph at the places that their directions give them on their lines."""
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
        placed += [Cell(cells[i].row, place[i], cells[i].line, widths[i], shown[i]) for i in own]
    return placed


def _cut_after_newlines(token: str) -> list[str]:
    """A token cut after each newline; a token without characters (the rest of a shared one) is one empty piece."""
    parts = token.split("\n")
    pieces = [part + "\n" for part in parts[:-1]]
    return [*pieces, parts[-1]] if parts[-1] or not pieces else pieces


def clusters(text: str) -> list[str]:
    """Text cut where it may be: not before a mark or a joiner, and not after a joiner."""
    found: list[str] = []
    for sign in text:
        mark = unicodedata.category(sign) in ("Mn", "Mc", "Me", "Cf") or 0x1F3FB <= ord(sign) <= 0x1F3FF
        if found and (mark or found[-1].endswith("\u200d")):
            found[-1] += sign
        else:
            found.append(sign)
    return found


def _fitting(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Text cut into pieces that fit into a line, at least one cluster each."""
    if len(text) < 2 or measure(text) <= width:
        return [text]
    pieces = [""]
    for cluster in clusters(text):
        if pieces[-1] and measure(pieces[-1] + cluster) > width:
            pieces.append("")
        pieces[-1] += cluster
    return pieces


def paginate(block: TextBlock, lines_a_page: int) -> list[range]:
    """Cut a block's tokens into pages of at most so many lines; a token is not cut between pages."""
    pages: list[range] = []
    first_row, first_line = (block.cells[0].row if block.cells else 0), 0.0
    last_row = first_row
    for cell in block.cells:
        if cell.line - first_line >= lines_a_page and cell.row > first_row and cell.row != last_row:
            pages.append(range(first_row, cell.row))
            first_row, first_line = cell.row, cell.line
        last_row = cell.row
    return [*pages, range(first_row, last_row + 1)]


def wrapped(text: str, fits: Callable[[str], bool]) -> list[str]:
    """A sentence in lines that fit, broken between words; a word that does not fit stands alone."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and fits(longer):
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def same_stretch(panel: Panel, first: Panel, rows: range) -> range:
    """The rows of a panel that begin in the stretch of text in which another panel's rows lie."""
    if panel is first:
        return rows
    begin = (first.passage[rows.start], first.start[rows.start])
    end = (first.passage[rows.stop], first.start[rows.stop]) if rows.stop < len(first) else None
    where: Sequence[tuple[int, int]] = list(zip(panel.passage, panel.start, strict=True))
    start = next((i for i, place in enumerate(where) if place >= begin), len(where))
    stop = next((i for i, place in enumerate(where) if end and place >= end), len(where))
    return range(start, stop)
