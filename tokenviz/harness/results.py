"""The result of a grid: its runs, with tables that are read when needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenviz import display
from tokenviz.harness.kinds.comparison import ComparisonRun
from tokenviz.harness.kinds.items import ItemsRun
from tokenviz.harness.kinds.measure import MeasureRun
from tokenviz.harness.kinds.pairs import PairsRun
from tokenviz.harness.kinds.prompts import PromptsRun
from tokenviz.harness.kinds.reading_times import ReadingTimesRun
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.kinds.training import TrainingRun
from tokenviz.stats.estimate import interval_source, rounded, rounded_interval

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class GridResult:
    """The result of an experiment.

    Attributes:
        experiment: Name of the MLflow experiment.
        experiment_id: MLflow's id of the experiment; empty where a server does not answer.
        grid: The grid's id; equal arguments give equal ids.
        web_address: Address of the store's pages.
        scores: One run per model and text.
        comparisons: One run per pair of models and text.
        measures: One run per measure, model and text.
        items: One run per model and table of items.
        pairs: One run per model and table of minimal pairs.
        prompts: One run per model and table of prompts.
        training: One run per course of training and text.
        readings: One run per model and table of reading times.
        summary_run_id: Id of the summary's run; empty while it waits in the outbox.
        waiting: Number of results that wait in the outbox for a server.
        tables: The experiment's own tables, by name.
        missing: Number of passages that could not be scored, over all score runs; only workers of a ledger leave passages out.

    Example:
        >>> result = precisions()  # the experiment in the example of `Grid`
        >>> result.scores[0].scores
        TokenScores('alice' by 'glass-en': 10 tokens, 9 scored, ...)
        >>> bool(result.comparisons[0].estimate("pearson_r").value > 0.99)
        True
    """

    experiment: str
    experiment_id: str
    grid: str
    web_address: str
    scores: tuple[ScoreRun, ...]
    comparisons: tuple[ComparisonRun, ...]
    measures: tuple[MeasureRun, ...]
    items: tuple[ItemsRun, ...]
    pairs: tuple[PairsRun, ...]
    training: tuple[TrainingRun, ...]
    readings: tuple[ReadingTimesRun, ...]
    summary_run_id: str
    waiting: int
    tables: "Mapping[str, pd.DataFrame]" = field(default_factory=dict)
    missing: int = 0
    prompts: tuple[PromptsRun, ...] = ()

    def __repr__(self) -> str:
        return f"GridResult({self.experiment!r}: {self._size()})"

    @property
    def is_embedded(self) -> bool:
        """Whether its store is the project's own, not a server's."""
        return any(run.runs.store.folder is not None for run in (*self.scores[:1], *self.measures[:1]))

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the runs, and how similar the models are."""
        columns = ["a", "b", "text", "over", "n", "r", "95 % interval", "resampled", "concordance"]
        rows = []
        for run in self.comparisons:
            r, concordance = run.estimate("pearson_r"), run.estimate("concordance")
            names = (run.a.model, run.b.model, run.a.text, f"{run.by}s")
            numbers = (rounded(r), rounded_interval(r, " to "), interval_source(r), rounded(concordance))
            rows.append([*names, f"{r.n:,}", *numbers])
        return display.fragment(
            display.heading("Experiment ", self.experiment, f": {self._size()}"),
            display.table(columns, rows, left=columns[:4]) if rows else "",
            display.line(f"summary run {self.summary_run_id}" if self.summary_run_id else ""),
        )

    def _size(self) -> str:
        counts = {
            "scores": len(self.scores),
            "measures": len(self.measures),
            "tables of items": len(self.items),
            "tables of pairs": len(self.pairs),
            "tables of prompts": len(self.prompts),
            "courses of training": len(self.training),
            "tables of reading times": len(self.readings),
            "comparisons": len(self.comparisons),
        }
        parts = [f"{count:,} {name}" for name, count in counts.items() if count]
        return ", ".join([*parts, *([f"{self.waiting:,} waiting for the server"] if self.waiting else [])])
