"""Standard streams that are closed, full, or in an encoding without most of Unicode."""

import io
import os
import sys
from typing import Any, TextIO

from tokenviz.errors import DiskError


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
