"""What the commands that score have in common: the options, and the texts read from them."""

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
        help="Of the colours: two numbers such as -12,0; text (the least and the greatest value of the text); shared (of all "
        "texts); or a percentile such as p1 (from the 1st to the 99th).",
        show_default=False,
    ),
]
Stride = Annotated[int | None, typer.Option(help="Tokens from window to window; by default half the context.")]
WordPunctuation = Annotated[
    Literal["attached", "apart"],
    typer.Option("--punctuation", help="With --by word: whether punctuation belongs to the word that it touches."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def read_texts(files: list[str] | None, literals: list[str] | None, column: str, spans: str | None = None) -> "list[Text]":
    """The texts of the command line, files first."""
    from tokenviz.progress import shown
    from tokenviz.project import samples_folder
    from tokenviz.texts import literal, read_text

    if not files and not literals:
        raise typer.BadParameter("give at least one file, --text STRING, or - for standard input")
    with shown():
        texts = [read_text(file, column=column, samples=samples_folder(), spans=spans) for file in files or []]
    return texts + [literal(one) for one in literals or []]
