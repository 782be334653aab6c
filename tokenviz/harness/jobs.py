"""One piece of work that becomes one run: what every kind of run has.

A kind of run is a file in `harness/kinds/`: a `Job` that computes, writes, reads and draws, and the `Run` that is left of it.
The scheduler knows nothing else of it. A new kind is a new file there; `kinds/score.py` is the one to copy.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tokenviz.harness.deliveries import Delivery, Drawing
from tokenviz.harness.measures import Settings
from tokenviz.models.loading import ResolvedModel
from tokenviz.records.run import RecordedRun, StoredRun, WaitingRun
from tokenviz.scores import FORMAT_VERSION, SCORING_VERSION
from tokenviz.texts import Text
from tokenviz.tracking.finding import find_run
from tokenviz.tracking.parcels import Parcel
from tokenviz.tracking.runs import FinishedRun, Runs, fingerprint_of

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
R = TypeVar("R", bound="Run", covariant=True)


@dataclass(frozen=True)
class Content:
    """What a run holds besides its files; see `tracking.parcels.Slip`."""

    params: dict[str, object]
    metrics: dict[str, float]
    note: str
    curves: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    dataset: dict[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of a job.

    Attributes:
        found: The finished run, where there was one.
        delivery: The parcel on its way, where there was none.
        result: What was computed, or read from a parcel; None where a run was found.
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
        return {name: value for name, value in self._delivery.parcel.slip.metrics.items() if math.isfinite(value)}

    @property
    def params(self) -> Mapping[str, object]:
        """The run's settings."""
        return self.found.params if self.found else self._delivery.parcel.slip.params

    @property
    def tags(self) -> Mapping[str, str]:
        """The run's own tags."""
        return self.found.tags if self.found else self._delivery.parcel.slip.tags

    @property
    def waiting(self) -> Parcel | None:
        """The parcel, where it waits in the outbox."""
        return self._delivery.parcel if self.found is None and not self.run_id else None

    @property
    def _delivery(self) -> Delivery:
        assert self.delivery is not None
        return self.delivery


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One job's run.

    Attributes:
        run_id: MLflow's id; empty while the results wait in the outbox for a server.
        fingerprint: Of everything that moves its numbers.
        reused: Whether it was there already.
        metrics: The numbers by name; one that is not determined is absent.
        runs: The MLflow experiment's runs, where its files lie.
        waiting: The parcel where its files lie while it waits in the outbox; None otherwise.
    """

    run_id: str
    fingerprint: str
    reused: bool
    metrics: Mapping[str, float]
    runs: Runs = field(repr=False)
    waiting: Parcel | None = field(repr=False)

    def __repr__(self) -> str:
        where = f"run {self.run_id}"
        if self.waiting is not None:
            where = f"in no store yet, waits in {str(self.waiting.folder)!r} for 'tokenviz sync'"
        return f"{type(self).__name__}({self._subject()}: {where})"

    def _subject(self) -> str:
        """What it is of, for a reader."""
        return self.fingerprint[:12]

    @cached_property
    def recorded(self) -> RecordedRun:
        """The run as it was recorded.

        Raises:
            StoreError: It is gone.
        """
        if self.waiting is not None:
            return WaitingRun.of(self.waiting, self.runs)
        return StoredRun.of(find_run(self.run_id, self.runs.store), self.runs.store)

    def fetch(self, artifact: str, folder: Path) -> Path:
        """Have one of its files on this disk, as it was written.

        Args:
            artifact: Its path among the run's artifacts.
            folder: Where to put it, if it has to be fetched.

        Raises:
            StoreError: The run has no such file any more, or it is not what was written.
        """
        return self.recorded.fetch(artifact, folder)

    def read(self, name: str) -> "pd.DataFrame":
        """Read one of its tables.

        Args:
            name: Of the table, without folder and suffix.

        Raises:
            StoreError: The run has no such table any more, or it is not what was written.
        """
        return self.recorded.frame(name)


class Job(ABC, Generic[T, R]):
    """One piece of work that becomes one run.

    A subclass is a frozen dataclass of what the work needs. What it computes must follow from its fingerprint, since a finished
    run of the same fingerprint and tags takes the place of the work.
    """

    @property
    @abstractmethod
    def kind(self) -> str:
        """For the run's tag."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The run's, for a reader."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of everything that moves the run's numbers."""

    @property
    @abstractmethod
    def tags(self) -> Mapping[str, str]:
        """Besides kind and fingerprint; a run with others is not what is wanted."""

    @property
    def table(self) -> str:
        """The file that everything else can be made from again; empty for none."""
        return ""

    @property
    def has_figures(self) -> bool:
        """Whether `draw` is called."""
        return True

    @property
    def refers(self) -> Mapping[str, str]:
        """Other runs that the run's parameters name, by their fingerprints."""
        return {}

    @abstractmethod
    def compute(self) -> T:
        """Do the work."""

    @abstractmethod
    def write(self, result: T, files: Path) -> Content:
        """Write a result's tables into a folder, and return the rest of its run."""

    @abstractmethod
    def read(self, run: RecordedRun) -> T:
        """Return the result again, from a run whose files `write` made."""

    @abstractmethod
    def run(self, outcome: Outcome[T]) -> R:
        """Return the run that the outcome is; a result that was just computed need not be read back."""

    def draw(self, result: T) -> Drawing:
        """Say how the figures are drawn; called only where `has_figures`."""
        raise NotImplementedError

    def holds(self, run: FinishedRun) -> bool:
        """Whether a finished run of this fingerprint and these tags is still what is wanted."""
        return True

    def about_run(self, outcome: Outcome[T], runs: Runs) -> dict[str, Any]:
        """Return the arguments that every class of runs takes."""
        return {
            "run_id": outcome.run_id,
            "fingerprint": self.fingerprint,
            "reused": outcome.found is not None,
            "metrics": outcome.metrics,
            "runs": runs,
            "waiting": outcome.waiting,
        }


def fingerprint_of_pair(kind: str, model: ResolvedModel, text: Text, settings: Settings, **more: object) -> str:
    """Return the fingerprint of what one model says of one text.

    Args:
        kind: Of the run.
        model: The model; its identity stands for its weights.
        text: The text; its hash stands for its content.
        settings: How the model scores.
        more: What else moves the numbers.
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
