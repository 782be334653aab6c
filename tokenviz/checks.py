"""Results of checks of the installation and of the store."""

from dataclasses import dataclass
from typing import Literal

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
