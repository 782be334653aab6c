"""Workers as actors of a Ray cluster: one per GPU, or per as many GPUs as a model needs, or one per eight cores.

Each actor has one running call, which is a whole worker; it takes shards by itself. An actor that dies leaves its shard open,
and another one is started. Ray's own retries of tasks are not used: they were all spent on a dead socket in tests.
"""

import math
import os
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tokenviz.base.errors import LedgerError
from tokenviz.ledger.engines import CORES_PER_WORKER, Ended, missing_extra

if TYPE_CHECKING:
    from tokenviz.ledger.book import Ledger

_GRACE = 10.0  # seconds for a cluster to answer
_AROUND = 1 << 30  # bytes of a worker next to its weights: libraries, and what is computed
_PASSED_ON = ("PYTHONPATH", "OMP_NUM_THREADS", "HF_HOME", "HF_HUB_OFFLINE", "TOKENVIZ_CACHE")


class Worker:
    """The class of an actor."""

    def work(self, address: str, model: str, folder: str) -> tuple[int, str]:
        """Score shards; return the exit code and the last line."""
        from tokenviz.base.errors import TokenvizError
        from tokenviz.ledger.book import open_ledger
        from tokenviz.ledger.worker import work

        os.chdir(folder)  # paths of model folders are relative to it
        try:
            return (3 if work(open_ledger(address), model=model).failed else 0), ""
        except TokenvizError as error:
            return 1, f"error: {error}"


class Ray:
    """Actors of a cluster, at RAY_ADDRESS or on this machine."""

    def __init__(self, workers: int | None) -> None:
        """Join the cluster."""
        import ray

        address = os.environ.get("RAY_ADDRESS", "auto")
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            _reach(address)
            if not ray.is_initialized():
                ray.init(
                    address=address, log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": passed},
                    ignore_reinit_error=True,
                )  # fmt: skip
        except (OSError, RuntimeError, ValueError) as error:
            raise LedgerError(
                f"no Ray cluster at {address!r}: start one with 'ray start --head', or set RAY_ADDRESS "
                f"({' '.join(str(error).split())[:160]})"
            ) from error
        resources = ray.cluster_resources()
        self._gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        self._cores = min(CORES_PER_WORKER, cores)
        self._wanted = workers or self._gpus or max(1, cores // CORES_PER_WORKER)
        if workers and not self._gpus:
            self._cores = max(1, min(CORES_PER_WORKER, cores // workers))
        self._gpu_bytes = 0  # of one; asked for when it is needed
        self._running: dict[Any, tuple[Any, str]] = {}

    def room(self) -> int:
        return 0 if self._gpus else self._most("memory")

    def start(self, ledger: "Ledger", models: Sequence[str]) -> int:
        import ray

        free = self._wanted - len(self._running)
        weights = {cell.model: cell.weights_bytes for cell in ledger.cells()}
        needs = {model: self._need(model, weights[model]) for model in models} if free > 0 else {}
        for number in range(free):
            model = models[number % len(models)]
            one = ray.remote(num_cpus=self._cores, max_restarts=0, max_task_retries=0, **needs[model])(Worker).remote()
            self._running[one.work.remote(ledger.address, model, os.getcwd())] = (one, model)
        return free

    def ended(self) -> list[Ended]:
        import ray

        if not self._running:
            return []
        ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        found = []
        for call in ready:
            actor, _ = self._running.pop(call)
            try:
                code, said = ray.get(call)
            except ray.exceptions.RayActorError as error:
                code, said = -9, " ".join(str(error).split())[:200]
            except ray.exceptions.RayError as error:
                code, said = 1, " ".join(str(error).split())[-300:]
            found.append(Ended(0, code, said))
            ray.kill(actor)
        return found

    def alive(self) -> int:
        return len(self._running)

    def _need(self, model: str, weights: int) -> dict[str, int]:
        """Return what a worker of a model asks the cluster for: GPUs where there are some, else memory."""
        import ray

        if not self._gpus:
            return {"memory": min(weights + _AROUND, self._most("memory"))}
        if not self._gpu_bytes:
            self._gpu_bytes = int(ray.get(ray.remote(num_gpus=1, num_cpus=0)(gpu_bytes).remote()))
        return {"num_gpus": gpus_for(model, weights, self._gpu_bytes, most=self._most("GPU"))}

    def _most(self, resource: str) -> int:
        """Return how much of a resource the best node has: an actor runs on one node."""
        import ray

        return max((int(node["Resources"].get(resource, 0)) for node in ray.nodes() if node["Alive"]), default=0)

    def stop(self) -> None:
        import ray

        for actor, _ in self._running.values():
            ray.kill(actor)
        self._running = {}
        ray.shutdown()


def gpu_bytes() -> int:
    """Return the memory of the GPU of this process; 0 where torch finds none."""
    from tokenviz.models.loading import gpu_memory

    return gpu_memory()


def gpus_for(model: str, weights: int, one: int, *, most: int) -> int:
    """Count the GPUs that a worker of a model needs.

    Args:
        model: Its label, for the message.
        weights: Bytes of its weights.
        one: Bytes of one GPU, of which a tenth is left for what is computed; 0 where that is not known.
        most: GPUs of the largest node.

    Raises:
        LedgerError: No node has so many.
    """
    count = max(1, math.ceil(weights / (0.9 * one))) if one else 1
    if count > most:
        raise LedgerError(
            f"the model {model!r} has {weights / 1e9:,.1f} GB of weights and needs {count} GPUs of {one / 1e9:,.1f} GB on one "
            f"node, and no node of the Ray cluster has more than {most}: take larger machines, or a smaller model or dtype"
        )
    return count


def _reach(address: str) -> None:
    """Raise an OSError where nothing listens at an address; Ray itself tries for more than a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_GRACE).close()


def make(*, workers: int | None) -> Ray:
    """Return the engine.

    Raises:
        LedgerError: Ray is not installed, or there is no cluster.
    """
    if find_spec("ray") is None:
        raise missing_extra("ray", "ray")
    return Ray(workers)
