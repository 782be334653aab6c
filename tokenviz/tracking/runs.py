"""Runs: staged runs are delivered to the store, and finished runs are found again.

A run carries a fingerprint of everything that its numbers depend on, and counts only once it is FINISHED. So the same command
finds the runs that exist already. Runs are flat and tagged; each is written in one batch of numbers and one of files.
"""

import json
import math
import os
import shutil
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from tokenviz.base import disk
from tokenviz.base.errors import RefusedError, StoreError
from tokenviz.base.progress import task, warn
from tokenviz.tracking.condition import kept_open
from tokenviz.tracking.embedded import artifacts_of
from tokenviz.tracking.embedded_runs import (
    NewRun,
    Row,
    begin_run,
    finish_run,
    keep_record,
    read_record,
    read_run,
    read_runs,
    restore,
    runs_without_record,
)
from tokenviz.tracking.entities import (
    CURVE_POINTS,
    dataset_fields,
    linked,
    metric_points,
    require_possible,
    settings_of,
    short_note,
    split_numbers,
    unwrapped,
    with_identities,
    with_numbers,
    without_missing,
)
from tokenviz.tracking.logged_models import NUMBER, link_run, link_runs, model_of, model_on_server
from tokenviz.tracking.outbox import Outbox
from tokenviz.tracking.staged_runs import (
    CHECKSUMS,
    LIST_TAG,
    TABLE_TAG,
    RunRecord,
    StagedRun,
    awaited_runs,
    checksum,
    damaged,
    filled_in,
    is_whole,
    write_checksums,
)
from tokenviz.tracking.store import Store, is_missing, lacks_rights, reason_of, refuses, retry_once, store_errors

PREFIX = "tokenviz."
NOTE = "mlflow.note.content"
_GRANTED = 10  # seconds within which a server grants the right to write a new experiment
_PAGE = 1000  # runs that one call returns
_MOST_GRIDS = 400  # grid ids, of twelve digits each, in one tag


@dataclass(frozen=True)
class FinishedRun:
    """A run with status FINISHED.

    Attributes:
        run_id: MLflow's id of the run.
        started: Start, in milliseconds since 1970.
        metrics: Numbers by name.
        tags: Tags of this package, without the `tokenviz.` prefix.
        params: Parameters by name.
        files: The folder of its files in an embedded store; None for a server.
    """

    run_id: str
    started: int
    metrics: dict[str, float]
    tags: dict[str, str]
    params: dict[str, str]
    files: Path | None


class Runs:
    """The runs of one MLflow experiment."""

    def __init__(self, store: Store, experiment: str, description: str) -> None:
        """Name the experiment; it is found or made when it is first needed.

        Args:
            store: The tracking store.
            experiment: The name of the MLflow experiment.
            description: The description for the experiment's page, in Markdown.
        """
        self.store = store
        self.name = experiment
        self.description = unwrapped(description)
        self.outbox = Outbox(store.outbox_folder, store.name)
        self._models: dict[str, str] = {}  # ids of a server's logged models by key
        self._has_models = True

    @property
    def client(self) -> Any:
        """MLflow's client for this store."""
        return self.store.client

    def begin(self) -> None:
        """Find or make the experiment, and close its runs that ended processes of this outbox left open.

        A server that does not answer is marked as silent.

        Raises:
            StoreError: A server does not let this user write the experiment, or the embedded store fails.
        """
        self.outbox.tidy()
        if self.store.silent:
            return
        with self._going_on():
            self._describe()
            self._close_left_open()
            self._keep_missing_records()
            if self.store.database is not None:
                with store_errors(self.store):
                    link_runs(self.store.database)

    def _describe(self) -> None:
        """Write the description again: it may have changed, and the attempt shows if this user may write the experiment."""
        until = time.monotonic() + _GRANTED
        while True:
            try:
                with store_errors(self.store):
                    return retry_once(self.client.set_experiment_tag, self.experiment_id, NOTE, self.description)
            except StoreError as error:
                if not lacks_rights(error.__cause__):
                    raise
                if time.monotonic() > until or not self._is_new():
                    raise RefusedError(
                        f"{error}: this user may not write the experiment {self.name!r}; have its owner give the permission "
                        "EDIT, or use other credentials"
                    ) from error
            time.sleep(0.1)

    def _is_new(self) -> bool:
        """Return whether the experiment is new: a server grants its maker the right to write a moment later."""
        with store_errors(self.store):
            made = float(self.client.get_experiment(self.experiment_id).creation_time)
        return time.time() - made / 1000 < _GRANTED

    @cached_property
    def experiment_id(self) -> str:
        """MLflow's id of the experiment.

        Raises:
            StoreError: The store refuses.
        """
        from mlflow.exceptions import MlflowException

        with store_errors(self.store):
            found = self.client.get_experiment_by_name(self.name)
            if found is None:
                try:
                    self.client.create_experiment(self.name, tags={NOTE: self.description})
                except MlflowException:
                    if self.client.get_experiment_by_name(self.name) is None:
                        raise  # unless another process has made it in the meantime
                found = self.client.get_experiment_by_name(self.name)
            elif found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    def try_experiment_id(self) -> str:
        """Return MLflow's id of the experiment; empty for a server that does not answer."""
        found = ""
        if not self.store.silent:
            with self._going_on():
                found = self.experiment_id
        return found

    def offer(self, views: Mapping[str, str]) -> None:
        """Add views, tags by name, to the experiment where it has none of the name; not on a server that does not answer."""
        if not self.store.silent:
            with self._going_on(), store_errors(self.store):
                known = self.client.get_experiment(self.experiment_id).tags
                for tag in views.keys() - known.keys():
                    retry_once(self.client.set_experiment_tag, self.experiment_id, tag, views[tag])

    def connected(self) -> AbstractContextManager[None]:
        """Return a block in which this thread keeps one connection to an embedded store open, for many runs."""
        return nullcontext() if self.store.database is None else kept_open(self.store.database)

    def find(self, fingerprint: str) -> FinishedRun | None:
        """Return the newest finished run with a fingerprint, or None; also None for a server that does not answer."""
        found = None
        if not self.store.silent:
            with self._going_on():
                found = self._find(fingerprint)
        return found

    def _find(self, fingerprint: str) -> FinishedRun | None:
        found = self._search("FINISHED", most=1, fingerprint=fingerprint)
        return self._finished(found[0]) if found else None

    def deliver(self, staged: StagedRun) -> str:
        """Make a run from a staged run, once however often this is tried, and remove the staged run from the outbox.

        The cell must be claimed by this process.

        Returns:
            The run's id.

        Raises:
            RefusedError: The store answers, and refuses the run. The staged run stays.
            StoreError: The store fails, or does not answer. The staged run stays.
        """
        record = staged.record
        with self.connected(), store_errors(self.store):
            self._close_the_dead(record.fingerprint)
            delivered = self._search("FINISHED", most=1, parcel=record.id)
            older = self._find(record.fingerprint)
            written = ""
            if delivered:
                run_id = delivered[0].run_id
            elif older is not None and not record.replaces:
                run_id = older.run_id
            else:
                run_id = written = self._write(staged, older)
            run_id = self._leave_one(record.fingerprint, run_id, newest=record.replaces)
            if run_id != written:  # a new run has been written with the grids
                self._join(run_id, record.fingerprint, record.grid.split())
            if self.store.database is not None:
                link_run(self.store.database, run_id)
        staged.remove()
        return run_id

    def keep(self, fingerprint: str, fill: Callable[[Path], RunRecord]) -> str:
        """Pack a staged run and deliver it.

        Args:
            fingerprint: The fingerprint in the run record.
            fill: Writes the files into the folder that it is given, and returns the run record.

        Returns:
            The run's id; empty where a server does not answer, and the staged run waits in the outbox.

        Raises:
            DiskError: The outbox cannot be written.
            StoreError: The embedded store refuses the run. The staged run stays.
        """
        with self.outbox.claimed(self.name, fingerprint, wait=True) as claim:
            assert claim is not None
            return self.try_to_deliver(claim.pack(fill))

    def try_to_deliver(self, staged: StagedRun) -> str:
        """Deliver a staged run as `deliver` does; one that a server refuses stays in the outbox, with a note.

        Returns:
            The run's id; empty for a staged run that stays.

        Raises:
            StoreError: The embedded store fails. The staged run stays.
        """
        run_id = ""
        try:
            if self.store.answers():
                with self._going_on():
                    run_id = self.deliver(staged)
                    self.store.took_a_run()
        except RefusedError as error:
            if self.store.folder is not None:
                raise
            warn(f"{error}; {staged.record.name!r} waits in {self.outbox.folder} until 'tokenviz sync' delivers it")
        return run_id

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Mark a server as silent when it fails, so that computing continues: the block ends early, without an error."""
        begun = time.monotonic()
        try:
            yield
        except StoreError as error:
            if self.store.folder is not None or isinstance(error, RefusedError):
                raise
            self.store.fall_silent(error.__cause__ or error, time.monotonic() - begun)

    def _write(self, staged: StagedRun, older: FinishedRun | None) -> str:
        record = self._with_ids(staged.record)
        for name, page in record.pages.items():
            (staged.files / name).parent.mkdir(exist_ok=True)
            (staged.files / name).write_text(page, encoding="utf-8")
        description = short_note(without_missing(record.note, staged.files), staged.files)
        params, identities = settings_of(self._known_params(record), staged.files)
        metrics, numbers = split_numbers(record.metrics)
        listed = write_checksums(staged.files)
        grids = older.tags.get("grid", "").split() if older else []
        own = {"fingerprint": record.fingerprint, "grid": _joined(grids, record.grid.split()), "parcel": record.id}
        own["outbox"] = self.sender
        own[LIST_TAG] = listed[CHECKSUMS]
        if record.table:
            own[TABLE_TAG] = checksum(staged.files / record.table)
        tags = {f"{PREFIX}{key}": value for key, value in {**identities, **numbers, **record.tags, **own}.items()}
        new = NewRun(
            run_id=uuid.uuid4().hex,
            experiment_id=self.experiment_id,
            name=record.name,
            started=record.started,
            tags={**record.context, **tags},
            params=params,
            points=metric_points(metrics, record),
            dataset=dataset_fields(record.dataset),
        )
        if self.store.database is not None:
            return self._write_embedded(self.store.database, new, staged, description)
        run_id = self._write_to_server(new, staged, description)
        self._close_the_dead(record.fingerprint)  # a call whose answer is lost is repeated, and may have made two runs
        return run_id

    def _write_embedded(self, database: Path, new: NewRun, staged: StagedRun, description: str) -> str:
        note = linked(description, new.experiment_id, new.run_id)
        require_possible(new.params, new.points, note)
        new = replace(new, tags={**new.tags, NOTE: note})
        place = self.store.place_of(begin_run(database, new))
        if place is None:  # an experiment that was made with MLflow, with its files elsewhere
            self.client.log_artifacts(new.run_id, str(staged.files))
        else:
            _copy(staged.files, place)
            # Fsync before the database says that the run is finished: the power may fail in between.
            disk.sync(place)
            self._keep_record(new.run_id, status="FINISHED", end_time=staged.record.ended)
            for folder in list(place.parents)[1:3]:
                disk.sync_entry(folder)
        finish_run(database, new.run_id, staged.record.ended)
        return new.run_id

    def _write_to_server(self, new: NewRun, staged: StagedRun, description: str) -> str:
        from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag

        link = self._model_link(new)
        run = self.client.create_run(new.experiment_id, start_time=new.started, run_name=new.name, tags=new.tags)
        run_id = str(run.info.run_id)
        points = [Metric(*point, **(link if point[0] == NUMBER else {})) for point in new.points]
        for begin in range(0, max(1, len(points)), CURVE_POINTS):
            self.client.log_batch(
                run_id,
                metrics=points[begin : begin + CURVE_POINTS],
                params=[Param(*pair) for pair in new.params.items()] if begin == 0 else [],
                tags=[RunTag(NOTE, linked(description, new.experiment_id, run_id))] if begin == 0 else [],
            )
        if new.dataset:
            retry_once(self.client.log_inputs, run_id, [DatasetInput(Dataset(**new.dataset))])
        self.client.log_artifacts(run_id, str(staged.files))
        self.client.set_terminated(run_id, end_time=staged.record.ended)
        return run_id

    def _model_link(self, new: NewRun) -> dict[str, str]:
        """Return the fields that link a number to its model and text on a server; none where that knows no logged models."""
        from mlflow.exceptions import MlflowException

        model = model_of(new.tags, new.params)
        if model is None or not new.dataset or not self._has_models:
            return {}
        try:
            if model.key not in self._models:
                self._models[model.key] = model_on_server(self.client, new.experiment_id, model)
        except MlflowException as error:
            if not refuses(error):
                raise
            self._has_models = False
            if not is_missing(error):  # as on servers of MLflow 2
                warn(
                    f"the tracking server {self.store.name!r} takes no logged models ({reason_of(error)}); "
                    "its runs have all numbers"
                )
            return {}
        text = {"dataset_name": new.dataset["name"], "dataset_digest": new.dataset["digest"]}
        return {"model_id": self._models[model.key], **text}

    def _known_params(self, record: RunRecord) -> dict[str, object]:
        """Return the parameters with the ids of the runs they refer to; an id is empty if the store does not have the run.

        Raises:
            RefusedError: A run that it refers to waits in the outbox itself.
        """
        found = {name: self._find(fingerprint) for name, fingerprint in record.refers.items()}
        for name, run in found.items():
            if run is None and self.outbox.holds(self.name, record.refers[name]):
                raise RefusedError(f"{record.name!r} names results that wait in the outbox themselves")
        return {**record.params, **{name: run.run_id if run else "" for name, run in found.items()}}

    def _with_ids(self, record: RunRecord) -> RunRecord:
        """Return a record with the ids that it awaits; empty for a run that the store does not have.

        Raises:
            RefusedError: A run that it awaits waits in the outbox itself.
        """
        fingerprints = awaited_runs(record)
        found: dict[str, str] = {}
        # One search for a grid, which may have thousands of runs, instead of one for each.
        for grid in record.grid.split() if fingerprints else ():
            query, token = f"tags.`{PREFIX}grid` LIKE '%{grid}%' and attributes.status = 'FINISHED'", None
            while token != "":
                page = self.client.search_runs([self.experiment_id], query, max_results=_PAGE, page_token=token)
                for run in page:
                    found.setdefault(run.data.tags.get(f"{PREFIX}fingerprint", ""), str(run.info.run_id))
                token = page.token or ""
        for fingerprint in fingerprints - found.keys():
            run = self._find(fingerprint)
            if run is None and self.outbox.holds(self.name, fingerprint):
                raise RefusedError(f"{record.name!r} names results that wait in the outbox themselves")
            found[fingerprint] = run.run_id if run else ""
        return filled_in(record, self.experiment_id, found)

    def _leave_one(self, fingerprint: str, run_id: str, *, newest: bool) -> str:
        """Keep one finished run with a fingerprint and its grids; mark the others as superseded by it.

        Args:
            fingerprint: The fingerprint; processes that do not know of each other may have made several runs with it.
            run_id: The run that this process knows.
            newest: Whether that run supersedes the others; else the oldest does, on which all processes agree.

        Returns:
            The id of the run that is kept.
        """
        found = self._search("FINISHED", most=100, fingerprint=fingerprint)
        ages = [(run.started, run.run_id) for run in found]
        kept = run_id if newest or not ages else min(ages)[1]
        for _, other in ages:
            if other != kept:
                retry_once(self.client.set_tag, other, f"{PREFIX}superseded_by", kept)
                for tag in ("fingerprint", "grid"):
                    self._delete_tag(other, f"{PREFIX}{tag}")
                self._keep_record(other)
        return kept

    def _delete_tag(self, run_id: str, tag: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.delete_tag(run_id, tag)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise  # unless another process has deleted it in the meantime

    def _close_the_dead(self, fingerprint: str) -> None:
        """Close the runs of a claimed cell that another process of this outbox left open."""
        for run in self._search("RUNNING", most=100, fingerprint=fingerprint, outbox=self.sender):
            if self._finished_by_its_record(run):
                continue
            self.client.set_tag(run.run_id, NOTE, "The process that wrote this run ended before it was whole.")
            self.client.set_terminated(run.run_id, "KILLED")
            self._keep_record(run.run_id)

    def _finished_by_its_record(self, run: Row) -> bool:
        """Finish a run that was left open if its record is there, which is written last; return whether it is."""
        files, database = self.store.place_of(run.artifact_uri), self.store.database
        record = read_record(files.parent) if files else None
        if (
            record is None
            or not record.finished
            or files is None
            or database is None
            or damaged(files, self._finished(run).tags)
        ):
            return False
        with closing(sqlite3.connect(database)) as connection, connection:
            restore(connection, record, files.parent)
        return True

    def _keep_record(self, run_id: str, **changes: object) -> None:
        """Write a run's own record next to its files; runs on a server have none."""
        if self.store.folder is not None and self.store.database is not None:
            keep_record(self.store.database, artifacts_of(self.store.folder), run_id, **changes)

    def _keep_missing_records(self) -> None:
        """Write the records of finished runs that an earlier version made."""
        folder, database = self.store.folder, self.store.database
        if folder is None or database is None:
            return
        with store_errors(self.store):
            missing = runs_without_record(database, artifacts_of(folder))
            with task("writing records of older runs", len(missing), "runs") as advance:
                for run_id in missing:
                    self._keep_record(run_id)
                    advance(1)

    def _close_left_open(self) -> None:
        closed = 0
        for run in self._search("RUNNING", most=_PAGE, outbox=self.sender):
            fingerprint = run.tags[f"{PREFIX}fingerprint"]
            with self.outbox.claimed(self.name, fingerprint) as claim, store_errors(self.store):
                if claim is not None:
                    self._close_the_dead(fingerprint)
                    closed += 1
        if closed:
            warn(f"{closed} run{'s' * (closed != 1)} of processes that ended too early: closed as KILLED")

    def intact(self, run: FinishedRun, table: str) -> bool:
        """Return whether a run's table in an embedded store is unchanged; files on a server are not checked."""
        expected = run.tags.get(TABLE_TAG)
        return run.files is None or expected is None or is_whole(run.files / table, expected)

    def _finished(self, run: Row) -> FinishedRun:
        tags = {name.removeprefix(PREFIX): value for name, value in run.tags.items() if name.startswith(PREFIX)}
        params, own = with_identities(run.params, tags)
        metrics, own = with_numbers({name: value for name, value in run.metrics.items() if math.isfinite(value)}, own)
        return FinishedRun(run.run_id, run.started, metrics, own, params, self.store.place_of(run.artifact_uri))

    def join_grid(self, run: FinishedRun, grid: str) -> None:
        """Add a grid to a finished run's tag, which lists its grids separated by spaces."""
        if grid not in run.tags.get("grid", "").split() and not self.store.silent:
            with self._going_on(), store_errors(self.store):
                self._join(run.run_id, run.tags["fingerprint"], [grid])

    def _join(self, run_id: str, fingerprint: str, grids: list[str]) -> None:
        # Two grids may add themselves at once: reading and writing the tag must be one step.
        with self.outbox.claimed(self.name, f"{fingerprint} grid", wait=True):
            known = self._run(run_id).tags.get(f"{PREFIX}grid", "").split()
            if not set(grids) <= set(known):
                self.client.set_tag(run_id, f"{PREFIX}grid", _joined(known, grids))
                self._keep_record(run_id)

    @cached_property
    def sender(self) -> str:
        """An id that marks the runs of this outbox. An embedded store has one outbox, which moves with it."""
        if self.store.folder is not None:
            return "embedded"
        return sha256(f"{socket.gethostname()}\0{self.outbox.folder}".encode()).hexdigest()[:12]

    def _run(self, run_id: str) -> Row:
        if self.store.database is None:
            return Row.of(self.client.get_run(run_id))
        found = read_run(self.store.database, run_id)
        if found is None:
            raise StoreError(f"the store {self.store.name!r} has lost the run {run_id!r}: repeat the command")
        return found

    def _search(self, status: str, *, most: int, **tags: str) -> list[Row]:
        """Return the experiment's runs with a status and tags of this package, newest first."""
        if self.store.database is not None:
            wanted, page = [*tags.items()], min(most, _PAGE)
            found = read_runs(self.store.database, [self.experiment_id], tags=wanted, status=status, page=page)
            return list(islice(found, most))
        query = " and ".join(f"tags.`{PREFIX}{name}` = '{value}'" for name, value in tags.items())
        with store_errors(self.store):
            query = f"{query} and attributes.status = '{status}'"
            return [Row.of(run) for run in self.client.search_runs([self.experiment_id], query, max_results=most)]


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a folder, and raise the error of the first that cannot be copied."""
    target.mkdir(parents=True, exist_ok=True)
    for name in disk.paths_below(source):
        if os.path.isdir(f"{source}/{name}"):
            os.makedirs(f"{target}/{name}", exist_ok=True)
        else:
            shutil.copy2(f"{source}/{name}", f"{target}/{name}")


def _joined(known: list[str], grids: list[str]) -> str:
    return " ".join([*(grid for grid in known if grid not in grids), *grids][-_MOST_GRIDS:])


def fingerprint_of(parts: Mapping[str, object]) -> str:
    """Return the SHA-256 of the parts in canonical JSON: equal parts give equal fingerprints, in any order."""
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=list).encode()).hexdigest()
