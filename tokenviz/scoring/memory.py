"""The memory that scoring takes: how much at once, and what of it is kept or handed back."""

import ctypes
import os
import platform
from dataclasses import dataclass
from types import MethodType
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

KEPT_BLOCK = 32 << 20  # bytes; larger blocks go back to the system however glibc is set
_PAGE = 4096
_MADV_DONTNEED = 4
_READ_AT_ONCE, _LEFT_READ = 512, 128  # tokens
_KEPT_PRODUCTS = 64


@dataclass(frozen=True)
class Budget:
    """What may be in memory at once.

    Attributes:
        tokens: That go through a layer at once, in a pack or padded batch. On a processor nothing is gained above 2,048; with
            512 they take 2 to 14 % longer, but where a hidden state is wide 2,048 take 5 % longer than 1,024.
        logits: Logits; 8 million are 32 MB. On a processor those of 128 tokens, but 32 MB at least and 128 at most: with 64
            tokens a head of 262,144 words is read too often, which takes a tenth of the whole time, and one of 49,152 gains
            nothing with 340.
    """

    tokens: int
    logits: int

    @classmethod
    def of(cls, device: str, widest: int, vocabulary: int) -> "Budget":
        """What the free memory of a device allows.

        Args:
            device: The model's.
            widest: Bytes of a token's widest hidden state; on a processor those of all tokens fit in memory that is kept.
            vocabulary: Logits of a token.
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
        """Half of it; None where that would be too little to go on with."""
        if self.logits <= 1 << 18:
            return None
        return Budget(max(64, self.tokens // 2), self.logits // 2)


def forget_pages(weight: torch.Tensor) -> bool:
    """Let the system take back the memory behind a weight that was read from a file and is not needed for now.

    Weights are mapped from their file: what is touched again is read again. Where any page was written to, or is not
    known to come unchanged from a file, nothing happens.

    Returns:
        Whether it did.
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
    # Bit 63: in memory; 62: swapped out; 61: the page belongs to a file. A page that was written to is private, not the file's.
    in_memory, swapped, of_file = (pages >> np.uint64(bit) & np.uint64(1) for bit in (63, 62, 61))
    if len(pages) != (end - begin) // _PAGE or swapped.any() or not np.array_equal(in_memory, in_memory & of_file):
        return False
    failed: int = ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)
    return not failed


def forget_rows_read(embedding: Any) -> None:
    """Have an embedding whose weights are mapped from their file keep little of them in memory.

    For a row that is read the system maps what lies around it, up to 2 MB: 200 MB of Gemma 3's for 740 different tokens.
    To read 1,800 tokens in pieces takes 6 ms more for SmolLM2, 14 ms for Gemma 3; a few tokens are left as they are.
    """
    if isinstance(embedding, nn.Embedding) and "forward" not in vars(embedding) and forget_pages(embedding.weight):
        embedding.forward = MethodType(_look_up, embedding)  # type: ignore[method-assign]
        embedding.left_read = 0  # type: ignore[assignment]


def _look_up(embedding: Any, ids: torch.Tensor) -> torch.Tensor:
    """Rows (..., n, width) of ids (..., n)."""
    pieces = []
    for piece in torch.split(ids, _READ_AT_ONCE, dim=-1):
        pieces.append(type(embedding).forward(embedding, piece))
        embedding.left_read += piece.numel()
        if embedding.left_read >= _LEFT_READ:
            forget_pages(embedding.weight)
            embedding.left_read = 0
    return torch.cat(pieces, dim=-2)


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next step instead of handing it back to the system.

    Each step allocates what the step before it freed. By default glibc returns blocks of some megabytes at once, and
    every new one is faulted in page by page. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, KEPT_BLOCK)
        libc.mallopt(m_trim_threshold, 128 << 20)


def keep_few_products() -> None:
    """Have oneDNN, and PyTorch in front of it, keep what they prepare for a product for fewer of them than 1,024 each.

    For each number of rows they prepare 0.7 MB. Where many texts or a long one bring ever new numbers, that grows to
    hundreds of MB; one pass through a model needs a few dozen. Both read the limit once, at their first product; a user's
    own stays.
    """
    for library in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(library, str(_KEPT_PRODUCTS))


def give_back_freed_memory() -> None:
    """Hand back to the system what `keep_freed_memory`, or PyTorch's cache on a GPU, has kept."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    torch.cuda.empty_cache()
