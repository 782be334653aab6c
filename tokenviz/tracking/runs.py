"""Runs: parcels delivered to the store, and finished runs found again.

A run carries a fingerprint of everything that moves its numbers, and counts only once it is FINISHED; so the same
command finds what is there already. Runs are flat and tagged, written in one batch of numbers and one of files each.
"""

import json
import math
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenviz.errors import StoreError
from tokenviz.progress import note
from tokenviz.tracking.outbox import Outbox, Parcel, Slip
from tokenviz.tracking.store import Store, reason_of

_PREFIX = "tokenviz."
_NOTE = "mlflow.note.content"
_CURVE_POINTS = 1000  # about 330 bytes of database each
_LONGEST_PARAM = 6000  # MLflow's limits, in characters
_LONGEST_TAG = 8000
_LONGEST_DIGEST = 36
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


class Runs:
    """The runs of one MLflow experiment."""

    def __init__(self, store: Store, experiment: str, description: str) -> None:
        """Name the experiment; it is taken or made when it is first needed.

        Args:
            store: A store.
            experiment: Its name.
            description: In Markdown, for its page.
        """
        self.store = store
        self.name = experiment
        self.description = description
        self.outbox = Outbox(store.outbox_folder, store.name)

    @property
    def client(self) -> Any:
        """MLflow's own, for this store."""
        return self.store.client

    @cached_property
    def experiment_id(self) -> str:
        """MLflow's id.

        Raises:
            StoreError: The store refuses.
        """
        from mlflow.exceptions import MlflowException

        with _store_errors(self.store):
            found = self.client.get_experiment_by_name(self.name)
            if found is None:
                try:
                    self.client.create_experiment(self.name, tags={_NOTE: self.description})
                except MlflowException:
                    if self.client.get_experiment_by_name(self.name) is None:
                        raise  # another process had not made it meanwhile
                found = self.client.get_experiment_by_name(self.name)
            elif found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    def find(self, fingerprint: str) -> FinishedRun | None:
        """The finished run of a fingerprint, the newest where there are several; None for a store that does not answer."""
        if self.store.silent:
            return None
        found = self._search(f"tags.`{_PREFIX}fingerprint` = '{fingerprint}' and attributes.status = 'FINISHED'", most=1)
        return _finished(found[0]) if found else None

    def deliver(self, parcel: Parcel) -> str:
        """Make a run of a parcel, once, however often this is tried, and take it out of the outbox.

        The cell must be claimed by this process.

        Returns:
            The run's id.

        Raises:
            StoreError: The store refuses, or does not answer. The parcel stays.
        """
        slip = parcel.slip
        with _store_errors(self.store):
            delivered = self._search(f"tags.`{_PREFIX}parcel` = '{slip.id}' and attributes.status = 'FINISHED'", most=1)
            older = self.find(slip.fingerprint)
            if delivered:
                run_id = str(delivered[0].info.run_id)
            elif older is not None and not slip.replaces:
                run_id = older.run_id
            else:
                run_id = self._write(parcel, older)
            self._close_the_dead(slip.fingerprint)
            run_id = self._leave_one(slip.fingerprint, run_id if slip.replaces else None)
            self._join(run_id, slip.fingerprint, slip.grid)
        parcel.remove()
        return run_id

    def keep(self, fingerprint: str, fill: Callable[[Path], Slip]) -> str:
        """Pack a parcel and deliver it.

        Args:
            fingerprint: Of the slip.
            fill: Writes the files into the folder that it is given, and returns the slip.

        Returns:
            The run's id; empty where a server does not answer, and the parcel waits in the outbox.

        Raises:
            DiskError: The outbox cannot be written.
            StoreError: The embedded store refuses. The parcel stays.
        """
        with self.outbox.claimed(self.name, fingerprint, wait=True) as claim:
            assert claim is not None
            return self.try_to_deliver(claim.pack(fill))

    def try_to_deliver(self, parcel: Parcel) -> str:
        """`deliver`, but a parcel that a server does not take stays in the outbox, with a note.

        Returns:
            The run's id; empty for a parcel that stays.

        Raises:
            StoreError: The embedded store refuses. The parcel stays.
        """
        if self.store.silent:
            return ""
        try:
            return self.deliver(parcel)
        except StoreError as error:
            if self.store.folder is not None:
                raise
            self.store.answers()
            note(f"{error}; {parcel.slip.name!r} waits in {self.outbox.folder} until 'tokenviz sync' delivers it")
            return ""

    def _write(self, parcel: Parcel, older: FinishedRun | None) -> str:
        from mlflow.entities import RunTag

        slip = parcel.slip
        grids = older.tags.get("grid", "").split() if older else []
        own = {"fingerprint": slip.fingerprint, "grid": _joined(grids, slip.grid), "parcel": slip.id, "outbox": self._sender}
        if slip.table:
            own["table_sha256"] = sha256((parcel.files / slip.table).read_bytes()).hexdigest()
        run = self.client.create_run(
            self.experiment_id,
            start_time=slip.started,
            run_name=slip.name,
            tags={**slip.context, **{f"{_PREFIX}{key}": value for key, value in {**slip.tags, **own}.items()}},
        )
        run_id = str(run.info.run_id)
        description = _short_note(slip.note, parcel.files)
        pairs = _params(self._known_params(slip), parcel.files)
        points = _points(slip)
        for begin in range(0, max(1, len(points)), _CURVE_POINTS):
            self.client.log_batch(
                run_id,
                metrics=points[begin : begin + _CURVE_POINTS],
                params=pairs if begin == 0 else [],
                tags=[RunTag(_NOTE, description)] if begin == 0 else [],
            )
        if slip.dataset:
            self.client.log_inputs(run_id, [_dataset(slip.dataset)])
        self.client.log_artifacts(run_id, str(parcel.files))
        self.client.set_terminated(run_id, end_time=slip.ended)
        return run_id

    def _known_params(self, slip: Slip) -> dict[str, object]:
        """Its parameters, the ids of runs it refers to among them; empty for one that the store does not have yet."""
        found = {name: self.find(fingerprint) for name, fingerprint in slip.refers.items()}
        return {**slip.params, **{name: run.run_id if run else "" for name, run in found.items()}}

    def _leave_one(self, fingerprint: str, newest: str | None) -> str:
        """Have one finished run keep a fingerprint and its grids; the others stay, marked as superseded by it.

        Args:
            fingerprint: Of which there may be several, also from processes that know nothing of each other.
            newest: The run that takes the others' place; None for the oldest, which all processes agree on.

        Returns:
            The id of the one.
        """
        found = self._search(f"tags.`{_PREFIX}fingerprint` = '{fingerprint}' and attributes.status = 'FINISHED'", most=100)
        kept = newest or str(min(found, key=lambda run: (run.info.start_time, run.info.run_id)).info.run_id)
        for run in found:
            if run.info.run_id != kept:
                self.client.set_tag(run.info.run_id, f"{_PREFIX}superseded_by", kept)
                for tag in ("fingerprint", "grid"):
                    self._delete_tag(run.info.run_id, f"{_PREFIX}{tag}")
        return kept

    def _delete_tag(self, run_id: str, tag: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.delete_tag(run_id, tag)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise  # another process had not deleted it meanwhile

    def _close_the_dead(self, fingerprint: str) -> None:
        """Close the runs of a cell that this process has claimed which another process of this outbox left open."""
        query = (
            f"tags.`{_PREFIX}fingerprint` = '{fingerprint}' and tags.`{_PREFIX}outbox` = '{self._sender}' "
            "and attributes.status = 'RUNNING'"
        )
        for run in self._search(query, most=100):
            self.client.set_tag(run.info.run_id, _NOTE, "The process that wrote this run ended before it was whole.")
            self.client.set_terminated(run.info.run_id, "KILLED")

    def close_left_open(self) -> int:
        """Close the experiment's runs that dead processes of this outbox left open; returns how many."""
        if self.store.silent:
            return 0
        query = f"tags.`{_PREFIX}outbox` = '{self._sender}' and attributes.status = 'RUNNING'"
        closed = 0
        for run in self._search(query, most=1000):
            fingerprint = run.data.tags[f"{_PREFIX}fingerprint"]
            with self.outbox.claimed(self.name, fingerprint) as claim, _store_errors(self.store):
                if claim is not None:
                    self._close_the_dead(fingerprint)
                    closed += 1
        return closed

    def intact(self, run: FinishedRun, table: str) -> bool:
        """Whether a run of an embedded store still has its table as it was written; a server's files are not looked at."""
        expected = run.tags.get("table_sha256")
        if self.store.folder is None or expected is None:
            return True
        path = self.store.folder / "artifacts" / self.experiment_id / run.run_id / "artifacts" / table
        try:
            return sha256(path.read_bytes()).hexdigest() == expected
        except OSError:
            return False

    def join_grid(self, run: FinishedRun, grid: str) -> None:
        """Let a finished run belong to one more grid; its tag lists them, separated by spaces."""
        if grid not in run.tags.get("grid", "").split():
            with _store_errors(self.store):
                self._join(run.run_id, run.tags["fingerprint"], grid)

    def _join(self, run_id: str, fingerprint: str, grid: str) -> None:
        # Two grids may want the same run at once: reading and writing its tag is one step.
        with self.outbox.claimed(self.name, f"{fingerprint} grid", wait=True):
            grids = _finished(self.client.get_run(run_id)).tags.get("grid", "").split()
            if grid not in grids:
                self.client.set_tag(run_id, f"{_PREFIX}grid", _joined(grids, grid))

    def fetch(self, run_id: str, artifact: str, folder: Path) -> Path:
        """A run's file on this disk.

        Raises:
            StoreError: The run has no such file any more.
        """
        from mlflow.exceptions import MlflowException

        try:
            return Path(self.client.download_artifacts(run_id, artifact, str(folder)))
        except (MlflowException, OSError) as error:
            raise StoreError(
                f"run {run_id} has lost its file {artifact!r} ({reason_of(error)}); repeat the experiment with --force"
            ) from error

    @cached_property
    def _sender(self) -> str:
        """Tells runs that this machine writes from this outbox from everybody else's."""
        return sha256(f"{socket.gethostname()}\0{self.outbox.folder}".encode()).hexdigest()[:12]

    def _search(self, query: str, *, most: int) -> list[Any]:
        with _store_errors(self.store):
            return list(self.client.search_runs([self.experiment_id], query, max_results=most))


def _finished(run: Any) -> FinishedRun:
    tags = {name.removeprefix(_PREFIX): value for name, value in run.data.tags.items() if name.startswith(_PREFIX)}
    return FinishedRun(run.info.run_id, dict(run.data.metrics), tags, dict(run.data.params))


def _points(slip: Slip) -> list[Any]:
    """Numbers and curves as MLflow takes them. NaN is left out: a number that is not there must not look like one that is."""
    from mlflow.entities import Metric

    points = [Metric(name, value, slip.ended, 0) for name, value in slip.metrics.items() if math.isfinite(value)]
    for name, curve in slip.curves.items():
        points += [Metric(name, value, slip.ended, step) for step, value in curve[:_CURVE_POINTS] if math.isfinite(value)]
    return points


def _params(params: Mapping[str, object], files: Path) -> list[Any]:
    """Settings as MLflow takes them: None and lists as JSON, one that is too long in a file and its hash in its place."""
    from mlflow.entities import Param

    written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
    long = {name: value for name, value in written.items() if len(value) > _LONGEST_PARAM}
    if long:
        (files / "params.json").write_text(json.dumps(dict(params), ensure_ascii=False), encoding="utf-8")
    written |= {name: f"see params.json (sha256 {sha256(value.encode()).hexdigest()})" for name, value in long.items()}
    return [Param(name, value) for name, value in written.items()]


def _short_note(note: str, files: Path) -> str:
    """A description, cut after a line where MLflow keeps no more; the whole is in a file then."""
    if len(note) <= _LONGEST_TAG:
        return note
    (files / "description.md").write_text(note, encoding="utf-8")
    more = "\n\n(cut here: MLflow keeps no more; Artifacts › description.md has the whole)"
    return note[: _LONGEST_TAG - len(more)].rpartition("\n")[0] + more


def _dataset(fields: Mapping[str, str]) -> Any:
    from mlflow.entities import Dataset, DatasetInput

    return DatasetInput(Dataset(**{**fields, "digest": fields["digest"][:_LONGEST_DIGEST]}))


def _joined(grids: list[str], grid: str) -> str:
    return " ".join([*(other for other in grids if other != grid), grid][-_MOST_GRIDS:])


def fingerprint_of(parts: Mapping[str, object]) -> str:
    """sha256 of the parts in canonical JSON: equal parts, equal fingerprint, whatever their order."""
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=list).encode()).hexdigest()


@contextmanager
def _store_errors(store: Store) -> Iterator[None]:
    """Whatever MLflow, a database driver or an HTTP library raises, as an error of ours."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"the tracking store {store.name!r} failed: {reason_of(error)}") from error
