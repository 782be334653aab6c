"""Runs as tables for the terminal."""

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tokenviz.base.characters import visible
from tokenviz.base.display import Column, cell, print_fitted, print_named
from tokenviz.base.terminal import results_console
from tokenviz.tracking.where import parse_where

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenviz.tracking.finding import FoundRun

_ID = 8  # digits of a run's id
_MODELS = ("model", "model_a", "model_b")
# The first that a run has is shown
_HEADLINES = (
    ("pearson_r", "r"),
    ("bits_per_byte", "bits per byte"),
    ("mean_logprob", "mean log-prob"),
    ("accuracy_by_sum", "accuracy"),
    ("mean_surprisal_bits", "mean surprisal (bits)"),
    ("mean_logprob_per_continuation", "log-prob per continuation"),
    ("gain_ols_on_means", "gain (nats)"),
    ("gain_mixed", "gain (nats)"),
)


def print_list(runs: "list[FoundRun]", where: str | None, descriptions: "Mapping[str, str]") -> None:
    """Print one line per run, with the fields that `where` names; models by number, explained above."""
    shown = {"kind", "model", "model_a", "model_b", "text", "experiment", "run_id", "started", *dict(_HEADLINES)}
    asked = sorted(parse_where(where).fields() - shown) if where else []
    models = [[str(run.row[name]) for name in _MODELS if run.row[name]] for run in runs]
    names = {name: descriptions.get(name, "") for own in models for name in own}
    states = ["" if run.status == "FINISHED" else f" ({run.status.lower()})" for run in runs]

    def build(shown: "Mapping[str, str]") -> list[Column]:
        return [
            Column("run", [run.run_id[:_ID] for run in runs]),
            Column("experiment", [run.experiment for run in runs], 3),
            Column("kind", [f"{run.row['kind']}{state}" for run, state in zip(runs, states, strict=True)], 1),
            Column("model", [" and ".join(shown[name] for name in own) for own in models]),
            Column("text", [str(run.row["text"]) for run in runs]),
            Column("started", [local_time(run) for run in runs], 2),
            Column("result", list(map(_headline, runs)), right=True),
            *(Column(name, [_value(run.row.get(name)) for run in runs], right=True) for name in asked),
        ]

    print_named(results_console(), names, build)


def _headline(run: "FoundRun") -> str:
    return next((f"{words} {cell(run.metrics[name])}" for name, words in _HEADLINES if name in run.metrics), "")


def pairs_table(title: str, values: dict[str, Any]) -> Table:
    """Return a table of names and values."""
    table = Table(title=_cell(title), title_justify="left", show_header=False)
    for name, value in values.items():
        table.add_row(_cell(name), _cell(_value(value)))
    return table


def print_side_by_side(runs: "list[FoundRun]", rows: dict[str, list[Any]], descriptions: "Mapping[str, str]") -> None:
    """Print one column per run, by number, and their difference where there are two."""
    columns = [Column("", list(rows))]
    columns += [
        Column(str(place + 1), [_value(values[place]) for values in rows.values()], right=True, folds=True)
        for place in range(len(runs))
    ]
    if len(runs) == 2:
        both = list(rows.values())
        numbers = [all(isinstance(value, float) for value in values) for values in both]
        shown = [_value(values[1] - values[0]) if known else "" for values, known in zip(both, numbers, strict=True)]
        columns.append(Column("2 − 1", shown, right=True))
    keys = [f"{place}: {run.run_id[:_ID]} {run.name}" for place, run in enumerate(runs, start=1)]
    keys += [f"{label} is {words}" for label, words in descriptions.items() if words != label]
    print_fitted(results_console(), columns, keys=keys)


def local_time(run: "FoundRun") -> str:
    """Return when a run was started, in local time."""
    return f"{run.started.astimezone():%Y-%m-%d %H:%M}"


def _value(value: object) -> str:
    return "–" if value is None else cell(value)


def _cell(text: str) -> Text:
    """Return a text from outside as plain text, without markup or terminal commands."""
    return Text(visible(text))
