"""Reading files of dumps: JSON Lines with one row per line, or one JSON document, an object or a list of them."""

import json
from collections.abc import Iterator
from pathlib import Path

from tokenviz.errors import TextError, did_you_mean
from tokenviz.project import samples_folder
from tokenviz.rows import decoded, say_much

SUFFIXES = (".jsonl", ".ndjson", ".json")


def find_dump(source: str | Path) -> Path:
    """Return the file of a dump: a path, or the name of a sample in experiments/dumps.

    Raises:
        TextError: There is no such file.
    """
    path, samples = Path(source), samples_folder("dumps")
    if path.suffix or path.exists() or not samples.is_dir():
        return path
    by_name = {file.stem: file for file in samples.iterdir() if file.suffix in SUFFIXES}
    if str(source) not in by_name:
        names = ", ".join(sorted(by_name))
        raise TextError(f"no dump at {str(source)!r}: give a file, or a sample: {names}{did_you_mean(str(source), by_name)}")
    return by_name[str(source)]


def rows_of_dump(path: Path) -> Iterator[tuple[str, object]]:
    """Read the rows of a dump.

    Args:
        path: A file with one of `SUFFIXES`. A line of JSON Lines that is not JSON is one error, and the other lines are read.

    Yields:
        The place of a row, for messages, and the row, or the `TextError` about it.

    Raises:
        TextError: The file is missing, of another kind, empty, or not UTF-8; or a JSON document that cannot be read.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise TextError(f"cannot read {str(path)!r} as a dump: a file ends in {', '.join(SUFFIXES)}")
    try:
        say_much(repr(str(path)), path.stat().st_size)
        text = decoded(path.read_bytes(), str(path)).removeprefix("\ufeff")
    except OSError as error:
        if isinstance(error, TextError):
            raise
        raise TextError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if not text.strip():
        raise TextError(f"{str(path)!r} is empty: it has no row")
    if path.suffix.lower() == ".json":
        document = _parsed(text, repr(str(path)))
        if isinstance(document, TextError):
            raise document
        rows = document if isinstance(document, list) else [document]
        yield from ((f"row {number} of {str(path)!r}", row) for number, row in enumerate(rows, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):  # only "\n" ends a line: "\r" and U+2028 may occur in JSON
        if line.strip():
            where = f"line {number} of {str(path)!r}"
            yield where, _parsed(line, where)


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if "\n" not in text else f"line {error.lineno}"
        return TextError(f"{where} is not JSON: {error.msg} at {place}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; deeply nested brackets
        return TextError(f"{where} cannot be read: {error}")
