"""The errors of tokenviz as one tree, and the results of checks, each with what to do.

    TokenvizError              everything below; the command line prints its message as one line, exit code 1
    ├── TextError              a text that cannot be read (also ValueError)
    ├── ModelError             a model that cannot be found, trusted or loaded (also ValueError)
    ├── ScoringError           settings or logits that give no valid score (also ValueError)
    ├── ComparisonError        scores that cannot be compared (also ValueError)
    ├── FigureError            a figure that cannot be drawn as asked (also ValueError)
    ├── PaperError             runs that cannot be pulled into a paper as asked, or files of other origin (also ValueError)
    ├── ExperimentError        an experiment that cannot be found or run as asked (also ValueError)
    ├── LedgerError            a ledger of shards that cannot be used as asked (also OSError)
    ├── StoreError             a tracking store that cannot be opened or written (also OSError)
    │   ├── RefusedError       a run that a store answers about, but refuses
    │   └── DamagedError       a run whose files are gone, or differ from what was recorded
    └── DiskError              no room or no right to write a file (also OSError)

Each message says what was given, what is allowed, and what to do.
"""

import difflib
import errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_FULL = (errno.ENOSPC, errno.EDQUOT)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known ones; empty where none is near."""
    near = difflib.get_close_matches(name, list(known))
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def is_of(value: object, *kinds: type) -> bool:
    """Return whether a value is of a type that its annotation promises; the caller may have no type checker."""
    return isinstance(value, kinds)


class TokenvizError(Exception):
    """Anything that tokenviz refuses to do; the message says what was given, what is allowed and what to do.

    Example:
        >>> try:
        ...     tv.load_model("smollm2-135m@main")
        ... except tv.TokenvizError as error:
        ...     print(error)
        'smollm2-135m' is a catalogue model, which has no revisions: leave out @main
    """


class TextError(TokenvizError, ValueError):
    """A text that cannot be read."""


class ModelError(TokenvizError, ValueError):
    """A model that cannot be found, trusted or loaded."""


class ScoringError(TokenvizError, ValueError):
    """Settings or logits that give no valid score."""


class ComparisonError(TokenvizError, ValueError):
    """Scores that cannot be compared."""


class FigureError(TokenvizError, ValueError):
    """A figure that cannot be drawn as asked."""


class PaperError(TokenvizError, ValueError):
    """Runs that cannot be pulled into a paper as asked, or files that tokenviz did not write."""


class ExperimentError(TokenvizError, ValueError):
    """An experiment that cannot be found or run as asked."""


class LedgerError(TokenvizError, OSError):
    """A ledger of shards that cannot be used as asked."""


class StoreError(TokenvizError, OSError):
    """A tracking store that cannot be opened or written."""


class RefusedError(StoreError):
    """A run that a store answers about, but refuses."""


class DamagedError(StoreError):
    """A run whose files are gone, or differ from what was recorded."""


class DiskError(TokenvizError, OSError):
    """There is no room or no right to write a file."""


def check_kind(value: object, kind: type, error: type[TokenvizError], wanted: str) -> None:
    """Refuse a value of another kind, before an attribute of it is missing.

    Args:
        value: The value.
        kind: The class that it must have.
        error: The error to raise.
        wanted: What it is, and after a colon what to give.

    Raises:
        TokenvizError: The value is of another class.
    """
    if not isinstance(value, kind):
        raise error(f"a {type(value).__name__} is not {wanted}")


def of_full_disk(error: BaseException) -> bool:
    """Return whether an error is due to a full disk, by itself or by its causes."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _FULL or "disk is full" in str(cause):  # "disk is full" is SQLite's message
            return True
        cause = cause.__cause__
    return False


# Results of checks of the installation and of the store.

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: The thing that was checked.
        state: "ok"; "note" for what is worth knowing; "wrong" for what makes results incomplete or false.
        found: The finding, in one line.
        advice: Advice on it; empty where there is nothing to do.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def size(n_bytes: float) -> str:
    """Return a number of bytes for a reader, in MB or GB."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def listed(names: list[str], most: int = 3) -> str:
    """Return the first `most` names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
