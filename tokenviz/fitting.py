"""Tables that fit the terminal: long names as numbered keys above, columns left out by rank, and said so.

rich shortens cells until a table fits; a cell such as `smoll…` names nothing. Here whole columns are left out instead.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenviz.controls import visible

KEPT = 0
"""The rank of a column that is never left out."""

_FOLDED = 20  # characters of a cell that may take several lines
_AROUND = 3  # a column's border and the spaces around its cells


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: Its heading; it may take several lines.
        cells: One for each row.
        rank: The greater, the sooner it is left out; `KEPT` for never.
        right: Whether it is set to the right, as numbers are.
        folds: Whether long cells may take several lines.
    """

    heading: str
    cells: Sequence[str]
    rank: int = KEPT
    right: bool = False
    folds: bool = False

    @property
    def width(self) -> int:
        """The narrowest that breaks no cell, and the heading between words only."""
        words = self.heading.split() or [""]
        lines = [line for text in self.cells for line in visible(text).split("\n")]
        widest = max(map(cell_len, (*words, *lines)))
        return min(widest, max(_FOLDED, *map(cell_len, words))) if self.folds else widest


def print_fitted(console: Console, columns: Sequence[Column], *, title: str = "", keys: Iterable[str] = ()) -> None:
    """Print a table as wide as the terminal allows, with its keys above and what was left out below.

    Args:
        console: Where to.
        columns: From the left, all of one length.
        title: Above the table.
        keys: Lines between title and table, such as "1: a long name".
    """
    kept, left_out = list(columns), []
    while _width(kept) > console.width and any(column.rank != KEPT for column in kept):
        last = max(range(len(kept)), key=lambda place: (kept[place].rank, place))
        left_out.append(kept.pop(last))
    if title:
        console.print(Text(visible(title), style="italic"))
    for key in keys:
        console.print(Text(visible(key)), soft_wrap=False)
    fits = _width(kept) <= console.width
    table = Table()
    for column in kept:
        table.add_column(
            Text(visible(column.heading)), justify="right" if column.right else "left", overflow="fold",
            min_width=column.width if fits and not column.folds else None,
        )  # fmt: skip
    for row in zip(*(column.cells for column in kept), strict=True):
        table.add_row(*(Text(visible(cell)) for cell in row))
    console.print(table, soft_wrap=False)
    if left_out:
        names = ", ".join(column.heading for column in columns if column in left_out)
        note = f"Left out at {console.width} columns: {visible(names)}. A wider terminal shows them."
        console.print(Text(note), soft_wrap=False)


def print_named(
    console: Console, names: Mapping[str, str], build: Callable[[Mapping[str, str]], Sequence[Column]], *, title: str = ""
) -> None:
    """Print a table that names models: by their short names where it fits, else by numbers; what they are stands above.

    Args:
        console: Where to.
        names: What each model is, by its short name; empty where its name says it all.
        build: Makes the columns, given what to write for each short name.
        title: Above the table.
    """
    columns = build({name: name for name in names})
    if _width(columns) <= console.width:
        keys = [f"{name}: {words}" for name, words in names.items() if words and words != name]
    else:
        numbers = {name: str(number) for number, name in enumerate(names, start=1)}
        columns = build(numbers)
        keys = [f"{numbers[name]}: {name}{f' ({words})' if words and words != name else ''}" for name, words in names.items()]
    print_fitted(console, columns, title=title, keys=keys)


def _width(columns: Sequence[Column]) -> int:
    return 1 + sum(column.width + _AROUND for column in columns)
