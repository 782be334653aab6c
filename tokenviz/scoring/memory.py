"""The memory that scoring takes, and errors inside a model's own forward pass."""

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

from tokenviz.base.errors import ScoringError, TokenvizError

# Memory for scoring: how much is used at once, and what is kept or returned to the system.

KEPT_BLOCK = 32 << 20  # bytes; glibc returns larger blocks to the system whatever its settings
_PAGE = 4096
_MADV_DONTNEED = 4
_READ_AT_ONCE, _LEFT_READ = 512, 128  # tokens
_KEPT_PRODUCTS = 64


@dataclass(frozen=True)
class Budget:
    """The most that may be in memory at once.

    Attributes:
        tokens: Tokens that go through a layer at once, in a pack or padded batch. On a processor more than 2,048 are not
            faster. With 512 they take 2 to 14 % longer, but where a hidden state is wide, 2,048 take 5 % longer than 1,024.
        logits: Logits, 4 bytes each: 8 million are 32 MB. On a processor the logits of 128 tokens, within 32 MB and 128 MB.
            With 64 tokens a head of 262,144 words is read too often, which takes a tenth of the whole time; one of 49,152 words
            is no faster with 340 tokens.
    """

    tokens: int
    logits: int

    @classmethod
    def of(cls, device: str, widest: int, vocabulary: int) -> "Budget":
        """Return the budget that the free memory of a device allows.

        Args:
            device: The model's device.
            widest: Bytes of a token's widest hidden state; on a processor the hidden states of all tokens fit in memory that is
                kept.
            vocabulary: Number of logits per token.
        """
        if device == "cpu":
            tokens = next(n for n in (2048, 1024, 512) if n * widest < KEPT_BLOCK or n == 512)
            free, budget = psutil.virtual_memory().available, cls(tokens, min(max(1 << 23, 128 * vocabulary), 1 << 25))
        else:
            free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
            budget = cls(tokens=16384, logits=1 << 27)
        while budget.logits * 16 > free and (half := budget.halved()) is not None:
            budget = half
        return budget

    def halved(self) -> "Budget | None":
        """Return half of the budget, or None where that would be too little to continue."""
        if self.logits <= 1 << 18:
            return None
        return Budget(max(64, self.tokens // 2), self.logits // 2)


def forget_pages(weight: torch.Tensor) -> bool:
    """Let the system take back the memory of a weight that was mapped from a file and is not needed for now.

    Pages that are touched again are read from the file again. Nothing happens where any page was written to, or is not known to
    come unchanged from a file.

    Returns:
        Whether the memory was released.
    """
    begin = -(-weight.data_ptr() // _PAGE) * _PAGE
    end = (weight.data_ptr() + weight.nbytes) // _PAGE * _PAGE
    if platform.system() != "Linux" or weight.device.type != "cpu" or end <= begin:
        return False
    try:
        with open("/proc/self/pagemap", "rb") as pagemap:
            pagemap.seek(begin // _PAGE * 8)
            pages = np.frombuffer(pagemap.read((end - begin) // _PAGE * 8), np.uint64)
    except OSError:
        return False
    # Bit 63: in memory; 62: swapped out; 61: the page belongs to a file. A page that was written to is private and has no bit
    # 61.
    in_memory, swapped, of_file = (pages >> np.uint64(bit) & np.uint64(1) for bit in (63, 62, 61))
    if len(pages) != (end - begin) // _PAGE or swapped.any() or not np.array_equal(in_memory, in_memory & of_file):
        return False
    failed: int = ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)
    return not failed


def forget_rows_read(embedding: Any) -> None:
    """Let an embedding whose weights are mapped from their file keep little of them in memory.

    For each row that is read, the system maps up to 2 MB around it: 200 MB of Gemma 3's weights for 740 different tokens.
    Reading 1,800 tokens in pieces takes 6 ms more for SmolLM2 and 14 ms more for Gemma 3. The rows of a few tokens stay in
    memory.
    """
    if isinstance(embedding, nn.Embedding) and "forward" not in vars(embedding) and forget_pages(embedding.weight):
        embedding.forward = MethodType(_look_up, embedding)  # type: ignore[method-assign]  # of this one alone
        embedding.left_read = 0  # type: ignore[assignment]  # modules' attributes count as tensors


def _look_up(embedding: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the rows (..., n, width) of ids (..., n)."""
    pieces = []
    for piece in torch.split(ids, _READ_AT_ONCE, dim=-1):
        pieces.append(type(embedding).forward(embedding, piece))
        embedding.left_read += piece.numel()
        if embedding.left_read >= _LEFT_READ:
            forget_pages(embedding.weight)
            embedding.left_read = 0
    return torch.cat(pieces, dim=-2)


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step instead of returning it to the system.

    Each step allocates what the step before it freed. By default glibc returns blocks of some megabytes at once, and every new
    block is faulted in page by page. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, KEPT_BLOCK)
        libc.mallopt(m_trim_threshold, 128 << 20)


def keep_few_products() -> None:
    """Let oneDNN, and PyTorch's cache for it, keep fewer prepared products than the default of 1,024 each.

    Each number of rows takes 0.7 MB of prepared data. Many texts or a long one bring ever new numbers, and the caches grow to
    hundreds of MB; one pass through a model needs a few dozen. Both libraries read the limit once, at their first product. A
    limit that the user has set is kept.
    """
    for library in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(library, str(_KEPT_PRODUCTS))


def give_back_freed_memory() -> None:
    """Return to the system the memory that `keep_freed_memory`, or PyTorch's cache on a GPU, has kept."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    torch.cuda.empty_cache()


# Failures inside a model's own forward pass, as one line that names the model, the text and the error.
#
# Any of several hundred architectures may run here, with whatever config a user gives it.

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
