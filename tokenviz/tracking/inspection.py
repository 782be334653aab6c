"""The inspection of a tracking store: what in it is torn, doubled or waiting, and what nobody needs any more."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenviz.base.errors import Check, StoreError, listed, size
from tokenviz.base.progress import task
from tokenviz.tracking.embedded import artifacts_of, database_of, embedded_folder, run_stages
from tokenviz.tracking.entities import grid_of_view
from tokenviz.tracking.finding import FoundRun, find_runs, remove
from tokenviz.tracking.logged_models import models_without
from tokenviz.tracking.outbox import Outbox, waiting_stores
from tokenviz.tracking.repairs import condition_of_store
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import CHECKSUMS, LIST_TAG, damaged
from tokenviz.tracking.store import EMBEDDED, Store, open_for_reading, server_uri, store_errors, without_secrets

# A check of the tracking store: what is torn, missing, duplicated, left open or waiting. Nothing is changed.

_CURES = {"older": "tokenviz doctor --migrate", "damaged": "tokenviz doctor --rebuild", "lost": "tokenviz doctor --rebuild"}
_LITTLE = 1e9  # bytes; a grid of long texts needs this much
_SHOWN = 3


def inspect_store(*, quick: bool = False) -> list[Check]:
    """Check the configured store, its runs and their files, the outbox and the disk.

    Args:
        quick: Skip the runs' files, and the check for all of MLflow's tables in the database.
    """
    folder = embedded_folder()
    checks = [_room(folder), *_outbox(folder / "outbox")]
    try:
        if server_uri() is None and (condition := condition_of_store(only_read=quick)).kind != "ready":
            if condition.kind == "absent":
                return [Check("store", "note", f"none yet in {folder}", "the first experiment makes it"), *checks]
            return [Check("store", "wrong", condition.message, _CURES.get(condition.kind, "")), *checks]
        store = open_for_reading()
        runs = find_runs(every=True, store=store)
    except StoreError as error:
        return [Check("store", "wrong", str(error)), *checks]
    return [
        _about(store, runs),
        _open_runs(store, runs),
        _doubles(runs),
        *([] if quick else _files(store, runs)),
        *_removed(store),
        *checks,
    ]


def _about(store: Store, runs: Sequence[FoundRun]) -> Check:
    current = sum(run.current for run in runs)
    superseded = sum("superseded_by" in run.tags for run in runs)
    counts = f"{current:,} finished runs, {superseded:,} superseded, {len(runs) - current - superseded:,} others"
    if store.folder is None:
        return Check("store", "ok", f"server {store.name}: {counts}")
    database = database_of(store.folder)
    space = sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*"))
    where = f"{store.folder}: {counts}; database {size(space)}, files {size(_space_of(artifacts_of(store.folder)))}"
    if store.copy is not None:
        return Check("store", "note", f"{where}; read-only", "give yourself the right to write it, to run experiments")
    return Check("store", "ok", where)


def _open_runs(store: Store, runs: Sequence[FoundRun]) -> Check:
    """Check for runs that were left open by processes that have ended."""
    dead, elsewhere = [], 0
    for run in runs:
        if run.status == "RUNNING":
            own = Runs(store, run.experiment, "")
            if run.tags.get("outbox") != own.sender:
                elsewhere += 1
            elif not own.outbox.is_claimed(run.experiment, run.tags["fingerprint"]):
                dead.append(run)
    if dead:
        names = sorted({run.experiment for run in dead})
        found = f"{len(dead):,} left open by processes that ended: {listed([run.run_id for run in dead])}"
        return Check("open runs", "wrong", found, f"run {listed(names)} again: it closes them, and goes on from there")
    if elsewhere:
        return Check(
            "open runs", "note", f"{elsewhere:,} of other machines, which alone know whether a process still works on them"
        )
    return Check("open runs", "ok", "none that nobody is at work on")


def _doubles(runs: Sequence[FoundRun]) -> Check:
    """Check for cells that have more than one finished run."""
    cells: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        if run.current and "fingerprint" in run.tags:
            cells.setdefault((run.experiment, run.tags["fingerprint"]), []).append(run.run_id)
    older = [run_id for found in cells.values() for run_id in found[1:]]  # the newest run comes first
    if older:
        cure = f"tokenviz runs remove {' '.join(older[:_SHOWN])}{' ...' * (len(older) > _SHOWN)}"
        return Check("doubles", "wrong", f"{len(older):,} runs of cells that have a newer one: {listed(older)}", cure)
    return Check("doubles", "ok", "each result is there once")


def _files(store: Store, runs: Sequence[FoundRun]) -> list[Check]:
    """Check whether the files of finished runs are unchanged; those of a server are not checked."""
    if store.folder is None:
        return [
            Check("files", "note", "a server's files are not looked at", "'tokenviz runs export' checks those that it writes")
        ]
    lost: list[str] = []
    unlisted: list[str] = []
    places: dict[str, Path] = {}
    current = [run for run in runs if run.current]
    with task("checking files", len(current), "runs") as advance:
        for run in current:
            folder = store.place_of(run.artifact_uri)
            if folder is not None:
                places[run.run_id] = folder
                if not (folder / CHECKSUMS).is_file() and (LIST_TAG not in run.tags or not folder.is_dir()):
                    (unlisted if folder.is_dir() else lost).append(f"{run.run_id} ({run.name})")
                elif names := damaged(folder, run.tags):
                    lost.append(f"{run.run_id} ({run.name}): {listed(names, 1)}")
            advance(1)
    checks = [Check("files", "ok", f"{len(places) - len(unlisted):,} runs have what they were written with")]
    if lost:
        cure = "run their experiments again with --force: the new runs take their place, and these stay"
        checks = [Check("files", "wrong", f"{len(lost):,} runs have files that are gone or changed: {listed(lost)}", cure)]
    if unlisted:
        found = f"{len(unlisted):,} runs have no list of their files, so that they cannot be checked: {listed(unlisted)}"
        checks.append(Check("files", "note", found, "tokenviz rerun ID computes one again and compares"))
    return checks


def _removed(store: Store) -> Iterator[Check]:
    """Check for runs that are marked as removed, and for files that belong to no run."""
    if store.folder is None or store.database is None:
        return
    stages = run_stages(store.database)
    removed = [run_id for run_id, stage in stages.items() if stage == "deleted"]
    folders = {path.parent.name: path for path in artifacts_of(store.folder).glob("*/*/artifacts")}
    if removed:
        space = sum(_space_of(folders[run_id]) for run_id in removed if run_id in folders)
        cure = (
            f"restore one with 'MLFLOW_TRACKING_URI={store.uri} mlflow runs restore --run-id ID', or free the space with "
            f"'mlflow gc --backend-store-uri {store.uri}'"
        )
        yield Check("removed runs", "note", f"{len(removed):,}, which take {size(space)}", cure)
    lost = store.lost_runs()
    if lost:
        found = f"{len(lost):,} runs whose files are there and which the database does not know: {listed(lost)}"
        yield Check("lost runs", "wrong", found, "tokenviz doctor --rebuild puts them into the database again")


def _outbox(folder: Path) -> Iterator[Check]:
    waiting = waiting_stores(folder)
    here = without_secrets(server_uri() or EMBEDDED)
    for name, count in waiting.items():
        setting = "" if name == here else "MLFLOW_TRACKING_URI= " if name == EMBEDDED else f"MLFLOW_TRACKING_URI={name} "
        yield Check("outbox", "note", f"{count:,} results wait for {name}", f"{setting}tokenviz sync")
    torn = [str(path) for place in _places(folder) for path in place.torn()]
    if torn:
        yield Check(
            "outbox", "wrong", f"{len(torn):,} results are torn, or of another version: {listed(torn)}",
            "run their experiments again; what is in these folders stays until then",
        )  # fmt: skip
    if not waiting and not torn:
        yield Check("outbox", "ok", "nothing waits")


def _places(folder: Path) -> list[Outbox]:
    names = {path.parent.name: path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("*/store.txt")}
    return [Outbox(folder, name.removesuffix("\n")) for name in names.values()]


def _room(folder: Path) -> Check:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < _LITTLE:
        return Check("disk", "wrong", f"only {size(free)} free for {folder}", "make room there")
    return Check("disk", "ok", f"{size(free)} free for {folder}")


def _space_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# Removal of what is no longer needed in a store: superseded runs, runs that never finished, old views.

_NAMED_BY = ("run_a", "run_b", "run_scores")  # parameters that name another run


@dataclass(frozen=True)
class Untidy:
    """The runs, views and logged models that would be removed.

    Attributes:
        runs: Runs, each with the reason.
        views: Views of grids without a run: the experiment's id, the tag, and the experiment's name.
        models: Logged models without a run: the id, the name, and the experiment's name.
    """

    runs: Sequence[tuple[FoundRun, str]]
    views: Sequence[tuple[str, str, str]]
    models: Sequence[tuple[str, str, str]] = ()


def find_untidy(store: Store, experiment: str | None = None) -> Untidy:
    """Find what a second `--force`, ended processes and removed runs leave behind; nothing is changed.

    A run that a current run names is kept, such as the two scores of a comparison.

    Args:
        store: The open store.
        experiment: Name of an MLflow experiment; by default all experiments are searched.

    Raises:
        StoreError: There is no such experiment, or the store fails.
    """
    every = find_runs(experiment, every=True, store=store)
    current = [run for run in every if run.current]
    needed = {run.params.get(name, "") for run in current for name in _NAMED_BY}
    there = {run.run_id for run in current}
    found = []
    for run in every:
        if run.run_id in needed or run.status == "RUNNING":
            continue
        if run.tags.get("superseded_by") in there:
            found.append((run, "a newer run has taken its place"))
        elif run.status != "FINISHED":
            found.append((run, "it ended before it was whole"))
    grids = {grid for run in current for grid in run.tags.get("grid", "").split()}
    with store_errors(store):
        experiments = [one for one in store.client.search_experiments() if experiment in (None, one.name)]
        names = {str(one.experiment_id): str(one.name) for one in experiments}
        models = [(one, name, names[number]) for one, name, number in models_without(store.client, list(names), there)]
    views = [
        (str(one.experiment_id), tag, str(one.name))
        for one in experiments
        for tag in sorted(one.tags)
        if (grid := grid_of_view(tag)) and grid not in grids
    ]
    return Untidy(found, views, models)


def tidy(store: Store, untidy: Untidy) -> None:
    """Remove what was found: runs and logged models in MLflow's way, so that they can be restored; views for good.

    Raises:
        StoreError: The store may not be written, or fails.
    """
    if store.copy is not None:
        raise StoreError(f"the store in {str(store.folder)!r} may not be written: nothing was removed")
    remove(store, [run for run, _ in untidy.runs])
    with store_errors(store):
        for experiment_id, tag, _ in untidy.views:
            store.client.delete_experiment_tag(experiment_id, tag)
        for model_id, *_ in untidy.models if store.database is None else ():  # an embedded store keeps those of its runs
            store.client.delete_logged_model(model_id)
