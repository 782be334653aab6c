"""Progress of long work, and notices: what a reader is told besides results.

The library reports progress through `task`, which appears where a caller (the command line) opened `shown()`: as bars in
a terminal, elsewhere as a line now and then. Notices go through the logger `tokenviz`: `note` at level INFO, `warn` at
WARNING. Without any set-up Python prints warnings on stderr, so that a notebook shows them; `shown()` prints both.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from threading import Event

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tokenviz.controls import visible

# Set by the command line on Ctrl-C. Python drops a KeyboardInterrupt that strikes inside a finaliser, so work that reports
# its progress ends here at the latest.
interrupted = Event()

_logger = logging.getLogger("tokenviz")
_display: ContextVar[Progress | None] = ContextVar("progress display", default=None)
_collected: ContextVar["list[Notice] | None"] = ContextVar("collected notices", default=None)

# Seconds. Work that takes less says nothing without a terminal; what takes hours, says something every 20th of its time.
_FIRST_LINE, _NEXT_LINE, _SHARE = 10.0, 30.0, 0.05


class Notice(str):
    """A line for the reader.

    Attributes:
        warning: Whether something is not as one would expect it; else it is for information.
    """

    warning: bool

    def __new__(cls, message: str, *, warning: bool = False) -> "Notice":
        notice = super().__new__(cls, message)
        notice.warning = warning
        return notice


class _Amount(ProgressColumn):
    """Bytes for downloads, plain counts for everything else."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._counts = DownloadColumn(), MofNCompleteColumn()

    def render(self, task):  # type: ignore[no-untyped-def]  # rich's own signature names its Task
        if task.total is None:
            return Text("")
        if task.fields["unit"] == "bytes":
            return self._bytes.render(task)
        return self._counts.render(task).append(f" {task.fields['unit']}")


class _Rate(ProgressColumn):
    """How much is done a second, of tokens."""

    def render(self, task):  # type: ignore[no-untyped-def]  # rich's own signature names its Task
        return Text(f"{task.speed:,.0f} tokens/s" if task.speed and task.fields["unit"] == "tokens" else "")


class _Details(ProgressColumn):
    """What else the work says of itself."""

    def render(self, task):  # type: ignore[no-untyped-def]  # rich's own signature names its Task
        return Text(task.fields["details"]())


@contextmanager
def shown() -> Iterator[None]:
    """Show the progress of everything inside, and its notices, on stderr."""
    console = Console(file=sys.stderr)  # this stderr, also while somebody else's output is being redirected
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), _Amount(), _Rate(), _Details(), TimeRemainingColumn())
    handler, level, propagate = _Printed(console), _logger.level, _logger.propagate
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        token = _display.set(progress)
        _logger.addHandler(handler)
        _logger.setLevel(logging.INFO)
        _logger.propagate = False  # an experiment that sets logging up would have each line twice
        try:
            with _lines_of(progress, console):
                yield
        finally:
            _logger.removeHandler(handler)
            _logger.setLevel(level)
            _logger.propagate = propagate
            _display.reset(token)


class _Printed(logging.Handler):
    """Prints each notice once, between the bars."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console, self._said = console, set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            self._console.print(message, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _lines_of(progress: Progress, console: Console) -> Iterator[None]:
    """Where no bars can be drawn, a line now and then on what is being done: in a log, or in a pipe."""
    if console.is_terminal:
        yield
        return
    ended = Event()

    def speak() -> None:
        wait = _FIRST_LINE
        while not ended.wait(wait):
            tasks = [task for task in progress.tasks if (task.elapsed or 0) >= _FIRST_LINE / 2]
            if tasks:
                console.print("; ".join(map(_line, tasks)), markup=False, highlight=False, soft_wrap=True)
            wait = max(_NEXT_LINE, _SHARE * max((task.elapsed or 0 for task in tasks), default=0))

    thread = threading.Thread(target=speak, name="progress lines", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _line(task: Task) -> str:
    """What is being done, how far it is, and how long it takes yet, as far as that can be known."""
    if task.total is None:
        amount = f"{task.completed:,.0f} {task.fields['unit']}" if task.completed else ""
    elif task.fields["unit"] == "bytes":
        amount = f"{task.completed / 1e6:,.0f} of {task.total / 1e6:,.0f} MB"
    else:
        amount = f"{task.completed:,.0f} of {task.total:,.0f} {task.fields['unit']}"
    elapsed, yet = task.elapsed or 0.0, ""
    if task.total and task.completed:  # from the beginning on: rich's own estimate forgets what is half a minute old
        yet = f", about {_duration(elapsed * (task.total / task.completed - 1))} to go"
    details = task.fields["details"]()
    more = f" ({details})" if details else ""
    return f"{visible(task.fields['what'])}: {amount}{more}{', ' * bool(amount or more)}{_duration(elapsed)} so far{yet}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def task(
    description: str, total: float | None, unit: str, *, details: Callable[[], str] = str
) -> Iterator[Callable[[float], None]]:
    """Report the progress of one piece of work.

    Args:
        description: What is being done, for a reader.
        total: How much there is to do, in `unit`; None where that is not known beforehand.
        unit: "bytes", "tokens" or any other countable noun.
        details: Gives what else there is to say, whenever the progress is shown; by default nothing.

    Yields:
        A function to call with each amount done.
    """
    progress = _display.get()
    if progress is None:
        yield lambda amount: None
        return
    identifier = progress.add_task(
        visible(description).replace("[", r"\["), total=total, unit=unit, what=description, details=details
    )

    def advance(amount: float) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        progress.advance(identifier, amount)

    try:
        yield advance
    finally:
        progress.remove_task(identifier)


def note(message: str) -> None:
    """Tell the reader what is going on: one line, which the command line shows once, and a notebook only on request."""
    tell(Notice(message))


def warn(message: str) -> None:
    """Tell the reader that something is not as one would expect it: one line, which a notebook shows as well."""
    tell(Notice(message, warning=True))


def tell(notice: Notice) -> None:
    """Pass a notice on: to the list of `collecting()`, or to the logger."""
    collected = _collected.get()
    if collected is None:
        _logger.log(logging.WARNING if notice.warning else logging.INFO, "%s", visible(notice))
    elif notice not in collected:
        collected.append(notice)


@contextmanager
def collecting() -> Iterator[list[Notice]]:
    """Keep the notices of the block in a list: those of work in another process are shown by the one that asked for it."""
    notices: list[Notice] = []
    token = _collected.set(notices)
    try:
        yield notices
    finally:
        _collected.reset(token)
