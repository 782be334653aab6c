"""`tokenviz items`, and `score` of continuations (`--continuation`) and of candidates (`--watch`)."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tokenviz.cli.shared import AsJson, Bos, Context, Stride, check_output, check_repeats, print_csv, print_json
from tokenviz.harness import options

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.base.display import Column
    from tokenviz.data.scores import BosMode
    from tokenviz.data.texts import Text
    from tokenviz.models.loading import LoadedModel
    from tokenviz.units.prompts import Prompts


# `tokenviz items`: turns a table of items into a tidy table with a model's numbers, without tracking.


def items_command(
    given: typer.Context,
    file: Annotated[
        str, typer.Argument(help="A .csv, .tsv, .jsonl or .parquet table, or a sample's name.", show_default=False)
    ],
    models: Annotated[
        list[str], typer.Option("--model", "-m", help="Model spec; may be repeated.", autocompletion=options.models)
    ],
    text: Annotated[str | None, typer.Option(help="The column that holds the text.")] = None,
    regions: Annotated[
        list[str] | None, typer.Option("--region", "-r", help="A column that holds a region; repeated, in their order.")
    ] = None,
    words: Annotated[str | None, typer.Option(help="The column that holds one word per row.")] = None,
    item: Annotated[str, typer.Option(help="The column that names the items.")] = "item",
    condition: Annotated[
        str | None, typer.Option(help="The column of conditions; by default condition, where there is one.", show_default=False)
    ] = None,
    join: Annotated[str, typer.Option(help="What stands between regions or words.")] = " ",
    by: Annotated[
        Literal["item", "region", "word", "token"] | None,
        typer.Option(
            help="What the rows are; by default regions or own words where there are such, else items.", show_default=False
        ),
    ] = None,
    previous: Annotated[int, typer.Option(min=0, max=3, help="For how many units before each the numbers are repeated.")] = 1,
    frequency: Annotated[
        str | None, typer.Option(help="A language of the package wordfreq, such as en, for word frequencies.")
    ] = None,
    bos: Bos = "auto",
    context: Context = None,
    stride: Stride = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out and list them.")] = False,
    as_json: AsJson = False,
    parquet: Annotated[Path | None, typer.Option(help="Write the table to this Parquet file instead of printing CSV.")] = None,
) -> None:
    """Score the items of a study, without tracking: every column of their table, and the models' numbers, one row per unit.

    Prints CSV for R and pandas. docs/studies.md goes from stimuli to a mixed model; 'tokenviz run items' keeps runs.
    """
    check_output(json=as_json, parquet=parquet is not None)
    import pandas as pd

    from tokenviz.base.disk import check_new
    from tokenviz.base.display import write_parquet
    from tokenviz.base.progress import shown
    from tokenviz.models.loading import load, resolve
    from tokenviz.scoring.scorer import score
    from tokenviz.units.items import read_items
    from tokenviz.units.sums import note_unscored
    from tokenviz.units.tidy import check_request, tidy_table

    if text is not None and not regions and words is None:
        options.refuse_unused(given, "--join stands between regions or words, and --text is a whole text", ["join"])
    if parquet is not None:
        check_new(parquet)
    with shown():
        study = read_items(
            file, text=text, regions=regions or [], words=words, item=item, condition=condition, join=join, skip_bad=skip_bad
        )
        rows = by or ("region" if any(study.units) else "item")
        check_request(study, by=rows, previous=previous, frequency=frequency)
        if rows == "item":
            options.refuse_unused(given, "rows by item have no units before them", ["previous"])
        resolved = [resolve(spec) for spec in models]
        check_repeats("model", [one.spec.label for one in resolved])
        frames = []
        for model in resolved:
            scores = score(load(model), study.text, bos=bos, context=context, stride=stride)
            frames.append(tidy_table(study, scores, by=rows, previous=previous, frequency=frequency))
        table = pd.concat(frames, ignore_index=True)
        note_unscored(table, study.text.name, rows)
    if parquet is not None:
        write_parquet(table, parquet)
    elif as_json:
        print_json({"items": study.text.name, "by": rows, "rows": plain_rows(table), "skipped": list(study.skipped)})
    else:
        print_csv([table])


def plain_rows(table: "pd.DataFrame") -> list[dict[str, object]]:
    """Return the rows of a table as plain values, None where one is missing."""
    import json

    rows: list[dict[str, object]] = json.loads(table.to_json(orient="records", double_precision=15, force_ascii=False))
    return rows


# `tokenviz score` for continuations of a prompt: the options, and the output.

Prompt = Annotated[
    str | None,
    typer.Option(help="What stands before; its continuations are scored given it.", show_default=False),
]
Continuations = Annotated[
    list[str] | None,
    typer.Option(
        "--continuation",
        help="What follows the prompt, with the space that it begins with; may be repeated.",
        show_default=False,
    ),
]
PromptColumn = Annotated[str, typer.Option(help="With --by continuation: the column of a table that holds the prompts.")]
ContinuationColumn = Annotated[
    str, typer.Option(help="With --by continuation: the column of the continuations; in JSONL and Parquet lists as well.")
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="With --by passage or continuation, --spans or --chat: leave bad rows out and list them."),
]


def prompts_given(
    files: list[str] | None, prompt: str | None, given: list[str] | None, columns: tuple[str, str], *, skip_bad: bool
) -> "list[Prompts]":
    """Read the prompts of the command line.

    Args:
        files: Paths of tables.
        prompt: A prompt.
        given: Continuations of the prompt.
        columns: The tables' columns of prompts and continuations.
        skip_bad: Whether to leave bad rows out.
    """
    from tokenviz.base.progress import shown
    from tokenviz.units.prompts import continuations, read_prompts

    if prompt is not None and files:
        raise typer.BadParameter("give tables of prompts, or --prompt with --continuation, not both")
    if (prompt is None) != (not given):
        raise typer.BadParameter("--prompt and --continuation belong together: give both")
    if prompt is not None:
        return [continuations(prompt, given or [])]
    if not files:
        raise typer.BadParameter("--by continuation needs tables of prompts, or --prompt and --continuation")
    with shown():
        return [read_prompts(file, prompt=columns[0], continuation=columns[1], skip_bad=skip_bad) for file in files]


def score_continuations(
    model: str,
    prompts: "list[Prompts]",
    *,
    bos: "BosMode",
    context: int | None,
    stride: int | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Score and print continuations."""
    import pandas as pd

    from tokenviz.base.progress import shown
    from tokenviz.models.loading import load_model
    from tokenviz.scoring.scorer import score
    from tokenviz.units.prompts import prompt_table
    from tokenviz.units.sums import note_unscored

    with shown():
        loaded = load_model(model)
        tables, spec = [], None
        for one in prompts:
            scores = score(loaded, one.text, bos=bos, context=context, stride=stride)
            tables.append(prompt_table(one, scores))
            note_unscored(tables[-1], one.text.name, "continuation")
            spec = scores.spec
    assert spec is not None
    if as_json:
        documents = [
            {"name": one.text.name, "rows": plain_rows(table), "skipped": list(one.skipped)}
            for one, table in zip(prompts, tables, strict=True)
        ]
        print_json({"model": asdict(spec), "prompts": documents})
    elif as_csv:
        print_csv(
            [table.assign(prompts=one.text.name) for one, table in zip(prompts, tables, strict=True)]
            if len(tables) > 1
            else tables
        )
    else:
        _print_continuations(pd.concat(tables, ignore_index=True), spec.model)


def _numbers(heading: str, values: "pd.Series[float]", rank: int) -> "Column":
    from tokenviz.base.display import Column, cell

    known = values.astype(object).where(values.notna(), float("nan"))
    return Column(heading, list(map(cell, known)), rank, right=True)


def _print_continuations(table: "pd.DataFrame", model: str) -> None:
    from tokenviz.base.display import KEPT, Column, print_fitted
    from tokenviz.base.terminal import results_console

    console = results_console()
    several = table["prompt"].nunique() > 1
    columns = [Column("prompt", list(map(repr, table["prompt"])), KEPT, folds=True)] * several
    columns.append(Column("continuation", list(map(repr, table["continuation"])), KEPT, folds=True))
    for name, heading, rank in (
        ("logprob", "log-prob (nats)", KEPT),
        ("mean_logprob", "per token", 1),
        ("logprob_per_byte", "per byte", 2),
        ("surprisal_bits", "surprisal (bits)", 3),
        ("n_tokens", "tokens", 4),
        ("crossings", "crossings", 5),
        ("rank_first", "rank of the first token", 6),
    ):
        columns.append(_numbers(heading, table[name], rank))
    title = f"log P(continuation | prompt) by {model}"
    keys = [] if several else [f"prompt: {table['prompt'].iat[0]!r}"]
    print_fitted(console, columns, title=title, keys=keys)
    crossings = int(table["crossings"].sum())
    if crossings:
        begin = "1 continuation begins" if crossings == 1 else f"{crossings} continuations begin"
        console.print(f"{begin} inside a token of the whole string, which belongs to the continuation.", soft_wrap=True)


# `tokenviz score --watch`: the options, and the output.

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

    from tokenviz.base.progress import shown
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
        _print_candidates(pd.concat(frames, ignore_index=True), model.label, several=len(texts) > 1)


def _print_candidates(table: "pd.DataFrame", model: str, *, several: bool) -> None:
    from tokenviz.base.display import KEPT, Column, print_fitted
    from tokenviz.base.terminal import results_console

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
        columns.append(_numbers(heading, shown[name], rank))
    print_fitted(console, columns, title=f"Candidates by {model}")
    if len(table) > len(shown):
        console.print(f"The first {len(shown)} of {len(table):,} rows; --csv and --json have all.", soft_wrap=True)
