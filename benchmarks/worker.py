"""One contender in a process of its own: orders as JSON lines on stdin, answers as JSON lines on stdout.

`python -m benchmarks.worker MODULE`. The orders are `prepare` and `load` (with a `Job`), `warm_up` (with the texts) and
`round`; instead of the last two `peak`, which the machine's matrix products obey alone. A contender that fails ends the
process with its traceback on stderr.
"""

import importlib
import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contenders import Job


class Worker:
    """What one order leaves for the next."""

    def __init__(self, module: str) -> None:
        self.module = importlib.import_module(f"benchmarks.contenders.{module}")
        self.contender: Any
        self.texts: list[str] = []

    def prepare(self, job: dict[str, Any]) -> dict[str, Any]:
        self.module.prepare(_job(job))
        return {}

    def load(self, job: dict[str, Any], distribution: str) -> dict[str, Any]:
        self.contender = self.module.Contender(_job(job))
        return {"version": version(distribution)}

    def warm_up(self, texts: list[str]) -> dict[str, Any]:
        self.texts = texts
        how = self.contender.warm_up(texts)
        rows = self.contender.score(texts)
        self.contender.rest()
        return {"how": how, "rows": rows}

    def round(self) -> dict[str, Any]:
        begin = time.perf_counter()
        self.contender.score(self.texts)
        seconds = time.perf_counter() - begin
        self.contender.rest()
        return {"seconds": seconds, "peak_bytes": peak_bytes()}

    def peak(self, dtype: str) -> dict[str, Any]:
        return {"flops": self.contender.peak_flops(dtype)}


def _job(fields: dict[str, Any]) -> Job:
    return Job(**{**fields, "folder": Path(fields["folder"]), "work": Path(fields["work"])})


def peak_bytes() -> int:
    """The most memory that this process had at once, the loading of the model included."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Unlike ru_maxrss, which on Linux begins with what the parent had when it started this process.
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Obey until stdin ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # libraries print; the answers stay alone on their pipe
        worker = Worker(sys.argv[1])
        for line in sys.stdin:
            order = json.loads(line)
            answer = getattr(worker, order.pop("do"))(**order)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
