"""Reading rows of .jsonl, .csv and .parquet files one by one, and text as UTF-8 or with a reason why it is not."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from os import fstat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenviz.base.errors import TextError
from tokenviz.base.progress import note, task

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, object]

TABLE_SUFFIXES = (".jsonl", ".csv", ".parquet")
MUCH = 100_000_000  # bytes of a text or a table whose size is announced: reading it takes seconds, scoring it hours
_MANY_ROWS = 100_000

_BOM = "\ufeff"  # spreadsheet programs write it at the start of a table; it is not part of any text
_HEAD = 4096  # number of bytes that are used to detect a file's encoding
_STEP = 1 << 20  # bytes between two progress reports
_BATCH = 1 << 16  # rows of a Parquet file that are in memory at once
_MORE_CELLS = "more cells than the header has columns"  # the usual cause: a comma in a text that is not quoted
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def rows_of(
    path: Path, column: str, also: Sequence[str] = (), *, bad: dict[int, str] | None = None
) -> Iterator[tuple[str, Row]]:
    """Read the rows of a table.

    Args:
        path: A file with one of `TABLE_SUFFIXES`, or a `.tsv`.
        column: The column to read. In a CSV file that is not separated by commas it reveals the separator. From a Parquet file
            only it, `id` and the columns in `also` are read.
        also: Further columns of a Parquet file to read; by default none.
        bad: A dictionary to which rows that cannot be read are added, by their numbers from 0 with the reason: a line of JSONL
            that is not JSON, a row of CSV with more cells than the header has columns. Such rows come without a value. By
            default one refuses the file.

    Yields:
        The place of a row, for messages, and its values by column.

    Raises:
        TextError: The file does not have the form that its suffix says, or names a column twice.
        OSError: The file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(path, column, also)
    else:
        yield from _jsonl_rows(path, bad) if suffix == ".jsonl" else _csv_rows(path, column, bad)


def decoded(data: bytes, where: str) -> str:
    """Decode UTF-8.

    Raises:
        TextError: The bytes are not UTF-8; the message names the likely encoding, or the first wrong byte.
    """
    _refuse_wide(data[:_HEAD], where)
    if b"\0" in data:
        raise _binary(where)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"{where} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}; convert it first") from error


def say_much(what: str, size: int) -> None:
    """Announce the size of what is about to be read, if it is large."""
    if size > MUCH:
        note(f"reading {what}: {size / 1e6:,.0f} MB")


def _binary(where: str) -> TextError:
    return TextError(f"{where} has NUL bytes: it looks like a binary file, not a text")


def _refuse_wide(head: bytes, where: str) -> None:
    """Refuse UTF-16 and UTF-32, by their byte-order mark or, without one, by the zero bytes of Latin letters."""
    name = ""
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        name = "UTF-32"
    elif head.startswith((b"\xff\xfe", b"\xfe\xff")):
        name = "UTF-16"
    elif len(head) > 3:
        zeros = [head[place::2].count(0) / len(head[place::2]) for place in (0, 1)]
        # Nine of ten bytes zero at even places and next to none at odd ones, or the reverse: binary formats do not look like
        # this for long.
        name = "UTF-16" if max(zeros) > 0.9 and min(zeros) < 0.05 else ""
    if name:
        raise TextError(f"{where} is {name}, not UTF-8: convert it first, for instance with 'iconv -f {name} -t UTF-8'")


def _lines(path: Path, newline: str) -> Iterator[str]:
    """Yield the lines of a text file, as `open` splits them with that `newline`, without a byte-order mark."""
    with path.open("rb") as file:
        size, reported = fstat(file.fileno()).st_size, 0
        say_much(repr(str(path)), size)
        _refuse_wide(file.peek(_HEAD)[:_HEAD], str(path))
        text = io.TextIOWrapper(file, "utf-8", newline=newline)
        with task(f"reading {path.name}", size, "bytes") as advance:
            first = True
            try:
                for line in text:
                    if "\0" in line:
                        raise _binary(str(path))
                    yield line.removeprefix(_BOM) if first else line
                    first = False
                    if file.tell() - reported > _STEP:
                        advance(file.tell() - reported)
                        reported = file.tell()
                advance(size - reported)
            except UnicodeDecodeError:
                decoded(path.read_bytes(), str(path))  # raises an error with the place in the whole file
                raise


def _jsonl_rows(path: Path, bad: dict[int, str] | None) -> Iterator[tuple[str, Row]]:
    # Only "\n" ends a line: "\r" and U+2028 may occur in JSON.
    count = 0
    for number, line in enumerate(_lines(path, "\n"), start=1):
        where = f"line {number} of {str(path)!r}"
        if not line.strip():
            continue
        try:
            row = _json_row(line, where)
        except TextError as error:
            if bad is None:
                raise
            bad[count], row = str(error), {}
        count += 1
        yield where, row


def _json_row(line: str, where: str) -> Row:
    try:
        row = json.loads(line.rstrip("\n"), object_pairs_hook=partial(_object, where))
    except json.JSONDecodeError as error:
        raise TextError(f"{where} is not JSON: {error.msg} at column {error.colno}") from error
    except TextError:
        raise
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; deeply nested brackets
        raise TextError(f"{where} cannot be read: {error}") from error
    if not isinstance(row, dict):
        raise TextError(f"{where} is not a JSON object with a column for the text")
    return row


def _object(where: str, pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise TextError(f"{where} has two keys {_repeated(name for name, _ in pairs)!r}: which one is meant?")
    return row


def _repeated(names: Iterator[str] | list[str]) -> str:
    return next((name for name, count in Counter(names).items() if count > 1), "")


def _csv_rows(path: Path, column: str, bad: dict[int, str] | None) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(sys.maxsize)
    lines = _lines(path, "")
    first = next(lines, None)
    if first is None:
        return
    separator = _separator(first, column)
    if separator != ",":
        note(f"{str(path)!r} is separated by {_SEPARATORS[separator]}, by its first line")
    reader = csv.DictReader(_joined(first, lines), strict=True, delimiter=separator)
    number = 0
    try:
        if repeated := _repeated(list(reader.fieldnames or ())):
            raise TextError(f"{str(path)!r} has two columns {repeated!r}: which one is meant?")
        for number, row in enumerate(reader, start=1):
            where = f"row {number} of {str(path)!r}"
            if None not in row:
                yield where, dict(row)
            elif bad is None:
                raise TextError(f"{where} has {_MORE_CELLS}")
            else:
                bad[number - 1] = f"{where} has {_MORE_CELLS}"
                yield where, dict.fromkeys(reader.fieldnames or ())
    except csv.Error as error:
        raise TextError(f"{str(path)!r} is not CSV after row {number}: {error}") from error


def _joined(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _separator(header: str, column: str) -> str:
    """Return the separator: a comma, or another one if only that splits the header or finds the column."""
    columns: dict[str, list[str]] = {}
    for separator in _SEPARATORS:
        try:
            columns[separator] = next(csv.reader([header], delimiter=separator, strict=True), [])
        except csv.Error:  # a quoted heading that continues in the next line
            columns[separator] = []
    if column not in columns[","]:
        for separator, names in columns.items():
            if column in names:
                return separator
        if len(columns[","]) == 1:
            return max(columns, key=lambda separator: len(columns[separator]))
    return ","


def _parquet_rows(path: Path, column: str, also: Sequence[str]) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        texts = [name for name in (column, "id") if name in schema.names and _is_text(schema.field(name).type)]
        # As a dictionary, equal strings are one object: three million rows of a few sentences take some megabytes.
        file = pq.ParquetFile(path, read_dictionary=texts)
    except (pa.ArrowException, OSError, KeyError) as error:
        if repeated := _repeated_column(path, pa.ArrowException):
            raise TextError(f"{str(path)!r} has two columns {repeated!r}: which one is meant?") from error
        raise TextError(f"{str(path)!r} is not a Parquet file: {_first_line(error)}") from error
    with file:
        if repeated := _repeated(schema.names):
            raise TextError(f"{str(path)!r} has two columns {repeated!r}: which one is meant?")
        count = file.metadata.num_rows
        if {column, *also} - set(schema.names):
            yield from [(f"row 0 of {str(path)!r}", dict.fromkeys(schema.names))][:count]  # the caller then lists the columns
            return
        if count > _MANY_ROWS:
            note(f"reading {str(path)!r}: {count:,} rows")
        number = 0
        wanted = [name for name in dict.fromkeys((column, "id", *also)) if name in schema.names]
        with task(f"reading {path.name}", count, "rows") as advance:
            try:
                for batch in file.iter_batches(_BATCH, columns=wanted):
                    values = [_values(batch.column(name)) for name in wanted]
                    for row in zip(*values, strict=True):
                        yield f"row {number} of {str(path)!r}", dict(zip(wanted, row, strict=True))
                        number += 1
                    advance(len(batch))
            # Times beyond Python's range, bytes that are not UTF-8; damage of a page is detected only when it is read.
            except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
                if isinstance(error, TextError):
                    raise
                raise TextError(f"{str(path)!r} has a value that cannot be read: {_first_line(error)}") from error


def _repeated_column(path: Path, fault: type[Exception]) -> str:
    import pyarrow.parquet as pq

    try:
        return _repeated(pq.read_schema(path).names)
    except (fault, OSError):
        return ""


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _values(array: "pa.Array") -> list[object]:
    import pyarrow as pa

    if not isinstance(array, pa.DictionaryArray):
        return list(array.to_pylist())
    words: list[object] = array.dictionary.to_pylist()
    return [None if place is None else words[place] for place in array.indices.to_pylist()]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
