"""Options that the scoring commands share, and the texts read from them."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tokenviz.harness import completion

if TYPE_CHECKING:
    from tokenviz.texts import Text

Files = Annotated[
    list[str] | None,
    typer.Argument(
        help="Files, folders, sample names, or - for standard input.", show_default=False, autocompletion=completion.texts
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


def check_chat(files: list[str] | None, literals: list[str] | None, spans: str | None, *, chat: bool, skip_bad: bool) -> None:
    """Refuse options that exclude each other, before the work."""
    if chat and (literals or spans or not files):
        raise typer.BadParameter("--chat takes .jsonl or .parquet files with messages, without --text and --spans")
    if skip_bad and not (chat or spans):
        raise typer.BadParameter("--skip-bad needs --spans or --chat: rows of other tables are refused")


def read_chats(files: list[str] | None, models: list[str], *, skip_bad: bool) -> "list[Text]":
    """Return the chats of the command line, written by the first model's template."""
    from tokenviz.models.chat import chat_text
    from tokenviz.progress import note, shown

    with shown():
        texts = [chat_text(models[0], file, skip_bad=skip_bad) for file in files or []]
        if len(models) > 1:
            note(f"the chats are written by the template of {models[0]!r}, for all models")
    return texts


def read_texts(
    files: list[str] | None, literals: list[str] | None, column: str, spans: str | None = None, *, skip_bad: bool = False
) -> "list[Text]":
    """Return the texts of the command line, files first."""
    from tokenviz.progress import shown
    from tokenviz.project import samples_folder
    from tokenviz.texts import literal, read_text

    if not files and not literals:
        raise typer.BadParameter("give at least one file, --text STRING, or - for standard input")
    with shown():
        texts = [
            read_text(file, column=column, samples=samples_folder(), spans=spans, skip_bad=skip_bad) for file in files or []
        ]
    return texts + [literal(one) for one in literals or []]
