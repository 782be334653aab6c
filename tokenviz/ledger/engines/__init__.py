"""Engines that start workers: this machine, Slurm, or a Ray cluster. Files hold the state, so that an engine needs none."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from tokenviz.base.errors import LedgerError, did_you_mean

if TYPE_CHECKING:
    from tokenviz.ledger.book import Ledger

EngineName = Literal["local", "slurm", "ray"]
ENGINES: tuple[str, ...] = get_args(EngineName)
CORES_PER_WORKER = 8  # without a GPU: with more, a model of a few hundred million weights is hardly faster


@dataclass(frozen=True)
class Ended:
    """A worker that has ended.

    Attributes:
        pid: Its process id, which its claim contains; 0 where it is not known.
        code: Its exit code; negative for a signal.
        said: The last line that it printed.
    """

    pid: int
    code: int
    said: str


class Engine(Protocol):
    """Starts workers and reports which of them have ended."""

    def room(self) -> int:
        """Return the memory that the largest worker may have, in bytes; 0 where it is not known."""
        ...

    def start(self, ledger: "Ledger", models: Sequence[str]) -> int:
        """Start workers where there is room, if possible one for each model; return the number of started workers."""
        ...

    def ended(self) -> list[Ended]:
        """Return the workers that have ended since the last call."""
        ...

    def alive(self) -> int:
        """Return the number of workers that were started and have not ended."""
        ...

    def stop(self) -> None:
        """End all workers."""
        ...


def missing_extra(engine: str, package: str) -> LedgerError:
    """Return the error that names the extra of an engine."""
    return LedgerError(
        f"the engine {engine!r} needs the package {package}, which is not installed: pip install 'tokenviz-harness[{engine}]'"
    )


def engine_of(name: str, *, workers: int | None) -> Engine:
    """Return an engine, after checking that it is available.

    Args:
        name: One of `ENGINES`.
        workers: The most workers; None for as many as the engine finds.

    Raises:
        LedgerError: There is no such engine, or something that it needs is missing.
    """
    if name not in ENGINES:
        raise LedgerError(f"no engine {name!r}: take one of {', '.join(ENGINES)}{did_you_mean(name, ENGINES)}")
    engine: Engine = import_module(f"tokenviz.ledger.engines.{name}").make(workers=workers)
    return engine
