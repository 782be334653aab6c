"""What a kind of run says of its recorded runs, so that `pull`, `redraw`, `trace` and `rerun` work on them.

Each file of `harness/kinds/` has a `KIND`, one object of a subclass of `Kind`; `kinds.kind_of` finds it by the run's tag.
Nothing outside that file knows the kind. Everything but `read` has a default: a kind says only what it has.
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
    """A number of a run, with what it is.

    Attributes:
        name: As a macro names it, such as "pearson_r" or "mean_surprisal_bits verb that".
        estimate: Its value, interval, unit and definition.
        family: The `FamilyTable` that it is a row of; empty for none.
        labels: The words of that row.
    """

    name: str
    estimate: Estimate
    family: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunTable:
    """A LaTeX table with one row per run.

    Attributes:
        name: Of the file.
        caption: In LaTeX.
        columns: Names of numbers, each with its heading in LaTeX.
        interval: The number that has a column for its interval; empty for none.
        words: What is said of a run after text and models: parameters, each with its heading.
    """

    name: str
    caption: str
    columns: Sequence[tuple[str, str]]
    interval: str = ""
    words: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class FamilyTable:
    """A LaTeX table with one row per number of a family, and its interval and n.

    Attributes:
        name: Of the file, and of the family.
        caption: In LaTeX.
        words: The headings of the labels.
        value: The heading of the number, in LaTeX.
    """

    name: str
    caption: str
    words: Sequence[str]
    value: str


class Kind(ABC, Generic[S]):
    """A kind of run, as far as recorded runs go; `S` is what its figures and numbers are made from.

    Attributes:
        name: The kind's tag.
        plain: Whether the names of macros leave the kind out.
        of_tokens: Whether `S` is a token table or a comparison of two, whose heatmaps can share their limits.
        tables: Its LaTeX tables.
        definitions: What its numbers are, with their units, by name; for those without a `Quantity`.
    """

    name: ClassVar[str]
    plain: ClassVar[bool] = False
    of_tokens: ClassVar[bool] = False
    tables: ClassVar[Sequence[RunTable | FamilyTable]] = ()
    definitions: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def read(self, run: FoundRun, reader: Reader) -> S:
        """Read what the figures and numbers of a run are made from.

        Raises:
            StoreError: A table is gone, or is not what was recorded.
        """

    def figures(self, run: FoundRun, reader: Reader) -> Mapping[str, tuple[str, ...]]:
        """Return the figures of a run that can be drawn again, each with its formats."""
        return {}

    def shown(self, run: FoundRun, reader: Reader) -> tuple[str, ...]:
        """Return those of its figures that its own page shows, the first one first."""
        return tuple(self.figures(run, reader))

    def look(self, figure: str, look: Look) -> Look:
        """Return what a figure takes of a look that is asked for all figures of a pull."""
        return look

    def figure_part(self, run: FoundRun, figure: str) -> str:
        """Return how the file of a figure ends, after text and models."""
        return figure

    def draw(
        self, figure: str, source: S, stem: Path, *, formats: Sequence[Any], look: Look, about: Mapping[str, object]
    ) -> list[Path]:
        """Draw a figure and write it; called only for what `figures` names.

        Raises:
            FigureError: It cannot look so.
            DiskError: A file cannot be written.
        """
        raise NotImplementedError

    def about(self, source: S) -> Mapping[str, object]:
        """Return what the file of a figure says besides its run, such as the settings of the scores."""
        return {}

    def quantities(self, run: FoundRun, reader: Reader) -> Sequence[Quantity]:
        """Return the numbers of a run that have an interval or a definition of their own; others are its metrics.

        Raises:
            StoreError: See `read`.
        """
        return ()

    def tex(self, run: FoundRun, reader: Reader) -> Mapping[str, str]:
        """Return LaTeX tables that a run holds as they are, by name.

        Raises:
            StoreError: See `read`.
        """
        return {}

    def rerun(self, run: FoundRun, again: "Again") -> "Rerun":
        """Compute a run again.

        Raises:
            NotEnoughError: It does not say enough for that.
            TokenvizError: Its model cannot be had, or a table is gone.
        """
        from tokenviz.harness.again import NotEnoughError

        raise NotEnoughError.of(run)
