"""Which experiment is running: its name, its description and its arguments, for the grid inside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from tokenviz.figures.limits import Chosen


@dataclass(frozen=True)
class LedgerRequest:
    """Shards instead of whole texts, scored by workers.

    Attributes:
        address: The ledger: a folder, or an address that fsspec knows.
        engine: What starts the workers: "local", "slurm" or "ray".
        workers: How many at most; None for what the engine finds.
        shard_bytes: Of a new ledger: about how much UTF-8 a shard holds; None for 4 MiB.
    """

    address: str
    engine: str = "local"
    workers: int | None = None
    shard_bytes: int | None = None


@dataclass(frozen=True)
class ExperimentContext:
    """A running experiment.

    Attributes:
        name: Of the command and of the MLflow experiment.
        description: The function's docstring, for the experiment's page.
        params: Every argument by name.
        force: Whether finished cells are computed anew.
        file: That defines it; None outside any experiment.
        limits: Of the heatmaps' colours, as `text_heatmap` takes them; no number depends on them.
        ledger: Where and by what shards are scored; None to score in this process. No number depends on it.
    """

    name: str
    description: str = ""
    params: dict[str, object] = field(default_factory=dict)
    force: bool = False
    file: Path | None = None
    limits: Chosen = "text"
    ledger: LedgerRequest | None = None


_current: ContextVar[ExperimentContext | None] = ContextVar("running experiment", default=None)
_INTERACTIVE = ExperimentContext("interactive", "Grids made outside any experiment, in a notebook or a shell.")


def current_experiment() -> ExperimentContext:
    """The running experiment; outside one (in a notebook), the experiment "interactive"."""
    return _current.get() or _INTERACTIVE


@contextmanager
def running(experiment: ExperimentContext) -> Iterator[None]:
    """Let an experiment be the current one inside the block."""
    token = _current.set(experiment)
    try:
        yield
    finally:
        _current.reset(token)
