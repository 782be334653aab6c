"""Failures inside a model's own forward pass, as one line that names the model, the text and the error.

Any of several hundred architectures may run here, with whatever config a user gives it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tokenviz.errors import ScoringError, TokenvizError

# What a forward pass raises that cannot run: a wrong shape, a position beyond a table, a missing setting.
RAISED = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class ForwardError(ScoringError):
    """A model's own forward pass failed; `reading` adds the name of the text to the message."""

    def __init__(self, label: str, reason: str, text_name: str | None = None) -> None:
        where = f"{label!r} cannot be run" if text_name is None else f"{label!r} cannot read {text_name!r}"
        super().__init__(f"{where}: the model's own forward pass fails with {reason}")
        self.label, self.reason = label, reason


@contextmanager
def forward_pass(label: str) -> Iterator[None]:
    """Turn what a model's forward pass raises into a ForwardError, except for running out of memory."""
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
    """Add the name of the text to a ForwardError that is raised inside the block."""
    try:
        yield
    except ForwardError as error:
        raise ForwardError(error.label, error.reason, text_name) from error


def out_of_memory(error: BaseException) -> bool:
    """Return whether torch failed to allocate.

    On a processor torch raises a plain RuntimeError, which oneDNN words in several ways.
    """
    said = ("can't allocate memory", "bad_alloc", "could not create a primitive", "could not create a memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in said)
