"""`tokenviz score --watch`: the options, and the output."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tokenviz.cli.items import plain_rows
from tokenviz.cli.outputs import print_csv, print_json

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.models.loading import LoadedModel
    from tokenviz.scores import BosMode
    from tokenviz.texts import Text

Watch = Annotated[
    list[str] | None,
    typer.Option(
        help="A string whose log-prob and rank are printed at every position, such as ' Yes'; may be repeated.",
        show_default=False,
    ),
]
WatchAt = Annotated[
    Literal["every", "end"], typer.Option(help="With --watch: at every position, or at the end of each passage alone.")
]

_SHOWN = 40  # rows in a terminal


def print_watched(
    model: "LoadedModel",
    texts: "list[Text]",
    candidates: list[str],
    at: Literal["every", "end"],
    *,
    bos: "BosMode",
    context: int | None,
    stride: int | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print a model's probabilities of candidates."""
    import pandas as pd

    from tokenviz.progress import shown
    from tokenviz.scoring.watching import watch

    frames = []
    with shown():
        for text in texts:
            watched = watch(model, text, candidates, at=at, bos=bos, context=context, stride=stride)
            frame = watched.to_frame()
            if text.passage_ids:
                frame.insert(0, "id", [text.passage_ids[passage] for passage in frame["passage"]])
            frame.insert(0, "text", text.name)
            frames.append(frame)
    if as_json:
        documents = [
            {"name": text.name, "sha256": text.sha256, "watched": plain_rows(frame.drop(columns="text"))}
            for text, frame in zip(texts, frames, strict=True)
        ]
        print_json({"model": model.label, "at": at, "texts": documents})
    elif as_csv:
        print_csv(frames)
    else:
        _print(pd.concat(frames, ignore_index=True), model.label, several=len(texts) > 1)


def _print(table: "pd.DataFrame", model: str, *, several: bool) -> None:
    from tokenviz.fitting import KEPT, Column, print_fitted
    from tokenviz.tables import cell
    from tokenviz.terminal import results_console

    console, shown = results_console(), table[:_SHOWN]
    columns = [Column("text", list(shown["text"]), KEPT, folds=True)] * several
    if table["passage"].nunique() > 1:
        columns.append(Column("passage", list(map(str, shown["passage"])), KEPT, right=True))
    columns += [
        Column("position", list(map(str, shown["position"])), KEPT, right=True),
        Column("token there", [repr(one) if one else "(end)" for one in shown["token"]], 1, folds=True),
        Column("candidate", list(map(repr, shown["candidate"])), KEPT, folds=True),
        Column("tokens", list(map(str, shown["n_candidate_tokens"])), 3, right=True),
    ]
    for name, heading, rank in (
        ("first_logprob", "log-prob of its first token (nats)", KEPT),
        ("first_rank", "rank", KEPT),
        ("whole_logprob", "log-prob of the whole (nats)", 2),
    ):
        values = shown[name].astype(object).where(shown[name].notna(), float("nan"))
        columns.append(Column(heading, [cell(value) for value in values], rank, right=True))
    print_fitted(console, columns, title=f"Candidates by {model}")
    if len(table) > len(shown):
        console.print(f"The first {len(shown)} of {len(table):,} rows; --csv and --json have all.", soft_wrap=True)
