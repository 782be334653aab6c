"""Recorded runs loaded again: one (`load_scores`, `load_comparison`), many of a store, and tidy frames of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokenviz.base.errors import StoreError
from tokenviz.base.progress import task
from tokenviz.data.scores import TokenScores
from tokenviz.records.run import BY_PARTS, RecordedRun, StoredRun, WaitingRun
from tokenviz.records.tables import read_comparison, read_sample, read_scores
from tokenviz.tracking.finding import HEAD, FoundRun, find_run, find_runs, is_reference
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import Store, open_for_reading, open_store, server_uri

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.comparing.comparison import Comparison


# `load_scores` and `load_comparison`: one run of the tracking store, by its id, its name or its row.

_MOST_NAMED = 4


def load_scores(run: Any) -> "TokenScores":
    """Read the scores of a score run from the tracking store; no model is loaded.

    The table is compared with the recorded checksum and numbers, and refused if it has changed.

    Args:
        run: The run: the first digits of its id or fingerprint (at least four), its name, a row of `load_runs`, or a run of a
            `GridResult`. Results that wait in the outbox are found by fingerprint and name.

    Returns:
        The scores, equal to what `score` returned.

    Raises:
        StoreError: There is no such run or more than one, it is not a score run, or its table is missing or damaged.

    Example:
        >>> runs = tv.load_runs("precisions", where="kind=score and model=glass-en")  # of the example of `Grid`
        >>> scores = tv.load_scores(runs.iloc[0])  # or tv.load_scores("alice · glass-en"), or how the run's id begins
        >>> scores.text_name, len(scores), scores.spec.model
        ('alice', 10, 'glass-en')
    """
    return read_scores(recorded_run(run))


def load_comparison(run: Any) -> "Comparison":
    """Read the comparison of a comparison run from the tracking store; no model is loaded.

    It has the units and numbers that were recorded; nothing is computed again. Tables are compared with the recorded checksums
    and numbers, and refused if they have changed.

    Args:
        run: The run: the first digits of its id or fingerprint (at least four), its name, a row of `load_runs`, or a run of a
            `GridResult`.

    Returns:
        The comparison, equal to what `compare` returned.

    Raises:
        StoreError: There is no such run or more than one, it is not a comparison, or a table of it or of its two score runs is
            missing or damaged.

    Example:
        >>> runs = tv.load_runs("precisions", where="kind=comparison")  # of the example of `Grid`
        >>> comparison = tv.load_comparison(runs.iloc[0])
        >>> comparison.models, comparison.n, bool(comparison.pearson_r.value == runs["pearson_r"].item())
        (('glass-en', 'glass-en,dtype=bfloat16'), 9, True)
    """
    return read_comparison(recorded_run(run))


def recorded_run(run: Any) -> RecordedRun:
    """Find a run by any of the references that `load_scores` accepts.

    Raises:
        StoreError: There is no such run, or more than one.
    """
    recorded = getattr(run, "recorded", None)
    if isinstance(recorded, RecordedRun):
        return recorded
    reference = run if isinstance(run, str) else run.get("run_id") if isinstance(run, Mapping) else getattr(run, "run_id", None)
    if not isinstance(reference, str) or not reference:
        raise StoreError(
            f"a {type(run).__name__} names no run: give the id of one, its name, or one row of load_runs, such as runs.iloc[0]"
        )
    store = open_store() if server_uri() else open_for_reading()  # a server may not answer: results that wait for it are here
    waiting = _waiting(reference, store)
    if waiting is not None and store.silent:
        return waiting
    if store.silent:
        raise StoreError(
            f"the tracking server {store.name!r} does not answer ({store.silent}), and no {reference!r} waits for it"
        )
    try:
        if is_reference(reference):
            return StoredRun.of(find_run(reference, store), store)
    except StoreError:
        if waiting is None:
            raise
        return waiting
    named = [found for found in find_runs(store=store) if found.name == reference]
    if len(named) > 1:
        ids = ", ".join(found.run_id for found in named[:_MOST_NAMED]) + ", ..." * (len(named) > _MOST_NAMED)
        raise StoreError(f"{len(named)} runs have the name {reference!r}: give the id of one: {ids}")
    if named:
        return StoredRun.of(named[0], store)
    if waiting is not None:
        return waiting
    raise StoreError(f"no run has the id or the name {reference!r}: 'tokenviz runs' and tv.load_runs() list what there is")


def _waiting(reference: str, store: Store) -> RecordedRun | None:
    """Return results that wait in the outbox, by the beginning of their fingerprint or by their name; None for none."""
    for record in Runs(store, "", "").outbox.records():
        if record.name == reference or (is_reference(reference) and record.fingerprint.startswith(reference)):
            runs = Runs(store, record.experiment, "")
            staged = runs.outbox.staged(record.experiment, record.fingerprint)
            return WaitingRun.of(staged, runs) if staged is not None else None
    return None


# Reading the tables of many runs of one store; tables that several runs share are read once.


class Reader:
    """Reads runs of a store. Token tables stay in memory until `let_go`; reading text by text needs least memory."""

    def __init__(self, store: Store) -> None:
        """Keep the store; nothing is read yet.

        Args:
            store: The runs' store.
        """
        self.store = store
        self._scores: dict[str, TokenScores] = {}

    def recorded(self, run: FoundRun) -> StoredRun:
        """Return a run as a recorded run."""
        return StoredRun.of(run, self.store)

    def scores(self, run_id: str, run: RecordedRun) -> TokenScores:
        """Read the token table of a score run.

        Args:
            run_id: MLflow's id of the run.
            run: The run.

        Raises:
            StoreError: The table is missing or damaged, as in `read_scores`.
        """
        if run_id not in self._scores:
            self._scores[run_id] = read_scores(run)
        return self._scores[run_id]

    def sample(self, run_id: str, run: RecordedRun) -> TokenScores:
        """Read what the figures of a score run show; see `read_sample`.

        Args:
            run_id: Id of the run.
            run: The run as it was recorded.

        Raises:
            StoreError: The run has no such table, or another than was recorded.
        """
        return read_sample(run) if BY_PARTS in run.params else self.scores(run_id, run)

    def scores_beside(self, run: FoundRun, *, same_model: bool) -> tuple[FoundRun, TokenScores]:
        """Find a score run of a run's text, for a run without a token table.

        Args:
            run: The run; its parameters name the text and the model.
            same_model: Whether the scores must be by the run's model.

        Returns:
            The newest such run of its experiment, and its table.

        Raises:
            StoreError: There is no such run, or its table is missing or damaged.
        """
        wanted = ("text_sha256", *(("model", "identity") if same_model else ()))
        for other in find_runs(run.experiment, where="kind=score", store=self.store):
            if all(other.params.get(name) == run.params.get(name) for name in wanted):
                return other, self.scores(other.run_id, self.recorded(other))
        by = f" by the model {run.params.get('model')!r}" if same_model else ""
        raise StoreError(
            f"no score run of the experiment {run.experiment!r} holds the text {run.params.get('text')!r} of run "
            f"{run.run_id}{by}: repeat '{run.tags.get('command', 'its command')} --force' and compare the runs"
        )

    def let_go(self) -> None:
        """Free the tables in memory."""
        self._scores = {}


# Runs and their tables as tidy pandas data frames.


def load_runs(experiment: str | None = None, *, where: str | None = None) -> "pd.DataFrame":
    """Load finished runs as a pandas data frame, one row per run, newest first.

    The columns are `experiment`, `run_id`, `name`, `kind` (such as "score", "comparison" or "summary"; of a measure its name),
    `model` or `model_a` and `model_b`, `text`, `status`, `started` (UTC), `seconds`, then the metrics and the parameters by
    their names; NaN where a run has none.

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
