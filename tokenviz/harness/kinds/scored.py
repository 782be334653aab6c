"""What kinds of runs have in common whose table follows from the scores of one model: items, pairs and the like.

A kind of this form is a `ScoredJob` (how the table is made, and what of it is a run) and a `ScoredKind` (what a recorded table
says: its numbers, its means, its figures, and how it is computed again). Both are one step deep; `kinds/pairs.py` is the one
to copy.
"""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd

from tokenviz.figures.named import PLOT_FORMATS, Look, Plot, save_plot
from tokenviz.harness.again import Again, Rerun, held_against, largest_of_frames
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.jobs import Job, Outcome, Run
from tokenviz.harness.kind import Kind
from tokenviz.harness.kinds.files import PICTURES
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.session import Session
from tokenviz.records.reader import Reader
from tokenviz.records.run import RecordedRun, table_file
from tokenviz.records.tables import check_numbers
from tokenviz.scores import TokenScores
from tokenviz.tables import write_csv
from tokenviz.texts import Text
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import FinishedRun

R = TypeVar("R", bound="ScoredRun", covariant=True)


@dataclass(frozen=True, eq=False)
class ScoredTable:
    """A table that follows from one model's scores, with what its run says of it.

    Attributes:
        table: The table.
        params: The run's parameters, as MLflow keeps them.
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
    """A table of one model's scores, as a run.

    Attributes:
        model: The model spec's label.
        text: The text's name.
    """

    model: str
    text: str
    kind: ClassVar[str]

    def _subject(self) -> str:
        return f"{self.kind} of {self.text!r} by {self.model!r}"

    @cached_property
    def table(self) -> pd.DataFrame:
        """The table, read from the run."""
        return self.read(self.kind)


class ScoredKind(Kind[ScoredTable]):
    """Recorded runs whose table follows from the scores of one model.

    Attributes:
        plots: Its figures, by name.
        steps: How columns of whole numbers begin that the last bit of a log-prob may move, such as ranks.
    """

    plots: ClassVar[Mapping[str, Plot]] = {}
    steps: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def metrics(self, made: ScoredTable) -> dict[str, float]:
        """Return the numbers of a run that follow from its table."""

    @abstractmethod
    def frames(self, made: ScoredTable) -> dict[str, pd.DataFrame]:
        """Return the tables that follow from the table, by name, such as means; none is empty."""

    @abstractmethod
    def compute_again(self, made: ScoredTable, text: Text, scores: TokenScores) -> pd.DataFrame:
        """Return the table as other scores of the same text give it."""

    def drawn(self, params: Mapping[str, object]) -> bool:
        """Return whether a run of such parameters has figures."""
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
    """Make a table of one model's scores.

    Attributes:
        session: The grid's.
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
        """The run's parameters; model and text are among them."""

    @property
    def has_figures(self) -> bool:
        return bool(self.of.plots) and self.of.drawn(self.params)

    def holds(self, run: FinishedRun) -> bool:
        """A score run that was computed again takes the table along: it names it."""
        return run.params.get("run_scores") == self.scored.run_id

    def made(self, table: pd.DataFrame) -> ScoredTable:
        """Return a table with the run's parameters, as MLflow will keep them."""
        written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.params.items()}
        return ScoredTable(table, written)

    def read(self, run: RecordedRun) -> ScoredTable:
        return self.made(run.frame(self.kind))

    def write_tables(self, made: ScoredTable, files: Path) -> dict[str, pd.DataFrame]:
        """Write the table and those that follow from it into a run's folder; return the latter."""
        (files / "tables").mkdir()
        made.table.to_parquet(files / self.table, index=False)
        write_csv(made.table, files / "tables" / f"{self.kind}.csv")
        frames = self.of.frames(made)
        for name, frame in frames.items():
            write_csv(frame, files / "tables" / f"{name}.csv")
        return frames

    def draw(self, result: ScoredTable) -> Drawing:
        more = {**self.of.about(result), "scores": self.scored.fingerprint}
        return Drawing(draw_scored, (self.of, result, self.session.about(self.fingerprint, self.kind, more)))

    def about_scored(self, outcome: Outcome[ScoredTable]) -> dict[str, Any]:
        """Return the arguments that every class of such runs takes."""
        return {**self.about_run(outcome, self.session.runs), "model": self.scored.model, "text": self.scored.text}


def draw_scored(kind: ScoredKind, made: ScoredTable, about: Mapping[str, object], folder: Path) -> None:
    """Draw the figures of a table of one model's scores.

    Args:
        kind: What it is.
        made: The table.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    for figure in kind.plots:
        kind.draw(figure, made, folder / figure, formats=PICTURES, look=Look(), about=about)
