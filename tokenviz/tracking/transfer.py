"""The transfer of runs: copied from one store to another, or delivered late from the outbox."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenviz.base.errors import RefusedError, StoreError
from tokenviz.base.progress import task, warn
from tokenviz.tracking.entities import RUN_ID, unlinked
from tokenviz.tracking.finding import FoundRun, fetch
from tokenviz.tracking.outbox import Outbox, waiting_stores
from tokenviz.tracking.runs import NOTE, PREFIX, Runs
from tokenviz.tracking.staged_runs import LIST_TAG, TABLE_TAG, RunRecord, StagedRun, damaged, pack, read_checksums, read_staged
from tokenviz.tracking.store import Store, store_errors

# Copying runs from one store to another: as staged runs in a folder, delivered from there like those of the outbox, once.
#
# MLflow has no tool for this that keeps everything: `mlflow migrate-filestore` reads only the earlier file store, and a copy of
# the database leaves the files behind. A copy has a different id from its original. Where one run names another, the new id is
# inserted; the old id is in the tag `tokenviz.origin`.

_RUN_ID_IN_BYTES = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_MADE_ANEW = ("fingerprint", "grid", "parcel", "outbox", LIST_TAG, TABLE_TAG)  # tags that delivery writes


@dataclass(frozen=True)
class Imported:
    """The result of an import.

    Attributes:
        delivered: Number of runs that were delivered to the store.
        known: Number of runs whose numbers the store had already.
        refused: One line for each other run, with the reason.
    """

    delivered: int
    known: int
    refused: tuple[str, ...]


def export_runs(store: Store, runs: Sequence[FoundRun], folder: Path) -> list[str]:
    """Write runs into a folder, each into a sub-folder named by its id; existing ones stay.

    Args:
        store: The store of the runs.
        runs: Finished runs.
        folder: The folder to write to; it is made where there is none.

    Returns:
        One line for each run that could not be written, with the reason.

    Raises:
        StoreError: The store fails.
        DiskError: The folder cannot be written.
    """
    export = _Export(store, {run.run_id: run.tags["fingerprint"] for run in runs})
    problems = []
    with task("exporting", len(runs), "runs") as advance:
        for run in runs:
            target = folder / run.run_id
            if read_staged(target) is None:
                try:
                    pack(target, export.filler(run))
                except _LostError as error:
                    problems.append(str(error))
            advance(1)
    return problems


class _LostError(StoreError):
    """A run's files differ from those that were recorded."""


class _Export:
    """Reads runs of a store in the form of staged runs."""

    def __init__(self, store: Store, fingerprints: dict[str, str]) -> None:
        self._store, self._fingerprints = store, fingerprints
        self._descriptions: dict[str, str] = {}

    def filler(self, found: FoundRun) -> Callable[[Path], RunRecord]:
        """Return the function that `pack` needs to write a run's files and return its record."""

        def fill(files: Path) -> RunRecord:
            fetch(self._store, found.run_id, "", files)
            if not any(files.iterdir()):  # MLflow reports a missing folder as an empty one
                raise _LostError(f"run {found.run_id} ({found.name}) is left out: its files are gone")
            if lost := damaged(files, found.tags):
                raise _LostError(
                    f"run {found.run_id} ({found.name}) is left out: its file {lost[0]!r} is gone or changed; "
                    "'tokenviz doctor' says more"
                )
            with store_errors(self._store):
                return self._record(found, files)

        return fill

    def _record(self, found: FoundRun, files: Path) -> RunRecord:
        run = self._store.client.get_run(found.run_id)
        metrics, curves = self._numbers(found)
        context = {name: value for name, value in run.data.tags.items() if not name.startswith(PREFIX)}
        note = context.pop(NOTE, "")
        name = context.pop("mlflow.runName", found.name)
        tables = {digest: path for path, digest in (read_checksums(files, found.tags) or {}).items()}
        refers = {param: meant for param, value in found.params.items() if (meant := self._fingerprint_of(value))}
        return RunRecord(
            experiment=found.experiment,
            description=self._description(found.experiment),
            name=name,
            fingerprint=found.tags["fingerprint"],
            grid=found.tags.get("grid", ""),
            tags={"origin": found.run_id} | {key: value for key, value in found.tags.items() if key not in _MADE_ANEW},
            context=context,
            params={param: value for param, value in found.params.items() if param not in refers},
            metrics=metrics,
            curves=curves,
            note=unlinked(note, found.run_id),
            dataset=_dataset(run),
            figures=False,  # the figures are ordinary files by now
            table=tables.get(found.tags.get(TABLE_TAG, ""), ""),
            refers=refers,
            started=run.info.start_time,
            ended=run.info.end_time,
            replaces=False,
            id=found.tags.get("parcel", found.run_id),
        )

    def _numbers(self, found: FoundRun) -> tuple[dict[str, float], dict[str, list[tuple[int, float]]]]:
        metrics, curves = {}, {}
        for name in (*found.metrics, *found.curves):
            points = [(point.step, point.value) for point in self._store.client.get_metric_history(found.run_id, name)]
            if not points:  # it is a number of those that are in a tag
                metrics[name] = found.metrics[name]
            elif len(points) == 1 and points[0][0] == 0:
                metrics[name] = points[0][1]
            else:
                curves[name] = points
        return metrics, curves

    def _description(self, experiment: str) -> str:
        if experiment not in self._descriptions:
            tags: Mapping[str, str] = self._store.client.get_experiment_by_name(experiment).tags
            self._descriptions[experiment] = tags.get(NOTE, "")
        return self._descriptions[experiment]

    def _fingerprint_of(self, value: str) -> str:
        """Return the fingerprint of the run that a parameter names; empty where it names none."""
        from mlflow.exceptions import MlflowException

        if not RUN_ID.fullmatch(value):
            return ""
        if value not in self._fingerprints:
            try:
                tags = self._store.client.get_run(value).data.tags
            except MlflowException:
                tags = {}
            self._fingerprints[value] = tags.get(f"{PREFIX}fingerprint", "")
        return self._fingerprints[value]


def _dataset(run: Any) -> dict[str, str]:
    datasets = run.inputs.dataset_inputs if run.inputs else []
    fields = ("name", "digest", "source_type", "source", "profile")
    return {field: getattr(datasets[0].dataset, field) for field in fields} if datasets else {}


def import_runs(store: Store, folder: Path) -> Imported:
    """Deliver the runs that `export_runs` wrote, except those that the store has.

    Args:
        store: The store, open for writing.
        folder: The folder with the exported runs; it is not changed.

    Raises:
        StoreError: There is nothing to import, or the store fails. What was delivered before stays delivered.
    """
    if store.silent:
        raise StoreError(f"the tracking server {store.name!r} does not answer ({store.silent}): nothing was imported")
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not folders:
        raise StoreError(f"no exported runs in {str(folder)!r}: give a folder that 'tokenviz runs export' has filled")
    staged_runs, refused = [], []
    for path in folders:
        if staged := read_staged(path):
            staged_runs.append(staged)
        else:
            refused.append(f"{path} is no whole exported run: export it again")
    named = {fingerprint for staged in staged_runs for fingerprint in staged.record.refers.values()}
    staged_runs.sort(key=lambda staged: (staged.record.fingerprint not in named, staged.record.ended, staged.record.id))
    ids: dict[str, str] = {}
    new = []
    with task("importing", len(staged_runs), "runs") as advance:
        for staged in staged_runs:
            try:
                new.append(_deliver(store, staged, ids))
            except RefusedError as error:
                refused.append(str(error))
            advance(1)
    return Imported(new.count(True), new.count(False), tuple(refused))


def _deliver(store: Store, staged: StagedRun, ids: dict[str, str]) -> bool:
    """Deliver a staged run; return False if the store had it already."""
    record = staged.record
    runs = Runs(store, record.experiment, record.description)
    with runs.outbox.claimed(record.experiment, record.fingerprint, wait=True) as claim:
        assert claim is not None
        found = runs.find(record.fingerprint)
        if found is None and runs.outbox.holds(record.experiment, record.fingerprint):
            raise RefusedError(f"{record.name!r} waits in the outbox already: 'tokenviz sync' delivers it")
        if found is None:
            copy = claim.pack(lambda files: _copy(staged, files, ids))
            try:
                ids[staged.folder.name] = runs.deliver(copy)
            finally:
                copy.remove()  # the exported folder still has it
            return True
    for grid in record.grid.split():
        runs.join_grid(found, grid)
    ids[staged.folder.name] = found.run_id
    return False


def _copy(staged: StagedRun, files: Path, ids: Mapping[str, str]) -> RunRecord:
    shutil.copytree(staged.files, files, dirs_exist_ok=True)
    new = {before.encode(): after.encode() for before, after in ids.items()}
    for path in (*files.rglob("*.csv"), *files.glob("*.html")):
        content = path.read_bytes()
        if path.suffix == ".html" or b"run_id" in content.partition(b"\n")[0]:
            path.write_bytes(_RUN_ID_IN_BYTES.sub(lambda found: new.get(found[0], found[0]), content))
    note = _RUN_ID_IN_BYTES.sub(lambda found: new.get(found[0], found[0]), staged.record.note.encode())
    return replace(staged.record, note=note.decode())


# Delivery of results that wait in the outbox, independently of the command that computed them.


@dataclass(frozen=True)
class Synced:
    """The result of delivering a store's outbox.

    Attributes:
        delivered: Number of runs that were delivered to the store.
        busy: Number of staged runs that another process is working on.
        undrawn: Commands to repeat, each once: their results are torn or lack figures.
        refused: Number of staged runs that the store refuses.
        elsewhere: Number of staged runs that wait for other stores, by the store's name.
    """

    delivered: int
    busy: int
    undrawn: tuple[str, ...]
    refused: int
    elsewhere: dict[str, int]

    @property
    def complete(self) -> bool:
        """Whether nothing is left that waits for this store."""
        return not (self.busy or self.undrawn or self.refused)


def sync(store: Store) -> Synced:
    """Deliver every staged run of a store's outbox once.

    Args:
        store: The store, open for writing.

    Raises:
        StoreError: The store fails, or does not answer. What was delivered before stays delivered.
    """
    if store.silent:
        raise StoreError(f"the tracking server {store.name!r} does not answer ({store.silent}): nothing was delivered")
    outbox = Outbox(store.outbox_folder, store.name)
    outbox.tidy()
    records = outbox.records()
    delivered = busy = refused = 0
    undrawn: dict[str, None] = {}
    experiments: dict[str, Runs] = {}
    with task("delivering", len(records), "runs") as advance:
        for record in records:
            runs = experiments.setdefault(record.experiment, Runs(store, record.experiment, record.description))
            with outbox.claimed(record.experiment, record.fingerprint) as claim:
                if claim is None:
                    busy += 1
                # Otherwise another process has delivered it in the meantime
                elif outbox.holds(record.experiment, record.fingerprint):
                    staged = claim.left_over()
                    if staged is None or not staged.drawn:
                        undrawn[record.tags.get("command", record.name)] = None
                    else:
                        try:
                            runs.deliver(staged)
                            delivered += 1
                        except RefusedError as error:
                            warn(str(error))
                            refused += 1
            advance(1)
    elsewhere = {name: count for name, count in waiting_stores(store.outbox_folder).items() if name != store.name}
    return Synced(delivered, busy, tuple(undrawn), refused, elsewhere)
