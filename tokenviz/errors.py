"""What can go wrong, as one tree.

    TokenvizError              everything below; the command line prints its message as one line, exit code 1
    ├── TextError              a text that cannot be read as it stands (also ValueError)
    ├── ModelError             a model that cannot be had, trusted or loaded (also ValueError)
    ├── ScoringError           settings or logits from which no honest score follows (also ValueError)
    ├── ComparisonError        scores that do not belong side by side (also ValueError)
    ├── FigureError            a figure that cannot be drawn as asked (also ValueError)
    ├── PaperError             runs that cannot be carried into a paper as asked, or files that are not ours (also ValueError)
    ├── ExperimentError        an experiment that cannot be found or run as asked (also ValueError)
    ├── LedgerError            a ledger of shards that cannot be used as asked (also OSError)
    ├── StoreError             a tracking store that cannot be opened or written (also OSError)
    │   ├── RefusedError       a run that a store does not take, though it answers
    │   └── DamagedError       a run whose files are gone, or are not what was recorded
    └── DiskError              no room or no right to write a file (also OSError)

Each message says what was given, what is allowed, and what to do.
"""

import difflib
import errno
from collections.abc import Iterable

_FULL = (errno.ENOSPC, errno.EDQUOT)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message on a name that is not known: the nearest ones that are; empty where none is near."""
    near = difflib.get_close_matches(name, list(known))
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


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
    """A text that cannot be read as it stands."""


class ModelError(TokenvizError, ValueError):
    """A model that cannot be had, trusted or loaded."""


class ScoringError(TokenvizError, ValueError):
    """Settings or logits from which no honest score follows."""


class ComparisonError(TokenvizError, ValueError):
    """Scores that do not belong side by side."""


class FigureError(TokenvizError, ValueError):
    """A figure that cannot be drawn as asked."""


class PaperError(TokenvizError, ValueError):
    """Runs that cannot be carried into a paper as asked, or files that are not ours."""


class ExperimentError(TokenvizError, ValueError):
    """An experiment that cannot be found or run as asked."""


class LedgerError(TokenvizError, OSError):
    """A ledger of shards that cannot be used as asked."""


class StoreError(TokenvizError, OSError):
    """A tracking store that cannot be opened or written."""


class RefusedError(StoreError):
    """A run that a store does not take, though it answers."""


class DamagedError(StoreError):
    """A run whose files are gone, or are not what was recorded."""


class DiskError(TokenvizError, OSError):
    """No room or no right to write a file."""


def of_full_disk(error: BaseException) -> bool:
    """Whether an error is due to a disk without room, by itself or by what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _FULL or "disk is full" in str(cause):  # the latter is SQLite's word
            return True
        cause = cause.__cause__
    return False
