"""`tokenviz report`: an interactive page of models and texts, without tracking."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Unpack

import typer

from tokenviz.base.errors import DiskError
from tokenviz.cli.shared import (
    Bos,
    Chat,
    Column,
    Context,
    Files,
    Limits,
    Literals,
    SkipBad,
    Spans,
    Stride,
    check_repeats,
    check_texts,
    read_chats,
    read_texts,
)
from tokenviz.harness import options

if TYPE_CHECKING:
    from tokenviz.comparing.readings import Windows
    from tokenviz.data.scores import TokenScores
    from tokenviz.data.texts import Text
    from tokenviz.figures.report.texts import Entry
    from tokenviz.models.loading import ResolvedModel
    from tokenviz.units.pairs import Pairs


def report_command(
    given: typer.Context,
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="Model spec: NAME[@REVISION][,OPTION=VALUE]...; give it once a model.",
            autocompletion=options.models,
        ),
    ],
    files: Files = None,
    text: Literals = None,
    column: Column = "text",
    spans: Spans = None,
    chat: Chat = False,
    skip_bad: SkipBad = False,
    bos: Bos = "auto",
    context: Context = None,
    stride: Stride = None,
    top_k: Annotated[int, typer.Option("--top-k", min=0, max=10, help="Likeliest tokens to show at every place.")] = 10,
    limits: Limits = None,
    by: Annotated[
        Literal["text", "passage", "item", "pair"] | None,
        typer.Option(
            help="What the list at the side holds: the texts, the passages of a text, the items of a table, or its minimal "
            "pairs. By default the passages of a folder, or the texts where several are given.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
) -> None:
    """Explore models' readings of a text, or of many, in one HTML file, without tracking.

    It shows each token coloured by a measure, with every model's predictions there, two models' scatter, and the places where
    they differ most. Several texts are in a list, sorted by their differences. The file needs no network and no other file.
    """
    from tokenviz.base.progress import shown
    from tokenviz.figures.report.page import checked_path, report_limits
    from tokenviz.models.loading import resolve

    if by in ("item", "pair"):
        options.refuse_unused(given, f"with --by {by} the table says what its parts are", ["column", "spans", "chat"])
    else:
        check_texts(given, files, text, spans, chat=chat, skip_bad=skip_bad)
    _refuse_others(checked_path(to))
    if chat:
        subject = _of_texts(read_chats(files, model, skip_bad=skip_bad), by)
    else:
        with shown():
            subject = _subject(files, text, column, by, spans=spans, skip_bad=skip_bad)
    if limits is not None:
        report_limits(limits)  # refuses bad limits before the work
    with shown():
        resolved = [resolve(spec) for spec in model]
        check_repeats("model", [one.spec.label for one in resolved])
        typer.echo(subject.save(resolved, to, limits, top_k, bos=bos, context=context, stride=stride))


_OURS = b'<meta name="generator" content="tokenviz">'


def _refuse_others(path: Path) -> None:
    """Refuse to replace a page that is no report, before the work; an earlier report is replaced."""
    if not path.exists():
        return
    with path.open("rb") as page:
        if _OURS not in page.read(4096):
            raise DiskError(f"{str(path)!r} is there already, and is no report: remove it, or choose another name with --to")


@dataclass(frozen=True)
class _Subject:
    """The content of a report.

    Attributes:
        texts: The texts to score.
        by: The kind of entry in the list; empty for the page of one text.
        pairs: Minimal pairs, if the list holds these.
    """

    texts: "list[Text]"
    by: str
    pairs: "Pairs | None" = None

    def save(self, models: "list[ResolvedModel]", to: Path, limits: str | None, top_k: int, **how: "Unpack[Windows]") -> Path:
        """Score the texts and write the page."""
        from tokenviz.figures.report.page import MOST_BYTES, save_report, save_texts_report, too_large
        from tokenviz.figures.report.texts import least_bytes
        from tokenviz.models.loading import load
        from tokenviz.scoring.scorer import score

        if self.by and least_bytes(self.texts, models=len(models), alternatives=top_k) > MOST_BYTES:
            raise too_large(sum(len(one.passages) for one in self.texts) if self.by != "text" else len(self.texts), len(models))
        tables = []
        for one in models:
            loaded = load(one)
            tables += [score(loaded, own, top_k=top_k, **how) for own in self.texts]
        if not self.by:
            return save_report(tables, to, limits=limits)
        if self.by in ("item", "pair") and limits is None:
            limits = "shared"  # sentences of one study are compared
        names = ", ".join(dict.fromkeys(table.spec.model for table in tables))
        title = f"{names} on {self._words()}"
        return save_texts_report(self._entries(tables), to, title=title, limits=limits)

    def _words(self) -> str:
        name = f"“{self.texts[0].name}”"
        noun = "chats" if self.texts[0].chat_template_sha256 else "passages"
        found = {"item": f"the items of {name}", "pair": f"the minimal pairs of {name}"}.get(self.by, f"the {noun} of {name}")
        return found if len(self.texts) == 1 else f"{len(self.texts)} texts"

    def _entries(self, tables: "list[TokenScores]") -> "list[Entry]":
        from tokenviz.figures.report.texts import pair_entries, passage_entries, text_entries
        from tokenviz.units.pairs import pair_table

        if self.pairs is not None:
            return pair_entries(tables, [pair_table(self.pairs, table) for table in tables], self.pairs.groups)
        if self.by == "text":
            return text_entries(tables)
        entries = []
        for own in self.texts:
            of_it = [table for table in tables if table.text_sha256 == own.sha256]
            noun = "chat" if own.chat_template_sha256 else "passage"
            names = own.passage_ids or [f"{noun} {number + 1}" for number in range(len(own.passages))]
            before = f"{own.name}: " if len(self.texts) > 1 else ""
            entries += passage_entries(of_it, [f"{before}{name}" for name in names])
        return entries


def _subject(
    files: list[str] | None, literals: list[str] | None, column: str, by: str | None, *, spans: str | None, skip_bad: bool
) -> _Subject:
    if by in ("item", "pair"):
        from tokenviz.units.items import read_items
        from tokenviz.units.pairs import read_pairs

        if literals or len(files or []) != 1:
            raise typer.BadParameter(f"--by {by} takes one table, and nothing else")
        [file] = files or []
        if by == "item":
            return _Subject([read_items(file, skip_bad=skip_bad).spanned], by)
        pairs = read_pairs(file, skip_bad=skip_bad)
        return _Subject([pairs.text], by, pairs)
    from tokenviz.data.texts import is_folder

    texts = read_texts(files, literals, column, spans, skip_bad=skip_bad)
    if by is None and len(texts) == 1 and files and is_folder(files[0]):
        by = "passage"
    return _of_texts(texts, by)


def _of_texts(texts: "list[Text]", by: str | None) -> _Subject:
    check_repeats("text", [one.name for one in texts], [one.sha256 for one in texts])
    if by is None and len(texts) == 1:
        by = "passage" if texts[0].chat_template_sha256 and len(texts[0].passages) > 1 else ""
    return _Subject(texts, "text" if by is None else by)
