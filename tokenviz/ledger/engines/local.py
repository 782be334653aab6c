"""Workers on this machine: one per GPU, or one per eight cores; fewer workers share the GPUs among them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenviz.base.hardware import cores, memory_bytes
from tokenviz.ledger.engines import CORES_PER_WORKER, Ended

if TYPE_CHECKING:
    from tokenviz.ledger.book import Ledger

_PATIENCE = 20.0  # seconds that a worker may take to end when asked


@dataclass
class _Running:
    process: "subprocess.Popen[bytes]"
    log: Any
    place: int
    model: str


class Local:
    """Ordinary processes of this machine."""

    def __init__(self, workers: int | None) -> None:
        """Decide on the number of workers."""
        self._gpus = _gpus()
        self._wanted = workers or self._gpus or max(1, cores() // CORES_PER_WORKER)
        self._running: list[_Running] = []

    def room(self) -> int:
        return 0 if self._gpus else memory_bytes()

    def start(self, ledger: "Ledger", models: Sequence[str]) -> int:
        free = [place for place in range(self._wanted) if all(one.place != place for one in self._running)]
        busy = [one.model for one in self._running]
        for place in free:
            model = min(models, key=lambda label: (busy.count(label), models.index(label)))
            busy.append(model)
            self._running.append(self._begin(ledger, model, place))
        return len(free)

    def ended(self) -> list[Ended]:
        gone = [one for one in self._running if one.process.poll() is not None]
        self._running = [one for one in self._running if one not in gone]
        found = []
        for one in gone:
            one.log.seek(0)
            lines = one.log.read().decode(errors="replace").strip().splitlines()
            one.log.close()
            found.append(Ended(one.process.pid, int(one.process.returncode), lines[-1] if lines else ""))
        return found

    def alive(self) -> int:
        return len(self._running)

    def stop(self) -> None:
        for one in self._running:
            one.process.send_signal(signal.SIGTERM)
        for one in self._running:
            try:
                one.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()
        self.ended()

    def devices(self, place: int) -> str:
        """Name the GPUs of a worker, as CUDA_VISIBLE_DEVICES has them: as many as there are for each."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(self._gpus)))).split(",")
        each = max(1, len(visible) // self._wanted)
        first = place * each % len(visible)
        return ",".join(visible[first : first + each])

    def _begin(self, ledger: "Ledger", model: str, place: int) -> _Running:
        environment = dict(os.environ)
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.devices(place)
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // self._wanted)))
        log = tempfile.TemporaryFile()  # noqa: SIM115  it is closed when the worker has ended
        command = [sys.executable, "-m", "tokenviz", "work", ledger.address, "--model", model]
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal goes to the driver, which asks the workers to end
        )
        return _Running(process, log, place, model)


def make(*, workers: int | None) -> Local:
    """Return the engine."""
    return Local(workers)


def _gpus() -> int:
    """Return the number of NVIDIA devices, without loading torch, which would use memory of each."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return len([one for one in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if one.strip() not in ("", "-1")])
    folder = Path("/proc/driver/nvidia/gpus")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
