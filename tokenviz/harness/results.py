"""The result of a grid: its runs, with tables that are read when needed, and addresses that open MLflow's pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from tokenviz.base import display
from tokenviz.figures.report.overview import OVERVIEW
from tokenviz.harness.kind import Run, plain_rows
from tokenviz.harness.kinds.comparison import ComparisonRun
from tokenviz.harness.kinds.items import ItemsRun
from tokenviz.harness.kinds.measure import MeasureRun
from tokenviz.harness.kinds.pairs import PairsRun
from tokenviz.harness.kinds.prompts import PromptsRun
from tokenviz.harness.kinds.reading_times import ReadingTimesRun
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.kinds.training import TrainingRun
from tokenviz.stats.estimate import interval_source, rounded, rounded_interval
from tokenviz.tracking.entities import OFFERED, PAGE_MODE, curve_view, table_view, view_address, view_tag
from tokenviz.tracking.where import tag_filter

if TYPE_CHECKING:
    import pandas as pd


# The result of a grid: its runs, with tables that are read when needed.


@dataclass(frozen=True, eq=False, kw_only=True)
class GridRuns:
    """The runs of a grid by kind, in the order in which a summary counts them; a new kind of run needs one line here.

    Attributes:
        scores: One run per model and text.
        measures: One run per measure, model and text.
        items: One run per model and table of items.
        pairs: One run per model and table of minimal pairs.
        prompts: One run per model and table of prompts.
        training: One run per course of training and text.
        reading_times: One run per model and table of reading times.
        comparisons: One run per pair of models and text.
    """

    scores: list[ScoreRun] = field(default_factory=list, metadata={"kind": "score", "counted": "scores"})
    measures: list[MeasureRun] = field(default_factory=list, metadata={"kind": "measure", "counted": "measures"})
    items: list[ItemsRun] = field(default_factory=list, metadata={"kind": "items", "counted": "tables of items"})
    pairs: list[PairsRun] = field(default_factory=list, metadata={"kind": "pairs", "counted": "tables of pairs"})
    prompts: list[PromptsRun] = field(default_factory=list, metadata={"kind": "prompts", "counted": "tables of prompts"})
    training: list[TrainingRun] = field(default_factory=list, metadata={"kind": "training", "counted": "courses of training"})
    reading_times: list[ReadingTimesRun] = field(
        default_factory=list, metadata={"kind": "reading_times", "counted": "tables of reading times"}
    )
    comparisons: list[ComparisonRun] = field(default_factory=list, metadata={"kind": "comparison", "counted": "comparisons"})

    @property
    def by_field(self) -> dict[str, list[Run]]:
        """The runs by the names of the attributes above."""
        return {one.name: getattr(self, one.name) for one in fields(GridRuns)}

    @property
    def by_kind(self) -> dict[str, list[Run]]:
        """The runs by their kinds' tags."""
        return {one.metadata["kind"]: getattr(self, one.name) for one in fields(GridRuns)}

    @property
    def every_run(self) -> list[Run]:
        """All runs, kind by kind."""
        return [run for runs in self.by_field.values() for run in runs]

    def copied(self) -> dict[str, Any]:
        """Return the runs by the names of the attributes, in lists that do not grow with these."""
        return {name: list(runs) for name, runs in self.by_field.items()}

    @property
    def size(self) -> str:
        """The number of runs of each kind, in words for readers."""
        counts = [(len(getattr(self, one.name)), one.metadata["counted"]) for one in fields(GridRuns)]
        return ", ".join(f"{count:,} {name}" for count, name in counts if count)


@dataclass(frozen=True, eq=False, kw_only=True)
class GridResult(GridRuns):
    """The result of an experiment: its runs, as in `GridRuns`, and where they are.

    Attributes:
        experiment: Name of the MLflow experiment.
        experiment_id: MLflow's id of the experiment; empty where a server does not answer.
        grid: The grid's id; equal arguments give equal ids.
        web_address: Address of the store's pages.
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
    summary_run_id: str
    waiting: int
    tables: "Mapping[str, pd.DataFrame]" = field(default_factory=dict)
    missing: int = 0

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
        waiting = f"{self.waiting:,} waiting for the server" if self.waiting else ""
        return ", ".join(filter(None, (self.size, waiting)))

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values; a number that is not determined is None."""
        return {
            "experiment": self.experiment,
            "experiment_id": self.experiment_id,
            "grid": self.grid,
            "summary_run_id": self.summary_run_id,
            **{name: [run.to_json() for run in runs] for name, runs in self.by_field.items()},
            "waiting": self.waiting,
            "missing": self.missing,
            "tables": {name: plain_rows(frame) for name, frame in self.tables.items()},
        }


# Addresses of MLflow's pages, and the views of an experiment's runs that they open.

_OF_SCORES = ("bits_per_byte", "n_scored")
_PER_TOKEN = ("mean_logprob", "perplexity_per_token")  # numbers that are comparable only between models of one tokenizer
_OF_COMPARISONS = ("pearson_r", "concordance", "mean_difference", "n")


def views_of(grid: str, text: str, *, several_tokenizers: bool) -> dict[str, str]:
    """Return the views of a grid, and those of all runs that MLflow's menu offers, as tags of the experiment.

    Args:
        grid: The grid's id.
        text: The name of its first text.
        several_tokenizers: Whether its models cut texts differently; then no column is a mean over tokens.
    """
    of_scores = _OF_SCORES if several_tokenizers else (*_OF_SCORES, *_PER_TOKEN)
    scores, comparisons = (tag_filter("kind", kind) for kind in ("score", "comparison"))
    ours = f"tags.`tokenviz.grid` LIKE '%{grid}%'"
    curves = " and ".join(filter(None, [ours, scores, tag_filter("text", text)]))
    return dict(
        [
            view_tag(OFFERED[1], table_view(scores, of_scores), "Models on texts"),
            view_tag(OFFERED[0], table_view(comparisons, _OF_COMPARISONS), "Pairs of models"),
            view_tag(f"{grid}-runs", table_view(ours, (*_OF_COMPARISONS, *of_scores))),
            view_tag(f"{grid}-curves", curve_view(curves, "token/logprob")),
        ]
    )


def grid_link(result: GridResult) -> str:
    """Return the address of the grid's own page; on a server, which has none, of the page among the summary's files."""
    if result.is_embedded:
        return f"{result.web_address}/grids/{result.grid}/"
    return f"{_experiment(result)}/runs/{result.summary_run_id}/artifacts/{OVERVIEW}?{PAGE_MODE}"


def runs_link(result: GridResult) -> str:
    """Return the address of the list of a grid's runs, the summary first."""
    return view_address(_experiment(result), f"{result.grid}-runs")


def chart_link(result: GridResult) -> str:
    """Return the address of the chart of the first text, with a line of log-probs per model."""
    return view_address(_experiment(result), f"{result.grid}-curves", chart=True)


def figure_link(result: GridResult) -> str:
    """Return the address of the first comparison's report, or with only one model of the first text's heatmap."""
    run, figure = (result.comparisons[0], "report") if result.comparisons else (result.scores[0], "heatmap")
    return f"{_experiment(result)}/runs/{run.run_id}/artifacts/figures/{figure}.html?{PAGE_MODE}"


def _experiment(result: GridResult) -> str:
    return f"{result.web_address}/#/experiments/{result.experiment_id}"
