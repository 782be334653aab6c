"""Standard streams that are closed, full, or of an encoding without most of Unicode."""

import io
import os
import sys
from typing import Any, TextIO

from tokenviz.errors import DiskError


def settle_streams() -> None:
    """Make the standard streams of this process such that every command can use them.

    What is closed is opened on nothing, since files opened next would take its number, and whoever writes to that stream
    would write into them. On stdout an error is a `DiskError`, and a character that its encoding lacks is written as an
    escape; on stderr an error is passed over. `sys.stdin` stays None where it was closed.

    Raises:
        DiskError: stdout is closed: no command has anything to do without it.
    """
    closed = [number for number in range(3) if _is_closed(number)]
    for number in closed:
        nothing = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
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
    """Forget what stdout could not take; else the interpreter tries again at its end, and complains."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def takes_unicode(stream: TextIO) -> bool:
    """Whether every character can be written to a stream."""
    return stream.encoding is None or stream.encoding.lower().replace("-", "").startswith(("utf", "ucs"))


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _again(stream: "io.TextIOWrapper[Any]", raw: io.RawIOBase) -> TextIO:
    """A standard stream on another file object of the same descriptor."""
    stream.flush()
    by_line = bool(stream.line_buffering)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "backslashreplace", newline="\n", line_buffering=by_line)


class _Results(io.FileIO):
    """Where results go: all of them, or an error."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # a buffer, whose type the standard library keeps to itself
        except BrokenPipeError:
            raise  # a reader that has enough
        except OSError as error:
            raise DiskError(f"cannot write the results to standard output: {error.strerror}") from error


class _Words(io.FileIO):
    """Where notices go: if they can, and the work goes on if they cannot."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # as above
        except OSError:
            return len(memoryview(data))  # type: ignore[arg-type]  # as above
