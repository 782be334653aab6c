"""Base classes of kinds whose table is computed from the scores of one model: items, pairs and others.

A kind of this form is a `ScoredJob` (how the table is made, and what of it becomes a run) and a `ScoredKind` (how a recorded
table is read: numbers, means, figures, and how it is computed again). Both have one level of inheritance; `kinds/pairs.py` is
the one to copy.
"""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd

from tokenviz.base.display import write_csv
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.named import PLOT_FORMATS, Look, Plot, save_plot
from tokenviz.figures.report.overview import Cell, OtherRun
from tokenviz.figures.typeset.saving import FigureFormat, page_formats
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.kind import Job, Kind, Outcome, Run
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.recomputing import Again, Rerun, held_against, largest_of_frames
from tokenviz.harness.session import Session
from tokenviz.records.loading import Reader
from tokenviz.records.run import RecordedRun, table_file
from tokenviz.records.tables import check_numbers
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import FinishedRun

R = TypeVar("R", bound="ScoredRun", covariant=True)


@dataclass(frozen=True, eq=False)
class ScoredTable:
    """A table that was computed from one model's scores, with its run's parameters.

    Attributes:
        table: The table.
        params: The run's parameters, as the strings that MLflow stores.
    """

    table: pd.DataFrame
    params: Mapping[str, str]

    @property
    def model(self) -> str:
        """The model spec's label."""
        return self.params["model"]

    @property
    def text(self) -> str:
        """The text's name."""
        return self.params["text"]


@dataclass(frozen=True, eq=False)
class ScoredRun(Run):
    """A run whose table was computed from one model's scores.

    Attributes:
        model: The model spec's label.
        text: The text's name.
    """

    model: str
    text: str
    kind: ClassVar[str]

    def _subject(self) -> str:
        return f"{self.kind} of {self.text!r} by {self.model!r}"

    def _about(self) -> dict[str, Any]:
        return {"model": self.model, "text": self.text, **self.metrics}

    def cell(self, run_id: str) -> Cell:
        return OtherRun.of(self.kind, f"{self.kind} · {self.text} · {self.model}", run_id, self.metrics, ())

    @cached_property
    def table(self) -> pd.DataFrame:
        """The table, read from the run."""
        return self.read(self.kind)


class ScoredKind(Kind[ScoredTable]):
    """The kind of recorded runs whose table was computed from the scores of one model.

    Attributes:
        plots: Its figures, by name.
        steps: Prefixes of columns of whole numbers, such as ranks, which the last bit of a log-prob may change.
    """

    plots: ClassVar[Mapping[str, Plot]] = {}
    steps: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def metrics(self, made: ScoredTable) -> dict[str, float]:
        """Return the numbers of a run, computed from its table."""

    @abstractmethod
    def frames(self, made: ScoredTable) -> dict[str, pd.DataFrame]:
        """Return the tables that are computed from the table, such as means, by name; none is empty."""

    @abstractmethod
    def compute_again(self, made: ScoredTable, text: Text, scores: TokenScores) -> pd.DataFrame:
        """Return the table recomputed with other scores of the same text."""

    def drawn(self, params: Mapping[str, object]) -> bool:
        """Return whether a run with such parameters has figures."""
        return True

    def read(self, run: FoundRun, reader: Reader) -> ScoredTable:
        recorded = reader.recorded(run)
        made = ScoredTable(recorded.frame(self.name), run.params)
        check_numbers(recorded, table_file(self.name), self.metrics(made))
        return made

    def figures(self, run: FoundRun, reader: Reader) -> Mapping[str, tuple[str, ...]]:
        return dict.fromkeys(self.plots, PLOT_FORMATS) if self.drawn(run.params) else {}

    def draw(
        self, figure: str, source: ScoredTable, stem: Path, *, formats: Sequence[Any], look: Look, about: Mapping[str, object]
    ) -> list[Path]:
        return save_plot(
            figure, self.plots[figure], source, stem, models=[source.model], text=source.text, formats=formats, look=look,
            about=about,
        )  # fmt: skip

    def about(self, source: ScoredTable) -> Mapping[str, object]:
        return {"text_sha256": source.params["text_sha256"]}

    def rerun(self, run: FoundRun, again: Again) -> Rerun:
        recorded = again.reader.recorded(run)
        before = self.read(run, again.reader)
        then, now, text = again.both(run.params["run_scores"], recorded.other("run_scores"))
        after = ScoredTable(self.compute_again(before, text, now), run.params)
        steps = [name for name in before.table if str(name).startswith(self.steps)]
        tables = [made.table.drop(columns=steps, errors="ignore") for made in (before, after)]
        return held_against(run, self.metrics(after), [(then, now)], largest=largest_of_frames(*tables))


@dataclass(frozen=True, eq=False)
class ScoredJob(Job[ScoredTable, R]):
    """Compute a table from one model's scores.

    Attributes:
        session: The grid's session.
        scored: The score run.
    """

    session: Session
    scored: ScoreRun
    of: ClassVar[ScoredKind]

    @property
    def kind(self) -> str:
        return self.of.name

    @property
    def table(self) -> str:
        return table_file(self.kind)

    @property
    def name(self) -> str:
        return f"{self.kind} · {self.scored.text} · {self.scored.model}"

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model": self.scored.model, "text": self.scored.text}

    @property
    def refers(self) -> Mapping[str, str]:
        return {"run_scores": self.scored.fingerprint}

    @property
    @abstractmethod
    def params(self) -> Mapping[str, object]:
        """The run's parameters, including model and text."""

    @property
    def has_figures(self) -> bool:
        return bool(self.of.plots) and self.of.drawn(self.params)

    def holds(self, run: FinishedRun) -> bool:
        """Return whether the run names the present score run: a new score run needs a new table."""
        return run.params.get("run_scores") == self.scored.run_id

    def made(self, table: pd.DataFrame) -> ScoredTable:
        """Return a table with the run's parameters, as the strings that MLflow stores."""
        written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.params.items()}
        return ScoredTable(table, written)

    def read(self, run: RecordedRun) -> ScoredTable:
        return self.made(run.frame(self.kind))

    def write_tables(self, made: ScoredTable, files: Path) -> dict[str, pd.DataFrame]:
        """Write the table and those computed from it into a run's folder; return the latter."""
        (files / "tables").mkdir()
        made.table.to_parquet(files / self.table, index=False)
        write_csv(made.table, files / "tables" / f"{self.kind}.csv")
        frames = self.of.frames(made)
        for name, frame in frames.items():
            write_csv(frame, files / "tables" / f"{name}.csv")
        return frames

    def draw(self, result: ScoredTable) -> Drawing:
        more = {**self.of.about(result), "scores": self.scored.fingerprint}
        return Drawing(
            draw_scored, (self.of, result, self.session.about(self.fingerprint, self.kind, more), self.session.formats)
        )

    def about_scored(self, outcome: Outcome[ScoredTable]) -> dict[str, Any]:
        """Return the arguments that all classes of such runs share."""
        return {**self.about_run(outcome, self.session.runs), "model": self.scored.model, "text": self.scored.text}


def draw_scored(
    kind: ScoredKind, made: ScoredTable, about: Mapping[str, object], formats: Sequence[FigureFormat], folder: Path
) -> None:
    """Draw the figures of a table that was computed from one model's scores.

    Args:
        kind: The kind of the table.
        made: The table.
        about: What made it, for the files' metadata.
        formats: Formats that were asked for, besides what the run's page shows.
        folder: The folder for the figures.
    """
    for figure in kind.plots:
        kind.draw(figure, made, folder / figure, formats=page_formats(formats), look=Look(), about=about)
