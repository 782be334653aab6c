"""Progress of long work, and notices: everything that users are told besides results.

The library reports progress through `task`. It is shown inside a block of `shown()`, which the command line opens: as bars in a
terminal, elsewhere as a line from time to time. Notices go through the logger `tokenviz`: `note` at level INFO, `warn` at
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

from tokenviz.base.characters import visible

# Set by the command line on Ctrl-C. Python drops a KeyboardInterrupt that is raised inside a finaliser, so work that reports
# its progress checks this event and ends.
interrupted = Event()

_logger = logging.getLogger("tokenviz")
_display: ContextVar[Progress | None] = ContextVar("progress display", default=None)
_collected: ContextVar["list[Notice] | None"] = ContextVar("collected notices", default=None)

# In seconds. Without a terminal, short work prints nothing, and long work prints a line every 20th of its time.
_FIRST_LINE, _NEXT_LINE, _SHARE = 10.0, 30.0, 0.05


class Notice(str):
    """A line for the user.

    Attributes:
        warning: Whether something is unexpected; otherwise the line is for information.
    """

    warning: bool

    def __new__(cls, message: str, *, warning: bool = False) -> "Notice":
        notice = super().__new__(cls, message)
        notice.warning = warning
        return notice


class _Amount(ProgressColumn):
    """A column of rich's progress bars: bytes for downloads, plain counts for everything else."""

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
    """A column of rich's progress bars: tokens per second."""

    def render(self, task):  # type: ignore[no-untyped-def]  # rich's own signature names its Task
        return Text(f"{task.speed:,.0f} tokens/s" if task.speed and task.fields["unit"] == "tokens" else "")


class _Details(ProgressColumn):
    """A column of rich's progress bars: other details of the work."""

    def render(self, task):  # type: ignore[no-untyped-def]  # rich's own signature names its Task
        return Text(task.fields["details"]())


@contextmanager
def shown() -> Iterator[None]:
    """Show the progress of everything inside the block, and its notices, on stderr."""
    console = Console(file=sys.stderr)  # keeps this stderr while other output is being redirected
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), _Amount(), _Rate(), _Details(), TimeRemainingColumn())
    handler, level, propagate = _Printed(console), _logger.level, _logger.propagate
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        token = _display.set(progress)
        _logger.addHandler(handler)
        _logger.setLevel(logging.INFO)
        _logger.propagate = False  # otherwise an experiment that sets up logging prints each line twice
        try:
            with _lines_of(progress, console):
                yield
        finally:
            _logger.removeHandler(handler)
            _logger.setLevel(level)
            _logger.propagate = propagate
            _display.reset(token)


class _Printed(logging.Handler):
    """A handler that prints each notice once, between the bars."""

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
    """Print a line on the work from time to time where bars cannot be drawn: in a log, or in a pipe."""
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
    """Return a line with the work, how much is done, and the time left where it can be estimated."""
    if task.total is None:
        amount = f"{task.completed:,.0f} {task.fields['unit']}" if task.completed else ""
    elif task.fields["unit"] == "bytes":
        amount = f"{task.completed / 1e6:,.0f} of {task.total / 1e6:,.0f} MB"
    else:
        amount = f"{task.completed:,.0f} of {task.total:,.0f} {task.fields['unit']}"
    elapsed, yet = task.elapsed or 0.0, ""
    if task.total and task.completed:  # from the beginning on: rich's own estimate forgets what is older than half a minute
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
        description: What is being done, for the user.
        total: The amount of work, in `unit`; None where it is not known beforehand.
        unit: "bytes", "tokens" or any other countable noun.
        details: Returns further details whenever the progress is shown; by default none.

    Yields:
        A function to call with each amount done, in `unit`.
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
    """Tell the user what is going on: one line, which the command line shows once, and a notebook only on request."""
    tell(Notice(message))


def warn(message: str) -> None:
    """Tell the user that something is unexpected: one line, which a notebook shows as well."""
    tell(Notice(message, warning=True))


def tell(notice: Notice) -> None:
    """Pass a notice to the list of `collecting()`, or to the logger."""
    collected = _collected.get()
    if collected is None:
        _logger.log(logging.WARNING if notice.warning else logging.INFO, "%s", visible(notice))
    elif notice not in collected:
        collected.append(notice)


@contextmanager
def collecting() -> Iterator[list[Notice]]:
    """Collect the notices of the block in a list, so that work in another process can send its notices to the first one."""
    notices: list[Notice] = []
    token = _collected.set(notices)
    try:
        yield notices
    finally:
        _collected.reset(token)
