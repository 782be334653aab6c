"""Batches for tools that leave batching to their caller: texts of like length together, the fastest size of a few."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SIZES = {"cpu": (1, 4, 8, 16), "cuda": (1, 8, 32, 128)}
_WORSE = 1.15  # a size that much slower than the best so far: larger ones are not tried
_SHARE = 0.6  # of the memory that is free
_COPIES = 2.2  # of the logits that a softmax makes at its peak


class Batched:
    """A contender whose tool scores a batch at once; the rest of it is here.

    Attributes:
        tokenizer: To count tokens with.
        vocabulary: The width of the logits.
        device: Where the logits are, "cpu" or "cuda".
        sizes: The batch sizes to choose from; by default those of the device.
    """

    tokenizer: Any
    vocabulary: int
    device: str = "cpu"
    sizes: Sequence[int] = ()

    def score_batch(self, texts: list[str]) -> list[list[float]]:
        """One row a text, scored tokens only."""
        raise NotImplementedError

    def warm_up(self, texts: list[str]) -> str:
        longest = max(len(self.tokenizer(text).input_ids) for text in texts)
        allowed = largest_size(len(texts), longest, self.vocabulary, self.device)
        self.score_batch(opening(texts))
        self._size = fastest_size(lambda size: self._run(texts, size), self.sizes or SIZES[self.device], allowed)
        return described(self._size)

    def score(self, texts: list[str]) -> list[list[float]]:
        return self._run(texts, self._size)

    def rest(self) -> None:
        pass

    def _run(self, texts: list[str], size: int) -> list[list[float]]:
        # Longest first, so that a batch has little padding.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        rows: list[list[float]] = [[]] * len(texts)
        for begin in range(0, len(order), size):
            batch = order[begin : begin + size]
            for i, row in zip(batch, self.score_batch([texts[i] for i in batch]), strict=True):
                rows[i] = row
        return rows


def largest_size(n_texts: int, longest: int, vocabulary: int, device: str) -> int:
    """The most texts whose logits, padded to the longest one, fit the memory that is free; at least one."""
    per_text = _COPIES * 4 * longest * vocabulary  # bytes
    return max(1, min(n_texts, int(_SHARE * _free_memory(device) / per_text)))


def opening(texts: Sequence[str]) -> list[str]:
    """A short text to warm up with, for libraries that set themselves up in their first pass."""
    return [texts[0][:200]]


def fastest_size(run: Callable[[int], object], sizes: Sequence[int], allowed: int) -> int:
    """Try each batch size up to the allowed one.

    Args:
        run: Scores all texts in batches of a size.
        sizes: To try, rising; where the least is not allowed, the allowed size is taken.
        allowed: The largest that the texts and the memory allow.
    """
    possible = [size for size in sizes if size <= allowed] or [allowed]
    best, best_seconds = possible[0], float("inf")
    for size in possible if len(possible) > 1 else []:
        begin = time.perf_counter()
        run(size)
        seconds = time.perf_counter() - begin
        if seconds < best_seconds:
            best, best_seconds = size, seconds
        elif seconds > _WORSE * best_seconds:
            break
    return best


def described(size: int) -> str:
    """For the table."""
    return "one text at a time" if size == 1 else f"batches of {size}, by length"


def _free_memory(device: str) -> float:
    if device == "cuda":
        import torch  # in the tool's environment as well

        return float(torch.cuda.mem_get_info()[0])
    status = Path("/proc/meminfo")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
