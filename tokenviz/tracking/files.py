"""A run's files: listed, and fetched from the store."""

import shutil
from pathlib import Path

from tokenviz.errors import DamagedError, StoreError
from tokenviz.tracking.faults import reason_of, store_errors
from tokenviz.tracking.rows import read_location
from tokenviz.tracking.store import Store

_ATTEMPTS = 3  # tries to download one file from a server
CURE = "run its experiment again with --force: the new run takes its place, and this one stays"
"""Advice for a run whose files are gone or changed."""


def files_of(store: Store, run_id: str, folder: str = "") -> dict[str, int]:
    """Return a run's files and their sizes in bytes.

    Raises:
        StoreError: The store fails.
    """
    if (place := _place_of(store, run_id)) is not None:
        files = sorted(path for path in (place / folder).rglob("*") if path.is_file())
        return {path.relative_to(place).as_posix(): path.stat().st_size for path in files}
    with store_errors(store):
        entries = store.client.list_artifacts(run_id, folder or None)
    found: dict[str, int] = {}
    for entry in entries:
        found |= files_of(store, run_id, entry.path) if entry.is_dir else {str(entry.path): int(entry.file_size)}
    return found


def _place_of(store: Store, run_id: str) -> Path | None:
    """Return the folder of a run's files in an embedded store; None for a server, and for a location that is not a folder."""
    if store.database is not None:
        location = read_location(store.database, run_id)
        if location is None:
            raise StoreError(f"the store {store.name!r} has no run {run_id!r}: 'tokenviz runs' lists what there is")
        return store.place_of(location)
    return None


def fetch(store: Store, run_id: str, artifact: str, folder: Path) -> Path:
    """Return the path of a run's file on this disk; download it where necessary.

    Args:
        store: The run's store.
        run_id: The run's id.
        artifact: The path of the file among the run's files; empty for all of them.
        folder: The folder for downloaded files.

    Raises:
        DamagedError: The run does not have the file any more.
        StoreError: A server does not answer.
    """
    from mlflow.exceptions import MlflowException

    if (place := _place_of(store, run_id)) is not None:
        try:
            return _taken(place, artifact, folder)
        except OSError as error:
            raise _lost(run_id, artifact, error.strerror or str(error)) from error
    attempts = 1 if store.folder is not None else _ATTEMPTS
    for left in reversed(range(attempts)):
        try:
            return Path(store.client.download_artifacts(run_id, artifact, str(folder)))
        except (MlflowException, OSError) as error:
            if store.folder is None and not _is_gone(store, run_id, artifact):
                if left:
                    continue  # MLflow itself does not retry
                raise StoreError(f"the tracking server {store.name!r} failed: {reason_of(error)}") from error
            raise _lost(run_id, artifact, reason_of(error)) from error
    raise AssertionError("there is at least one attempt")


def _taken(place: Path, artifact: str, folder: Path) -> Path:
    """Return a file at its place; copy the folder where all files are asked for."""
    if artifact:
        return (place / artifact).resolve(strict=True)
    if place.is_dir():
        shutil.copytree(place, folder, dirs_exist_ok=True)
    return folder


def _lost(run_id: str, artifact: str, reason: str) -> DamagedError:
    return DamagedError(f"run {run_id} has lost its file {artifact!r} ({reason}): {CURE}")


def _is_gone(store: Store, run_id: str, artifact: str) -> bool:
    """Return whether a server says that a run has no such file; MLflow's error for a failed download does not say it."""
    from mlflow.exceptions import MlflowException

    folder, _, name = artifact.rpartition("/")
    try:
        return bool(name) and all(entry.path != artifact for entry in store.client.list_artifacts(run_id, folder or None))
    except (MlflowException, OSError):
        return False
