"""The outermost frame of every command: its standard streams, and what ends it with which exit code and line."""

import atexit
import errno
import gc
import io
import os
import signal
import sys
import time
from typing import Any, NoReturn, TextIO

from rich.console import Console

from tokenviz.base.characters import visible
from tokenviz.base.errors import DiskError, TokenvizError, of_full_disk
from tokenviz.base.progress import interrupted

# Standard streams that are closed, full, or in an encoding without most of Unicode.


def settle_streams() -> None:
    """Make the standard streams of this process usable for every command.

    Closed streams are opened on the null device. Otherwise files that are opened next would get their numbers, and output for
    the stream would be written into these files. On stdout an error is a `DiskError`, and a character that the encoding lacks
    is written as an escape. On stderr errors are ignored. `sys.stdin` stays None where it was closed.

    Raises:
        DiskError: stdout is closed: no command is of use without it.
    """
    closed = [number for number in range(3) if _is_closed(number)]
    for number in closed:
        nothing = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        os.set_inheritable(nothing, True)
        if nothing != number:
            os.dup2(nothing, number)
            os.close(nothing)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  it stays open until the process ends
    elif sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _again(sys.stderr, _Words(2, "wb", closefd=False))
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  it stays open until the process ends
        raise DiskError("standard output is closed: give the results somewhere to go, a file or a pipe")
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _again(sys.stdout, _Results(1, "wb", closefd=False))


def drop_results() -> None:
    """Discard what stdout could not take; otherwise the interpreter tries again at its end, and complains."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def takes_unicode(stream: TextIO) -> bool:
    """Return whether every character can be written to a stream."""
    return stream.encoding is None or stream.encoding.lower().replace("-", "").startswith(("utf", "ucs"))


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _again(stream: "io.TextIOWrapper[Any]", raw: io.RawIOBase) -> TextIO:
    """Return a standard stream on another file object of the same descriptor."""
    stream.flush()
    by_line = bool(stream.line_buffering)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "backslashreplace", newline="\n", line_buffering=by_line)


class _Results(io.FileIO):
    """A raw stdout that writes all results or raises an error."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # the standard library does not export the type of a buffer
        except BrokenPipeError:
            raise  # a reader such as `head` that has closed the pipe
        except OSError as error:
            raise DiskError(f"cannot write the results to standard output: {error.strerror}") from error


class _Words(io.FileIO):
    """A raw stderr that ignores errors, so that the work continues when notices cannot be written."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # as above
        except OSError:
            return len(memoryview(data))  # type: ignore[arg-type]  # as above


# The outermost frame of every command: exit codes, and errors as one line.

_INTERRUPTED = 130
_LONGEST_PATH = 120  # characters of a path in a message
_WORDS = "interrupted; what was finished stays, and the same command goes on from there"
# Errors of a path from the command line or the environment, which may be raised wherever it is first used.
_PATHS = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS}
_TWICE = 1.0  # seconds: some programs send a signal to a process and then at once to its group


def run_command(command: Any, *, prog_name: str) -> NoReturn:
    """Run a command with this process's arguments and end the process.

    A TokenvizError is one line and exit code 1, a usage error 2, Ctrl-C and SIGTERM 130; anything else keeps its traceback. A
    second Ctrl-C does not wait for what is being delivered. Results that cannot be written are an error; notices that cannot be
    written to stderr are not.
    """
    _hear_interrupts()
    _spare_the_collector()
    try:
        settle_streams()
        try:
            command(prog_name=prog_name, standalone_mode=True)
        except SystemExit:
            sys.stdout.flush()  # while an error can still be said, and be the exit code
            raise
    except TokenvizError as error:
        said = str(error)
        _fail(f"{said}; make room and repeat the command" if of_full_disk(error) and "make room" not in said else said, 1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # Typer ends with this code on Ctrl-C, without a message
            # Python notes a Ctrl-C that passes through code in a string, such as a dataclass in the making, and would end
            # `python -m tokenviz` by the signal; the next code in a string takes the note back.
            exec("")
            _fail(_WORDS, _INTERRUPTED)
        raise
    except BrokenPipeError:
        drop_results()
        sys.exit(1)
    except OSError as error:
        if error.errno in _PATHS and error.filename is not None:
            _fail(f"cannot use {_shortened(error.filename)}: {error.strerror}", 1)
        if not of_full_disk(error):
            raise
        _fail(
            f"no space left on the disk{f' for {error.filename}' if error.filename else ''}; make room and try again",
            1,
        )
    sys.exit(0)


def results_console() -> Console:
    """Return the console for results: as wide as the terminal, and in a pipe wide enough for any table."""
    return Console(highlight=False, soft_wrap=True) if sys.stdout.isatty() else Console(highlight=False, width=200)


def _hear_interrupts() -> None:
    first = 0.0

    def interrupt(number: int, frame: object) -> None:
        nonlocal first
        if not interrupted.is_set():
            interrupted.set()
            first = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - first > _TWICE:
            os.write(sys.stderr.fileno(), f"error: {_WORDS}\n".encode())
            os._exit(_INTERRUPTED)  # nothing on the disk is ever half written

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    say = sys.unraisablehook

    def unless_interrupted(lost: "sys.UnraisableHookArgs") -> None:
        if not (interrupted.is_set() and issubclass(lost.exc_type, KeyboardInterrupt)):
            say(lost)

    sys.unraisablehook = unless_interrupted  # raised while an object was freed; the next step of the work ends the command


def _spare_the_collector() -> None:
    """Keep the garbage collector from scanning a million imported objects again and again, and all of them at exit.

    This takes 2 of the 8 seconds of `tokenviz score` on a sentence.
    """
    gc.set_threshold(20_000, 10, 10)
    atexit.register(gc.freeze)


def _shortened(path: object) -> str:
    text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
    return repr(text if len(text) <= _LONGEST_PATH else f"{text[:_LONGEST_PATH]}...")


def _fail(message: str, code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except OSError:
        drop_results()
    line = visible(" ".join(message.split()))
    sys.stderr.write(f"error: {line}\n")
    sys.exit(code)
