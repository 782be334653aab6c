"""The output of the scoring commands for programs: one JSON object, or one CSV table."""

import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tokenviz.errors import DiskError
from tokenviz.streams import takes_unicode

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.texts import Text

    class _Table(Protocol):
        @property
        def text_name(self) -> str: ...

        def to_frame(self) -> pd.DataFrame: ...


def print_json(document: Mapping[str, Any]) -> None:
    """Print one object on one line; missing values are null, and characters that the encoding lacks are JSON escapes."""
    # json.dump writes piece by piece, in pure Python: three times as slow.
    sys.stdout.write(json.dumps(document, ensure_ascii=not takes_unicode(sys.stdout), allow_nan=False) + "\n")


def print_csv(frames: "Iterable[pd.DataFrame]") -> None:
    """Print tables with the same columns, one after the other.

    Raises:
        DiskError: The output's encoding lacks a character, for which CSV has no escape.
    """
    from tokenviz.tables import write_csv

    held = None if takes_unicode(sys.stdout) else io.StringIO()
    for number, frame in enumerate(frames):
        write_csv(frame, held or sys.stdout, header=number == 0)
    if held is not None:
        _print_encoded(held.getvalue())


def named_frames(tables: "Iterable[_Table]", texts: "Sequence[Text]", heading: str) -> "Iterator[pd.DataFrame]":
    """Yield tables for CSV, each with its text's name in the first column and, if a text has ids, its passages' ids.

    Args:
        tables: One table per text, with a column `passage`.
        texts: The texts, in the same order.
        heading: Heading of the column with the text's name.
    """
    identified = any(text.passage_ids for text in texts)
    for table, text in zip(tables, texts, strict=True):
        frame = table.to_frame()
        frame.insert(0, heading, table.text_name)
        if identified:
            frame.insert(1, "id", [text.passage_ids[passage] if text.passage_ids else None for passage in frame["passage"]])
        yield frame


def _print_encoded(text: str) -> None:
    encoding = sys.stdout.encoding
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        raise DiskError(
            f"standard output is set to {encoding}, which has no {text[error.start]!r}: set PYTHONIOENCODING=utf-8, or take "
            "--json, which has escapes for it"
        ) from error
    sys.stdout.write(text)
