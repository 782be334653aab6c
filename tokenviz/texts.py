"""Texts as they stand: one string, one file, or one corpus of many passages, each with its sha256.

Nothing is stripped, joined or normalised. A file is read as UTF-8 with its line ends kept; a byte-order mark
is part of the text. What cannot be read that way is refused with the place where it fails.
"""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from os.path import expanduser  # Path's own fails where there is no such user
from pathlib import Path

from tokenviz import display
from tokenviz.checks import listed
from tokenviz.errors import TextError, did_you_mean

PLAIN_SUFFIXES = (".txt", ".md")
TABLE_SUFFIXES = (".jsonl", ".csv", ".parquet")

_SHOWN = 60  # characters of a text in a terminal
_SHOWN_HTML = 1000  # of each passage in a notebook
_PASSAGES_SHOWN = 5

_BOM = "\ufeff"  # spreadsheet programs put it before a table, where it is no part of any text


@dataclass(frozen=True)
class Text:
    """A named text of one or more passages; each passage is scored by itself.

    Attributes:
        name: How runs, tables and figures call it.
        passages: The strings, in file order.
        passage_ids: One identifier a passage where the source names them, else empty.
        sha256: For a plain text, of its UTF-8 bytes (what `sha256sum` prints for the file); for a corpus,
            of the JSON array of its passages.

    Example:
        >>> text = tv.literal("A rose is a rose.", name="rose")
        >>> text
        Text('rose': 17 characters, 'A rose is a rose.')
        >>> text.sha256[:12]
        '31470f28bff0'
    """

    name: str
    passages: tuple[str, ...]
    passage_ids: tuple[str, ...]
    sha256: str

    def __repr__(self) -> str:
        return f"Text({self.name!r}: {self._size()}, {display.quoted(self.passages[0], _SHOWN)})"

    def _repr_html_(self) -> str:
        """For a notebook: name, size and the beginning."""
        left_out = len(self.passages) - _PASSAGES_SHOWN
        return display.fragment(
            display.heading("Text “", self.name, f"”, {self._size()}, sha256 {self.sha256[:12]}…"),
            *(display.passage(one, _SHOWN_HTML) for one in self.passages[:_PASSAGES_SHOWN]),
            display.line(f"… {left_out:,} more passages" if left_out > 0 else ""),
        )

    def _size(self) -> str:
        count = len(self.passages)
        passages = f"{count:,} passages, " if count > 1 else ""
        return f"{passages}{sum(map(len, self.passages)):,} characters"


def literal(passage: str, *, name: str | None = None) -> Text:
    """A text from a string.

    Args:
        passage: The text; at least one character.
        name: Its name; by default `text-` and the first eight digits of its sha256.

    Returns:
        The text, of one passage.

    Raises:
        TextError: It is empty, or it or its name has lone surrogates, which no encoding can store.

    Example:
        >>> tv.literal("A rose is a rose.")
        Text('text-31470f28': 17 characters, 'A rose is a rose.')
        >>> tv.literal("")
        Traceback (most recent call last):
        tokenviz.errors.TextError: the given text is empty: give at least one character to score
    """
    what = f"the text {name!r}" if name else "the given text"
    _utf8(name or "", f"the name {name!r}")
    digest = sha256(_utf8(passage, what)).hexdigest()
    if not passage:
        raise TextError(f"{what} is empty: give at least one character to score")
    return Text(name or f"text-{digest[:8]}", (passage,), (), digest)


def corpus(passages: list[str], *, name: str, passage_ids: list[str] | None = None) -> Text:
    """A text of many passages, numbered from 0 in the given order.

    An empty passage keeps its number and has no tokens; a corpus of nothing but empty passages is refused.

    Raises:
        TextError: No passage has a character, a passage or a name cannot be stored, or the ids do not match in number.
    """
    for number, passage in enumerate(passages):
        _utf8(passage, f"passage {number} of {name!r}")
    for word in (name, *(passage_ids or ())):
        _utf8(word, f"the name {word!r}")
    if not any(passages):
        raise TextError(f"the text {name!r} is empty: none of its {len(passages)} passages has a character to score")
    if passage_ids is not None and len(passage_ids) != len(passages):
        raise TextError(f"{len(passage_ids)} passage ids were given for {len(passages)} passages of {name!r}")
    repeated = [one for one, count in Counter(passage_ids or ()).items() if count > 1]
    if repeated:
        raise TextError(f"the passage id {repeated[0]!r} of {name!r} is given twice: an id names one passage")
    digest = sha256(json.dumps(passages, ensure_ascii=False).encode()).hexdigest()
    return Text(name, tuple(passages), tuple(passage_ids or ()), digest)


def read_text(source: str | Path, *, column: str = "text", samples: Path | None = None) -> Text:
    """Read one text from where it is.

    Args:
        source: A `.txt` or `.md` file; a `.jsonl`, `.csv` or `.parquet` table with one passage a row; a folder,
            whose `.txt` and `.md` files are the passages in the order of their names; `-` for standard input;
            or the name of a sample text.
        column: The table's column that holds the passages. A column `id`, where there is one, names them.
        samples: The folder of the sample texts, where a bare name is looked up.

    Returns:
        The text, named after the file or folder.

    Raises:
        TextError: The source is missing, empty, not UTF-8 or not of a known form.

    Example:
        >>> from pathlib import Path
        >>> Path("rose.txt").write_text("A rose is a rose.")
        17
        >>> tv.read_text("rose.txt")
        Text('rose': 17 characters, 'A rose is a rose.')
    """
    if str(source) == "-":
        if sys.stdin is None:
            raise TextError("standard input is closed: pipe a text into the command, or name a file")
        return _plain("stdin", sys.stdin.buffer.read(), "standard input")
    path = _find(str(source), samples)
    try:
        if path.is_dir():
            return _folder(path)
        if path.suffix.lower() in TABLE_SUFFIXES:
            return _table(path, column)
        return _plain(path.stem, path.read_bytes(), str(path))
    except OSError as error:
        raise TextError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def _sample_files(samples: Path) -> list[Path]:
    known = (*PLAIN_SUFFIXES, *TABLE_SUFFIXES)
    return [path for path in samples.iterdir() if path.suffix in known and path.name != "README.md"]


def sample_names(samples: Path) -> list[str]:
    """The names of the sample texts in a folder; none where it is missing."""
    return sorted(path.stem for path in _sample_files(samples)) if samples.is_dir() else []


def _find(source: str, samples: Path | None) -> Path:
    known = (*PLAIN_SUFFIXES, *TABLE_SUFFIXES)
    try:
        path = Path(expanduser(source))
        there = path.exists()
    except (OSError, ValueError) as error:  # too long for a name, for one, or with a NUL in it
        reason = f"{source[:40]!r}... cannot be a file ({getattr(error, 'strerror', error)})"
        raise TextError(f"{reason}: where it is the text itself, give it with --text") from error
    if there:
        if path.is_dir() or path.suffix.lower() in known:
            return path
        raise TextError(f"cannot read {source!r} as a text: a file ends in {', '.join(known)}, or is a folder of them")
    names: list[str] = []
    if samples is not None and samples.is_dir():
        by_name = {file.stem: file for file in _sample_files(samples)}
        if source in by_name:
            return by_name[source]
        names = sorted(by_name)
    hint = f"; the sample texts are {', '.join(names)}" if names else ""
    raise TextError(f"no text at {source!r}: give a file, a folder, '-' for standard input{hint}{did_you_mean(source, names)}")


def _plain(name: str, data: bytes, where: str) -> Text:
    text = _decode(data, where)
    if not text:
        raise TextError(f"{where} is empty: give at least one character to score")
    return literal(text, name=name)


def _folder(path: Path) -> Text:
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PLAIN_SUFFIXES and file.is_file())
    if not files:
        raise TextError(f"the folder {str(path)!r} has no {' or '.join(PLAIN_SUFFIXES)} file")
    passages = [_decode(file.read_bytes(), str(file)) for file in files]
    ids = [file.relative_to(path).as_posix() for file in files]
    return corpus(passages, name=path.resolve().name, passage_ids=ids)


def _table(path: Path, column: str) -> Text:
    readers: dict[str, Callable[[Path], Iterator[tuple[str, dict[str, object]]]]] = {
        ".jsonl": _jsonl_rows,
        ".csv": _csv_rows,
        ".parquet": _parquet_rows,
    }
    passages: list[str] = []
    ids: list[str] = []
    for where, row in readers[path.suffix.lower()](path):
        if column not in row:
            names = listed([repr(name[:40]) for name in row], 10)  # a file of another kind may have a page for a heading
            raise TextError(f"{where} has no column {column!r}: it has {names or 'none'}")
        passage = row[column]
        if not isinstance(passage, str):
            kind = "nothing" if passage is None else type(passage).__name__
            raise TextError(f"{where} has {kind} in column {column!r}: a passage is a string")
        _utf8(passage, where)
        passages.append(passage)
        if row.get("id") is not None:
            ids.append(str(row["id"]))
    if not passages:
        raise TextError(f"{str(path)!r} is empty: it has no row")
    if ids and len(ids) != len(passages):
        raise TextError(f"{str(path)!r} names only {len(ids)} of its {len(passages)} passages in column 'id'")
    return corpus(passages, name=path.stem, passage_ids=ids or None)


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    # Only "\n" ends a line: str.splitlines would also cut at U+2028, which JSON strings may hold.
    for number, line in enumerate(_decode(path.read_bytes(), str(path)).removeprefix(_BOM).split("\n"), start=1):
        where = f"line {number} of {str(path)!r}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TextError(f"{where} is not JSON: {error.msg} at column {error.colno}") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets within brackets
            raise TextError(f"{where} cannot be read: {error}") from error
        if not isinstance(row, dict):
            raise TextError(f"{where} is not a JSON object with a column for the text")
        yield where, row


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.DictReader(io.StringIO(_decode(path.read_bytes(), str(path)).removeprefix(_BOM), newline=""), strict=True)
    number = 0
    try:
        repeated = [name for name, count in Counter(reader.fieldnames or ()).items() if count > 1]
        if repeated:
            raise TextError(f"{str(path)!r} has two columns {repeated[0]!r}: which one is meant?")
        for number, row in enumerate(reader, start=1):
            where = f"row {number} of {str(path)!r}"
            if None in row:
                raise TextError(f"{where} has more cells than the header has columns")
            yield where, dict(row)
    except csv.Error as error:
        raise TextError(f"{str(path)!r} is not CSV after row {number}: {error}") from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise TextError(f"{str(path)!r} is not a Parquet file: {str(error).splitlines()[0]}") from error
    try:
        rows = table.to_pylist()
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:  # times beyond Python's, bytes that are no UTF-8
        raise TextError(f"{str(path)!r} has a value that cannot be read: {str(error).splitlines()[0]}") from error
    for number, row in enumerate(rows):
        yield f"row {number} of {str(path)!r}", row


def _decode(data: bytes, where: str) -> str:
    if b"\0" in data:
        raise TextError(f"{where} has NUL bytes: it looks like a binary file, not a text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"{where} is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}; convert it first") from error


def _utf8(passage: str, what: str) -> bytes:
    try:
        return passage.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TextError(f"{what} has a lone surrogate at character {error.start}: it is no Unicode text") from error
