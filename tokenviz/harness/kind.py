"""The base class of kinds of runs: how recorded runs are read, so that `pull`, `redraw`, `trace` and `rerun` work on them.

Each file of `harness/kinds/` has a `KIND`, one object of a subclass of `Kind`; `kinds.kind_of` finds it by the run's tag.
Nothing outside that file depends on the kind. Every method except `read` has a default, so that a kind defines only what it
has.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from tokenviz.figures.named import Look
from tokenviz.records.reader import Reader
from tokenviz.stats.estimate import Estimate
from tokenviz.tracking.finding import FoundRun

if TYPE_CHECKING:
    from tokenviz.harness.again import Again, Rerun

S = TypeVar("S")


@dataclass(frozen=True)
class Quantity:
    """A number of a run, with its definition.

    Attributes:
        name: The name in macros, such as "pearson_r" or "mean_surprisal_bits verb that".
        estimate: Its value, interval, unit and definition.
        family: The `FamilyTable` that has a row for it; empty for none.
        labels: The labels of that row.
    """

    name: str
    estimate: Estimate
    family: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunTable:
    """A LaTeX table with one row per run.

    Attributes:
        name: Name of the file.
        caption: Caption, in LaTeX.
        columns: Names of numbers, each with its heading in LaTeX.
        interval: The number that has a column for its interval; empty for none.
        words: Parameters that follow text and models in a row, each with its heading.
    """

    name: str
    caption: str
    columns: Sequence[tuple[str, str]]
    interval: str = ""
    words: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class FamilyTable:
    """A LaTeX table with one row per number of a family, with interval and n.

    Attributes:
        name: Name of the file and of the family.
        caption: Caption, in LaTeX.
        words: The headings of the labels.
        value: The heading of the number, in LaTeX.
    """

    name: str
    caption: str
    words: Sequence[str]
    value: str


class Kind(ABC, Generic[S]):
    """A kind of run, as far as recorded runs go; `S` is the data that its figures and numbers are made from.

    Attributes:
        name: The kind's tag.
        plain: Whether the names of macros omit the kind.
        of_tokens: Whether `S` is a token table or a comparison of two, whose heatmaps can share their limits.
        tables: Its LaTeX tables.
        definitions: Definitions and units of its numbers, by name, for those without a `Quantity`.
    """

    name: ClassVar[str]
    plain: ClassVar[bool] = False
    of_tokens: ClassVar[bool] = False
    tables: ClassVar[Sequence[RunTable | FamilyTable]] = ()
    definitions: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def read(self, run: FoundRun, reader: Reader) -> S:
        """Read the data that a run's figures and numbers are made from.

        Raises:
            StoreError: A table is missing, or differs from what was recorded.
        """

    def figures(self, run: FoundRun, reader: Reader) -> Mapping[str, tuple[str, ...]]:
        """Return the figures of a run that can be drawn again, each with its formats."""
        return {}

    def shown(self, run: FoundRun, reader: Reader) -> tuple[str, ...]:
        """Return those of its figures that its page shows, in order."""
        return tuple(self.figures(run, reader))

    def look(self, figure: str, look: Look) -> Look:
        """Return the part of a look, given for all figures of a pull, that applies to a figure."""
        return look

    def figure_part(self, run: FoundRun, figure: str) -> str:
        """Return the end of a figure's file name, after text and models."""
        return figure

    def draw(
        self, figure: str, source: S, stem: Path, *, formats: Sequence[Any], look: Look, about: Mapping[str, object]
    ) -> list[Path]:
        """Draw a figure and write it; called only for a figure that `figures` names.

        Raises:
            FigureError: The figure cannot have this look.
            DiskError: A file cannot be written.
        """
        raise NotImplementedError

    def about(self, source: S) -> Mapping[str, object]:
        """Return metadata for a figure's file besides its run, such as the settings of the scores."""
        return {}

    def quantities(self, run: FoundRun, reader: Reader) -> Sequence[Quantity]:
        """Return the numbers of a run that have an interval or their own definition; all others are its metrics.

        Raises:
            StoreError: A table is missing, or differs from what was recorded.
        """
        return ()

    def tex(self, run: FoundRun, reader: Reader) -> Mapping[str, str]:
        """Return the LaTeX tables that a run holds, by name.

        Raises:
            StoreError: A table is missing, or differs from what was recorded.
        """
        return {}

    def rerun(self, run: FoundRun, again: "Again") -> "Rerun":
        """Compute a run again.

        Raises:
            NotEnoughError: The run does not record enough to be computed again.
            TokenvizError: Its model cannot be loaded, or a table is missing.
        """
        from tokenviz.harness.again import NotEnoughError

        raise NotEnoughError.of(run)
