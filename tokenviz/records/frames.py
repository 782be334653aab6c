"""Runs and their tables as tidy pandas data frames."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tokenviz.errors import StoreError
from tokenviz.progress import task
from tokenviz.records.run import RecordedRun, StoredRun
from tokenviz.records.tables import read_scores
from tokenviz.tracking.finding import HEAD, FoundRun, find_runs
from tokenviz.tracking.store import open_for_reading

if TYPE_CHECKING:
    import pandas as pd


def load_runs(experiment: str | None = None, *, where: str | None = None) -> "pd.DataFrame":
    """Load finished runs as a pandas data frame, one row per run, newest first.

    The columns are `experiment`, `run_id`, `name`, `kind` ("score", "comparison", "summary" or a measure), `model` or `model_a`
    and `model_b`, `text`, `status`, `started` (UTC), `seconds`, then the metrics and the parameters by their names; NaN where a
    run has none.

    Args:
        experiment: Name of the MLflow experiment; by default all experiments.
        where: Conditions such as "kind=comparison and r<0.9", in the syntax of `tokenviz.tracking.where`; by default none.

    Returns:
        The data frame; it is empty where no run meets the conditions.

    Raises:
        StoreError: The store cannot be read, or `where` is not understood.

    Example:
        >>> runs = tv.load_runs("precisions", where="kind=score and n_scored>5")  # of the example of `Grid`
        >>> runs[["model", "text", "n_scored"]].sort_values("model", ignore_index=True)
                             model   text  n_scored
        0                 glass-en  alice       9.0
        1  glass-en,dtype=bfloat16  alice       9.0
    """
    return runs_frame(find_runs(experiment, where=where))


def runs_frame(runs: Sequence[FoundRun]) -> "pd.DataFrame":
    """Return runs as a data frame, as `load_runs` does."""
    import pandas as pd

    rows = [run.row for run in runs]
    names = dict.fromkeys([*HEAD, *(name for row in rows for name in row)])
    return pd.DataFrame(rows, columns=list(names))


def load_tokens(experiment: str | None = None, *, where: str | None = None) -> "pd.DataFrame":
    """Load the token tables of finished score runs as one pandas data frame, one row per token.

    The columns are `run_id`, `model`, `text`, then those of `TokenScores.to_frame` without the alternatives, which
    `load_scores` has.

    Args:
        experiment: Name of the MLflow experiment; by default all experiments.
        where: Conditions, in the syntax of `tokenviz.tracking.where`; by default none.

    Returns:
        The data frame, newest runs first; log-probs and entropies in nats, NaN where a token has no prediction.

    Raises:
        StoreError: The store cannot be read, or `where` cannot be parsed; or there is no such score run, or a table is missing
            or damaged.

    Example:
        >>> tokens = tv.load_tokens("precisions")  # of the example of `Grid`
        >>> tokens.groupby("model")["logprob"].mean().round(2)
        model
        glass-en                  -...
        glass-en,dtype=bfloat16   -...
        Name: logprob, dtype: float64
    """
    return _joined(experiment, where, "score", ("model", "text"), lambda run: read_scores(run).to_frame(alternatives=False))


def load_units(experiment: str | None = None, *, where: str | None = None) -> "pd.DataFrame":
    """Load the aligned tables of finished comparison runs as one pandas data frame, one row per unit.

    The columns are `run_id`, `model_a`, `model_b`, `text`, then those of `Comparison.to_frame`; the slice of the text is
    `unit`.

    Args:
        experiment: Name of the MLflow experiment; by default all experiments.
        where: Conditions, in the syntax of `tokenviz.tracking.where`; by default none.

    Raises:
        StoreError: The store cannot be read, or `where` cannot be parsed; or there is no such comparison run, or a table is
            missing or damaged.
    """
    names = ("model_a", "model_b", "text")
    return _joined(experiment, where, "comparison", names, lambda run: run.frame("units").rename(columns={"text": "unit"}))


def _joined(
    experiment: str | None,
    where: str | None,
    kind: str,
    names: Sequence[str],
    read: "Callable[[RecordedRun], pd.DataFrame]",
) -> "pd.DataFrame":
    import pandas as pd

    store = open_for_reading()
    runs = [run for run in find_runs(experiment, where=where, store=store) if run.tags.get("kind") == kind]
    if not runs:
        raise StoreError(f"no {kind} run is meant: tokenviz runs lists what there is")
    frames = []
    with task(f"reading {kind} runs", len(runs), "tables") as advance:
        for run in runs:
            frame = read(StoredRun.of(run, store))
            for place, name in enumerate(("run_id", *names)):
                frame.insert(place, name, str(run.row[name]))
            frames.append(frame)
            advance(1)
    return pd.concat(frames, ignore_index=True)
