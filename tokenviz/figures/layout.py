"""Where each token of a text stands on the page: computed once, drawn by whoever asks.

All lengths are points (1/72 inch), y grows downwards from the top of the text block.
"""

from collections.abc import Callable
from dataclasses import dataclass

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


def lay_out(
    scores: TokenScores,
    rows: range,
    *,
    width: float,
    visible: Callable[[str], str],
    measure: Callable[[str], float],
) -> TextBlock:
    """Set tokens in lines like a text: a token that does not fit begins the next line, a newline ends one.

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
    return TextBlock(tuple(cells), line + (1 if x else 0))


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
