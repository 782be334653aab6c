"""Tables that fit the terminal: long names become numbered keys, columns are left out by rank, and a line says so.

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

_FOLDED = 20  # characters per line of a cell that may take several lines
_AROUND = 3  # width of a column's border and the spaces around its cells


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: Its heading; it may take several lines.
        cells: One string per row.
        rank: Columns with a higher rank are left out first; `KEPT` is never left out.
        right: Whether it is aligned to the right, as numbers are.
        folds: Whether long cells may take several lines.
    """

    heading: str
    cells: Sequence[str]
    rank: int = KEPT
    right: bool = False
    folds: bool = False

    @property
    def width(self) -> int:
        """The narrowest width, in characters, that breaks no cell, and the heading only between words."""
        words = self.heading.split() or [""]
        lines = [line for text in self.cells for line in visible(text).split("\n")]
        widest = max(map(cell_len, (*words, *lines)))
        return min(widest, max(_FOLDED, *map(cell_len, words))) if self.folds else widest


def print_fitted(console: Console, columns: Sequence[Column], *, title: str = "", keys: Iterable[str] = ()) -> None:
    """Print a table as wide as the terminal allows, with its keys above and what was left out below.

    Args:
        console: The console to print on.
        columns: The columns from left to right, all of one length.
        title: The title above the table; by default none.
        keys: Lines between title and table, such as "1: a long name"; by default none.
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
    """Print a table that names models: by their short names where it fits, else by numbers; a key above explains them.

    Args:
        console: The console to print on.
        names: The description of each model, by its short name; empty where the name says everything.
        build: Makes the columns from the label to print for each short name.
        title: The title above the table; by default none.
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
