"""The base of every kind of run: the job that becomes a run, and how a recorded run is read and drawn."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from tokenviz.data.parquet import FORMAT_VERSION
from tokenviz.data.scores import SCORING_VERSION, nan_to_none
from tokenviz.data.texts import Text
from tokenviz.figures.named import Look, with_limits
from tokenviz.figures.report.overview import Cell, OtherRun
from tokenviz.harness.deliveries import Delivery, Drawing
from tokenviz.harness.measures import Settings
from tokenviz.models.loading import ResolvedModel
from tokenviz.records.loading import Reader
from tokenviz.records.run import RecordedRun, StoredRun, WaitingRun
from tokenviz.stats.estimate import Estimate
from tokenviz.tracking.finding import FoundRun, find_run
from tokenviz.tracking.runs import FinishedRun, Runs, fingerprint_of
from tokenviz.tracking.staged_runs import StagedRun

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.harness.recomputing import Again, Rerun


# The base class of kinds of runs: how recorded runs are read, so that `pull`, `redraw`, `trace` and `rerun` work on them.
#
# Each file of `harness/kinds/` has a `KIND`, one object of a subclass of `Kind`; `kinds.kind_of` finds it by the run's tag.
# Nothing outside that file depends on the kind. Every method except `read` has a default, so that a kind defines only what it
# has.

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
        """Return those of its figures that a pull takes by default, in order: those that its page shows, by default all."""
        return tuple(self.figures(run, reader))

    def look(self, figure: str, look: Look) -> Look:
        """Return the part of a look, given for all figures of a pull, that applies to a figure."""
        return look

    def as_drawn(self, figure: str, look: Look, limits: str, source: Callable[[], S]) -> Look:
        """Return a look without limits with those that a run's heatmaps were drawn with, where they apply to a figure.

        Args:
            figure: Name of the figure.
            look: The look.
            limits: The limits that were given for all heatmaps of the run.
            source: Reads the run's data.
        """
        return with_limits(figure, look, limits) if self.of_tokens else look

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
        from tokenviz.harness.recomputing import NotEnoughError

        raise NotEnoughError.of(run)


# Jobs: one piece of work that becomes one run, with what all kinds of runs share.
#
# A kind of run is a file in `harness/kinds/`: a `Job` that computes, writes, reads and draws, and the resulting `Run`. The
# scheduler knows nothing else about it. A new kind is a new file there; `kinds/score.py` is the one to copy.

T = TypeVar("T")
R = TypeVar("R", bound="Run", covariant=True)


@dataclass(frozen=True)
class Content:
    """The content of a run except its files; the fields are those of `tracking.staged_runs.RunRecord`."""

    params: dict[str, object]
    metrics: dict[str, float]
    note: str
    curves: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    dataset: dict[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The result of a job.

    Attributes:
        found: The finished run, where there was one.
        delivery: The staged run on its way, where there was no finished run.
        result: What was computed, or read from a staged run; None where a run was found.
    """

    found: FinishedRun | None
    delivery: Delivery | None
    result: T | None

    @property
    def run_id(self) -> str:
        """MLflow's id; empty while the results wait in the outbox."""
        return self.found.run_id if self.found else self._delivery.run_id

    @property
    def metrics(self) -> Mapping[str, float]:
        """The run's numbers; one that is not determined is absent."""
        if self.found:
            return self.found.metrics
        return {name: value for name, value in self._delivery.staged.record.metrics.items() if math.isfinite(value)}

    @property
    def params(self) -> Mapping[str, object]:
        """The run's settings."""
        return self.found.params if self.found else self._delivery.staged.record.params

    @property
    def tags(self) -> Mapping[str, str]:
        """The run's own tags."""
        return self.found.tags if self.found else self._delivery.staged.record.tags

    @property
    def waiting(self) -> StagedRun | None:
        """The staged run, if it waits in the outbox, else None."""
        return self._delivery.staged if self.found is None and not self.run_id else None

    @property
    def _delivery(self) -> Delivery:
        assert self.delivery is not None
        return self.delivery


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """The run of one job.

    Attributes:
        run_id: MLflow's id; empty while the results wait in the outbox for a server.
        fingerprint: Hash of everything that its numbers depend on.
        reused: Whether the run existed already.
        metrics: Numbers by name; one that is not determined is absent.
        runs: The MLflow experiment's runs, which hold its files.
        waiting: The staged run, which holds its files while it waits in the outbox; None otherwise.
    """

    run_id: str
    fingerprint: str
    reused: bool
    metrics: Mapping[str, float]
    runs: Runs = field(repr=False)
    waiting: StagedRun | None = field(repr=False)

    def __repr__(self) -> str:
        where = f"run {self.run_id}"
        if self.waiting is not None:
            where = f"in no store yet, waits in {str(self.waiting.folder)!r} for 'tokenviz sync'"
        return f"{type(self).__name__}({self._subject()}: {where})"

    def _subject(self) -> str:
        """Return the subject of the run, for readers."""
        return self.fingerprint[:12]

    def _about(self) -> dict[str, Any]:
        """Return what it is of, and its numbers, for a program."""
        return dict(self.metrics)

    def to_json(self) -> dict[str, Any]:
        """Return what it is of, its numbers and its id as plain values; a number that is not determined is None."""
        about = {name: nan_to_none(value) for name, value in self._about().items()}
        return {**about, "run_id": self.run_id, "reused": self.reused}

    def cell(self, run_id: str) -> Cell:
        """Return what the page of its grid shows of it; a kind that has no matrix there is among the other runs.

        Args:
            run_id: Its id, or what stands for it until it has one.
        """
        return OtherRun.of("", self._subject(), run_id, self.metrics, ())

    @cached_property
    def recorded(self) -> RecordedRun:
        """The recorded run.

        Raises:
            StoreError: The run is gone.
        """
        if self.waiting is not None:
            return WaitingRun.of(self.waiting, self.runs)
        return StoredRun.of(find_run(self.run_id, self.runs.store), self.runs.store)

    def fetch(self, artifact: str, folder: Path) -> Path:
        """Return the path of one of the run's files on this disk; download it where necessary.

        Args:
            artifact: The file's path among the run's artifacts.
            folder: The folder for a downloaded file.

        Raises:
            StoreError: The run does not have the file any more, or the file was changed.
        """
        return self.recorded.fetch(artifact, folder)

    def read(self, name: str) -> "pd.DataFrame":
        """Read one of the run's tables.

        Args:
            name: Name of the table, without folder and suffix.

        Raises:
            StoreError: The run does not have the table any more, or the table was changed.
        """
        return self.recorded.frame(name)


def plain_rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the rows of a table as plain values, for a program; a number that is not determined is None."""
    return [{str(name): nan_to_none(value) for name, value in row.items()} for row in frame.to_dict("records")]


class Job(ABC, Generic[T, R]):
    """One piece of work that becomes one run.

    A subclass is a frozen dataclass of what the work needs. Its result must depend on its fingerprint alone, since a finished
    run with the same fingerprint and tags replaces the work.
    """

    @property
    @abstractmethod
    def kind(self) -> str:
        """The kind of the run, for its tag."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The run's name, for readers."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of everything that the run's numbers depend on."""

    @property
    @abstractmethod
    def tags(self) -> Mapping[str, str]:
        """Tags besides kind and fingerprint; a finished run with other tags is not reused."""

    @property
    def table(self) -> str:
        """The file that everything else can be made from; empty for none."""
        return ""

    @property
    def has_figures(self) -> bool:
        """Whether `draw` is called."""
        return True

    @property
    def refers(self) -> Mapping[str, str]:
        """Other runs that the run's parameters name, by parameter, with their fingerprints."""
        return {}

    @abstractmethod
    def compute(self) -> T:
        """Do the work."""

    @abstractmethod
    def write(self, result: T, files: Path) -> Content:
        """Write a result's tables into a folder, and return the rest of its run."""

    @abstractmethod
    def read(self, run: RecordedRun) -> T:
        """Read the result from a run whose files `write` made."""

    @abstractmethod
    def run(self, outcome: Outcome[T]) -> R:
        """Return the run of an outcome; a result that was just computed need not be read back."""

    def draw(self, result: T) -> Drawing:
        """Return how the figures are drawn; called only if `has_figures`."""
        raise NotImplementedError

    def holds(self, run: FinishedRun) -> bool:
        """Return whether a finished run with this fingerprint and these tags is still valid."""
        return True

    def about_run(self, outcome: Outcome[T], runs: Runs) -> dict[str, Any]:
        """Return the arguments that all classes of runs share."""
        return {
            "run_id": outcome.run_id,
            "fingerprint": self.fingerprint,
            "reused": outcome.found is not None,
            "metrics": outcome.metrics,
            "runs": runs,
            "waiting": outcome.waiting,
        }


def fingerprint_of_pair(kind: str, model: ResolvedModel, text: Text, settings: Settings, **more: object) -> str:
    """Return the fingerprint of one model's result for one text.

    Args:
        kind: The kind of the run.
        model: The model; its identity represents its weights.
        text: The text; its hash represents its content.
        settings: The settings of scoring.
        more: Everything else that the numbers depend on.
    """
    return fingerprint_of(
        {
            "kind": kind,
            "version": SCORING_VERSION,
            "format": FORMAT_VERSION,
            "identity": model.identity,
            "spec": asdict(model.spec),
            "text": text.name,
            "text_sha256": text.sha256,
            **vars(settings),
            **({"spans": [[(span.name, span.start, span.end) for span in own] for own in text.spans]} if text.spans else {}),
            **more,
        }
    )
