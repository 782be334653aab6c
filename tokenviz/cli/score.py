"""`tokenviz score`: texts in, scores out, nothing tracked."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tokenviz.scores import ScoreSummary, TokenScores
    from tokenviz.texts import Text


def score_command(
    model: Annotated[str, typer.Option("--model", "-m", help="Model spec: NAME[@REVISION][,OPTION=VALUE]...")],
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, sample names, or - for standard input.", show_default=False),
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", "-t", help="A text as it stands; may be repeated.")] = None,
    column: Annotated[str, typer.Option(help="The column of a .jsonl, .csv or .parquet file that holds the texts.")] = "text",
    bos: Annotated[
        Literal["auto", "always", "never"],
        typer.Option(help="BOS before the text: what the tokenizer does by itself, always, or never."),
    ] = "auto",
    context: Annotated[int | None, typer.Option(help="Most tokens of a window; by default what the model can read.")] = None,
    stride: Annotated[int | None, typer.Option(help="Tokens from window to window; by default half the context.")] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, help="Alternatives to print for every position, with --json.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one CSV row a token.")] = False,
    parquet: Annotated[
        Path | None,
        typer.Option(
            help="Write the token table of one text to this file while it is computed, of texts beyond memory as well."
        ),
    ] = None,
) -> None:
    """Score texts token by token, without tracking.

    In a terminal: the text coloured by log-prob and a small table. Numbers are natural logarithms (nats).
    """
    if as_json + as_csv + (parquet is not None) > 1:
        raise typer.BadParameter("choose one of --json, --csv and --parquet")
    if top_k and not as_json and parquet is None:
        raise typer.BadParameter("--top-k needs --json or --parquet: neither the text nor the CSV has room for alternatives")
    texts = _read(files or [], text or [], column)
    if parquet is not None and len(texts) > 1:
        raise typer.BadParameter(f"--parquet takes one text, and {len(texts)} were given: one file holds one table")
    from tokenviz.models.loading import load_model
    from tokenviz.progress import shown
    from tokenviz.scoring.scorer import score
    from tokenviz.scoring.streaming import score_to_file

    with shown():
        loaded = load_model(model)
        if parquet is not None:
            summary = score_to_file(loaded, texts[0], parquet, bos=bos, context=context, stride=stride, top_k=top_k or 0)
            _print_overview([(texts[0].name, summary)])
            return
        tables = [score(loaded, one, bos=bos, context=context, stride=stride, top_k=top_k or 0) for one in texts]
    if as_json:
        _print_json(tables, texts)
    elif as_csv:
        _print_csv(tables)
    else:
        _print_text(tables)


def _read(files: list[str], literals: list[str], column: str) -> "list[Text]":
    from tokenviz.project import samples_folder
    from tokenviz.texts import literal, read_text

    if not files and not literals:
        raise typer.BadParameter("give at least one file, --text STRING, or - for standard input")
    texts = [read_text(file, column=column, samples=samples_folder()) for file in files]
    return texts + [literal(one) for one in literals]


def _print_json(tables: "list[TokenScores]", texts: "list[Text]") -> None:
    entries = []
    for table, text in zip(tables, texts, strict=True):
        ids = {"passage_ids": list(text.passage_ids)} if text.passage_ids else {}
        entries.append(table.to_json() | ids)
    document = {"model": asdict(tables[0].spec), "texts": entries}
    json.dump(document, sys.stdout, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def _print_csv(tables: "list[TokenScores]") -> None:
    from tokenviz.tables import write_csv

    for number, table in enumerate(tables):
        frame = table.to_frame()
        frame.insert(0, "text", table.text_name)
        write_csv(frame, sys.stdout, header=number == 0)


def _print_text(tables: "list[TokenScores]") -> None:
    from tokenviz.figures.colours import shared_scale
    from tokenviz.figures.terminal import heatmap_text, legend_text
    from tokenviz.terminal import results_console

    console = results_console()
    scale = shared_scale(tables)
    for table in tables:
        console.print(heatmap_text(table, scale=scale))
        console.print()
    if console.is_terminal:
        console.print(legend_text(scale))
    _print_overview([(table.text_name, table.summary()) for table in tables])


def _print_overview(summaries: "list[tuple[str, ScoreSummary]]") -> None:
    from rich.table import Table

    from tokenviz.controls import visible
    from tokenviz.terminal import results_console

    overview = Table()
    overview.add_column("text")
    for heading in ("tokens", "scored", "mean log-prob (nats)", "perplexity per token", "bits per byte"):
        overview.add_column(heading, justify="right")
    for name, summary in summaries:
        numbers = (summary.mean_logprob, summary.perplexity_per_token, summary.bits_per_byte)
        overview.add_row(
            visible(name), str(summary.n_tokens), str(summary.n_scored),
            *("–" if value != value else f"{value:.3f}" for value in numbers),
        )  # fmt: skip
    results_console().print(overview)
