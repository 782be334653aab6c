"""What starts workers: this machine, Slurm, or a Ray cluster. Files are the record, so that no state of an engine matters."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from tokenviz.errors import LedgerError, did_you_mean

if TYPE_CHECKING:
    from tokenviz.ledger.book import Ledger

EngineName = Literal["local", "slurm", "ray"]
ENGINES: tuple[str, ...] = get_args(EngineName)


@dataclass(frozen=True)
class Ended:
    """A worker that came to an end.

    Attributes:
        pid: Its process, which its claim names; 0 where that is not known.
        code: Its exit code; that of a signal is negative.
        said: The last line that it said.
    """

    pid: int
    code: int
    said: str


class Engine(Protocol):
    """Starts workers and says which of them have ended."""

    def room(self) -> int:
        """Bytes of memory that the largest worker may have; 0 where that is not known."""
        ...

    def start(self, ledger: "Ledger", models: Sequence[str]) -> int:
        """Start workers where there is room, so that each of the models has one if possible; return how many were started."""
        ...

    def ended(self) -> list[Ended]:
        """List the workers that have ended since the last call."""
        ...

    def alive(self) -> int:
        """Count the workers that were started and have not ended."""
        ...

    def stop(self) -> None:
        """End all workers."""
        ...


def missing_extra(engine: str, package: str) -> LedgerError:
    """The error that names the extra of an engine."""
    return LedgerError(
        f"the engine {engine!r} needs the package {package}, which is not installed: pip install 'tokenviz-harness[{engine}]'"
    )


def engine_of(name: str, *, workers: int | None) -> Engine:
    """Find an engine; whatever it needs is looked for now.

    Args:
        name: One of `ENGINES`.
        workers: How many workers at most; by default what the engine finds.

    Raises:
        LedgerError: There is no such engine, or what it needs is not there.
    """
    if name not in ENGINES:
        raise LedgerError(f"no engine {name!r}: take one of {', '.join(ENGINES)}{did_you_mean(name, ENGINES)}")
    engine: Engine = import_module(f"tokenviz.ledger.engines.{name}").make(workers=workers)
    return engine
