"""Items of a study: a table of sentences with conditions, as one text whose passages are cut into named units.

Three forms of a table are read: one text per row; a text in regions, with one column per region; one word per row. Every column
of the table is kept and appears in the results.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tokenviz.base.disk import samples_folder
from tokenviz.base.errors import TextError, did_you_mean, is_of, listed
from tokenviz.base.progress import warn
from tokenviz.data.rows import rows_of
from tokenviz.data.sources import Source, source_at
from tokenviz.data.spans import Span
from tokenviz.data.texts import Text, corpus

ITEM_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
_KNOWN = ".csv, .tsv or .jsonl, with .gz or .zst after it where it is compressed, or in .parquet"
_UNREAD = "unread"  # attribute of a table: the rows that could not be read, by number, with the reason
_SURROGATE = re.compile("[\ud800-\udfff]")
REGION = "region_"  # by default, columns with this prefix are regions


@dataclass(frozen=True)
class Unit:
    """A named piece of an item.

    Attributes:
        name: The region's name, or the number of the word, from 1.
        end: One past its last character; it begins where the unit before it ends.
        row: The row of the table that it comes from.
    """

    name: str
    end: int
    row: int


@dataclass(frozen=True, eq=False)
class Items:
    """A table of items.

    Attributes:
        text: One passage per item, in the table's order; a passage's id is the item's id, with its condition after a slash.
        table: The table with all columns, one row per row of the file.
        rows: For each passage, the rows of the table that it comes from: one, or one per word.
        units: For each passage, its regions or words; empty where the table has none.
        own_words: Whether the units are words of the table, one per row.
        item: The column of item ids.
        condition: The column of conditions; empty where there is none.
        sha256: SHA-256 of the passages, the units and every cell.
        skipped: One line for each row that was left out, with the reason.
    """

    text: Text
    table: pd.DataFrame
    rows: tuple[tuple[int, ...], ...]
    units: tuple[tuple[Unit, ...], ...]
    own_words: bool
    item: str
    condition: str
    sha256: str
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def spanned(self) -> Text:
        """Return the text with the units as its spans, called `region:NAME` or, for words of the table, `word:NUMBER`."""
        kind = "word" if self.own_words else "region"
        spans = []
        for units in self.units:
            starts = [0, *(unit.end for unit in units[:-1])]
            spans.append(
                [Span(f"{kind}:{unit.name}", start, unit.end) for unit, start in zip(units, starts, strict=True) if unit.name]
                if units
                else []
            )
        return self.text.with_spans(spans)

    def __repr__(self) -> str:
        regions = dict.fromkeys(unit.name for units in self.units for unit in units)
        cut = f", in {len(regions)} units ({listed(list(regions), 5)})" if regions else ""
        return f"Items({self.text.name!r}: {len(self)} items{cut})"


def read_items(
    path: str | Path,
    *,
    text: str | None = None,
    regions: Sequence[str] = (),
    words: str | None = None,
    item: str = "item",
    condition: str | None = None,
    join: str = " ",
    skip_bad: bool = False,
) -> Items:
    """Read a table of items.

    Args:
        path: A CSV, TSV, JSONL or Parquet file with a header, in UTF-8; or the name of a sample in experiments/items.
        text: The column that holds an item's text. Where neither text, regions nor words are named, the columns decide: "text",
            or "region_..." in their order, or "word".
        regions: The columns that hold an item's regions, in their order. Without `text` the item is the regions, joined; with
            `text` the regions are found in it from left to right. A region is named after its column, without "region_".
        words: The column that holds one word per row; the rows of an item must be consecutive, and are joined to its text.
        item: The column of item ids; by default "item".
        condition: The column of conditions; by default "condition" where there is one. An item occurs once in each condition.
        join: The string between regions or words; by default a space.
        skip_bad: Whether to leave bad rows out and list them; by default one bad row refuses the table.

    Returns:
        The items.

    Raises:
        TextError: The file cannot be read; a column is missing; an item is missing or given twice; a text, region or word is
            empty or no string; a region is not in its text.

    Example:
        >>> from pathlib import Path
        >>> rows = "item,condition,region_subject,region_verb\\n1,short,The cat,sat.\\n1,long,The cat of the house,sat.\\n"
        >>> Path("study.csv").write_text(rows)
        96
        >>> tv.read_items("study.csv")
        Items('study': 2 items, in 2 units (subject, verb))
    """
    if regions and words:
        raise TextError("regions and words were both named: a table has its units in columns or in rows, not both")
    if is_of(regions, str):
        raise TextError(f"the regions are one string: give a list of columns, [{regions!r}]")
    repeated = sorted({name for name in regions if list(regions).count(name) > 1})
    if repeated:
        raise TextError(f"the region {repeated[0]!r} is named twice")
    if words is not None and text is not None:
        raise TextError("a text and words were both named: with one word per row, the words are the text")
    strings = [name for name in (item, text, words, *regions) if name is not None]
    source, table = read_table(path, [*strings, condition or "condition", "text", "word"], skip_bad=skip_bad)
    if text is None and not regions and words is None:
        text, regions, words = _form_of(source, table)
        strings = [name for name in (item, text, words, *regions) if name is not None]
    condition = ("condition" if "condition" in table else "") if condition is None else condition
    needed = [*strings, *([condition] if condition else [])]
    check_columns(table, needed, str(source), {item: "--item names the one with the items"})
    reader = _Reader(source, table, item, condition, join)
    passages = reader.of_words(words) if words is not None else reader.of_rows(text, regions)
    kept, skipped = [], []
    for found in passages:
        if isinstance(found, str):
            if not skip_bad:
                raise TextError(f"{found}; --skip-bad leaves such rows out")
            skipped.append(found)
        else:
            kept.append(found)
    if not kept:
        raise TextError(f"{str(source)!r} has no item that can be scored")
    if skipped:
        warn(f"{len(skipped)} of {len(skipped) + len(kept)} items of {source.name} are left out: {'; '.join(skipped[:20])}")
    table, ids = without_bad_rows(table, source), [one.id for one in kept]
    made = corpus([one.passage for one in kept], name=source.stem, passage_ids=ids)
    content = {
        "passages": made.passages,
        "units": [[(unit.name, unit.end) for unit in one.units] for one in kept],
        "table": table.astype(str).to_csv(index=False),
    }
    digest = sha256(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
    return Items(
        text=made,
        table=table,
        rows=tuple(one.rows for one in kept),
        units=tuple(one.units for one in kept),
        own_words=words is not None,
        item=item,
        condition=condition,
        sha256=digest,
        skipped=tuple(skipped),
    )


def read_passages(path: str | Path, *, column: str = "text", skip_bad: bool = False) -> Items:
    """Read a table of texts that are not items of a study: each row is one text, named by its number.

    Args:
        path: A CSV, TSV, JSONL or Parquet file with a header, in UTF-8; or the name of a sample in experiments/items.
        column: The column that holds the texts; by default "text".
        skip_bad: Whether to leave bad rows out and list them; by default one bad row refuses the table.

    Returns:
        The texts with their table; `tidy_table(..., by="item", previous=0)` gives one row per text.

    Raises:
        TextError: The file cannot be read, it has no such column, or a text is empty or not a string.
    """
    source, table = read_table(path, [column], skip_bad=skip_bad)
    check_columns(table, [column], str(source), {column: "--column names the one with the text"})
    kept, skipped = [], []
    for row in range(len(table)):
        cell = cell_of(table, row, column, source)
        if isinstance(cell, str):
            kept.append((row, cell))
        elif skip_bad:
            skipped.append(cell.words)
        else:
            raise TextError(f"{cell.words}; --skip-bad leaves such rows out")
    if not kept:
        raise TextError(f"{str(source)!r} has no text that can be scored")
    if skipped:
        warn(f"{len(skipped)} of {len(table)} texts of {source.name} are left out: {'; '.join(skipped[:20])}")
    table, passages = without_bad_rows(table, source), [cell for _, cell in kept]
    digest = sha256(json.dumps([passages, table.astype(str).to_csv(index=False)], ensure_ascii=False).encode()).hexdigest()
    return Items(
        text=corpus(passages, name=source.stem),
        table=table,
        rows=tuple((row,) for row, _ in kept),
        units=((),) * len(kept),
        own_words=False,
        item="",
        condition="",
        sha256=digest,
        skipped=tuple(skipped),
    )


def _find(given: str) -> Source:
    source, samples = source_at(given), samples_folder("items")
    if source.files is not None or source.suffix or Path(source.path).exists() or not samples.is_dir():
        return source
    by_name = {file.stem: file for file in samples.iterdir() if file.suffix in ITEM_SUFFIXES}
    if given not in by_name:
        raise TextError(f"no items at {given!r}: give a file, or a sample: {', '.join(sorted(by_name))}")
    return source_at(by_name[given])


def _form_of(path: Source, table: pd.DataFrame) -> tuple[str | None, list[str], str | None]:
    """Return the columns that hold the text, the regions or the words, according to a table's columns."""
    regions = [str(name) for name in table if str(name).startswith(REGION)]
    if "text" in table:
        return "text", regions, None
    if regions:
        return None, regions, None
    if "word" in table:
        return None, [], "word"
    raise TextError(
        f"{str(path)!r} has no column 'text', none that begins with {REGION!r} and none 'word': name the columns of the text, "
        f"the regions or the words; it has {columns_of(table)}"
    )


@dataclass(frozen=True)
class _Item:
    id: str
    passage: str
    rows: tuple[int, ...]
    units: tuple[Unit, ...]


class _Reader:
    """Makes items from the rows of a table; a bad row yields the message about it."""

    def __init__(self, path: Source, table: pd.DataFrame, item: str, condition: str, join: str) -> None:
        self._path, self._table, self._item, self._condition, self._join = path, table, item, condition, join
        self._seen: dict[str, int] = {}

    def of_rows(self, text: str | None, regions: Sequence[str]) -> Iterator[_Item | str]:
        for row in range(len(self._table)):
            named = self._name(row)
            whole = self._cell(row, text) if text is not None else ""
            cells = {name.removeprefix(REGION): self._cell(row, name) for name in regions}
            bad = [one.words for one in (named, whole, *cells.values()) if isinstance(one, Bad)]
            pieces = [(name, str(cell)) for name, cell in cells.items()]
            yield bad[0] if bad else self._cut(row, str(named), str(whole), pieces, located=text is not None)

    def _cut(self, row: int, name: str, whole: str, pieces: list[tuple[str, str]], *, located: bool) -> _Item | str:
        if not located:
            whole = self._join.join(piece for _, piece in pieces)
        units, reached = [], 0
        for number, (region, piece) in enumerate(pieces):
            start = _find_piece(whole, piece, reached) if located else reached + (len(self._join) if number else 0)
            if start < 0:
                return (
                    f"{self._where(row)}: the region {region!r} ({piece[:40]!r}) is not in its text after the regions before it"
                )
            between = whole[reached:start]
            if located and between.strip():  # text outside all regions is a separate unit; whitespace belongs to what follows
                units.append(Unit("", reached + len(between.rstrip()), row))
            reached = start + len(piece)
            units.append(Unit(region, reached, row))
        rest = whole[reached:]
        if units and rest.strip():
            units.append(Unit("", len(whole), row))
        elif units:
            units[-1] = Unit(units[-1].name, len(whole), row)
        return _Item(name, whole, (row,), tuple(units))

    def of_words(self, words: str) -> Iterator[_Item | str]:
        groups: list[tuple[str, list[int]]] = []
        nameless: set[int] = set()
        for row in range(len(self._table)):
            named = self._label(row)
            if isinstance(named, Bad):
                nameless.add(row)
                yield named.words
            elif groups and groups[-1][0] == named:
                groups[-1][1].append(row)
            else:
                groups.append((named, [row]))
        for _, rows in groups:
            named = self._name(rows[0])
            near = sorted(nameless.intersection(range(rows[0] - 1, rows[-1] + 2)))
            if near and not isinstance(named, Bad):
                named = Bad(
                    f"{self._where(rows[0])}: the item {named!r} may have a word in row {near[0] + 1}, which has no item"
                )
            cells = [self._cell(row, words) for row in rows]
            bad = [one.words for one in (named, *cells) if isinstance(one, Bad)]
            ends = accumulate(len(str(cell)) + (len(self._join) if number else 0) for number, cell in enumerate(cells))
            units = tuple(Unit(str(number), end, row) for number, (end, row) in enumerate(zip(ends, rows, strict=True), 1))
            yield bad[0] if bad else _Item(str(named), self._join.join(map(str, cells)), tuple(rows), units)

    def _name(self, row: int) -> "str | Bad":
        label = self._label(row)
        if isinstance(label, Bad):
            return label
        if label in self._seen:
            what = f"the item {label!r}" if not self._condition else f"the item and condition {label!r}"
            return Bad(f"{self._where(row)}: {what} is there already, in row {self._seen[label] + 1}: each occurs once")
        self._seen[label] = row
        return label

    def _label(self, row: int) -> "str | Bad":
        cells = [self._cell(row, name, of_id=True) for name in (self._item, *([self._condition] if self._condition else []))]
        bad = [cell for cell in cells if isinstance(cell, Bad)]
        return bad[0] if bad else "/".join(map(str, cells))

    def _cell(self, row: int, column: str, *, of_id: bool = False) -> "str | Bad":
        return cell_of(self._table, row, column, self._path, of_id=of_id)

    def _where(self, row: int) -> str:
        return f"row {row + 1} of {str(self._path)!r}"


def _find_piece(whole: str, piece: str, reached: int) -> int:
    """Return the place of a region in its text, or -1: "he" is not found in "then" if it occurs as a word later."""
    start = whole.find(piece, reached)
    first = start
    while start >= 0:
        end = start + len(piece)
        opens_inside = start > 0 and whole[start - 1].isalnum() and piece[0].isalnum()
        ends_inside = end < len(whole) and whole[end].isalnum() and piece[-1].isalnum()
        if not opens_inside and not ends_inside:
            return start
        start = whole.find(piece, start + 1)
    return first  # a part of a word, or a script without spaces


@dataclass(frozen=True)
class Bad:
    """A message about a bad row."""

    words: str


def read_table(path: str | Path, strings: Sequence[str], *, skip_bad: bool = False) -> tuple[Source, pd.DataFrame]:
    """Read a table of items or pairs.

    Args:
        path: The file, or the name of a sample, as in `read_items`.
        strings: Columns whose cells stay strings: "NA" is a word that a text may have. In other columns of a CSV or TSV file
            numbers become numbers, and an empty cell is a missing value.
        skip_bad: Whether to keep rows that cannot be read, as rows without a value, which `bad_row` and `cell_of` report; by
            default the first one refuses the table.

    Raises:
        TextError: The file is missing, empty or not of the form that its suffix says.
    """
    source = _find(str(path))
    suffix = source.suffix
    if suffix not in ITEM_SUFFIXES or (suffix == ".parquet" and source.packing):
        raise TextError(f"cannot read {str(source)!r} as a table: a file ends in {_KNOWN}")
    bad: dict[int, str] = {}
    try:
        if suffix == ".parquet":
            with source.for_arrow() as file:
                table = pd.read_parquet(file)
        else:
            rows = [row for _, row in rows_of(source, strings[0], bad=bad)]
            unread = next(iter(bad.values()), "")
            if unread and not skip_bad:
                raise TextError(f"{unread}; --skip-bad leaves such rows out")
            if unread and len(bad) == len(rows):
                raise TextError(f"{str(source)!r} has no row that can be read: {unread}")
            table = _frame_of(rows, as_given=bool(bad) and suffix == ".jsonl")
    except OSError as error:
        if isinstance(error, TextError):
            raise
        raise TextError(f"cannot read {str(source)!r}: {error.strerror or error}") from error
    except ValueError as error:  # includes the errors of pyarrow
        if isinstance(error, TextError):
            raise
        raise TextError(f"cannot read {str(source)!r} as a table: {' '.join(str(error).split())[:200]}") from error
    if not len(table):
        raise TextError(f"{str(source)!r} is empty: it has no row")
    if suffix in (".csv", ".tsv"):
        for name in table:
            if name not in strings and not str(name).startswith(REGION):
                table[name] = _numbers(table[name])
    if bad:
        table.attrs[_UNREAD] = bad
    return source, table


def check_columns(table: pd.DataFrame, needed: Sequence[str], name: str, options: Mapping[str, str] | None = None) -> None:
    """Refuse a table that lacks a column.

    Args:
        table: The table.
        needed: The columns that it must have.
        name: The table's name or file, for the message.
        options: For columns with a default name: what names another.

    Raises:
        TextError: The table lacks one.
    """
    for one in needed:
        if one not in table:
            option = f"; {options[one]}" if options and one in options else ""
            there = f"{columns_of(table)}{option}{did_you_mean(one, map(str, table))}"
            raise TextError(f"{name!r} has no column {one!r}: it has {there}")


def check_own_columns(table: pd.DataFrame, taken: Collection[str], name: str) -> None:
    """Refuse a table with a column whose name the results need, which would take its place.

    Args:
        table: The table.
        taken: The names of the results.
        name: The table's name or file, for the message.

    Raises:
        TextError: The table has one.
    """
    if clash := [str(one) for one in table if str(one) in taken]:
        raise TextError(f"the column {clash[0]!r} of {name!r} has a name that the results need: call it something else")


def columns_of(table: pd.DataFrame) -> str:
    """Return the first columns of a table, for a message."""
    return listed([repr(str(one)) for one in table], 12)


def _frame_of(rows: list[dict[str, object]], *, as_given: bool) -> pd.DataFrame:
    """Return rows as a table; as given, so that a row without values makes no floats of a column of whole numbers."""
    try:
        return pd.DataFrame(rows, dtype=object if as_given else None)
    except UnicodeEncodeError:  # a column of strings cannot hold a lone surrogate; `bad_row` then reports its place
        return pd.DataFrame(rows, dtype=object)


def bad_row(table: pd.DataFrame, row: int, path: Source, *, checked: Sequence[str] = ()) -> Bad | None:
    """Return what is wrong with a row, whatever its columns mean: it could not be read, or a cell has a lone surrogate.

    Args:
        table: A table from `read_table`.
        row: The row's number, from 0.
        path: The table's file.
        checked: Columns whose cells the caller checks itself; by default none.

    Returns:
        The message; None where nothing is wrong.
    """
    unread: Mapping[int, str] = table.attrs.get(_UNREAD, {})
    if row in unread:
        return Bad(unread[row])
    if path.suffix != ".jsonl":  # no other format can hold a lone surrogate
        return None
    for name, kind in table.dtypes.items():
        if kind != "object" or name in checked:
            continue
        value = table[name].iat[row]
        found = _SURROGATE.search(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        if found:
            place = f" at character {found.start()}" if isinstance(value, str) else ""
            return Bad(f"row {row + 1} of {str(path)!r} has a lone surrogate{place} in column {name!r}: it is no Unicode text")
    return None


def without_bad_rows(table: pd.DataFrame, path: Source) -> pd.DataFrame:
    """Return the table with nothing in the rows that `bad_row` reports, so that what is left can be stored."""
    unread = table.attrs.get(_UNREAD, {})  # which have nothing already
    bad = [row for row in range(len(table)) if row not in unread and bad_row(table, row, path) is not None]
    if bad:
        table = table.astype(object)
        table.iloc[bad] = None
    table.attrs.clear()  # they would be written into Parquet files
    return table


def _numbers(column: pd.Series) -> pd.Series:
    """Return a column of strings as numbers if all are numbers, else unchanged; empty cells are missing values."""
    filled = column.replace("", None)
    try:
        return pd.to_numeric(filled)
    except (ValueError, TypeError):
        return filled


def cell_of(table: pd.DataFrame, row: int, column: str, path: Source, *, of_id: bool = False) -> "str | Bad":
    """Return a cell that must be a string with a character other than whitespace; an id may also be a whole number."""
    if (bad := bad_row(table, row, path)) is not None:
        return bad
    value: Any = table[column].iat[row]
    if of_id and isinstance(value, int | np.integer):  # in JSON and Parquet
        value = str(value)
    elif of_id and isinstance(value, float) and value.is_integer():  # whole numbers of which one is missing
        value = str(int(value))
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, str):
        what = "whitespace only" if value else "nothing"
    else:
        what = "nothing" if value is None or value is pd.NA or value != value else f"a {type(value).__name__}"
    return Bad(f"row {row + 1} of {str(path)!r} has {what} in column {column!r}")
