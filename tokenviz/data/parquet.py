"""The Parquet file of a token table: its format, what is told of damaged ones, and half the bytes without loss.

Numbers are stored in a narrower type where it holds them exactly: models compute in float32, which `TokenScores` widens. The
bytes of floats are grouped by their place in the number, which compresses better. Whole numbers that change little are stored
as differences. Reading gives the same bits.

A slim table has a row's place and the model's numbers only. The columns that the text and the tokenizer give back are left out,
and their digest is kept.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tokenviz.base.errors import ScoringError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_VERSION = "4"
SLIM_FORMAT = "5"  # older versions refuse it by its number
READABLE_FORMATS = ("3", FORMAT_VERSION, SLIM_FORMAT)

# All columns except alternatives, with their types in the file.
COLUMNS = {
    "passage": "int64", "position": "int64", "token_id": "int64", "token": "string", "start": "int64", "end": "int64",
    "first_character": "int64", "n_bytes": "int64", "unknown": "bool", "logprob": "double", "rank": "int64",
    "entropy": "double", "opens": "int8", "space_logprob": "double", "punctuation_logprob": "double",
}  # fmt: skip

LEFT_OUT = ("token_id", "token", "start", "end", "first_character", "n_bytes", "unknown", "opens", "top_tokens")
"""The columns that a slim table does not have."""
LEFT_OUT_KEY = "tokenviz.left_out"  # of the file's footer

ALL_COLUMNS = (*COLUMNS, "top_ids", "top_logprobs", "top_tokens")

_FLOATS = ("logprob", "entropy", "space_logprob", "punctuation_logprob")
_RUNNING = ("passage", "position", "start", "end", "first_character")
_WHOLE = (*_RUNNING, "token_id", "n_bytes", "rank")
_LISTS = {"top_ids": "int32", "top_logprobs": "float"}
_ENCODINGS = dict.fromkeys((*_FLOATS, "top_logprobs.list.element"), "BYTE_STREAM_SPLIT") | dict.fromkeys(
    _RUNNING, "DELTA_BINARY_PACKED"
)


class Writer:
    """Writes the parts of one token table into one file.

    The first part determines the types. Where a later part does not fit, the file is rewritten with wide types.
    """

    def __init__(self, path: Path) -> None:
        """Keep the path; the file is made with the first part."""
        self._path = path
        self._writer: Any = None
        self._schema: pa.Schema | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, table: "pa.Table") -> None:
        """Append a part."""
        narrow = narrowed(table)
        if self._schema is None:
            self._open(narrow.schema)
        elif narrow.schema != self._schema:
            self._widen(table)
            narrow = table
        self._writer.write_table(narrow if self._schema == narrow.schema else table)

    def add_footer(self, entries: Mapping[str, str]) -> None:
        """Add entries to the file's footer."""
        self._writer.add_key_value_metadata(dict(entries))

    def _open(self, schema: "pa.Schema") -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        wide = [field.name for field in schema]
        encodings = {name: how for name, how in _ENCODINGS.items() if name.partition(".")[0] in wide}
        leaves = [name if name not in ("top_ids", "top_tokens") else f"{name}.list.element" for name in wide]
        dictionaries = [name for name in leaves if name not in encodings and name != "top_logprobs"]
        self._writer = pq.ParquetWriter(
            self._path, schema, compression="zstd", use_dictionary=dictionaries, column_encoding=encodings
        )

    def _widen(self, table: "pa.Table") -> None:
        """Rewrite the file with types that hold every part."""
        import pyarrow.parquet as pq

        assert self._schema is not None
        if self._schema == table.schema:
            return
        self._writer.close()
        before = self._path.with_name(f"{self._path.name}.narrow")
        self._path.replace(before)
        try:
            self._open(table.schema)
            with pq.ParquetFile(before) as file:
                for number in range(file.num_row_groups):
                    self._writer.write_table(file.read_row_group(number).cast(table.schema))
        finally:
            before.unlink()


def narrowed(table: "pa.Table") -> "pa.Table":
    """Return a token table with narrow types, where they keep all of its values."""
    import pyarrow as pa

    narrow = table
    for name in table.column_names:
        kind = "float" if name in _FLOATS else "int32" if name in _WHOLE else _LISTS.get(name)
        if kind is None:
            continue
        column = table.column(name)
        wanted = pa.list_(pa.type_for_alias(kind)) if name in _LISTS else pa.type_for_alias(kind)
        try:
            cast = column.cast(wanted, safe=kind == "int32")
        except pa.ArrowInvalid:  # beyond 32 bits
            return table
        if kind == "float" and not _same_bits(cast.cast(column.type), column):
            return table
        narrow = narrow.set_column(narrow.schema.get_field_index(name), name, cast)
    return narrow


def _same_bits(found: "pa.ChunkedArray", expected: "pa.ChunkedArray") -> bool:
    one, other = (_values(column) for column in (found, expected))
    return bool(np.array_equal(one.view(np.int64), other.view(np.int64)))


def _values(column: "pa.ChunkedArray") -> Any:
    import pyarrow as pa

    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    return (whole.flatten() if pa.types.is_list(column.type) else whole).to_numpy(zero_copy_only=False)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn errors about a file that is no Parquet file into one line."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ScoringError(f"{str(path)!r} is not a token table: {str(error).splitlines()[0]}") from error


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn errors about a table with missing or wrong columns into one line."""
    import pyarrow as pa

    try:
        yield
    except ScoringError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ScoringError(f"{str(path)!r} is a damaged token table ({reason}): score the text again") from error


class Digest:
    """SHA-256 of columns of a token table, independent of the parts in which they come."""

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}

    def add(self, table: Any, columns: Iterable[str]) -> None:
        """Add a part of the table, a `TokenScores`."""
        for name in columns:
            value = getattr(table, name)
            if isinstance(value, np.ndarray):
                plain = np.where(np.isnan(value), np.nan, value) if value.dtype.kind == "f" else value
                content = np.ascontiguousarray(plain).tobytes()
            else:
                plain_strings = bool(value) and isinstance(value[0], str)
                content = ("\0".join(value) + "\0" if plain_strings else "".join(f"{one!r}\n" for one in value)).encode()
            self._columns.setdefault(name, hashlib.sha256()).update(content)

    def hex(self) -> str:
        """Return the digest of all columns."""
        whole = "".join(f"{name} {self._columns[name].hexdigest()}\n" for name in sorted(self._columns))
        return hashlib.sha256(whole.encode()).hexdigest()


def about_table(path: Path, metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return what a file says of its table, from the metadata of its schema."""
    found = (metadata or {}).get(b"tokenviz")
    if found is None:
        raise ScoringError(f"{str(path)!r} is a Parquet file, but not a token table written by tokenviz")
    about: dict[str, Any] = json.loads(found)
    if about["format"] not in READABLE_FORMATS:
        known = f"{', '.join(READABLE_FORMATS[:-1])} and {READABLE_FORMATS[-1]}"
        raise ScoringError(f"{str(path)!r} has table format {about['format']}; this version reads {known}")
    return about


def about_file(path: Path) -> dict[str, Any]:
    """Return what a file says of its table; of a slim table also, under "left_out", what is told of the missing columns.

    Raises:
        ScoringError: The file is not a token table, or has a format that this version does not know.
    """
    import pyarrow.parquet as pq

    with readable(path):
        file = pq.ParquetFile(path)
    with file, undamaged(path):
        about = about_table(path, file.schema_arrow.metadata)
        if about["format"] == SLIM_FORMAT:
            left_out = json.loads(file.metadata.metadata[LEFT_OUT_KEY.encode()])
            about["left_out"] = {"sha256": str(left_out["sha256"]), "unread": frozenset(map(int, left_out["unread"]))}
        return about


def with_bytes_of_slices(table: "pa.Table") -> "pa.Table":
    """Add the columns that a table of format 3 lacks, from its slices: shared characters belong to the first token."""
    import pyarrow as pa

    tokens, starts = (table.column(name).to_pylist() for name in ("token", "start"))
    first = [start if token else max(0, start - 1) for token, start in zip(tokens, starts, strict=True)]
    table = table.append_column("first_character", pa.array(first, pa.int64()))
    table = table.append_column("n_bytes", pa.array([len(token.encode()) for token in tokens], pa.int64()))
    return table.append_column("unknown", pa.array([False] * len(tokens), pa.bool_()))
