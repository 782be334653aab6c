"""A run's files: listed, fetched from wherever the store keeps them, and settled on the disk."""

import os
from pathlib import Path

from tokenviz.errors import StoreError
from tokenviz.tracking.faults import reason_of, store_errors
from tokenviz.tracking.store import Store

_ATTEMPTS = 3  # at a file of a server


def files_of(store: Store, run_id: str, folder: str = "") -> dict[str, int]:
    """A run's files and their sizes in bytes.

    Raises:
        StoreError: The store fails.
    """
    with store_errors(store):
        entries = store.client.list_artifacts(run_id, folder or None)
    files: dict[str, int] = {}
    for entry in entries:
        files |= files_of(store, run_id, entry.path) if entry.is_dir else {str(entry.path): int(entry.file_size)}
    return files


def fetch(store: Store, run_id: str, artifact: str, folder: Path) -> Path:
    """A run's file on this disk.

    Args:
        store: Where the run is.
        run_id: Its id.
        artifact: The file's path among the run's; empty for all of them.
        folder: Where to put it, if it has to be fetched.

    Raises:
        StoreError: The run has no such file any more, or a server does not answer.
    """
    from mlflow.exceptions import MlflowException

    attempts = 1 if store.folder is not None else _ATTEMPTS
    for left in reversed(range(attempts)):
        try:
            return Path(store.client.download_artifacts(run_id, artifact, str(folder)))
        except (MlflowException, OSError) as error:
            if store.folder is None and not _is_gone(store, run_id, artifact):
                if left:
                    continue  # MLflow itself does not ask again
                raise StoreError(f"the tracking server {store.name!r} failed: {reason_of(error)}") from error
            raise StoreError(
                f"run {run_id} has lost its file {artifact!r} ({reason_of(error)}); repeat the experiment with --force"
            ) from error
    raise AssertionError("there is at least one attempt")


def _is_gone(store: Store, run_id: str, artifact: str) -> bool:
    """Whether a server says that a run has no such file; what MLflow says of a failed download tells nothing."""
    from mlflow.exceptions import MlflowException

    folder, _, name = artifact.rpartition("/")
    try:
        return bool(name) and all(entry.path != artifact for entry in store.client.list_artifacts(run_id, folder or None))
    except (MlflowException, OSError):
        return False


def settle(folder: Path) -> None:
    """Have files on the disk before the database says that their run is whole: the power may fail in between."""
    for path in [folder, *folder.rglob("*")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
