"""Reading rows of .jsonl, .csv and .parquet files one by one, and text as UTF-8 or with a reason why it is not."""

import codecs
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tokenviz.base.errors import TextError
from tokenviz.base.progress import note, task
from tokenviz.data.sources import Source, Stream, packed_as

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Row = dict[str, object]

MUCH = 100_000_000  # bytes of a text or a table whose size is announced: reading it takes seconds, scoring it hours
_MANY_ROWS = 100_000

_BOM = "\ufeff"  # spreadsheet programs write it at the start of a table; it is not part of any text
_HEAD = 4096  # number of bytes that are used to detect a file's encoding
_STEP = 1 << 20  # bytes between two progress reports
_BATCH, _BATCH_BYTES = 1 << 14, 1 << 23  # most rows of a Parquet file that are in memory at once, and their bytes, about
_MORE_CELLS = "more cells than the header has columns"  # the usual cause: a comma in a text that is not quoted
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def rows_of(
    source: Source, column: str, also: Sequence[str] = (), *, bad: dict[int, str] | None = None
) -> Iterator[tuple[str, Row]]:
    """Read the rows of a table.

    Args:
        source: A file with one of `TABLE_SUFFIXES`, or a `.tsv`.
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
    if source.suffix == ".parquet":
        with source.for_arrow() as file:
            yield from _parquet_rows(source, file, column, also)
    else:
        yield from _jsonl_rows(source, bad) if source.suffix == ".jsonl" else _csv_rows(source, column, bad)


def decoded(data: bytes | bytearray, where: str) -> str:
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


def say_much(what: str, size: int | None, *, packed: bool = False) -> None:
    """Announce the size of what is about to be read, if it is large; what is packed comes to some four times its size."""
    if size is not None and size > (MUCH // 4 if packed else MUCH):
        note(f"reading {what}: {size / 1e6:,.0f} MB{', compressed' * packed}")


def content_of(source: Source) -> bytearray:
    """Read all of a file, as it was before it was compressed.

    Raises:
        TextError: As `Source.open` says.
        OSError: A file on this disk cannot be read.
    """
    with source.open() as stream:
        say_much(repr(str(source)), stream.size, packed=bool(source.packing))
        found, reported = bytearray(), 0
        with task(f"reading {source.name}", stream.size, "bytes") as advance:
            while chunk := stream.read(_STEP):
                found += chunk
                advance(stream.reached() - reported)
                reported = stream.reached()
    return found


def _binary(where: str) -> TextError:
    return TextError(f"{where} has NUL bytes: it looks like a binary file, not a text")


def _refuse_wide(head: bytes | bytearray, where: str) -> None:
    """Refuse what is compressed, UTF-16 and UTF-32, by their first bytes or, without a mark, by the zeros of Latin letters."""
    if packing := packed_as(bytes(head[:4])):
        raise TextError(f"{where} is compressed with {packing[0]}: unpack it, or give a file whose name ends in {packing[1]}")
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


def lines_of(source: Source, newline: str) -> Iterator[str]:
    """Yield the lines of a text file, as `open` splits them with that `newline`, without a byte-order mark."""
    with source.open() as stream:
        say_much(repr(str(source)), stream.size, packed=bool(source.packing))
        _refuse_wide(stream.peek(_HEAD)[:_HEAD], str(source))
        text = io.TextIOWrapper(stream, "utf-8", newline=newline)
        with task(f"reading {source.name}", stream.size, "bytes") as advance:
            first, reported = True, 0
            try:
                for line in text:
                    if "\0" in line:
                        raise _binary(str(source))
                    yield line.removeprefix(_BOM) if first else line
                    first = False
                    if stream.reached() - reported > _STEP:
                        advance(stream.reached() - reported)
                        reported = stream.reached()
                advance(stream.reached() - reported)
            except UnicodeDecodeError:
                with source.open() as again:
                    _refuse_undecodable(again, str(source))
                raise


def _refuse_undecodable(stream: Stream, where: str) -> None:
    """Raise the error that `decoded` raises for the whole of a file, of which only a piece is in memory."""
    decoder, begin, wrong = codecs.getincrementaldecoder("utf-8")(), 0, ""
    chunk: bytes | None = None
    while chunk != b"":
        chunk = stream.read(_STEP)
        if b"\0" in chunk:
            raise _binary(where)
        try:
            decoder.decode(b"" if wrong else chunk, final=not chunk and not wrong)
        except UnicodeDecodeError as error:
            place = begin + len(chunk) - len(error.object) + error.start  # its object begins with what the last chunk left over
            wrong = f"{where} is not UTF-8: byte {place} is 0x{error.object[error.start]:02x}; convert it first"
            decoder.reset()
        begin += len(chunk)
    if wrong:
        raise TextError(wrong)


def _jsonl_rows(source: Source, bad: dict[int, str] | None) -> Iterator[tuple[str, Row]]:
    # Only "\n" ends a line: "\r" and U+2028 may occur in JSON.
    count = 0
    for number, line in enumerate(lines_of(source, "\n"), start=1):
        where = f"line {number} of {str(source)!r}"
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


def _csv_rows(source: Source, column: str, bad: dict[int, str] | None) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(sys.maxsize)
    lines = lines_of(source, "")
    first = next(lines, None)
    if first is None:
        return
    separator = _separator(first, column)
    if separator != ",":
        note(f"{str(source)!r} is separated by {_SEPARATORS[separator]}, by its first line")
    reader = csv.DictReader(_joined(first, lines), strict=True, delimiter=separator)
    number = 0
    try:
        if repeated := _repeated(list(reader.fieldnames or ())):
            raise TextError(f"{str(source)!r} has two columns {repeated!r}: which one is meant?")
        for number, row in enumerate(reader, start=1):
            where = f"row {number} of {str(source)!r}"
            if None not in row:
                yield where, dict(row)
            elif bad is None:
                raise TextError(f"{where} has {_MORE_CELLS}")
            else:
                bad[number - 1] = f"{where} has {_MORE_CELLS}"
                yield where, dict.fromkeys(reader.fieldnames or ())
    except csv.Error as error:
        raise TextError(f"{str(source)!r} is not CSV after row {number}: {error}") from error


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


def _parquet_rows(source: Source, place: Any, column: str, also: Sequence[str]) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(place)
        # By default a row group, which may be the whole file, is fetched before its first row is read.
        file = pq.ParquetFile(place, pre_buffer=False, buffer_size=_STEP)
    except (pa.ArrowException, OSError, KeyError) as error:
        if repeated := _repeated_column(place, pa.ArrowException):
            raise TextError(f"{str(source)!r} has two columns {repeated!r}: which one is meant?") from error
        raise TextError(f"{str(source)!r} is not a Parquet file: {_first_line(error)}") from error
    with file:
        if repeated := _repeated(schema.names):
            raise TextError(f"{str(source)!r} has two columns {repeated!r}: which one is meant?")
        count = file.metadata.num_rows
        if {column, *also} - set(schema.names):
            yield from [(f"row 0 of {str(source)!r}", dict.fromkeys(schema.names))][:count]  # the caller then lists the columns
            return
        if count > _MANY_ROWS:
            note(f"reading {str(source)!r}: {count:,} rows")
        number = 0
        wanted = [name for name in dict.fromkeys((column, "id", *also)) if name in schema.names]
        with task(f"reading {source.name}", count, "rows") as advance:
            try:
                for batch in file.iter_batches(_batch(file.metadata, wanted), columns=wanted):
                    values = [_values(batch.column(name)) for name in wanted]
                    for row in zip(*values, strict=True):
                        yield f"row {number} of {str(source)!r}", dict(zip(wanted, row, strict=True))
                        number += 1
                    advance(len(batch))
            # Times beyond Python's range, bytes that are not UTF-8; damage of a page is detected only when it is read.
            except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
                if isinstance(error, TextError):
                    raise
                raise TextError(f"{str(source)!r} has a value that cannot be read: {_first_line(error)}") from error


def _repeated_column(place: Any, fault: type[Exception]) -> str:
    import pyarrow.parquet as pq

    try:
        return _repeated(pq.read_schema(place).names)
    except (fault, OSError):
        return ""


def _batch(metadata: "pq.FileMetaData", wanted: Sequence[str]) -> int:
    """Return how many rows of some columns are read at once, by the size that a row has on average."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    size = sum(int(one.total_uncompressed_size) for one in columns if one.path_in_schema.split(".")[0] in wanted)
    return max(1, min(_BATCH, _BATCH_BYTES * int(metadata.num_rows) // max(1, size)))


def _values(array: "pa.Array") -> list[object]:
    import pyarrow as pa

    if not isinstance(array, pa.DictionaryArray):
        return list(array.to_pylist())
    words: list[object] = array.dictionary.to_pylist()
    return [None if place is None else words[place] for place in array.indices.to_pylist()]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
