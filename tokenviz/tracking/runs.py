"""Writing and finding runs: flat, tagged, one batch of numbers and one of files each.

A run carries a fingerprint of everything that moves its numbers, and counts only once it is FINISHED; so the same
command finds what is there already, and what was interrupted is done again.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenviz.errors import StoreError
from tokenviz.project import project_root
from tokenviz.tracking.store import Store

_PREFIX = "tokenviz."
_NOTE = "mlflow.note.content"
_CURVE_POINTS = 1000  # about 330 bytes of database each
_LONGEST_PARAM = 6000  # MLflow's limits, in characters
_LONGEST_TAG = 8000
_MOST_GRIDS = 400  # of twelve digits each, in one tag


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended well.

    Attributes:
        run_id: MLflow's id.
        metrics: Its numbers by name.
        tags: Its own tags, without the `tokenviz.` prefix.
        params: Its parameters.
    """

    run_id: str
    metrics: dict[str, float]
    tags: dict[str, str]
    params: dict[str, str]


@dataclass(frozen=True)
class OpenRun:
    """A run that is being made; see `Runs.open`."""

    run_id: str
    client: Any

    def log(
        self,
        *,
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[tuple[int, float]]],
        note: str,
        files: Path,
    ) -> None:
        """Everything of the run at once.

        Args:
            params: Settings by name; None and lists are written as JSON. One that is too long for MLflow goes into
                `params.json`, and its hash in its place.
            metrics: Numbers by name. NaN is left out: a number that is not there must not look like one that is.
            curves: Values by step; beyond the first thousand points only the tables have them.
            note: The run's description, in Markdown. One that is too long for MLflow is cut after a line and goes
                into `description.md` whole.
            files: A folder whose content becomes the run's artifacts.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [Metric(name, value, now, 0) for name, value in metrics.items() if math.isfinite(value)]
        for name, curve in curves.items():
            points += [Metric(name, value, now, step) for step, value in curve[:_CURVE_POINTS]]
        pairs = [Param(name, value) for name, value in _short_params(params, files).items()]
        note = _short_note(note, files)
        for begin in range(0, max(1, len(points)), _CURVE_POINTS):
            self.client.log_batch(
                self.run_id,
                metrics=points[begin : begin + _CURVE_POINTS],
                params=pairs if begin == 0 else [],
                tags=[RunTag(_NOTE, note)] if begin == 0 else [],
            )
        try:
            self.client.log_artifacts(self.run_id, str(files))
        except OSError as error:
            raise StoreError(f"cannot store the files of run {self.run_id}: {error.strerror or error}") from error


def _short_params(params: Mapping[str, object], files: Path) -> dict[str, str]:
    written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
    long = {name: value for name, value in written.items() if len(value) > _LONGEST_PARAM}
    if long:
        (files / "params.json").write_text(json.dumps(dict(params), ensure_ascii=False), encoding="utf-8")
    return written | {name: f"see params.json (sha256 {sha256(value.encode()).hexdigest()})" for name, value in long.items()}


def _short_note(note: str, files: Path) -> str:
    if len(note) <= _LONGEST_TAG:
        return note
    (files / "description.md").write_text(note, encoding="utf-8")
    more = "\n\n(cut here: MLflow keeps no more; Artifacts › description.md has the whole)"
    return note[: _LONGEST_TAG - len(more)].rpartition("\n")[0] + more


class Runs:
    """The runs of one MLflow experiment."""

    def __init__(self, store: Store, experiment: str, description: str) -> None:
        """Take or make the experiment.

        Args:
            store: An open store.
            experiment: Its name.
            description: In Markdown, for its page.

        Raises:
            StoreError: The store refuses.
        """
        self.store = store
        self.client = store.client
        self.name = experiment
        self.experiment_id = self._experiment_id(description)

    def _experiment_id(self, description: str) -> str:
        from mlflow.exceptions import MlflowException

        with _store_errors(self.store):
            found = self.client.get_experiment_by_name(self.name)
            if found is None:
                try:
                    self.client.create_experiment(self.name, tags={_NOTE: description})
                except MlflowException:
                    if self.client.get_experiment_by_name(self.name) is None:
                        raise  # another process had not made it meanwhile
                found = self.client.get_experiment_by_name(self.name)
            elif found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    def find(self, fingerprint: str) -> FinishedRun | None:
        """The finished run of a fingerprint, the newest where there are several."""
        query = f"tags.`{_PREFIX}fingerprint` = '{fingerprint}' and attributes.status = 'FINISHED'"
        with _store_errors(self.store):
            found = self.client.search_runs([self.experiment_id], query, max_results=1)
        if not found:
            return None
        run = found[0]
        tags = {name.removeprefix(_PREFIX): value for name, value in run.data.tags.items() if name.startswith(_PREFIX)}
        return FinishedRun(run.info.run_id, dict(run.data.metrics), tags, dict(run.data.params))

    @contextmanager
    def open(self, name: str, *, fingerprint: str, grid: str, tags: Mapping[str, str]) -> Iterator[OpenRun]:
        """A new run, RUNNING inside the block; FINISHED after it, KILLED by Ctrl-C, FAILED by an error.

        An older finished run of the same fingerprint stays, marked as superseded, and leaves its grids to the new one.

        Args:
            name: For a reader.
            fingerprint: See `fingerprint_of`.
            grid: The grid it belongs to.
            tags: Of our own, without prefix.
        """
        older = self.find(fingerprint)
        with _store_errors(self.store):
            grids = older.tags.get("grid", "").split() if older else []
            own = {"fingerprint": fingerprint, "grid": _joined(grids, grid), **tags}
            run = self.client.create_run(
                self.experiment_id,
                run_name=name,
                tags={**_context_tags(), **{f"{_PREFIX}{key}": value for key, value in own.items()}},
            )
            run_id = str(run.info.run_id)
            try:
                yield OpenRun(run_id, self.client)
            except BaseException as error:
                killed = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
                if not killed:
                    self.client.set_tag(run_id, _NOTE, f"Failed: {error}"[:_LONGEST_TAG])
                self.client.set_terminated(run_id, "KILLED" if killed else "FAILED")
                raise
            self.client.set_terminated(run_id)
            if older is not None:
                self.client.set_tag(older.run_id, f"{_PREFIX}superseded_by", run_id)
                for tag in ("fingerprint", "grid"):
                    self.client.delete_tag(older.run_id, f"{_PREFIX}{tag}")

    def join_grid(self, run: FinishedRun, grid: str) -> None:
        """Let a finished run belong to one more grid; its tag lists them, separated by spaces."""
        grids = run.tags.get("grid", "").split()
        if grid not in grids:
            with _store_errors(self.store):
                self.client.set_tag(run.run_id, f"{_PREFIX}grid", _joined(grids, grid))

    def fetch(self, run_id: str, artifact: str, folder: Path) -> Path:
        """A run's file on this disk.

        Raises:
            StoreError: The run has no such file any more.
        """
        from mlflow.exceptions import MlflowException

        try:
            return Path(self.client.download_artifacts(run_id, artifact, str(folder)))
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0][:200]
            raise StoreError(
                f"run {run_id} has lost its file {artifact!r} ({reason}); repeat the experiment with --force"
            ) from error


def _joined(grids: list[str], grid: str) -> str:
    return " ".join([*(other for other in grids if other != grid), grid][-_MOST_GRIDS:])


def fingerprint_of(parts: Mapping[str, object]) -> str:
    """sha256 of the parts in canonical JSON: equal parts, equal fingerprint, whatever their order."""
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=list).encode()).hexdigest()


def _context_tags() -> dict[str, str]:
    """Who, from what source, at what commit: the client's `create_run` adds none of it by itself."""
    from mlflow.tracking.context.registry import resolve_tags
    from mlflow.utils.git_utils import get_git_commit
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    # MLflow looks where the program lies, which may be an environment elsewhere; the experiment is what matters.
    tags = {**resolve_tags(), MLFLOW_GIT_COMMIT: get_git_commit(str(project_root()))}
    return {name: value for name, value in tags.items() if value is not None}


@contextmanager
def _store_errors(store: Store) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise StoreError(f"the tracking store {store.uri!r} failed: {str(error).splitlines()[0][:300]}") from error
