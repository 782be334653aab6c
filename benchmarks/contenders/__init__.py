"""The contenders, one a module, and what each of them is given and gives.

A module has a class `Contender`, and a function `prepare(job)` where something is converted before anything is timed.
They run in environments of their own (`benchmarks/lineup.py` says which), so none of them imports another's library,
and what they share here imports none.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# One list of log-probs a text, in reading order, scored tokens only; or one sum a text.
Rows = list[list[float]] | list[float]


@dataclass(frozen=True)
class Job:
    """What a contender is to score with.

    Attributes:
        model: The model spec.
        folder: The same model as a Hugging Face folder.
        work: A folder of the contender's own, empty until `prepare`.
        threads: To compute with, where a library does not find that out by itself.
        options: Of the contender's entry in the line-up.
    """

    model: str
    folder: Path
    work: Path
    threads: int
    options: dict[str, str] = field(default_factory=dict)


class Contender(Protocol):
    """A tool with a model in memory."""

    def warm_up(self, texts: list[str]) -> str:
        """Choose a batch size, where there is one to choose; returns how texts are read. A first `score` follows."""
        ...

    def score(self, texts: list[str]) -> Rows:
        """From the strings to the log-probs, in the order of the texts. This is what is timed."""
        ...

    def rest(self) -> None:
        """Give back the memory of a round; not timed."""
        ...
