"""Claims: which worker is on which shard. They only avoid double work; results do not depend on them.

A claim is a file that its worker rewrites every minute; it is ignored after five minutes without that. Ages are measured by the
clock of the file system on both sides, so that the clocks of machines may differ by hours. A dead worker of this machine is
detected at once.
"""

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tokenviz.base.errors import LedgerError
from tokenviz.ledger.storage import Storage

REFRESHED = 60.0  # seconds between two writes
IGNORED = 300.0


def this_machine() -> str:
    """Return an id of this machine or container: process ids have a meaning only within it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot = space = ""
    return f"{socket.gethostname()} {boot} {space}"


class Beacon:
    """Signs of life of a worker: its own file, and its claim, rewritten every minute by a thread."""

    def __init__(self, storage: Storage) -> None:
        """Make a name for the worker; nothing is written yet."""
        host = "".join(sign if sign.isalnum() else "-" for sign in socket.gethostname())[:40]
        self.name = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.said: dict[str, Any] = {}
        self._storage = storage
        self._claim = ""
        self._about = {
            "machine": this_machine(), "pid": os.getpid(), "began": _began(os.getpid()),
        }  # fmt: skip
        self._written = 0.0
        self._at = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._refresh, daemon=True)

    def __enter__(self) -> "Beacon":
        self.write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.release()
        with suppress(LedgerError):
            self._storage.remove(f"workers/{self.name}")

    @property
    def now(self) -> float:
        """Return the time by the file system's clock, in seconds."""
        return self._written + time.monotonic() - self._at

    def write(self) -> None:
        """Show that this worker is alive, and read the file system's clock."""
        self._storage.replace(f"workers/{self.name}", json.dumps({**self._about, **self.said}).encode())
        written = self._storage.written(f"workers/{self.name}")
        if written is not None:
            self._written, self._at = written, time.monotonic()

    def claim(self, cell: str, shard: str) -> bool:
        """Claim a shard; return False where another running worker has claimed it, or is claiming it."""
        self._claim = f"claims/{cell}/{shard}.{self.name}"
        self._write_claim()
        rivals = [name for name in self._storage.names(f"claims/{cell}") if name.startswith(f"{shard}.")]
        if any(worker < self.name and self.fresh(cell, shard, worker) for worker in _workers(rivals)):
            self.release()
            return False
        return True

    def release(self) -> None:
        """Remove the claim."""
        with self._lock:
            claim, self._claim = self._claim, ""
        if claim:
            with suppress(LedgerError):
                self._storage.remove(claim)

    def fresh(self, cell: str, shard: str, worker: str) -> bool:
        """Return whether another worker's claim counts; remove that of a dead one."""
        name = f"claims/{cell}/{shard}.{worker}"
        return worker != self.name and self._counts(name)

    def alive(self) -> dict[str, dict[str, Any]]:
        """Return the files' content of other workers that are running, by worker."""
        found = {}
        for worker in self._storage.names("workers") - {self.name}:
            if self._counts(f"workers/{worker}"):
                found[worker] = _read(self._storage, f"workers/{worker}")
        return found

    def _counts(self, name: str) -> bool:
        written = self._storage.written(name)
        if written is None:
            return False
        about = _read(self._storage, name)
        dead = about.get("machine") == self._about["machine"] and not _runs(about)
        if dead or abs(self.now - written) > IGNORED:
            with suppress(LedgerError):
                self._storage.remove(name)
            return False
        return True

    def _write_claim(self) -> None:
        with self._lock:
            if self._claim:
                self._storage.replace(self._claim, json.dumps(self._about).encode())

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESHED):
            with suppress(LedgerError):  # a storage that does not answer: scoring goes on
                self.write()
                self._write_claim()


def _workers(names: list[str]) -> list[str]:
    return [name.partition(".")[2] for name in names]


def _read(storage: Storage, name: str) -> dict[str, Any]:
    try:
        found = json.loads(storage.read(name) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _runs(about: dict[str, Any]) -> bool:
    """Return whether the process of a claim of this machine is still running."""
    try:
        pid = int(about["pid"])
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and _began(pid) == about["began"]
    except (KeyError, TypeError, ValueError, psutil.NoSuchProcess):
        return False
    except psutil.AccessDenied:
        return True


def _began(pid: int) -> float:
    """Return the start of a process, in any unit; on Linux it does not change when the clock is set."""
    try:
        return float(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return psutil.Process(pid).create_time()
