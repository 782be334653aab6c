"""Workers as jobs of a Slurm array, through submitit.

Partition, account, time and similar settings are Slurm's: `SBATCH_PARTITION` and the other variables that `sbatch` reads. A job
that is requeued, or that reaches its time limit, starts again and takes open shards.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenviz.base.errors import LedgerError
from tokenviz.ledger.engines import CORES_PER_WORKER, Ended, missing_extra

if TYPE_CHECKING:
    from tokenviz.ledger.book import Ledger

_MOST_MINUTES = 24 * 60  # minutes of a job where its partition has no limit
_WORKERS = 16


class Worker:
    """The callable that a job runs; submitit sends it there, and back into the queue when its time is over."""

    def __init__(self, address: str, model: str) -> None:
        """Keep the address of the ledger and the model to begin with."""
        self.address, self.model = address, model

    def __call__(self) -> tuple[int, str]:
        """Score shards; return the exit code and the last line."""
        from tokenviz.base.errors import TokenvizError
        from tokenviz.ledger.book import open_ledger
        from tokenviz.ledger.worker import work

        try:
            return (3 if work(open_ledger(self.address), model=self.model).failed else 0), ""
        except TokenvizError as error:
            return 1, f"error: {error}"

    def checkpoint(self) -> Any:
        """Start again: the ledger knows what is done."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Slurm:
    """Jobs of this user."""

    def __init__(self, workers: int | None) -> None:
        """Check that Slurm answers, and read the limits of the partition."""
        self._wanted = workers or _WORKERS
        self._partition = os.environ.get("SBATCH_PARTITION", "")
        found = _partition(self._partition)
        self._minutes, self._gpu, self._memory = found.minutes, found.gpus, found.memory
        self._cores = min(CORES_PER_WORKER, found.cores)
        self._jobs: list[Any] = []

    def room(self) -> int:
        return 0 if self._gpu else self._memory

    def start(self, ledger: "Ledger", models: Sequence[str]) -> int:
        import submitit

        free = self._wanted - len(self._jobs)
        if free <= 0:
            return 0
        folder = Path(ledger.address) / "slurm" if ledger.storage.is_local else Path.cwd() / "slurm"
        executor = submitit.SlurmExecutor(folder=folder)
        settings: dict[str, Any] = {
            "job_name": "tokenviz",
            "time": self._minutes,
            "cpus_per_task": self._cores,
            "array_parallelism": self._wanted,
            "use_srun": False,
            "setup": [f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{self._cores}}}"],
        }
        if self._partition:
            settings["partition"] = self._partition
        if self._gpu:
            settings["gpus_per_node"] = 1
        executor.update_parameters(**settings)
        labels = [models[number % len(models)] for number in range(free)]
        try:
            with executor.batch():
                jobs = [executor.submit(Worker(ledger.address, label)) for label in labels]
        except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
            raise LedgerError(f"Slurm does not take the job: {' '.join(str(error).split())[-300:]}") from error
        self._jobs += jobs
        return len(jobs)

    def ended(self) -> list[Ended]:
        queued = _queue()
        gone = [job for job in self._jobs if job.job_id not in queued]
        self._jobs = [job for job in self._jobs if job not in gone]
        return [_end_of(job) for job in gone]

    def alive(self) -> int:
        return len(self._jobs)

    def stop(self) -> None:
        names = [job.job_id for job in self._jobs]
        if names:
            subprocess.run(["scancel", *names], capture_output=True, check=False, timeout=60)


def make(*, workers: int | None) -> Slurm:
    """Return the engine.

    Raises:
        LedgerError: submitit or Slurm is missing, or Slurm lacks the partition.
    """
    if find_spec("submitit") is None:
        raise missing_extra("slurm", "submitit")
    if shutil.which("sbatch") is None or shutil.which("sinfo") is None:
        raise LedgerError("the engine 'slurm' needs Slurm's commands (sbatch, sinfo) on this machine: run it on a login node")
    return Slurm(workers)


@dataclass(frozen=True)
class _Partition:
    """Limits of a partition: minutes of a job, cores and bytes of memory of the smallest node, and whether it has GPUs."""

    minutes: int
    cores: int
    memory: int
    gpus: bool


def _partition(name: str) -> _Partition:
    asked = ["-p", name] if name else []
    said = _run(["sinfo", "-h", "-o", "%R|%l|%c|%m|%G", *asked])
    rows = [line.split("|") for line in said.splitlines() if line.count("|") == 4]
    if not rows:
        known = sorted(set(_run(["sinfo", "-h", "-o", "%R"]).split()))
        words = f"Slurm has no partition {name!r} (SBATCH_PARTITION)" if name else "Slurm has no partition"
        raise LedgerError(f"{words}: it has {', '.join(known) or 'none'}")
    limits, cores, memory = (list(column) for column in list(zip(*rows, strict=True))[1:4])
    return _Partition(
        minutes=min(map(_minutes, limits)),
        cores=min(map(_number, cores)),
        memory=min(map(_number, memory)) << 20,
        gpus=all("gpu" in row[4] for row in rows),
    )


def _number(said: str) -> int:
    """Return one of Slurm's counts, which may end in "+"."""
    return int(re.sub(r"\D", "", said) or 1)


def _minutes(limit: str) -> int:
    """Return Slurm's [days-]hours:minutes:seconds in minutes, or a day where there is no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit.strip())
    if not found:
        return _MOST_MINUTES
    days, hours, minutes, _ = (int(one or 0) for one in found.groups())
    return max(1, min(_MOST_MINUTES, (24 * days + hours) * 60 + minutes))


def _queue() -> set[str]:
    """Return the jobs of this user that wait or run; the members of an array are separate."""
    return set(_run(["squeue", "-h", "--me", "-r", "-o", "%i"]).split())


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LedgerError(f"Slurm does not answer to {command[0]!r}: {error}") from error
    if done.returncode:
        raise LedgerError(f"Slurm does not answer to {command[0]!r}: {' '.join(done.stderr.split())[:300]}")
    return done.stdout


def _end_of(job: Any) -> Ended:
    """Return how a job ended, from the file that submitit writes; without one it was killed."""
    if not job.paths.result_pickle.exists():
        return Ended(0, -9, f"job {job.job_id} left no result, see {job.paths.stderr}")
    try:
        code, said = job.result()
    except Exception as error:  # noqa: BLE001  whatever the job raised, as submitit passes it on
        return Ended(0, 1, " ".join(str(error).split())[-300:])
    return Ended(0, code, said)
