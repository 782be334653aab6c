"""Drawing and delivery of a cell's results while the next cell is computed.

Figures are drawn in a thread, and in other processes where there is so much to draw that these are worth their start. Another
thread delivers finished staged runs to the store, in the order in which they were computed.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tokenviz.base.errors import ExperimentError, TokenvizError, of_full_disk
from tokenviz.base.hardware import cores
from tokenviz.base.progress import Notice, collecting, tell, warn
from tokenviz.tracking.outbox import Claim
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import StagedRun

_MUCH = 4.0  # seconds of drawing that are left: other processes, each of which takes 1.5 s to start, then end earlier
_MOST_PROCESSES = 8  # each takes about 300 MB
_AHEAD = 4  # staged runs per drawing process that may wait for it, with their tables in memory
_UNDELIVERED = 100  # staged runs that may wait for a slow store: the claim of each holds a file open


@dataclass(frozen=True)
class Drawing:
    """How a cell's figures are drawn in another process: a function of a module, and its arguments before the folder."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass
class Delivery:
    """One staged run on its way to the store.

    Attributes:
        claim: The claim on its cell.
        staged: The staged run, with tables, and figures once they are drawn.
        run_id: Id of the delivered run; empty until then, and where the staged run stays in the outbox.
    """

    claim: Claim
    staged: StagedRun
    run_id: str = ""
    drawing: Drawing | None = field(default=None, repr=False)
    drawn: "Future[_Drawn] | None" = field(default=None, repr=False)


@dataclass(frozen=True)
class _Drawn:
    figures_folder: Path
    notices: list[Notice]


class Drawers:
    """The processes that draw the figures of a grid's steps; none before they are started."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self.count = 0
        self._busy: list[Future[Any]] = []

    def start(self, prepare: Callable[[], None] | None = None) -> None:
        """Start the processes, where there is more than one core.

        Args:
            prepare: What each does at once, for example to load what its first figure would wait for; by default nothing.
        """
        if cores() > 1 and not self.count:
            self.count = min(cores(), _MOST_PROCESSES)
            if prepare is not None:
                for _ in range(self.count):
                    self.submit(prepare)

    def submit(self, function: Callable[..., Any], *arguments: object) -> "Future[Any]":
        """Call a function of a module in one of the processes."""
        with _deaf_to_interrupts():
            try:
                called = _processes(self.count).submit(function, *arguments)
            except BrokenExecutor:  # the pool has broken since it was last used, and is now a new one
                called = _processes(self.count).submit(function, *arguments)
            self._busy = [future for future in (*self._busy, called) if not future.done()]
        return called  # type: ignore[no-any-return]  # loky is not typed

    def kill(self) -> None:
        """End the processes if they are at work."""
        if not all(future.done() for future in self._busy):
            _processes(self.count).shutdown(kill_workers=True)


class Deliveries:
    """Draws and delivers staged runs inside a `with` block; at its end each is delivered, or stays in the outbox.

    An error in drawing or delivery is raised at the end of the block, when everything else is done. After an error inside the
    block, or Ctrl-C, what is drawn is delivered, and what is not stays in the outbox.
    """

    def __init__(self, runs: Runs, drawers: Drawers, *, expected: int) -> None:
        """Prepare for about `expected` staged runs; nothing is started before the first of them."""
        self._runs = runs
        self._drawers = drawers
        self._to_draw = expected
        self._seconds: list[float] = []  # of each drawing in this process
        self._thread_pool: ThreadPoolExecutor | None = None
        self._ahead = 0  # staged runs that may wait to be drawn
        self._room = threading.Semaphore(0)
        self._queue: queue.Queue[Delivery | None] = queue.Queue(_UNDELIVERED)
        self._undrawn: list[Future[_Drawn]] = []
        self._ending = False
        self._errors: list[BaseException] = []
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def add(self, claim: Claim, staged: StagedRun, drawing: Drawing | None) -> Delivery:
        """Draw a staged run's figures where it has none yet, then deliver it and release the claim."""
        delivery = Delivery(claim, staged)
        try:
            if self._thread is None:
                # A copy of this context, so that its notes are shown where those of this thread are.
                self._thread = threading.Thread(target=copy_context().run, args=(self._deliver_all,), name="deliveries")
                self._thread.start()
            if drawing is not None and not staged.drawn:
                self._make_room()
                delivery.drawing, delivery.drawn = drawing, self._draw(drawing, staged)
                delivery.drawn.add_done_callback(lambda _: self._room.release())
                self._undrawn = [drawn for drawn in (*self._undrawn, delivery.drawn) if not drawn.done()]
        except BaseException:
            claim.release()
            raise
        self._queue.put(delivery)
        return delivery

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending = error is not None
        if error is not None and not isinstance(error, Exception):
            self._drawers.kill()  # after Ctrl-C nobody waits for a figure
        if self._thread is None:
            return
        if error is not None:
            for drawn in self._undrawn:
                drawn.cancel()
        self._queue.put(None)
        self._thread.join()
        if self._thread_pool is not None:
            self._thread_pool.shutdown()  # the processes stay for a minute, for the next step of the grid
        problems = self._errors if error is None else [error, *self._errors]
        for other in problems[1:]:
            if not (of_full_disk(problems[0]) and of_full_disk(other)):  # one message about a full disk is enough
                warn(f"besides: {other if isinstance(other, TokenvizError) else repr(other)}")
        if error is None and problems:
            raise problems[0]

    def _deliver_all(self) -> None:
        with self._runs.connected():
            self._deliver_each()

    def _deliver_each(self) -> None:
        stayed: list[Delivery] = []
        while (delivery := self._queue.get()) is not None:
            try:
                self._deliver(delivery, stayed)
            except CancelledError:
                pass
            except BaseException as problem:  # noqa: BLE001  raised again by the thread that computes
                self._errors.append(problem)
            finally:
                delivery.claim.release()
        try:
            if not self._ending:
                self._deliver_late(stayed)
        except TokenvizError as problem:
            self._errors.append(problem)

    def _deliver(self, delivery: Delivery, stayed: list[Delivery]) -> None:
        if delivery.drawn is not None:
            self._attach_figures(delivery, delivery.drawn)
        self._deliver_late(stayed)
        delivery.run_id = self._runs.try_to_deliver(delivery.staged)
        if self._runs.store.silent:
            stayed.append(delivery)

    def _attach_figures(self, delivery: Delivery, drawn: "Future[_Drawn]") -> None:
        try:
            result = drawn.result()
        except Exception as problem:
            if self._ending:
                raise CancelledError from problem
            if not isinstance(problem, BrokenExecutor) or delivery.drawing is None:
                raise
            warn("a process that draws figures was ended from outside (out of memory?): they are drawn again")
            try:
                result = self._draw(delivery.drawing, delivery.staged).result()
            except BrokenExecutor as again:
                raise ExperimentError(
                    "a process that draws figures was ended from outside twice (out of memory?): what was computed is kept, "
                    "and the same command goes on from there"
                ) from again
        for notice in result.notices:
            tell(notice)
        delivery.staged.attach_figures(result.figures_folder)
        delivery.drawing = delivery.drawn = None  # frees the tables

    def _deliver_late(self, stayed: list[Delivery]) -> None:
        """Deliver what had to wait once a server is back: first the earlier runs, since later ones may name them."""
        while stayed and self._runs.store.answers():
            delivery = stayed.pop(0)
            fingerprint = delivery.staged.record.fingerprint
            with self._runs.outbox.claimed(self._runs.name, fingerprint) as claim:
                # Another process may be delivering it, or have delivered or replaced it.
                staged = claim.left_over() if claim is not None else None
                if staged is not None and staged.drawn:
                    same = staged.record.id == delivery.staged.record.id
                    delivery.run_id = self._runs.try_to_deliver(delivery.staged if same else staged)
                elif claim is not None and (found := self._runs.find(fingerprint)) is not None:
                    delivery.run_id = found.run_id
            if self._runs.store.silent:
                stayed.insert(0, delivery)

    def _draw(self, drawing: Drawing, staged: StagedRun) -> "Future[_Drawn]":
        figures_folder = staged.make_figures_folder()
        if not self._drawers.count and self._seconds_left() > _MUCH:
            self._drawers.start()
        self._to_draw -= 1
        if not self._drawers.count:
            self._thread_pool = self._thread_pool or ThreadPoolExecutor(1)
            return self._thread_pool.submit(self._draw_here, drawing, figures_folder)
        return self._drawers.submit(_draw, drawing, figures_folder)

    def _make_room(self) -> None:
        """Wait until one more staged run may wait to be drawn."""
        more = _AHEAD * max(1, self._drawers.count) - self._ahead
        if more:
            self._room.release(more)
            self._ahead += more
        self._room.acquire()

    def _draw_here(self, drawing: Drawing, figures_folder: Path) -> "_Drawn":
        begin = time.thread_time()
        drawn = _draw(drawing, figures_folder)
        self._seconds.append(time.thread_time() - begin)
        return drawn

    def _seconds_left(self) -> float:
        """Return how long the rest would take in this process, by the drawings so far; the first one also loads fonts."""
        later = self._seconds[1:]
        return sum(later) / len(later) * self._to_draw if later else 0.0


def _processes(count: int) -> Any:
    # Unlike those of the standard library, these processes do not run the caller's main module again.
    from loky import get_reusable_executor

    return get_reusable_executor(max_workers=count, timeout=60, initializer=_follow, initargs=(os.getpid(),))


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which a terminal sends to the whole group: the parent handles it.

    It does so after the block, SIGTERM too: processes that are started in part are not known yet, and could not be ended.
    """
    resource_tracker.ensure_running()  # it resets the signal mask when it starts, so it must start before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    late: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():  # where Python handles signals, whatever thread gets them
        both = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        handlers = {number: handler for number, handler in both.items() if handler is not None}  # None: not set by Python
    for number in handlers:
        signal.signal(number, lambda number, _: late.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if late:
            signal.raise_signal(late[0])


def _follow(parent: int) -> None:
    """End this process when its parent ends, in whatever way."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    os.nice(10)  # scoring goes first: when one of its threads waits for a core, the others wait as well


def _draw(drawing: Drawing, figures_folder: Path) -> _Drawn:
    with collecting() as notices:
        drawing.function(*drawing.arguments, figures_folder)
    return _Drawn(figures_folder, notices)
