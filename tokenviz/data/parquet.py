"""The Parquet file of a token table: writing and reading it, part by part, and half the bytes without loss.

Numbers are stored in a narrower type where it holds them exactly: models compute in float32, which `TokenScores` widens. The
bytes of floats are grouped by their place in the number, which compresses better. Whole numbers that change little are stored
as differences. Reading gives the same bits.

A slim table has a row's place and the model's numbers only. The columns that the text and the tokenizer give back are left out,
and their digest is kept.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tokenviz.base import disk
from tokenviz.base.errors import DiskError, ScoringError

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenviz.data.scores import TokenScores

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

GiveBack = Callable[[NDArray[np.int64], NDArray[np.int64], Sequence[Sequence[int]] | None], Mapping[str, Any]]
"""Makes the columns that a slim table lacks, from passage, position and the ids of alternatives of each row."""

Build = Callable[["pa.Table", dict[str, Any]], "TokenScores"]
"""Makes a token table of a file's columns and of what the file says of it; for a damaged file it may raise any error."""

ALL_COLUMNS = (*COLUMNS, "top_ids", "top_logprobs", "top_tokens")

_FLOATS = ("logprob", "entropy", "space_logprob", "punctuation_logprob")
_RUNNING = ("passage", "position", "start", "end", "first_character")
_WHOLE = (*_RUNNING, "token_id", "n_bytes", "rank")
_LISTS = {"top_ids": "int32", "top_logprobs": "float"}
_ENCODINGS = dict.fromkeys((*_FLOATS, "top_logprobs.list.element"), "BYTE_STREAM_SPLIT") | dict.fromkeys(
    _RUNNING, "DELTA_BINARY_PACKED"
)


def save_parts(
    parts: "Iterable[TokenScores]",
    path: Path,
    *,
    passage_ids: Sequence[str] = (),
    footer: Callable[[], Mapping[str, str]] | None = None,
    slim: bool = False,
) -> None:
    """Write the consecutive parts of one text's table to one file, one by one: only one needs to be in memory.

    The file appears when it is complete.

    Args:
        parts: The tables, at least one; all of one text and spec.
        path: The file.
        passage_ids: Names of the passages, as in `Text`; they become the file's column `id`, which `TokenScores.load` ignores.
        footer: Called after the last part; returns further entries of the file's footer, by key. By default none.
        slim: Whether to leave out what text and tokenizer give back, as in `TokenScores.save`, and the ids of passages.

    Raises:
        ScoringError: The table cannot be slim, as in `TokenScores.save`.
        DiskError: The file cannot be written.
    """
    import pyarrow as pa

    unfinished = path.with_name(path.name + ".part")
    digest, unread = Digest(), list[int]()
    try:
        with Writer(unfinished) as writer:
            for part in parts:
                table = to_table(part, slim=slim)
                if slim:
                    part.spec.refuse_to_slim()
                    digest.add(part, LEFT_OUT)
                    unread += part.passages_without_tokens()
                elif passage_ids:
                    table = table.add_column(1, "id", pa.array([passage_ids[i] for i in part.passage], pa.string()))
                writer.write(table)
            if slim:
                writer.add_footer({LEFT_OUT_KEY: json.dumps({"sha256": digest.hex(), "unread": unread})})
            if footer:
                writer.add_footer(footer())
        disk.put(unfinished, path)
    except OSError as error:
        raise DiskError(f"cannot write {str(path)!r}: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def to_table(scores: "TokenScores", *, slim: bool = False) -> "pa.Table":
    """Return a token table with wide types, and in its metadata the format, the text, the settings and the spans."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        name: pa.array(getattr(scores, name), kind, from_pandas=name == "rank")  # a rank is missing where it is NaN
        for name, kind in ((name, pa.type_for_alias(alias)) for name, alias in COLUMNS.items())
    }
    if scores.spec.top_k:
        columns["top_ids"] = pa.array(list(scores.top_ids), type=pa.list_(pa.int64()))
        columns["top_logprobs"] = pa.array(list(scores.top_logprobs), type=pa.list_(pa.float64()))
        columns["top_tokens"] = pa.array(scores.top_tokens, type=pa.list_(pa.string()))
    about: dict[str, Any] = {
        "format": SLIM_FORMAT if slim else FORMAT_VERSION,
        "text_name": scores.text_name,
        "text_sha256": scores.text_sha256,
        "spec": asdict(scores.spec),
    }
    if scores.spans:  # older versions ignore them
        about["spans"] = [[[span.name, span.start, span.end] for span in own] for own in scores.spans]
    if slim:
        columns = {name: column for name, column in columns.items() if name not in LEFT_OUT}
    return pa.table(columns).replace_schema_metadata({"tokenviz": json.dumps(about)})


def read(path: Path, build: Build) -> "TokenScores":
    """Read a whole token table, as `TokenScores.load` does."""
    import pyarrow.parquet as pq

    with readable(path):
        table = pq.read_table(path)
    with undamaged(path):
        about = about_table(path, table.schema.metadata)
        _refuse_slim(path, about)
        return build(table, about)


def read_parts(path: Path, build: Build, give_back: GiveBack | None = None) -> "Iterator[TokenScores]":
    """Read a token table one row group after the other, as `TokenScores.parts` does."""
    import pyarrow.parquet as pq

    about, digest = about_file(path), Digest()
    if give_back is None:
        _refuse_slim(path, about)
    with readable(path):
        file = pq.ParquetFile(path)
    with file:
        for number in range(file.num_row_groups):
            with readable(path):
                table = file.read_row_group(number)
            with undamaged(path):
                if "left_out" in about and give_back is not None:
                    table = _given_back(table, give_back)
                part = build(table, about)
            if "left_out" in about:
                digest.add(part, LEFT_OUT)
            yield part
    if "left_out" in about and digest.hex() != about["left_out"]["sha256"]:
        with undamaged(path):
            versions = ", ".join(f"{name} {version}" for name, version in about["spec"]["versions"].items())
        raise ScoringError(
            f"{str(path)!r} does not get back from text and tokenizer what was left out of it: its tokens were made by "
            f"{versions}"
        )


def _refuse_slim(path: Path, about: Mapping[str, Any]) -> None:
    if about["format"] == SLIM_FORMAT:
        raise ScoringError(
            f"{str(path)!r} is a slim table, without what the text and the tokenizer give back: 'tokenviz import-scores FILE "
            f"--model {about['spec']['model']} --text TEXT' puts it back, import_scores in Python"
        )


def _given_back(table: "pa.Table", give_back: GiveBack) -> "pa.Table":
    """Add the columns that a slim table lacks."""
    import pyarrow as pa

    passage, position = (table.column(name).to_numpy() for name in ("passage", "position"))
    top_ids = table.column("top_ids").to_pylist() if "top_ids" in table.column_names else None
    columns = give_back(passage, position, top_ids)
    for name in LEFT_OUT:
        if name in columns:
            kind = pa.type_for_alias(COLUMNS[name]) if name in COLUMNS else pa.list_(pa.string())
            table = table.append_column(name, pa.array(columns[name], kind))
    return table


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

    def add(self, table: "TokenScores", columns: Iterable[str]) -> None:
        """Add a part of the table."""
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
