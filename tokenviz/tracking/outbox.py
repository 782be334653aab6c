"""The outbox: what was computed lies there, whole or not at all, until the tracking store has it.

A cell of a grid is claimed by one process at a time. Its results are packed as a parcel, figures are added, the run is
delivered, and the parcel goes. Whatever ends the process in between, the next command finds the parcel and goes on from there.
"""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from tokenviz import durable
from tokenviz.errors import StoreError
from tokenviz.progress import warn
from tokenviz.tracking.parcels import Parcel, Slip, is_parcel, pack, partial_of, read_parcel, read_slip

_LOCK = ".lock"
_NAME = "store.txt"


class Claim:
    """The right of one process to compute and deliver one cell, until it is released or the process ends."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self._folder, self._lock = folder, lock

    def left_over(self) -> Parcel | None:
        """The parcel that an earlier process packed and did not deliver, if it is whole; what is torn is removed."""
        shutil.rmtree(partial_of(self._folder), ignore_errors=True)
        return _open(self._folder)

    def pack(self, fill: Callable[[Path], Slip]) -> Parcel:
        """Make the cell's parcel; see `pack`."""
        return pack(self._folder, fill)

    def tidy(self) -> None:
        """Remove what is left of a parcel that was never whole, or is already delivered."""
        shutil.rmtree(partial_of(self._folder), ignore_errors=True)
        if not is_parcel(self._folder):
            shutil.rmtree(self._folder, ignore_errors=True)

    def release(self) -> None:
        """Let others have the cell; whether anything is left of it or not."""
        if self._lock.is_locked:
            # Removed while it is held: whoever waits for it notices that the file is gone, and makes a new one.
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()


class Outbox:
    """The parcels for one store."""

    def __init__(self, folder: Path, store: str) -> None:
        """Name the outbox; its folder is made when something is claimed.

        Args:
            folder: Where the parcels of all stores lie.
            store: The store's name, without anything secret.
        """
        self.store = store
        self.folder = folder / sha256(store.encode()).hexdigest()[:12]

    def claim(self, experiment: str, fingerprint: str, *, wait: bool = False) -> Claim | None:
        """Claim a cell.

        Args:
            experiment: The MLflow experiment's name.
            fingerprint: The cell's.
            wait: Whether to wait for another process that has it.

        Returns:
            None where another process has it.

        Raises:
            StoreError: The outbox cannot be written.
        """
        return self._claim(_key(experiment, fingerprint), wait=wait)

    def _claim(self, key: str, *, wait: bool = False) -> Claim | None:
        try:
            self._make()
            # Released by the thread that delivers, not by the one that computes.
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
            durable.write(self.folder / _NAME, f"{self.store}\n")

    @contextmanager
    def claimed(self, experiment: str, fingerprint: str, *, wait: bool = False) -> Iterator[Claim | None]:
        """`claim`, released at the end of the block."""
        claim = self.claim(experiment, fingerprint, wait=wait)
        try:
            yield claim
        finally:
            if claim is not None:
                claim.release()

    def is_claimed(self, experiment: str, fingerprint: str) -> bool:
        """Whether a process that lives has a cell; nothing is written to find out."""
        try:
            with (self.folder / f"{_key(experiment, fingerprint)}{_LOCK}").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def holds(self, experiment: str, fingerprint: str) -> bool:
        """Whether anything of a cell lies here."""
        return (self.folder / _key(experiment, fingerprint)).is_dir()

    def parcel(self, experiment: str, fingerprint: str) -> Parcel | None:
        """The parcel of a cell, which may be delivered at any moment; None where none waits. Its files are not checked."""
        folder = self.folder / _key(experiment, fingerprint)
        slip = read_slip(folder) if is_parcel(folder) else None
        return Parcel(folder, slip) if slip is not None else None

    def slips(self) -> list[Slip]:
        """What waits, in the order in which it was computed."""
        return sorted(filter(None, map(read_slip, self._parcels())), key=lambda slip: (slip.ended, slip.id))

    def torn(self) -> list[Path]:
        """Parcels that nobody can deliver: their slips are torn, or of another version."""
        return [path for path in self._parcels() if read_slip(path) is None]

    def tidy(self) -> None:
        """Remove what dead processes left that is of no use: locks, parcels half packed or half removed.

        Raises:
            StoreError: The outbox cannot be written.
        """
        whole = {path.name for path in self._parcels()} | {_NAME}
        keys = {path.name.partition(".")[0] for path in self._entries() if path.name not in whole}
        for key in keys - {""}:  # a file that is being written begins with a dot
            claim = self._claim(key)
            if claim is not None:
                claim.tidy()
                claim.release()

    def _parcels(self) -> list[Path]:
        return [path for path in self._entries() if is_parcel(path)]

    def _entries(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []


def waiting_stores(folder: Path) -> dict[str, int]:
    """Stores for which parcels wait below an outbox folder, and how many."""
    stores = filter(None, map(_store_of, sorted(folder.iterdir()) if folder.is_dir() else []))
    counts = {store: len(Outbox(folder, store).slips()) for store in stores}
    return {store: count for store, count in counts.items() if count}


def _store_of(folder: Path) -> str | None:
    """The store that a folder of parcels is for; None where that is not written there, or not yet."""
    try:
        store = (folder / _NAME).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return store if Outbox(folder.parent, store).folder == folder else None


def _key(experiment: str, fingerprint: str) -> str:
    """The name of everything of a cell."""
    return sha256(json.dumps([experiment, fingerprint]).encode()).hexdigest()[:32]


def _open(folder: Path) -> Parcel | None:
    if not folder.is_dir():
        return None
    parcel = read_parcel(folder)
    if parcel is None:
        warn(f"what an interrupted command left in {folder} is torn: it is removed and computed anew")
        shutil.rmtree(folder, ignore_errors=True)
    elif parcel.slip.figures:
        parcel.check_figures()
    return parcel
