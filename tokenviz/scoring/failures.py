"""What fails inside a model's own forward pass, as one line that names the model, the text and the error.

The code of several hundred architectures is run here, on whatever a user's config makes of it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tokenviz.errors import ScoringError, TokenvizError

# What a forward pass raises that cannot be run: a wrong shape, a position beyond a table, a setting that it lacks.
RAISED = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class ForwardError(ScoringError):
    """A model's own forward pass failed; `reading` adds the text to its message."""

    def __init__(self, label: str, reason: str, text_name: str | None = None) -> None:
        where = f"{label!r} cannot be run" if text_name is None else f"{label!r} cannot read {text_name!r}"
        super().__init__(f"{where}: the model's own forward pass fails with {reason}")
        self.label, self.reason = label, reason


@contextmanager
def forward_pass(label: str) -> Iterator[None]:
    """Turn what a model's forward pass raises into a ForwardError, but for memory that runs out."""
    try:
        yield
    except TokenvizError:
        raise
    except RAISED as error:
        if out_of_memory(error):
            raise
        said = re.sub(r"\s+", " ", str(error)).strip()[:300]
        raise ForwardError(label, f"{type(error).__name__}: {said}" if said else type(error).__name__) from error


@contextmanager
def reading(text_name: str) -> Iterator[None]:
    """Name the text that a model's forward pass failed on."""
    try:
        yield
    except ForwardError as error:
        raise ForwardError(error.label, error.reason, text_name) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether torch failed to allocate; on a processor it says so in a plain RuntimeError, and oneDNN in riddles."""
    said = ("can't allocate memory", "bad_alloc", "could not create a primitive", "could not create a memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in said)
