"""What happens to a cell's results while the next cell is computed: figures are drawn, runs are delivered.

Figures are drawn in processes beside this one, since drawing takes longer than scoring a short text; one thread hands
finished parcels to the store, in the order in which they were computed.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tokenviz.errors import ExperimentError
from tokenviz.hardware import cores
from tokenviz.progress import collecting, note
from tokenviz.tracking.outbox import Claim, Parcel
from tokenviz.tracking.runs import Runs

_FEW = 3  # cells that are drawn before a process for it would have started
_AHEAD = 4  # parcels for each drawing process that may wait for it, their tables in memory


@dataclass(frozen=True)
class Drawing:
    """How a cell's figures are drawn, in another process: a function of a module, and what it is given before the folder."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass
class Delivery:
    """One parcel on its way.

    Attributes:
        claim: On its cell.
        parcel: With tables, and figures once they are drawn.
        run_id: Of the run that it became; empty until then, and where it stays in the outbox.
    """

    claim: Claim
    parcel: Parcel
    run_id: str = ""
    drawn: "Future[list[str]] | None" = field(default=None, repr=False)


class Deliveries:
    """Takes parcels inside a `with` block; at its end all are delivered, or stay in the outbox.

    An error in drawing or delivering is raised at the end of the block, once everything else is done. After an error of the
    block itself, or Ctrl-C, what is drawn is delivered, and what is not stays in the outbox.
    """

    def __init__(self, runs: Runs, *, expected: int) -> None:
        """Prepare for about so many parcels; nothing is started before the first of them."""
        self._runs = runs
        self._processes = 0 if expected <= _FEW else cores()
        self._executor: Executor | None = None
        self._room = threading.Semaphore(_AHEAD * max(1, self._processes))
        self._queue: queue.Queue[Delivery | None] = queue.Queue()
        self._drawings: list[Future[list[str]]] = []
        self._errors: list[BaseException] = []
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def add(self, claim: Claim, parcel: Parcel, drawing: Drawing | None) -> Delivery:
        """Draw a parcel's figures where it has none yet, then deliver it and release the claim."""
        if self._thread is None:
            # In a copy of this context, so that its notes are shown where those of this thread are.
            self._thread = threading.Thread(target=copy_context().run, args=(self._deliver_all,), name="deliveries")
            self._thread.start()
        delivery = Delivery(claim, parcel)
        if drawing is not None and not parcel.drawn:
            self._room.acquire()
            if self._executor is None:
                self._executor = _executor(self._processes)
            delivery.drawn = self._executor.submit(_draw, drawing, parcel.drawing_board())
            delivery.drawn.add_done_callback(lambda _: self._room.release())
            self._drawings.append(delivery.drawn)
        self._queue.put(delivery)
        return delivery

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._thread is None:
            return
        if error is not None:
            for drawn in self._drawings:
                drawn.cancel()
        self._queue.put(None)
        self._thread.join()
        if isinstance(self._executor, ThreadPoolExecutor):
            self._executor.shutdown()  # processes stay for a minute: the next step of the grid may want them
        if self._errors and error is None:
            raise self._errors[0]

    def _deliver_all(self) -> None:
        stayed: list[Delivery] = []
        while (delivery := self._queue.get()) is not None:
            try:
                if delivery.drawn is not None:
                    for message in delivery.drawn.result():
                        note(message)
                    delivery.parcel.hang()
                delivery.run_id = self._runs.try_to_deliver(delivery.parcel)
                if not delivery.run_id:
                    stayed.append(delivery)
            except CancelledError:
                pass
            except BrokenExecutor as problem:
                self._errors.append(ExperimentError(
                    "a process that draws figures was ended from outside (out of memory?): what was computed is kept, and the "
                    "same command goes on from there"
                ).with_traceback(problem.__traceback__))  # fmt: skip
            except BaseException as problem:  # noqa: BLE001  raised again by the thread that computes
                self._errors.append(problem)
            finally:
                delivery.claim.release()
        if stayed and self._runs.store.answers():
            self._deliver_late(stayed)

    def _deliver_late(self, stayed: list[Delivery]) -> None:
        """A server that was away for a while may be back."""
        for delivery in stayed:
            with self._runs.outbox.claimed(self._runs.name, delivery.parcel.slip.fingerprint) as claim:
                if claim is not None and claim.left_over() is not None:
                    delivery.run_id = self._runs.try_to_deliver(delivery.parcel)


def _executor(processes: int) -> Executor:
    if not processes:
        return ThreadPoolExecutor(1)
    # Unlike the standard library's processes, these do not run the caller's main module again.
    from loky import get_reusable_executor

    return get_reusable_executor(max_workers=processes, timeout=60)  # type: ignore[no-any-return]  # loky is not typed


def _draw(drawing: Drawing, folder: Path) -> list[str]:
    """Draw in this process; returns what there is to say of it."""
    with collecting() as notes:
        drawing.function(*drawing.arguments, folder)
    return notes
