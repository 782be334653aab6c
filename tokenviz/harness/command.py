"""Experiments as commands: options from the signature, results on stdout, everything else on stderr."""

import inspect
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenviz.comparing.estimate import rounded, rounded_interval
from tokenviz.controls import visible
from tokenviz.harness.completion import OF_ARGUMENTS
from tokenviz.harness.decorator import Experiment, OwnResult
from tokenviz.harness.kinds.comparison import COMPARISON_METRICS
from tokenviz.harness.links import chart_link, figure_link, runs_link
from tokenviz.harness.options import Command, strict
from tokenviz.harness.results import GridResult
from tokenviz.progress import shown
from tokenviz.scores import nan_to_none
from tokenviz.streams import takes_unicode
from tokenviz.tables import cell
from tokenviz.terminal import results_console
from tokenviz.tracking.store import server_uri

if TYPE_CHECKING:
    import pandas as pd

_FORCE = Annotated[bool, typer.Option("--force", help="Compute everything anew, also what is finished.")]
_LIMITS = Annotated[
    str | None,
    typer.Option(
        help="Of the colours of heatmaps that are drawn: two numbers such as -12,0 (log-probs); text (the least and the "
        "greatest value of the text); or a percentile such as p1 (from the 1st to the 99th). Finished runs keep their figures.",
        show_default=False,
    ),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def experiment_command(experiment: Experiment[..., Any]) -> Command:
    """The command of an experiment: one option an argument, and `--force` and `--json`."""

    def command(**arguments: Any) -> None:
        force, as_json, limits = arguments.pop("force"), arguments.pop("json"), arguments.pop("limits")
        drawn = experiment.with_limits(limits)
        with shown():
            result = (drawn.forced if force else drawn)(**arguments)
        print_result(result, as_json=as_json)

    options = [
        parameter.replace(
            annotation=Annotated[
                parameter.annotation,
                typer.Option(help=experiment.argument_help.get(name, ""), autocompletion=OF_ARGUMENTS.get(name)),
            ],
            kind=inspect.Parameter.KEYWORD_ONLY,
        )
        for name, parameter in experiment.signature.parameters.items()
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    options.append(inspect.Parameter("force", keyword, annotation=_FORCE, default=False))
    options.append(inspect.Parameter("json", keyword, annotation=_JSON, default=False))
    options.append(inspect.Parameter("limits", keyword, annotation=_LIMITS, default=None))
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # what inspect.signature reads
    command.__annotations__ = {option.name: option.annotation for option in options}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name=experiment.name, help=experiment.description)(command)
    return strict(typer.main.get_command(app))


def print_result(result: GridResult | OwnResult, *, as_json: bool) -> None:
    """The result's numbers on stdout; where to look next on stderr."""
    if as_json:
        values = result_json(result) if isinstance(result, GridResult) else result.to_json()
        sys.stdout.write(json.dumps(values, ensure_ascii=not takes_unicode(sys.stdout)) + "\n")
        return
    if not isinstance(result, GridResult):
        results_console().print(result.to_table())
        for line in result.guide():
            Console(stderr=True, soft_wrap=True, highlight=False).print(line, markup=False)
        return
    own = [_own_table(name, frame) for name, frame in result.tables.items()]
    for table in own or [_comparison_table(result) if result.comparisons else _score_table(result)]:
        results_console().print(table)
    guide = Console(stderr=True, soft_wrap=True, highlight=False)
    if result.waiting:
        total = len(result.scores) + len(result.comparisons) + len(result.measures) + len(result.items) + 1
        guide.print(
            f"{result.waiting} of {total} results wait in the outbox until the tracking server takes them: repeat the command, "
            "or 'tokenviz sync'",
            markup=False,
        )
        return
    folder = result.scores[0].runs.store.folder if result.scores else None
    if folder is not None:
        guide.print(f"Runs, tables and figures are kept in {folder}.", markup=False)
    guide.print("Look at it:" if server_uri() else "Look at it: run [bold]make ui[/bold] (or tokenviz ui), then open")
    guide.print(f"  the runs                          {runs_link(result)}", markup=False)
    if result.scores:
        one = "two models on one text           " if result.comparisons else "one text                         "
        guide.print(f"  {one} {figure_link(result)}", markup=False)
        guide.print(f"  all models on it, token by token  {chart_link(result)}", markup=False)
    guide.print("Next: tokenviz score --model smollm2-135m --text 'Your own sentence.'", markup=False)


def result_json(result: GridResult) -> dict[str, Any]:
    """The result as plain values; a number that is not determined is None."""
    return {
        "experiment": result.experiment,
        "experiment_id": result.experiment_id,
        "grid": result.grid,
        "summary_run_id": result.summary_run_id,
        "scores": [{"model": run.model, "text": run.text, "run_id": run.run_id, "reused": run.reused} for run in result.scores],
        "comparisons": [
            {
                "model_a": run.a.model,
                "model_b": run.b.model,
                "text": run.a.text,
                "by": run.by,
                "n": int(run.metrics["n"]),
            }
            | {name: nan_to_none(run.metrics.get(name)) for name in COMPARISON_METRICS}
            | {"run_id": run.run_id, "reused": run.reused}
            for run in result.comparisons
        ],
        "measures": [
            {"measure": run.name, "model": run.model, "text": run.text}
            | {name: nan_to_none(value) for name, value in run.metrics.items()}
            | {"run_id": run.run_id, "reused": run.reused}
            for run in result.measures
        ],
        "items": [
            {"model": run.model, "text": run.text}
            | {name: nan_to_none(value) for name, value in run.metrics.items()}
            | {"run_id": run.run_id, "reused": run.reused}
            for run in result.items
        ],
        "waiting": result.waiting,
        "tables": {name: _rows(frame) for name, frame in result.tables.items()},
    }


def _rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(name): nan_to_none(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _own_table(name: str, frame: "pd.DataFrame") -> Table:
    table = Table(title=_plain(name), title_justify="left")
    for heading in frame.columns:
        table.add_column(_plain(str(heading)), justify="right" if frame[heading].dtype.kind in "if" else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(_plain(cell(value)) for value in row))
    return table


def _plain(words: str) -> Text:
    """Names of somebody else's, in which nothing is markup or a terminal's command."""
    return Text(visible(words))


def _comparison_table(result: GridResult) -> Table:
    table = Table(title=f"{result.experiment}: log-probs of one text by two models", title_justify="left")
    for heading in ("a", "b", "text"):
        table.add_column(heading)
    for heading in ("n", "r", "95 % interval", "ρ", "concordance"):
        table.add_column(heading, justify="right")
    table.add_column("over")
    for run in result.comparisons:
        r, rho, concordance = (run.estimate(name) for name in ("pearson_r", "spearman_rho", "concordance"))
        numbers = (rounded(r), rounded_interval(r), rounded(rho), rounded(concordance))
        names = map(_plain, (run.a.model, run.b.model, run.a.text))
        table.add_row(*names, f"{run.metrics['n']:.0f}", *numbers, f"{run.by}s")
    return table


def _score_table(result: GridResult) -> Table:
    table = Table(title=f"{result.experiment}: log-probs in nats", title_justify="left")
    for heading in ("model", "text"):
        table.add_column(heading)
    for heading in ("tokens", "scored", "mean"):
        table.add_column(heading, justify="right")
    for run in result.scores:
        summary = run.scores.summary()
        table.add_row(
            _plain(run.model), _plain(run.text), str(summary.n_tokens), str(summary.n_scored), f"{summary.mean_logprob:.3f}"
        )
    return table
