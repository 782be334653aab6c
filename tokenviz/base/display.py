"""Tables and results for a reader: as CSV, fitted to a terminal, in a notebook."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenviz.base.characters import visible
from tokenviz.base.errors import DiskError

if TYPE_CHECKING:
    import pandas as pd


# Writing tables as CSV and Parquet, and formatting their cells for readers, the same everywhere.


def write_csv(frame: "pd.DataFrame", target: Path | TextIO, *, header: bool = True) -> None:
    """Write a table as CSV: strings are quoted, so that they may contain a carriage return; missing values are empty.

    Args:
        frame: The table; its index is left out.
        target: A path or an open text file.
        header: Whether the first line names the columns; by default it does.

    Raises:
        DiskError: The file cannot be written.
    """
    try:
        frame.to_csv(target, index=False, header=header, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    except OSError as error:
        if isinstance(error, BrokenPipeError | DiskError):  # standard output raises DiskError by itself
            raise
        raise DiskError(f"cannot write the table {target}: {error.strerror or error}") from error


def write_parquet(frame: "pd.DataFrame", path: Path) -> None:
    """Write a table to a Parquet file, which appears when it is complete.

    Args:
        frame: The table; its index is left out.
        path: The file.

    Raises:
        DiskError: The file cannot be written.
    """
    unfinished = path.with_name(path.name + ".part")
    try:
        frame.to_parquet(unfinished, index=False)
        unfinished.replace(path)
    except OSError as error:
        raise DiskError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def cell(value: object) -> str:
    """Return one value of a table for a reader: numbers to four digits, a dash for a missing value."""
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}".replace("-", "−")
    if value is None or str(value) == "<NA>":  # pandas' missing whole number
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, which gets an s in the plural."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


# Tables that fit the terminal: long names become numbered keys, columns are left out by rank, and a line says so.
#
# rich shortens cells until a table fits; a cell such as `smoll…` names nothing. Here whole columns are left out instead.

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
    def widest(self) -> int:
        """The width at which neither the heading nor a cell is broken."""
        lines = [line for text in (self.heading, *self.cells) for line in visible(text).split("\n")]
        return max(map(cell_len, lines), default=0)

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
    table = Table()
    for column, width in zip(kept, _widths(kept, console.width), strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(Text(visible(column.heading)), justify=justify, overflow="fold", width=width)
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


def _widths(columns: Sequence[Column], room: int) -> list[int | None]:
    """Return the width of each column, so that as many as possible have no broken line; None where they do not fit at all.

    Rich's own widths are no help here: where it makes columns narrower, it cuts a table at the edge of the terminal.
    """
    spare = room - _width(columns)
    if spare < 0:
        return [None] * len(columns)
    widths: list[int | None] = [column.width for column in columns]
    lacking = {place: column.widest - column.width for place, column in enumerate(columns)}
    for place in sorted(lacking, key=lambda one: lacking[one]):
        given = min(spare, lacking[place])
        widths[place], spare = columns[place].width + given, spare - given
    return widths


def _width(columns: Sequence[Column]) -> int:
    return 1 + sum(column.width + _AROUND for column in columns)


# Results in a notebook: fragments of HTML without script or style sheet, of limited length.
#
# Whatever comes from a text, a tokenizer or a name is escaped here, and nowhere else: `table`, `passage` and `heading` take
# plain text.

MISSING = "–"
ROWS_SHOWN = 20  # rows of a table
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Verbatim:
    """A slice of a text in a table: quoted, so that a space or a line end at its edge is visible."""

    text: str


Cell = str | Verbatim


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters unchanged, else its beginning and how much is left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def quoted(text: str, most: int) -> str:
    """Return a text as `cut` does, but in quotes and with an escape for each invisible character."""
    left_out = len(text) - most
    return f"{text[:most]!r}" + (f"… ({left_out:,} more characters)" if left_out > 0 else "")


def number(value: float, form: str = ".3f") -> str:
    """Return a number for a reader, with a minus sign, or a dash for NaN."""
    return MISSING if math.isnan(value) else format(float(value), form).replace("-", "−")


def heading(*names: str) -> str:
    """Return a heading of strings, of which every second one is a name from outside and set in bold."""
    words = [f"<b>{_inline(cut(name, _LONGEST_NAME))}</b>" if i % 2 else _inline(name) for i, name in enumerate(names)]
    return f"<div>{''.join(words)}</div>"


def line(words: str) -> str:
    """Return a line for a sentence or a list of facts, or nothing for an empty string."""
    return f"<div>{_inline(words)}</div>" if words else ""


def passage(text: str, most: int) -> str:
    """Return the beginning of a text, with its spaces and line ends."""
    return f'<div dir="auto" style="white-space:pre-wrap;text-align:left">{escape(visible(cut(text, most)))}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, left: Sequence[str] = ()) -> str:
    """Return a table.

    Args:
        columns: The headings.
        rows: The cells of each row.
        left: The columns that are aligned to the left; by default all are aligned to the right, as numbers are.
    """
    styles = [f"text-align:{'left' if column in left else 'right'};padding:0 .5em" for column in columns]
    head = "".join(f'<th style="{style}">{escape(name)}</th>' for name, style in zip(columns, styles, strict=True))
    body = "".join("<tr>" + "".join(map(_cell, row, styles)) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def fragment(*parts: str) -> str:
    """Join the parts into one fragment."""
    return f"<div>{''.join(parts)}</div>"


def _cell(value: Cell, style: str) -> str:
    if isinstance(value, str):
        words = _inline(cut(value, _LONGEST_NAME))
    else:
        words = f'<code style="white-space:pre">{escape(quoted(value.text, _LONGEST_NAME))}</code>'
    return f'<td style="{style}">{words}</td>'


def _inline(words: str) -> str:
    return escape(visible(words))
