"""Copying runs from one store to another: as staged runs in a folder, delivered from there like those of the outbox, once.

MLflow has no tool for this that keeps everything: `mlflow migrate-filestore` reads only the earlier file store, and a copy of
the database leaves the files behind. A copy has a different id from its original. Where one run names another, the new id is
inserted; the old id is in the tag `tokenviz.origin`.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenviz.errors import RefusedError, StoreError
from tokenviz.progress import task
from tokenviz.tracking.checksums import LIST_TAG, TABLE_TAG, damaged, read_checksums
from tokenviz.tracking.entities import unlinked
from tokenviz.tracking.faults import store_errors
from tokenviz.tracking.files import fetch
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.parcels import Parcel, Slip, pack, read_parcel
from tokenviz.tracking.runs import NOTE, PREFIX, Runs
from tokenviz.tracking.store import Store

_RUN_ID = re.compile(r"[0-9a-f]{32}")
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
            if read_parcel(target) is None:
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

    def filler(self, found: FoundRun) -> Callable[[Path], Slip]:
        """Return the function that `pack` needs to write a run's files and return its record."""

        def fill(files: Path) -> Slip:
            fetch(self._store, found.run_id, "", files)
            if not any(files.iterdir()):  # MLflow reports a missing folder as an empty one
                raise _LostError(f"run {found.run_id} ({found.name}) is left out: its files are gone")
            if lost := damaged(files, found.tags):
                raise _LostError(
                    f"run {found.run_id} ({found.name}) is left out: its file {lost[0]!r} is gone or changed; "
                    "'tokenviz doctor' says more"
                )
            with store_errors(self._store):
                return self._slip(found, files)

        return fill

    def _slip(self, found: FoundRun, files: Path) -> Slip:
        run = self._store.client.get_run(found.run_id)
        metrics, curves = self._numbers(found)
        context = {name: value for name, value in run.data.tags.items() if not name.startswith(PREFIX)}
        note = context.pop(NOTE, "")
        name = context.pop("mlflow.runName", found.name)
        tables = {digest: path for path, digest in (read_checksums(files, found.tags) or {}).items()}
        refers = {param: meant for param, value in found.params.items() if (meant := self._fingerprint_of(value))}
        return Slip(
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

        if not _RUN_ID.fullmatch(value):
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
    parcels, refused = [], []
    for path in folders:
        if parcel := read_parcel(path):
            parcels.append(parcel)
        else:
            refused.append(f"{path} is no whole exported run: export it again")
    named = {fingerprint for parcel in parcels for fingerprint in parcel.slip.refers.values()}
    parcels.sort(key=lambda parcel: (parcel.slip.fingerprint not in named, parcel.slip.ended, parcel.slip.id))
    ids: dict[str, str] = {}
    new = []
    with task("importing", len(parcels), "runs") as advance:
        for parcel in parcels:
            try:
                new.append(_deliver(store, parcel, ids))
            except RefusedError as error:
                refused.append(str(error))
            advance(1)
    return Imported(new.count(True), new.count(False), tuple(refused))


def _deliver(store: Store, parcel: Parcel, ids: dict[str, str]) -> bool:
    """Deliver a staged run; return False if the store had it already."""
    slip = parcel.slip
    runs = Runs(store, slip.experiment, slip.description)
    with runs.outbox.claimed(slip.experiment, slip.fingerprint, wait=True) as claim:
        assert claim is not None
        found = runs.find(slip.fingerprint)
        if found is None and runs.outbox.holds(slip.experiment, slip.fingerprint):
            raise RefusedError(f"{slip.name!r} waits in the outbox already: 'tokenviz sync' delivers it")
        if found is None:
            copy = claim.pack(lambda files: _copy(parcel, files, ids))
            try:
                ids[parcel.folder.name] = runs.deliver(copy)
            finally:
                copy.remove()  # the exported folder still has it
            return True
    for grid in slip.grid.split():
        runs.join_grid(found, grid)
    ids[parcel.folder.name] = found.run_id
    return False


def _copy(parcel: Parcel, files: Path, ids: Mapping[str, str]) -> Slip:
    shutil.copytree(parcel.files, files, dirs_exist_ok=True)
    new = {before.encode(): after.encode() for before, after in ids.items()}
    for path in (*files.rglob("*.csv"), *files.glob("*.html")):
        content = path.read_bytes()
        if path.suffix == ".html" or b"run_id" in content.partition(b"\n")[0]:
            path.write_bytes(_RUN_ID_IN_BYTES.sub(lambda found: new.get(found[0], found[0]), content))
    note = _RUN_ID_IN_BYTES.sub(lambda found: new.get(found[0], found[0]), parcel.slip.note.encode())
    return replace(parcel.slip, note=note.decode())
