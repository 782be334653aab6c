"""The running experiment: its name, description and arguments, for the grid inside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from tokenviz.figures.limits import Chosen
from tokenviz.figures.saving import PAGE_FORMATS, FigureFormat


@dataclass(frozen=True)
class LedgerRequest:
    """A request to score in shards by workers, instead of whole texts in this process.

    Attributes:
        address: The ledger: a folder, or an address that fsspec knows.
        engine: What starts the workers: "local", "slurm" or "ray".
        workers: The most workers; None for as many as the engine finds.
        shard_bytes: For a new ledger, the approximate size of a shard in bytes of UTF-8; None for 4 MiB.
    """

    address: str
    engine: str = "local"
    workers: int | None = None
    shard_bytes: int | None = None


@dataclass(frozen=True)
class ExperimentContext:
    """A running experiment.

    Attributes:
        name: Name of the command and of the MLflow experiment.
        description: The function's docstring, for the experiment's page.
        params: Every argument by name.
        force: Whether finished cells are computed again.
        file: The file that defines it; None outside any experiment.
        limits: Limits of the heatmaps' colours, as in `text_heatmap`; no number depends on them.
        formats: Formats of the figures that are drawn into the runs, besides HTML.
        ledger: The ledger to score with, in shards; None to score in this process. No number depends on it.
    """

    name: str
    description: str = ""
    params: dict[str, object] = field(default_factory=dict)
    force: bool = False
    file: Path | None = None
    limits: Chosen = "text"
    formats: tuple[FigureFormat, ...] = PAGE_FORMATS
    ledger: LedgerRequest | None = None


_current: ContextVar[ExperimentContext | None] = ContextVar("running experiment", default=None)
_INTERACTIVE = ExperimentContext("interactive", "Grids made outside any experiment, in a notebook or a shell.")


def current_experiment() -> ExperimentContext:
    """Return the running experiment; outside one (in a notebook), the experiment "interactive"."""
    return _current.get() or _INTERACTIVE


@contextmanager
def running(experiment: ExperimentContext) -> Iterator[None]:
    """Make an experiment the current one inside the block."""
    token = _current.set(experiment)
    try:
        yield
    finally:
        _current.reset(token)
