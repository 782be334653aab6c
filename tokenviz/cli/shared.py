"""Options, the texts read from them, and output for programs, which the scoring commands share."""

import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from tokenviz.base.errors import DiskError
from tokenviz.base.terminal import takes_unicode
from tokenviz.harness import options

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.data.texts import Text

    class _Table(Protocol):
        @property
        def text_name(self) -> str: ...

        def to_frame(self) -> pd.DataFrame: ...


# Options that the scoring commands share, and the texts read from them.

Files = Annotated[
    list[str] | None,
    typer.Argument(
        help="Files (also .gz and .zst), folders, addresses such as s3://BUCKET/FILE, sample names, or - for standard input.",
        show_default=False,
        autocompletion=options.texts,
    ),
]
Literals = Annotated[list[str] | None, typer.Option("--text", "-t", help="A text as it stands; may be repeated.")]
Column = Annotated[str, typer.Option(help="The column of a .jsonl, .csv or .parquet file that holds the texts.")]
Spans = Annotated[
    str | None,
    typer.Option(
        "--spans",
        help="The column of a table that holds each text's spans: lists of name, start and end, in characters.",
        show_default=False,
    ),
]
Chat = Annotated[
    bool,
    typer.Option(
        "--chat",
        help="The files are chats: .jsonl or .parquet tables with a column messages. The (first) model's own template writes "
        "them, and their roles are spans.",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Of tables of items, pairs or chats, or with --spans: leave bad rows out and list them."),
]
Bos = Annotated[
    str,
    typer.Option(
        metavar="auto|always|never|TOKEN",
        help="BOS before the text: what the tokenizer does by itself, always, never, or a token of the vocabulary by name, "
        "such as '<|endoftext|>'.",
    ),
]
Context = Annotated[int | None, typer.Option(help="Most tokens of a window; by default what the model can read.")]
Limits = Annotated[
    str | None,
    typer.Option(
        help="Limits of the colours: two numbers such as -12,0; text (the least and the greatest value of the text); shared "
        "(of all texts); or a percentile such as p1 (from the 1st to the 99th).",
        show_default=False,
    ),
]
Stride = Annotated[int | None, typer.Option(help="Tokens from window to window; by default half the context.")]
WordPunctuation = Annotated[
    Literal["attached", "apart"],
    typer.Option("--punctuation", help="With --by word: whether punctuation belongs to the word that it touches."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def check_texts(
    given: typer.Context, files: list[str] | None, literals: list[str] | None, spans: str | None, *, chat: bool, skip_bad: bool
) -> None:
    """Refuse options of texts that exclude each other or would have no effect, before the work."""
    from tokenviz.data.sources import TABLE_SUFFIXES, content_name

    if chat and (literals or spans or not files):
        raise typer.BadParameter("--chat takes .jsonl or .parquet files with messages, without --text and --spans")
    if skip_bad and not (chat or spans):
        raise typer.BadParameter("--skip-bad needs --spans or --chat: rows of other tables are refused")
    if chat:
        options.refuse_unused(given, "chats are in the column messages", ["column"])
    elif not any(content_name(file).lower().endswith(TABLE_SUFFIXES) for file in files or []):
        options.refuse_unused(given, "columns are of tables, and none is given", ["column"] if files else ["column", "spans"])


def check_output(**chosen: bool) -> None:
    """Refuse several forms of output, of which a command gives one.

    Args:
        chosen: Whether each option, named without its dashes, is given.
    """
    if sum(chosen.values()) > 1:
        *names, last = (f"--{name}" for name in chosen)
        raise typer.BadParameter(f"choose one of {', '.join(names)} and {last}")


def check_repeats(what: str, names: Sequence[str], keys: Sequence[str] | None = None) -> None:
    """Refuse what is given twice and would count twice.

    Args:
        what: The kind of thing.
        names: The names of all that is given.
        keys: What tells one from another; by default the names.
    """
    keys = names if keys is None else keys
    twice = next((name for number, name in enumerate(names) if keys[number] in keys[:number]), None)
    if twice is not None:
        raise typer.BadParameter(f"the {what} {twice!r} is given twice: give it once")


def read_chats(files: list[str] | None, models: list[str], *, skip_bad: bool) -> "list[Text]":
    """Return the chats of the command line, written by the first model's template."""
    from tokenviz.base.progress import note, shown
    from tokenviz.models.chat import chat_text

    with shown():
        texts = [chat_text(models[0], file, skip_bad=skip_bad) for file in files or []]
        if len(models) > 1:
            note(f"the chats are written by the template of {models[0]!r}, for all models")
    return texts


def read_texts(
    files: list[str] | None, literals: list[str] | None, column: str, spans: str | None = None, *, skip_bad: bool = False
) -> "list[Text]":
    """Return the texts of the command line, files first."""
    from tokenviz.base.disk import samples_folder
    from tokenviz.base.progress import shown
    from tokenviz.data.texts import literal, read_text

    if not files and not literals:
        raise typer.BadParameter("give at least one file, --text STRING, or - for standard input")
    with shown():
        texts = [
            read_text(file, column=column, samples=samples_folder(), spans=spans, skip_bad=skip_bad) for file in files or []
        ]
    return texts + [literal(one) for one in literals or []]


# The output of the scoring commands for programs: one JSON object, or one CSV table.


def print_json(document: Mapping[str, Any]) -> None:
    """Print one object on one line; missing values are null, and characters that the encoding lacks are JSON escapes."""
    # json.dump writes piece by piece, in pure Python: three times as slow.
    sys.stdout.write(json.dumps(document, ensure_ascii=not takes_unicode(sys.stdout), allow_nan=False) + "\n")


def print_csv(frames: "Iterable[pd.DataFrame]") -> None:
    """Print tables with the same columns, one after the other.

    Raises:
        DiskError: The output's encoding lacks a character, for which CSV has no escape.
    """
    from tokenviz.base.display import write_csv

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
