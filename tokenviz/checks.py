"""What a check of the installation or the store finds."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: "ok"; "note" for what is worth knowing; "wrong" for what keeps results from being whole or right.
        found: What was found, in a line.
        advice: What to do about it; empty where there is nothing to do.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def size(n_bytes: float) -> str:
    """Bytes for a reader."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def listed(names: list[str], most: int = 3) -> str:
    """Some names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
