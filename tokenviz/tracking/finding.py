"""Finding runs and their tables again, as tidy frames for pandas."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenviz.errors import StoreError
from tokenviz.progress import task
from tokenviz.tracking.runs import PREFIX, store_errors
from tokenviz.tracking.store import Store, open_for_reading
from tokenviz.tracking.where import Where, mlflow_filter, parse_where

if TYPE_CHECKING:
    import pandas as pd

_PAGE = 1000
_OF_OURS = ("kind", "model", "model_a", "model_b", "text")
_HEAD = ("experiment", "run_id", "name", *_OF_OURS, "status", "started", "seconds")


@dataclass(frozen=True)
class FoundRun:
    """A run of ours in the store.

    Attributes:
        experiment: The MLflow experiment's name.
        run_id: MLflow's id.
        name: For a reader.
        status: "FINISHED", "RUNNING", "FAILED" or "KILLED".
        started: When.
        seconds: How long it took; NaN while it is running.
        tags: Of our own, without prefix.
        params: Settings, as MLflow keeps them.
        metrics: Numbers.
    """

    experiment: str
    run_id: str
    name: str
    status: str
    started: datetime
    seconds: float
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]

    @property
    def row(self) -> dict[str, object]:
        """Everything of it by name; where a tag, a metric and a parameter share a name, the first of them counts."""
        head = {name: getattr(self, name) for name in _HEAD if name not in _OF_OURS}
        tags = {name: self.tags.get(name, "") for name in _OF_OURS}
        return {**self.params, **self.metrics, **tags, **head}

    @property
    def current(self) -> bool:
        """Whether it is finished and nothing has taken its place."""
        return self.status == "FINISHED" and "superseded_by" not in self.tags


def find_runs(
    experiment: str | None = None, *, where: str | None = None, every: bool = False, store: Store | None = None
) -> list[FoundRun]:
    """The runs that are meant, newest first.

    Args:
        experiment: The MLflow experiment's name; by default all.
        where: See `tokenviz.tracking.where`.
        every: Also those that are not finished, or that a newer run has superseded.
        store: By default the one that is set.

    Raises:
        StoreError: There is no such experiment, the line cannot be read, or it asks for a field that no run has.
    """
    asked = parse_where(where) if where else None
    store = store or open_for_reading()
    experiments = _experiments(store, experiment)
    found = [run for run in _sweep(store, experiments, asked) if every or run.current]
    if asked is None:
        return found
    known = set(_HEAD).union(*(run.row for run in found))
    if found and (unknown := sorted(asked.fields() - known)):
        metrics = sorted(set().union(*(run.metrics for run in found)))
        raise StoreError(
            f"no run has a field {unknown[0]!r}: there are {', '.join(('model', 'model_a', 'model_b', 'text', 'kind', 'by'))}, "
            f"the metrics {', '.join(metrics)}, and the parameters"
        )
    return [run for run in found if asked.holds(run.row)]


def load_runs(experiment: str | None = None, *, where: str | None = None) -> "pd.DataFrame":
    """Finished runs as a pandas data frame, one row a run, newest first.

    Columns: `experiment`, `run_id`, `name`, `kind` ("score", "comparison", "summary" or a measure), `model` or `model_a` and
    `model_b`, `text`, `status`, `started` (UTC), `seconds`, then the metrics and the parameters by their names; NaN where a
    run has none.

    Args:
        experiment: The MLflow experiment's name; by default all.
        where: Which runs, such as "kind=comparison and r<0.9"; see `tokenviz.tracking.where`.

    Raises:
        StoreError: See `find_runs`.
    """
    import pandas as pd

    rows = [run.row for run in find_runs(experiment, where=where)]
    names = dict.fromkeys([*_HEAD, *(name for row in rows for name in row)])
    return pd.DataFrame(rows, columns=list(names))


def load_tokens(experiment: str | None = None, *, where: str | None = None) -> "pd.DataFrame":
    """The token tables of finished score runs as one pandas data frame, one row a token.

    Columns: `run_id`, `model`, `text`, then those of `TokenScores.to_frame`.

    Args:
        experiment: The MLflow experiment's name; by default all.
        where: Which runs; see `tokenviz.tracking.where`.

    Raises:
        StoreError: See `find_runs`; or there is no such score run, or one has lost its table.
    """
    return _tables(experiment, where, kind="score", table="tokens", names=("model", "text"))


def load_units(experiment: str | None = None, *, where: str | None = None) -> "pd.DataFrame":
    """The aligned tables of finished comparison runs as one pandas data frame, one row a unit.

    Columns: `run_id`, `model_a`, `model_b`, `text`, then those of `Comparison.to_frame`; the slice of the text is `unit`.

    Args:
        experiment: The MLflow experiment's name; by default all.
        where: Which runs; see `tokenviz.tracking.where`.

    Raises:
        StoreError: See `find_runs`; or there is no such comparison run, or one has lost its table.
    """
    return _tables(experiment, where, kind="comparison", table="units", names=("model_a", "model_b", "text"))


def fetch(store: Store, run_id: str, artifact: str, folder: Path) -> Path:
    """A run's file on this disk.

    Raises:
        StoreError: The run has no such file any more.
    """
    with store_errors(store):
        return Path(store.client.download_artifacts(run_id, artifact, str(folder)))


def _tables(experiment: str | None, where: str | None, *, kind: str, table: str, names: Sequence[str]) -> "pd.DataFrame":
    import pandas as pd

    store = open_for_reading()
    runs = [run for run in find_runs(experiment, where=where, store=store) if run.tags.get("kind") == kind]
    if not runs:
        raise StoreError(f"no {kind} run is meant: tokenviz runs lists what there is")
    frames = []
    with task(f"reading {table}", len(runs), "tables") as advance, tempfile.TemporaryDirectory() as folder:
        for run in runs:
            frame = pd.read_parquet(fetch(store, run.run_id, f"tables/{table}.parquet", Path(folder, run.run_id)))
            alternatives = [name for name in frame.columns if str(name).startswith("top_")]
            frame = frame.drop(columns=alternatives).rename(columns={"text": "unit"})
            for place, name in enumerate(("run_id", *names)):
                frame.insert(place, name, str(run.row[name]))
            frames.append(frame)
            advance(1)
    return pd.concat(frames, ignore_index=True)


def _experiments(store: Store, name: str | None) -> dict[str, str]:
    """Names by id."""
    with store_errors(store):
        there = {str(one.experiment_id): str(one.name) for one in store.client.search_experiments()}
    if name is None:
        return there
    chosen = {number: one for number, one in there.items() if one == name}
    if not chosen:
        known = ", ".join(sorted(one for one in there.values() if one != "Default")) or "none yet"
        raise StoreError(f"no experiment {name!r} in the store: it has {known}")
    return chosen


def _sweep(store: Store, experiments: dict[str, str], where: Where | None) -> Iterator[FoundRun]:
    query = " and ".join(filter(None, [mlflow_filter(where), f"tags.`{PREFIX}kind` != ''"]))
    token = None
    with task("reading runs", None, "runs") as advance:
        while True:
            with store_errors(store):
                page = store.client.search_runs(list(experiments), query, max_results=_PAGE, page_token=token)
            for run in page:
                yield _found(run, experiments)
                advance(1)
            token = page.token
            if not token:
                return


def _found(run: Any, experiments: dict[str, str]) -> FoundRun:
    info, data = run.info, run.data
    ended = info.end_time
    return FoundRun(
        experiment=experiments[info.experiment_id],
        run_id=info.run_id,
        name=info.run_name,
        status=info.status,
        started=datetime.fromtimestamp(info.start_time / 1000, UTC),
        seconds=(ended - info.start_time) / 1000 if ended else math.nan,
        tags={name.removeprefix(PREFIX): value for name, value in data.tags.items() if name.startswith(PREFIX)},
        params=dict(data.params),
        metrics=dict(data.metrics),
    )
