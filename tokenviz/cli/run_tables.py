"""Runs as tables for the terminal."""

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tokenviz.controls import visible
from tokenviz.tables import cell
from tokenviz.tracking.where import parse_where

if TYPE_CHECKING:
    from tokenviz.tracking.finding import FoundRun

_ID = 8  # digits
_HEADLINES = (("pearson_r", "r"), ("bits_per_byte", "bits per byte"), ("mean_logprob", "mean log-prob"))  # the first it has


def list_table(runs: "list[FoundRun]", where: str | None) -> Table:
    """A line a run, with the fields that `where` asks for."""
    table = Table()
    for heading in ("run", "experiment", "kind", "model", "text", "started"):
        table.add_column(heading, overflow="fold")
    table.add_column("result", justify="right")
    shown = {"kind", "model", "model_a", "model_b", "text", "experiment", "run_id", "started", *dict(_HEADLINES)}
    asked = sorted(parse_where(where).fields() - shown) if where else []
    for name in asked:
        table.add_column(_cell(name), justify="right")
    for run in runs:
        row = run.row
        models = [str(row[name]) for name in ("model", "model_a", "model_b") if row[name]]
        status = "" if run.status == "FINISHED" else f" ({run.status.lower()})"
        cells = [run.run_id[:_ID], run.experiment, f"{row['kind']}{status}", " and ".join(models), str(row["text"])]
        headline = next((f"{words} {cell(run.metrics[name])}" for name, words in _HEADLINES if name in run.metrics), "")
        table.add_row(*map(_cell, [*cells, local_time(run), headline, *(_value(row.get(name)) for name in asked)]))
    return table


def pairs_table(title: str, values: dict[str, Any]) -> Table:
    """Names and values."""
    table = Table(title=_cell(title), title_justify="left", show_header=False)
    for name, value in values.items():
        table.add_row(_cell(name), _cell(_value(value)))
    return table


def side_by_side(runs: "list[FoundRun]", rows: dict[str, list[Any]]) -> Table:
    """A column a run, and their difference where there are two."""
    table = Table()
    table.add_column("")
    for run in runs:
        table.add_column(_cell(f"{run.run_id[:_ID]}\n{run.name}"), justify="right", overflow="fold")
    two = len(runs) == 2
    if two:
        table.add_column("second − first", justify="right")
    for name, values in rows.items():
        numbers = two and all(isinstance(value, float) for value in values)
        difference = [_value(values[1] - values[0]) if numbers else ""] * two
        table.add_row(*map(_cell, [name, *map(_value, values), *difference]))
    return table


def local_time(run: "FoundRun") -> str:
    """When a run was started, by the clock on the wall."""
    return f"{run.started.astimezone():%Y-%m-%d %H:%M}"


def _value(value: object) -> str:
    return "–" if value is None else cell(value)


def _cell(text: str) -> Text:
    """Text of somebody else's, in which nothing is markup or a terminal's command."""
    return Text(visible(text))
