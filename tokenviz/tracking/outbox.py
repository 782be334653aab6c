"""The outbox: results stay there, completely or not at all, until the tracking store has them.

A cell of a grid is claimed by one process at a time. Its results are packed as a staged run, figures are added, the run is
delivered, and the staged run is removed. If the process ends in between, the next command finds the staged run and continues
from there.
"""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from tokenviz.base import disk
from tokenviz.base.errors import StoreError
from tokenviz.base.progress import warn
from tokenviz.tracking.staged_runs import RunRecord, StagedRun, is_staged, pack, partial_of, read_run_record, read_staged

_LOCK = ".lock"
_NAME = "store.txt"


class Claim:
    """The right of one process to compute and deliver one cell, until it is released or the process ends."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self._folder, self._lock = folder, lock

    def left_over(self) -> StagedRun | None:
        """Return the complete staged run that an earlier process did not deliver, or None; remove a torn one."""
        shutil.rmtree(partial_of(self._folder), ignore_errors=True)
        return _open(self._folder)

    def pack(self, fill: Callable[[Path], RunRecord]) -> StagedRun:
        """Pack the cell's staged run, as `pack` does."""
        return pack(self._folder, fill)

    def tidy(self) -> None:
        """Remove what is left of a staged run that was never complete, or is already delivered."""
        shutil.rmtree(partial_of(self._folder), ignore_errors=True)
        if not is_staged(self._folder):
            shutil.rmtree(self._folder, ignore_errors=True)

    def release(self) -> None:
        """Release the cell to other processes, whether or not a staged run is left."""
        if self._lock.is_locked:
            # The file is removed while it is locked: a process that waits for it then sees that it is gone, and makes a new
            # one.
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()


class Outbox:
    """The staged runs for one store."""

    def __init__(self, folder: Path, store: str) -> None:
        """Name the outbox; its folder is made at the first claim.

        Args:
            folder: The folder of the outboxes of all stores.
            store: The store's name, without secrets.
        """
        self.store = store
        self.folder = folder / sha256(store.encode()).hexdigest()[:12]

    def claim(self, experiment: str, fingerprint: str, *, wait: bool = False) -> Claim | None:
        """Claim a cell.

        Args:
            experiment: Name of the MLflow experiment.
            fingerprint: The fingerprint of the cell.
            wait: Whether to wait while another process has claimed it; by default not.

        Returns:
            The claim; None where another process has it.

        Raises:
            StoreError: The outbox cannot be written.
        """
        return self._claim(_key(experiment, fingerprint), wait=wait)

    def _claim(self, key: str, *, wait: bool = False) -> Claim | None:
        try:
            self._make()
            # the thread that delivers releases it, not the one that computes
            lock = FileLock(self.folder / f"{key}{_LOCK}", thread_local=False)
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            return None
        except OSError as error:
            raise StoreError(f"cannot write the outbox in {str(self.folder)!r}: {error.strerror}") from error
        return Claim(self.folder / key, lock)

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if _store_of(self.folder) is None:
            disk.write(self.folder / _NAME, f"{self.store}\n")

    @contextmanager
    def claimed(self, experiment: str, fingerprint: str, *, wait: bool = False) -> Iterator[Claim | None]:
        """Claim a cell as `claim` does, and release it at the end of the block."""
        claim = self.claim(experiment, fingerprint, wait=wait)
        try:
            yield claim
        finally:
            if claim is not None:
                claim.release()

    def is_claimed(self, experiment: str, fingerprint: str) -> bool:
        """Return whether a running process has claimed a cell; nothing is written."""
        try:
            with (self.folder / f"{_key(experiment, fingerprint)}{_LOCK}").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def holds(self, experiment: str, fingerprint: str) -> bool:
        """Return whether the outbox holds anything of a cell."""
        return (self.folder / _key(experiment, fingerprint)).is_dir()

    def staged(self, experiment: str, fingerprint: str) -> StagedRun | None:
        """Return the staged run of a cell, or None. It may be delivered at any moment, and its files are not checked."""
        folder = self.folder / _key(experiment, fingerprint)
        record = read_run_record(folder) if is_staged(folder) else None
        return StagedRun(folder, record) if record is not None else None

    def records(self) -> list[RunRecord]:
        """Return the records of waiting runs, in the order in which they were computed."""
        return sorted(filter(None, map(read_run_record, self._staged_runs())), key=lambda record: (record.ended, record.id))

    def torn(self) -> list[Path]:
        """Return staged runs that cannot be delivered: their records are torn, or of another version."""
        return [path for path in self._staged_runs() if read_run_record(path) is None]

    def tidy(self) -> None:
        """Remove what ended processes left behind: locks, and staged runs that are half packed or half removed.

        Raises:
            StoreError: The outbox cannot be written.
        """
        whole = {path.name for path in self._staged_runs()} | {_NAME}
        keys = {path.name.partition(".")[0] for path in self._entries() if path.name not in whole}
        for key in keys - {""}:  # a file that is being written has a name that begins with a dot
            claim = self._claim(key)
            if claim is not None:
                claim.tidy()
                claim.release()

    def _staged_runs(self) -> list[Path]:
        return [path for path in self._entries() if is_staged(path)]

    def _entries(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []


def waiting_stores(folder: Path) -> dict[str, int]:
    """Return the stores for which staged runs wait below an outbox folder, with their numbers."""
    stores = filter(None, map(_store_of, sorted(folder.iterdir()) if folder.is_dir() else []))
    counts = {store: len(Outbox(folder, store).records()) for store in stores}
    return {store: count for store, count in counts.items() if count}


def _store_of(folder: Path) -> str | None:
    """Return the store of an outbox's folder; None where its file does not name one yet."""
    try:
        store = (folder / _NAME).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return store if Outbox(folder.parent, store).folder == folder else None


def _key(experiment: str, fingerprint: str) -> str:
    """Return the name of a cell's files in the outbox."""
    return sha256(json.dumps([experiment, fingerprint]).encode()).hexdigest()[:32]


def _open(folder: Path) -> StagedRun | None:
    if not folder.is_dir():
        return None
    staged = read_staged(folder)
    if staged is None:
        warn(f"what an interrupted command left in {folder} is torn: it is removed and computed again")
        shutil.rmtree(folder, ignore_errors=True)
    elif staged.record.figures:
        staged.check_figures()
    return staged
