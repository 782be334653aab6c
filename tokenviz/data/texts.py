"""Texts: one string, one file, or one corpus of many passages, unchanged, each with its SHA-256.

Nothing is stripped, joined or normalised. A file is read as UTF-8 with its line ends kept; a byte-order mark is part of the
text. A file that cannot be read so is refused with the place of the error. Where a file is and how it is compressed
(`tokenviz.data.sources`) makes no difference to its text.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

from tokenviz.base import display
from tokenviz.base.disk import samples_folder
from tokenviz.base.errors import DiskError, TextError, check_kind, did_you_mean, is_of, listed
from tokenviz.base.progress import note, task, warn
from tokenviz.data.passages import Gathering, Passages, repeated
from tokenviz.data.rows import MUCH, content_of, decoded, rows_of
from tokenviz.data.sources import (
    KNOWN,
    PLAIN_SUFFIXES,
    TABLE_SUFFIXES,
    Source,
    content_name,
    is_address,
    is_text_file,
    source_at,
)
from tokenviz.data.spans import Span, checked_spans

_SHOWN = 60  # characters of a text in a terminal
_SHOWN_HTML = 1000  # characters of each passage in a notebook
_PASSAGES_SHOWN = 5
_LONGEST_NAME = 255  # characters of a file's name

_MANY_FILES = 1000  # files of a folder: with more, the number is announced before they are read


@dataclass(frozen=True)
class Text:
    """A named text of one or more passages; each passage is scored separately.

    Attributes:
        name: The name in runs, tables and figures.
        passages: The strings, in file order: a tuple or, where they would take more than 8 MB, a sequence that reads them from
            a scratch file.
        passage_ids: One identifier per passage where the source names them, else empty.
        sha256: For a plain text, the SHA-256 of its UTF-8 bytes (as `sha256sum` prints it for the file); for a corpus, that of
            the JSON array of its passages.
        spans: For each passage its named spans, in reading order; empty where the text has none (`with_spans`).
        chat_template_sha256: For a text of chats, the SHA-256 of the template that rendered it; else empty.

    Example:
        >>> text = tv.literal("A rose is a rose.", name="rose")
        >>> text
        Text('rose': 17 characters, 'A rose is a rose.')
        >>> text.sha256[:12]
        '31470f28bff0'
    """

    name: str
    passages: Sequence[str]
    passage_ids: Sequence[str]
    sha256: str
    spans: tuple[tuple[Span, ...], ...] = ()
    chat_template_sha256: str = ""

    @property
    def characters(self) -> int:
        """Number of characters in all passages."""
        return self.passages.characters if isinstance(self.passages, Passages) else sum(map(len, self.passages))

    def with_spans(self, spans: Sequence[Iterable[object]]) -> "Text":
        """Return the same text with named spans; scores can be summed, compared and drawn by span.

        A text is scored as a whole, with or without spans.

        Args:
            spans: For each passage its spans: `Span`, or name, start and end (half-open, in characters of the passage). They
                must not overlap; characters outside all spans have no name.

        Raises:
            TextError: The number of lists differs from the number of passages, or a span is empty, has no name, reaches beyond
                its passage or overlaps another.

        Example:
            >>> text = tv.literal("Is it? Yes").with_spans([[("prompt", 0, 6), ("target", 6, 10)]])
            >>> text.spans[0][1]
            Span(name='target', start=6, end=10)
        """
        if len(spans) != len(self.passages):
            raise TextError(f"spans of {len(spans)} passages were given, and {self.name!r} has {len(self.passages)}")
        found = tuple(
            checked_spans(own, len(passage), f"passage {number} of {self.name!r}")
            for number, (own, passage) in enumerate(zip(spans, self.passages, strict=True))
        )
        return replace(self, spans=found if any(found) else ())

    def __repr__(self) -> str:
        return f"Text({self.name!r}: {self._size()}, {display.quoted(self.passages[0], _SHOWN)})"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: name, size and the beginning."""
        left_out = len(self.passages) - _PASSAGES_SHOWN
        return display.fragment(
            display.heading("Text “", self.name, f"”, {self._size()}, sha256 {self.sha256[:12]}…"),
            *(display.passage(one, _SHOWN_HTML) for one in self.passages[:_PASSAGES_SHOWN]),
            display.line(f"… {left_out:,} more passages" if left_out > 0 else ""),
        )

    def _size(self) -> str:
        count = len(self.passages)
        passages = f"{count:,} passages, " if count > 1 else ""
        return f"{passages}{self.characters:,} characters"


def literal(passage: str, *, name: str | None = None) -> Text:
    """Make a text from a string.

    Args:
        passage: The text; at least one character.
        name: Its name; by default `text-` and the first eight digits of its SHA-256.

    Returns:
        The text, of one passage.

    Raises:
        TextError: The string is empty, or it or its name has lone surrogates, which no encoding can store.

    Example:
        >>> tv.literal("A rose is a rose.")
        Text('text-31470f28': 17 characters, 'A rose is a rose.')
        >>> tv.literal("")
        Traceback (most recent call last):
        tokenviz.base.errors.TextError: the given text is empty: give at least one character to score
    """
    what = f"the text {name!r}" if name else "the given text"
    _utf8(name or "", f"the name {name!r}")
    digest = sha256(_utf8(passage, what)).hexdigest()
    if not passage:
        raise TextError(f"{what} is empty: give at least one character to score")
    return Text(name or f"text-{digest[:8]}", (passage,), (), digest)


def as_it_stands(text: Text | str) -> Text:
    """Return a text from a string that is taken literally; return a text unchanged.

    A string that is also the name of a sample text or of an existing text file is refused. In `read_text` and `Grid` it means
    that text, and one string must mean one thing.

    Raises:
        TextError: The string is ambiguous; or it is empty or cannot be stored, as in `literal`.
    """
    if isinstance(text, Text):
        return text
    if not isinstance(text, str):
        raise TextError(f"a {type(text).__name__} is no text: give a string, or what read_text and literal return")
    what = _names_a_source(text)
    if what:
        raise TextError(
            f"{text!r} is the name of {what}: give read_text({text!r}) for it, or literal({text!r}) for the word itself"
        )
    return literal(text)


def _names_a_source(text: str) -> str:
    """Return what a string means to `read_text`; empty where it means nothing."""
    if is_address(text) and " " not in text and is_text_file(text):
        return "a file at an address"
    if len(text) > _LONGEST_NAME or "\n" in text:
        return ""
    if text in sample_names(samples_folder()):
        return "a sample text"
    try:
        return "a file" if is_text_file(text) and Path(text).is_file() else ""
    except (OSError, ValueError):
        return ""


def corpus(passages: list[str], *, name: str, passage_ids: list[str] | None = None) -> Text:
    """Make a text of many passages, numbered from 0 in the given order.

    An empty passage keeps its number and has no tokens; a corpus of nothing but empty passages is refused.

    Args:
        passages: The strings; each is scored separately.
        name: The text's name.
        passage_ids: A name for each passage, which tables show; by default none.

    Returns:
        The text.

    Raises:
        TextError: No passage has a character, a passage or a name cannot be stored, or the ids do not match in number.

    Example:
        >>> tv.corpus(["Alice was tired.", "The Queen was tired."], name="two")
        Text('two': 2 passages, 36 characters, 'Alice was tired.')
    """
    if is_of(passages, str):
        raise TextError(f"the passages of {name!r} are one string: give a list of strings, or that string to literal")
    check_kind(passages, Iterable, TextError, f"the passages of {name!r}: give a list of strings")
    gathered = Gathering()
    for number, passage in enumerate(passages):
        _utf8(passage, f"passage {number} of {name!r}")
        gathered.add(passage)
    return _corpus(gathered, None if passage_ids is None else _ids(passage_ids), name)


def _ids(names: Iterable[str]) -> Gathering:
    gathered = Gathering()
    for one in names:
        _utf8(one, f"the name {one!r}")
        gathered.add(one)
    return gathered


def _corpus(passages: Gathering, ids: Gathering | None, name: str) -> Text:
    """Make a text of passages and, where they are given, their ids, all of which can be stored."""
    _utf8(name, f"the name {name!r}")
    if not passages.characters:
        raise TextError(f"the text {name!r} is empty: none of its {passages.count} passages has a character to score")
    if ids is not None and ids.count != passages.count:
        raise TextError(f"{ids.count} passage ids were given for {passages.count} passages of {name!r}")
    (found, digest), names = passages.end(), () if ids is None else ids.end()[0]
    if (twice := repeated(names)) is not None:
        raise TextError(f"the passage id {twice!r} of {name!r} is given twice: an id names one passage")
    return Text(name, found, names, digest)


def read_text(
    source: str | Path,
    *,
    column: str = "text",
    samples: Path | None = None,
    spans: str | None = None,
    skip_bad: bool = False,
) -> Text:
    """Read one text from its source.

    Args:
        source: A `.txt` or `.md` file; a `.jsonl`, `.csv` or `.parquet` table with one passage per row; a folder, whose `.txt`
            and `.md` files are the passages in the order of their names, without hidden ones; `-` for standard input; or the
            name of a sample text. Files other than Parquet may be compressed (`.gz`, `.zst`). A file or a folder may be at an
            address that fsspec knows, such as `s3://bucket/text.jsonl.gz` or `hf://datasets/OWNER/NAME/text.parquet`.
        column: The table's column that holds the passages. A column `id`, where there is one, names them.
        samples: The folder of the sample texts, where a bare name is looked up; by default the project's own.
        spans: The table's column that holds the spans of each passage: a list of objects with name, start and end, or of lists
            of the three; in CSV the list is JSON. An empty cell is a passage without spans. By default texts have no spans.
        skip_bad: Leave rows of a table that cannot be read, without a text or with bad spans out and list them; by default one
            bad row refuses the table.

    Returns:
        The text, named after the file or folder; its SHA-256 is that of the content, wherever and however that is stored.

    Raises:
        TextError: The source is missing, empty, not UTF-8 or not of a known form; its compressed content is cut off or damaged;
            its address cannot be read, or needs a package that is not installed.

    Example:
        >>> from pathlib import Path
        >>> Path("rose.txt").write_text("A rose is a rose.")
        17
        >>> tv.read_text("rose.txt")
        Text('rose': 17 characters, 'A rose is a rose.')
    """
    if spans is not None and not content_name(str(source)).lower().endswith(TABLE_SUFFIXES):
        raise TextError(
            f"spans stand in a column of a table, and {str(source)!r} is none: give a {', '.join(TABLE_SUFFIXES)} file"
        )
    if str(source) == "-":
        if sys.stdin is None:
            raise TextError("standard input is closed: pipe a text into the command, or name a file")
        return _plain("stdin", sys.stdin.buffer.read(), "standard input")
    found = _find(str(source), samples or samples_folder())
    try:
        if found.is_folder():
            return _folder(found)
        if not is_text_file(found.name):
            raise TextError(f"cannot read {str(found)!r} as a text: a file ends in {KNOWN}, or is a folder of them")
        if found.suffix in TABLE_SUFFIXES:
            return _table(found, column, spans, skip_bad=skip_bad)
        return _plain(found.stem, content_of(found), str(found))
    except DiskError:  # no room for what was read
        raise
    except OSError as error:
        raise TextError(f"cannot read {str(found)!r}: {error.strerror or error}") from error


def is_folder(source: str) -> bool:
    """Return whether a text is given as a folder; at an address that is what does not end as a file does."""
    return not is_text_file(source) if is_address(source) else Path(source).is_dir()


def _sample_files(samples: Path) -> dict[str, Path]:
    found = [path for path in samples.iterdir() if is_text_file(path.name) and path.name != "README.md"]
    return {Path(content_name(path.name)).stem: path for path in found if not is_hidden(path.name)}


def sample_names(samples: Path) -> list[str]:
    """Return the names of the sample texts in a folder; none where it is missing."""
    return sorted(_sample_files(samples)) if samples.is_dir() else []


def _find(given: str, samples: Path) -> Source:
    try:
        source = source_at(given)
        if source.files is not None or Path(source.path).exists():
            return source
    except (OSError, ValueError) as error:  # for example a name that is too long, or one with a NUL
        if isinstance(error, TextError):
            raise
        reason = f"{given[:40]!r}... cannot be a file ({getattr(error, 'strerror', error)})"
        raise TextError(f"{reason}: where it is the text itself, give it with -t") from error
    by_name = _sample_files(samples) if samples.is_dir() else {}
    if given in by_name:
        return source_at(by_name[given])
    names = sorted(by_name)
    hint = f"; the sample texts are {', '.join(names)}" if names else ""
    near = did_you_mean(given, names)
    itself = "" if near or is_text_file(given) or os.sep in given else "; where it is the text itself, give it with -t"
    shown = repr(given if len(given) <= _SHOWN else f"{given[:_SHOWN]}...")
    raise TextError(f"no text at {shown}: give a file, a folder, '-' for standard input{hint}{near}{itself}")


def _plain(name: str, data: bytes | bytearray, where: str) -> Text:
    text = decoded(data, where)
    if not text:
        raise TextError(f"{where} is empty: give at least one character to score")
    return literal(text, name=name)


def is_hidden(name: str) -> bool:
    """Return whether a name is that of a hidden file or folder, or of a lock or copy that a program has left there."""
    return name.startswith((".", "~")) or name == "__MACOSX"


def _folder(folder: Source) -> Text:
    files, hidden = _files_in(folder)
    if hidden:
        count = f"{len(hidden):,} hidden file{'s' * (len(hidden) > 1)}"
        warn(f"{count} of {str(folder)!r} {'are' if len(hidden) > 1 else 'is'} left out: {listed(hidden, 3)}")
    if not files:
        kinds = " or ".join(PLAIN_SUFFIXES)
        raise TextError(f"the folder {str(folder)!r} has no {kinds} file{' that is not hidden' * bool(hidden)}")
    ids = [content_name(name) for name, _ in files]
    if twice := [one for one, count in Counter(ids).items() if count > 1]:
        raise TextError(f"the folder {str(folder)!r} has {twice[0]!r} twice, compressed and as it is: keep one of them")
    size = sum(file.stored_bytes() or 0 for _, file in files)
    if len(files) > _MANY_FILES or size > MUCH:
        note(f"reading {len(files):,} files of {str(folder)!r}: {size / 1e6:,.0f} MB")
    passages = Gathering()
    with task(f"reading {folder.name or folder}", size, "bytes") as advance:
        for _, file in files:
            with file.open() as stream:
                passages.add(decoded(stream.read(), str(file)))
                advance(stream.reached())
    name = Path(folder.path).resolve().name if folder.files is None else folder.name
    return _corpus(passages, _ids(ids), name or "root")


def _files_in(folder: Source) -> tuple[list[tuple[str, Source]], list[str]]:
    """Return the text files below a folder in the order of their paths in it, and the paths of those that are hidden."""
    files, hidden = [], []
    with task(f"looking for texts in {folder}", None, "files") as advance:
        for below in _walked(folder.path) if folder.files is None else [folder.below()]:
            for name, file in below:
                place = PurePosixPath(name)
                is_file = file.files is not None or os.path.isfile(file.path)
                if not is_file or not content_name(name).lower().endswith(PLAIN_SUFFIXES):
                    continue
                if any(map(is_hidden, place.parts)):
                    hidden.append(name)
                else:
                    files.append((place, file))
            advance(len(below))
    return [(str(place), file) for place, file in sorted(files, key=lambda pair: pair[0])], sorted(hidden)


def _walked(root: str) -> Iterator[list[tuple[str, Source]]]:
    """Yield the files of each folder below one of this disk, by their paths in it."""
    for folder, _, names in os.walk(root, onerror=_refuse):
        paths = [Path(folder, name) for name in names]
        yield [(path.relative_to(root).as_posix(), Source(str(path), str(path))) for path in paths]


def _refuse(error: OSError) -> None:
    raise TextError(f"cannot read {str(error.filename)!r}: {error.strerror or error}") from error


def _table(source: Source, column: str, spans_column: str | None, *, skip_bad: bool) -> Text:
    passages, ids = Gathering(), Gathering()
    spans: list[tuple[Span, ...]] = []
    skipped: list[str] = []
    bad: dict[int, str] = {}
    collected = bad if skip_bad or spans_column is not None else None
    for where, row in rows_of(source, column, also=[spans_column] if spans_column else [], bad=collected):
        for name, option in ((column, "--column names the one with the text"), (spans_column, "--spans names the one")):
            if name is not None and name not in row and not bad:
                raise TextError(f"{where} has no column {name!r}: {_columns(name, list(row), option)}")
        try:
            if bad:
                raise TextError(bad.popitem()[1])
            passage = _passage_in(row[column], column, where)
            own = () if spans_column is None else checked_spans(_spans_in(row[spans_column], where), len(passage), where)
        except TextError as error:
            if not skip_bad and spans_column is not None:
                raise TextError(f"{error}; --skip-bad leaves such rows out") from error
            if not skip_bad:
                raise
            skipped.append(str(error))
            continue
        passages.add(passage)
        if spans_column is not None:
            spans.append(own)
        if row.get("id") is not None:
            _utf8(str(row["id"]), f"the name {str(row['id'])!r}")
            ids.add(str(row["id"]))
    if skipped and not passages.count:
        raise TextError(f"{str(source)!r} has no row that can be scored: {skipped[0]}")
    if skipped:
        warn(f"{len(skipped)} of {len(skipped) + passages.count} rows of {source.name} are left out: {'; '.join(skipped[:20])}")
    if not passages.count:
        raise TextError(f"{str(source)!r} is empty: it has no row")
    if ids.count not in (0, passages.count):
        raise TextError(f"{str(source)!r} names only {ids.count} of its {passages.count} passages in column 'id'")
    made = _corpus(passages, ids if ids.count else None, source.stem)
    return replace(made, spans=tuple(spans) if any(spans) else ())


def _passage_in(cell: object, column: str, where: str) -> str:
    if not isinstance(cell, str):
        kind = "nothing" if cell is None else type(cell).__name__
        raise TextError(f"{where} has {kind} in column {column!r}: a passage is a string")
    _utf8(cell, where)
    return cell


def _spans_in(cell: object, where: str) -> list[object]:
    """Return the list in a cell; in a CSV file it is written as JSON."""
    found = cell
    if isinstance(cell, str) and cell.strip():
        try:
            found = json.loads(cell)
        except ValueError as error:
            raise TextError(f"{where} has {cell[:80]!r} for spans, which is not JSON: {error}") from error
    if found is None or found == "" or (isinstance(found, float) and found != found):
        return []
    if not isinstance(found, list):
        raise TextError(f"{where} has {str(cell)[:80]!r} for spans: give a list, such as [['verb', 4, 9]]")
    return found


def _columns(column: str, names: list[str], option: str) -> str:
    """Return the end of a message about a missing column: which columns there are."""
    there = listed([repr(name[:40]) for name in names], 10)  # a file of another kind may have a page of text for a heading
    alike = [name for name in names if name.strip().casefold() == column.strip().casefold()]
    meant = f"; did you mean {alike[0]!r}?" if alike else did_you_mean(column, names)
    return f"it has {there or 'none'}; {option}{meant}"


def _utf8(passage: str, what: str) -> bytes:
    if not is_of(passage, str):
        raise TextError(f"{what} is a {type(passage).__name__}, not a string")
    try:
        return passage.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TextError(f"{what} has a lone surrogate at character {error.start}: it is no Unicode text") from error
