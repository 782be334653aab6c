"""The properties of the machine that numbers and times depend on."""

import os
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psutil

from tokenviz.base.errors import ModelError


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Return the memory of the machine, in bytes."""
    return psutil.virtual_memory().total


def spread_over(needed: int, free: Sequence[int], label: str) -> bool:
    """Decide whether a model has to be spread over the GPUs of a worker.

    Args:
        needed: Bytes of its weights.
        free: Bytes that each GPU has free, the one to compute on first; a tenth is left for what is computed.
        label: The model's, for the message.

    Raises:
        ModelError: It does not fit on all of them together.
    """
    room = [0.9 * one for one in free]
    if needed > sum(room):
        raise ModelError(
            f"{label!r} has {needed / 1e9:,.1f} GB of weights, and the GPUs of this process have room for "
            f"{sum(room) / 1e9:,.1f} GB: give it more of them, or take a smaller dtype or device=cpu"
        )
    return needed > room[0]
