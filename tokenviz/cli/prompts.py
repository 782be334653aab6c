"""`tokenviz score` for continuations of a prompt: the options, and the output."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tokenviz.cli.items import plain_rows
from tokenviz.cli.outputs import print_csv, print_json

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.scores import BosMode
    from tokenviz.units.prompts import Prompts

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
    from tokenviz.progress import shown
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

    from tokenviz.models.loading import load_model
    from tokenviz.progress import shown
    from tokenviz.scoring.scorer import score
    from tokenviz.units.prompts import note_unscored, prompt_table

    with shown():
        loaded = load_model(model)
        tables, spec = [], None
        for one in prompts:
            scores = score(loaded, one.text, bos=bos, context=context, stride=stride)
            tables.append(prompt_table(one, scores))
            note_unscored(tables[-1], one.text.name)
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
        _print(pd.concat(tables, ignore_index=True), spec.model)


def _print(table: "pd.DataFrame", model: str) -> None:
    from tokenviz.fitting import KEPT, Column, print_fitted
    from tokenviz.tables import cell
    from tokenviz.terminal import results_console

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
        columns.append(
            Column(
                heading,
                [cell(value) for value in table[name].astype(object).where(table[name].notna(), float("nan"))],
                rank,
                right=True,
            )
        )
    title = f"log P(continuation | prompt) by {model}"
    keys = [] if several else [f"prompt: {table['prompt'].iat[0]!r}"]
    print_fitted(console, columns, title=title, keys=keys)
    crossings = int(table["crossings"].sum())
    if crossings:
        begin = "1 continuation begins" if crossings == 1 else f"{crossings} continuations begin"
        console.print(f"{begin} inside a token of the whole string, which belongs to the continuation.", soft_wrap=True)
