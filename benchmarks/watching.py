"""Timing the calls of functions where they stand."""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any


def watch(part: str, module: str, name: str, parts: dict[str, float]) -> Callable[[], None]:
    """Let a function add the seconds of its calls to a part; returns what undoes it."""
    owner: Any = import_module(module)
    *outer, last = name.split(".")
    for step in outer:
        owner = getattr(owner, step)
    original = getattr(owner, last)

    def timed(*arguments: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            parts[part] = parts.get(part, 0.0) + time.perf_counter() - begin

    setattr(owner, last, timed)
    return lambda: setattr(owner, last, original)
