"""Where each token of a text stands on the page: computed once, drawn by whoever asks.

All lengths are points (1/72 inch), y grows downwards from the top of the text block.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from tokenviz.errors import ComparisonError
from tokenviz.scores import TokenScores

PAD = 1.0  # to the left and right of a token's text


@dataclass(frozen=True)
class Cell:
    """A piece of a token on one line: its row in the table, the place of its box, and what is drawn in it."""

    row: int
    x: float
    line: float
    width: float
    text: str


@dataclass(frozen=True)
class TextBlock:
    """Cells of consecutive tokens and the number of lines they take (passages are half a line apart)."""

    cells: tuple[Cell, ...]
    lines: float


def panels_of_one_text(scores: TokenScores | Sequence[TokenScores]) -> list[TokenScores]:
    """The tables that one heatmap shows, one panel each.

    Raises:
        ComparisonError: They are of different texts, or there is none.
    """
    tables = [scores] if isinstance(scores, TokenScores) else list(scores)
    if len({table.text_sha256 for table in tables}) != 1:
        raise ComparisonError("the panels of one heatmap show one text: give scores of the same text")
    return tables


def lay_out(
    scores: TokenScores,
    rows: range,
    *,
    width: float,
    visible: Callable[[str], str],
    measure: Callable[[str], float],
) -> TextBlock:
    """Set tokens in lines like a text: a token that does not fit begins the next line, a newline ends one. Words of a
    right-to-left script stand in their own reading order within a line that runs from left to right.

    Args:
        scores: The table.
        rows: Which tokens, consecutive.
        width: Of a line, in points.
        visible: A piece of text as it is drawn.
        measure: The width of a drawn string, in points.

    Returns:
        One cell for each piece of a token; a token is cut after a newline, and where it is wider than a line.
    """
    cells: list[Cell] = []
    x = line = 0.0
    for row in rows:
        if row > rows.start and scores.passage[row] != scores.passage[row - 1]:
            line += 1.5 if x else 0.5
            x = 0.0
        for piece in _pieces(scores.token[row]):
            for text in _fitting(visible(piece), width - 2 * PAD, measure):
                cell_width = measure(text) + 2 * PAD
                if x and x + cell_width > width:
                    x, line = 0.0, line + 1
                cells.append(Cell(row, x, line, cell_width, text))
                x += cell_width
            if piece.endswith("\n"):
                x, line = 0.0, line + 1
    return TextBlock(tuple(_in_reading_order(cells)), line + (1 if x else 0))


def _in_reading_order(cells: list[Cell]) -> list[Cell]:
    """The same cells, those of each right-to-left run mirrored in the place that the run takes."""
    placed = list(cells)
    for _, group in groupby(range(len(cells)), key=lambda i: cells[i].line):
        indices = list(group)
        rightward = [_direction(cells[i].text) for i in indices]
        begin = 0
        while begin < len(indices):
            if rightward[begin] is not False:
                begin += 1
                continue
            # The run goes on over digits and signs, and ends with its last right-to-left cell.
            end = begin + 1
            for k in range(begin + 1, len(indices)):
                if rightward[k] is True:
                    break
                if rightward[k] is False:
                    end = k + 1
            run = indices[begin:end]
            left, right = cells[run[0]].x, cells[run[-1]].x + cells[run[-1]].width
            for i in run:
                placed[i] = replace(cells[i], x=left + right - cells[i].x - cells[i].width)
            begin = end
    return placed


def _direction(text: str) -> bool | None:
    """True where the first letter is of a left-to-right script, False of a right-to-left one, None without letters."""
    for sign in text:
        kind = unicodedata.bidirectional(sign)
        if kind in ("L", "R", "AL"):
            return kind == "L"
    return None


def _pieces(token: str) -> list[str]:
    """A token cut after each newline; a token without characters (the rest of a shared one) is one empty piece."""
    parts = token.split("\n")
    pieces = [part + "\n" for part in parts[:-1]]
    return [*pieces, parts[-1]] if parts[-1] or not pieces else pieces


def _fitting(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Text cut into pieces that fit into a line, at least one character each."""
    if len(text) < 2 or measure(text) <= width:
        return [text]
    pieces = [""]
    for sign in text:
        if pieces[-1] and measure(pieces[-1] + sign) > width:
            pieces.append("")
        pieces[-1] += sign
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
