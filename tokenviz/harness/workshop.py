"""The work on the cells of a grid: found finished, taken over from an interrupted command, or computed; each once.

Several processes may work on one grid: each cell is claimed by one of them, the others go on with other cells and wait at
the end for what they left to somebody else.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from tokenviz.harness.context import ExperimentContext
from tokenviz.harness.deliveries import Deliveries, Delivery, Drawing
from tokenviz.harness.recording import Content
from tokenviz.progress import note, task
from tokenviz.tracking.outbox import Claim
from tokenviz.tracking.parcels import Parcel, Slip
from tokenviz.tracking.provenance import Provenance
from tokenviz.tracking.redaction import redacted
from tokenviz.tracking.runs import FinishedRun, Runs

T = TypeVar("T")


@dataclass(frozen=True)
class Cell(Generic[T]):
    """One piece of work that becomes one run.

    Attributes:
        kind: For the run's tag.
        name: The run's, for a reader.
        fingerprint: Of everything that moves its numbers.
        tags: Besides kind and fingerprint; a run with others is not what is wanted.
        refers: Other runs that its parameters name, by their fingerprints.
        table: The file that everything else can be made from again.
        compute: Gives the result.
        write: Writes a result's tables into a folder, and gives the rest of its run.
        read: Gives the result again, from the folder that `write` filled.
        draw: How the figures are drawn; None for no figures.
        holds: Whether a finished run of this fingerprint and these tags is still what is wanted.
    """

    kind: str
    name: str
    fingerprint: str
    tags: Mapping[str, str]
    table: str
    compute: Callable[[], T]
    write: Callable[[T, Path], Content]
    read: Callable[[Path], T]
    draw: Callable[[T], Drawing] | None = None
    refers: Mapping[str, str] | None = None
    holds: Callable[[FinishedRun], bool] = lambda run: True


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of a cell.

    Attributes:
        found: The finished run, where there was one.
        delivery: The parcel on its way, where there was none.
        result: What was computed, or read from a parcel; None where a run was found.
    """

    found: FinishedRun | None
    delivery: Delivery | None
    result: T | None

    @property
    def run_id(self) -> str:
        """MLflow's id; empty while the results wait in the outbox."""
        return self.found.run_id if self.found else self._delivery.run_id

    @property
    def metrics(self) -> Mapping[str, float]:
        """The run's numbers; one that is not determined is absent."""
        if self.found:
            return self.found.metrics
        return {name: value for name, value in self._delivery.parcel.slip.metrics.items() if math.isfinite(value)}

    @property
    def params(self) -> Mapping[str, object]:
        """The run's settings."""
        return self.found.params if self.found else self._delivery.parcel.slip.params

    @property
    def waiting(self) -> Parcel | None:
        """The parcel, where it waits in the outbox."""
        return self._delivery.parcel if self.found is None and not self.run_id else None

    @property
    def _delivery(self) -> Delivery:
        assert self.delivery is not None
        return self.delivery


class Workshop:
    """Does the cells of one grid."""

    def __init__(self, runs: Runs, experiment: ExperimentContext, grid: str, provenance: Provenance) -> None:
        """Name the grid, and close what dead processes left open of it."""
        self._runs, self._experiment, self._grid, self._provenance = runs, experiment, grid, provenance
        self._begun = _now()
        runs.begin()

    def do(self, cells: Sequence[Cell[T]], description: str, unit: str) -> list[Outcome[T]]:
        """Have every cell finished.

        Args:
            cells: Those that need one model stand together.
            description: Of the work, for the reader.
            unit: What a cell is, in the plural.

        Returns:
            One outcome a cell, in their order.

        Raises:
            TokenvizError: Something cannot be computed or stored; what was finished before stays.
        """
        self._runs.store.answers()  # a server that was away may be back, with runs that are finished already
        outcomes: dict[int, Outcome[T]] = {}
        with task(description, len(cells), unit) as advance, Deliveries(self._runs, expected=len(cells)) as deliveries:
            left = list(range(len(cells)))
            for wait in (False, True):
                for i in left:
                    outcome = self._do(cells[i], deliveries, wait=wait)
                    if outcome is not None:
                        outcomes[i] = outcome
                        advance(1)
                left = [i for i in left if i not in outcomes]
                if left and not wait:
                    note(f"another process is at work on {len(left)} of the {unit}: waiting for it")
        return [outcomes[i] for i in range(len(cells))]

    def _do(self, cell: Cell[T], deliveries: Deliveries, *, wait: bool) -> Outcome[T] | None:
        """None where another process is at it."""
        outbox, name = self._runs.outbox, self._runs.name
        found = self._finished(cell)
        if found is not None and not outbox.holds(name, cell.fingerprint):
            return Outcome(found, None, None)
        claim = outbox.claim(name, cell.fingerprint, wait=wait)
        if claim is None:
            return None if found is None else Outcome(found, None, None)
        try:
            found = self._finished(cell)  # meanwhile, perhaps
            taken = self._take_over(cell, claim)
            if found is not None and taken is None:
                claim.release()
                return Outcome(found, None, None)
            parcel, result = taken or self._make(cell, claim)
            drawing = cell.draw(result) if cell.draw and not parcel.drawn else None
        except BaseException:
            claim.release()
            raise
        return Outcome(None, deliveries.add(claim, parcel, drawing), result)

    def _finished(self, cell: Cell[T]) -> FinishedRun | None:
        found = self._runs.find(cell.fingerprint)
        if found is None or not self._wanted(cell, found.tags, found.started) or not cell.holds(found):
            return None
        if not self._runs.intact(found, cell.table):
            note(f"run {found.run_id} ({cell.name}) has lost its table {cell.table}: it is computed anew")
            return None
        self._runs.join_grid(found, self._grid)
        return found

    def _wanted(self, cell: Cell[T], tags: Mapping[str, str], started: int) -> bool:
        """Whether a computation counts: with --force, one that this command or another beside it has made."""
        return cell.tags.items() <= tags.items() and (not self._experiment.force or started >= self._begun)

    def _take_over(self, cell: Cell[T], claim: Claim) -> tuple[Parcel, T] | None:
        """What an interrupted command had computed already, for its own grid and now for this one."""
        parcel = claim.left_over()
        if parcel is None or not self._wanted(cell, parcel.slip.tags, parcel.slip.started):
            return None
        grids = dict.fromkeys([*parcel.slip.grid.split(), self._grid])
        return replace(parcel, slip=replace(parcel.slip, grid=" ".join(grids))), cell.read(parcel.files)

    def _make(self, cell: Cell[T], claim: Claim) -> tuple[Parcel, T]:
        started = _now()
        result = cell.compute()
        replaces = self._experiment.force or self._runs.find(cell.fingerprint) is not None

        def fill(files: Path) -> Slip:
            content = cell.write(result, files)
            self._provenance.write(files)
            return Slip(
                experiment=self._runs.name,
                description=self._runs.description,
                name=cell.name,
                fingerprint=cell.fingerprint,
                grid=self._grid,
                tags={"kind": cell.kind, **cell.tags, **self._provenance.tags},
                context=self._provenance.context,
                params=redacted({**content.params, **self._provenance.params}),
                metrics=content.metrics,
                curves=content.curves,
                note=content.note,
                dataset=content.dataset,
                figures=cell.draw is not None,
                table=cell.table,
                refers=cell.refers or {},
                started=started,
                ended=_now(),
                replaces=replaces,
            )

        return claim.pack(fill), result


def _now() -> int:
    return int(time.time() * 1000)
