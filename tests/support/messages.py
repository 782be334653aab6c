"""What a user does and what is said: rows for project/test_messages.py."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenviz.base.errors import TokenvizError

Files = Mapping[str, str | bytes]


@dataclass(frozen=True)
class Row:
    """One message.

    Attributes:
        subject: What it is about.
        do: A command without "tokenviz", in words, or a call; its arguments are fixtures by their names.
        said: The whole message: … is anything in a line, PROJECT the folder, RUN0 the first id of the fixture `runs`.
        how: What a call raises, or the exit code of a command.
        files: That lie in the project, by their names, or a call that makes them.
        given: Fixtures that are there besides the arguments of a call.
    """

    subject: str
    do: tuple[str, ...] | Callable[..., object]
    said: str
    how: type[TokenvizError] | int
    files: Files | Callable[..., object] = field(default_factory=dict)
    given: tuple[str, ...] = ()


def says(expected: str, message: str) -> bool:
    """Whether a message is the expected one, in which … is anything in one line."""
    return re.fullmatch("[^\n]*".join(map(re.escape, expected.split("…"))), message) is not None


def calls(subject: str, kind: type[TokenvizError], *rows: tuple[Any, ...]) -> list[Row]:
    """Rows of calls that raise an error: call, message, and files where there are some."""
    return [Row(subject, row[0], row[1], kind, *row[2:]) for row in rows]


def commands(
    subject: str, start: str, code: int, *rows: tuple[Any, ...], files: Files | None = None, given: tuple[str, ...] = ()
) -> list[Row]:
    """Rows of commands that begin in one way: the words after it, as in a shell, message, and files."""
    return [
        Row(subject, tuple(shlex.split(f"{start} {row[0]}")), row[1], code, *row[2:] or [files or {}], given=given)
        for row in rows
    ]
