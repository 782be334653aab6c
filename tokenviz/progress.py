"""Progress of long work, drawn on stderr by whoever asks for it; silent otherwise.

The library reports through `task` and `note`; nothing appears unless a caller (the command line) opened `shown()`.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Event

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tokenviz.controls import visible


@dataclass(frozen=True)
class _Display:
    console: Console
    progress: Progress
    said: set[str]


# Set by the command line on Ctrl-C. Python drops a KeyboardInterrupt that strikes inside a finaliser, so work that reports
# its progress ends here at the latest.
interrupted = Event()

_display: ContextVar[_Display | None] = ContextVar("progress display", default=None)
_collected: ContextVar[list[str] | None] = ContextVar("collected notes", default=None)


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


@contextmanager
def shown() -> Iterator[None]:
    """Draw the progress of everything inside on stderr."""
    console = Console(file=sys.stderr)  # this stderr, also while somebody else's output is being redirected
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), _Amount(), _Rate(), TimeRemainingColumn())
    # A file or pipe gets the notes only.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        token = _display.set(_Display(console, progress, set()))
        try:
            yield
        finally:
            _display.reset(token)


@contextmanager
def task(description: str, total: float | None, unit: str) -> Iterator[Callable[[float], None]]:
    """A bar for one piece of work.

    Args:
        description: What is being done, for a reader.
        total: How much there is to do, in `unit`; None where that is not known beforehand.
        unit: "bytes", "tokens" or any other countable noun.

    Yields:
        A function to call with each amount done.
    """
    display = _display.get()
    if display is None:
        yield lambda amount: None
        return
    identifier = display.progress.add_task(_plain(description), total=total, unit=unit)

    def advance(amount: float) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        display.progress.advance(identifier, amount)

    try:
        yield advance
    finally:
        display.progress.remove_task(identifier)


def note(message: str) -> None:
    """One line for the reader, on stderr, where progress is shown; the same line is said once."""
    collected = _collected.get()
    if collected is not None:
        if message not in collected:
            collected.append(message)
        return
    display = _display.get()
    if display is not None and message not in display.said:
        display.said.add(message)
        display.console.print(visible(message), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Keep the notes of the block in a list: those of work in another process are shown by the one that asked for it."""
    notes: list[str] = []
    token = _collected.set(notes)
    try:
        yield notes
    finally:
        _collected.reset(token)


def _plain(text: str) -> str:
    return visible(text).replace("[", r"\[")
