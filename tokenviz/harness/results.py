"""What a grid leaves: its runs, with tables that are read when they are needed."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from tokenviz import display
from tokenviz.comparing.alignment import By
from tokenviz.comparing.comparison import Comparison, compare
from tokenviz.comparing.estimate import Estimate, rounded, rounded_interval
from tokenviz.comparing.words import Punctuation
from tokenviz.scores import TokenScores
from tokenviz.scoring.distributions import PositionDivergences
from tokenviz.scoring.divergence import Divergences
from tokenviz.tracking.files import fetch
from tokenviz.tracking.parcels import Parcel
from tokenviz.tracking.runs import Runs

if TYPE_CHECKING:
    import pandas as pd

TOKENS_TABLE = "tables/tokens.parquet"
UNITS_TABLE = "tables/units.parquet"


class Alignment(TypedDict):
    """What two models are compared over; see `align`."""

    by: By | None
    punctuation: Punctuation


@dataclass(frozen=True, eq=False)
class Run:
    """One cell of a grid as a run.

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

    def fetch(self, artifact: str, folder: Path) -> Path:
        """One of its files on this disk.

        Args:
            artifact: Its path among the run's artifacts.
            folder: Where to put it, if it has to be fetched.

        Raises:
            StoreError: The run has no such file any more.
        """
        if self.waiting is None:
            return fetch(self.runs.store, self.run_id, artifact, folder)
        path = self.waiting.files / artifact
        if not path.exists() and (delivered := self.runs.find(self.fingerprint)) is not None:
            return fetch(self.runs.store, delivered.run_id, artifact, folder)  # `tokenviz sync` was at work meanwhile
        return path

    def read(self, name: str) -> "pd.DataFrame":
        """One of its tables.

        Args:
            name: Of the table, without folder and suffix.

        Raises:
            StoreError: The run has no such table any more.
        """
        import pandas as pd

        with tempfile.TemporaryDirectory() as folder:
            return pd.read_parquet(self.fetch(f"tables/{name}.parquet", Path(folder)))


@dataclass(frozen=True, eq=False)
class ScoreRun(Run):
    """One model on one text, as a run.

    Attributes:
        model: The model spec's label.
        text: The text's name.
    """

    model: str
    text: str

    @cached_property
    def scores(self) -> TokenScores:
        """The token table, read from the run."""
        with tempfile.TemporaryDirectory() as folder:
            return TokenScores.load(self.fetch(TOKENS_TABLE, Path(folder)))


@dataclass(frozen=True, eq=False)
class MeasureRun(Run):
    """What a measure found of one model on one text, as a run.

    Attributes:
        model: The model spec's label.
        text: The text's name.
        name: The measure's.
    """

    model: str
    text: str
    name: str

    @cached_property
    def table(self) -> "pd.DataFrame":
        """The measure's table, read from the run."""
        return self.read(self.name)


@dataclass(frozen=True, eq=False)
class ComparisonRun(Run):
    """Two models on one text, as a run.

    Attributes:
        a: The first model's run.
        b: The second's.
        by: What the models are compared over: "token", "segment" or "word".
        how: What was asked for.
    """

    a: ScoreRun
    b: ScoreRun
    by: str
    how: Alignment

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison, made again from the two tables."""
        return compare(self.a.scores, self.b.scores, **self.how)

    @cached_property
    def divergences(self) -> Divergences | None:
        """What `DIVERGENCES` found, read from the run; None where it was not measured, or could not be."""
        if "mean_kl_ab" not in self.metrics:
            return None
        table = self.read("divergences")
        passage, position = (table.pop(name).to_numpy() for name in ("passage", "position"))
        return Divergences(
            text_name=self.a.text,
            model_a=self.a.model,
            model_b=self.b.model,
            top_k=self.a.scores.spec.top_k,
            passage=passage,
            position=position,
            values=PositionDivergences(**{str(name): table[name].to_numpy() for name in table}),
        )

    def estimate(self, name: str) -> Estimate:
        """One of the numbers, with its interval where the run keeps one; NaN where it is not determined."""
        value, low, high = (self.metrics.get(key, math.nan) for key in (name, f"{name}_low", f"{name}_high"))
        return Estimate(value, int(self.metrics["n"]), low=low, high=high)


@dataclass(frozen=True, eq=False)
class GridResult:
    """What an experiment leaves.

    Attributes:
        experiment: The MLflow experiment's name.
        experiment_id: Its id; empty where a server does not answer.
        grid: The grid's id: equal arguments, equal grid.
        web_address: Where the store's pages are.
        scores: One run a model and text.
        comparisons: One run a pair of models and text.
        measures: One run a measure, model and text.
        summary_run_id: The run that holds the whole; empty while it waits in the outbox.
        waiting: How many results wait in the outbox for a server.
        tables: The experiment's own, by name.

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
    summary_run_id: str
    waiting: int
    tables: "Mapping[str, pd.DataFrame]" = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"GridResult({self.experiment!r}: {self._size()})"

    def _repr_html_(self) -> str:
        """For a notebook: what there is, and how alike the models are."""
        columns = ["a", "b", "text", "over", "n", "r", "95 % interval", "concordance"]
        rows = []
        for run in self.comparisons:
            r, concordance = run.estimate("pearson_r"), run.estimate("concordance")
            names = (run.a.model, run.b.model, run.a.text, f"{run.by}s")
            rows.append([*names, f"{r.n:,}", rounded(r), rounded_interval(r, " to "), rounded(concordance)])
        return display.fragment(
            display.heading("Experiment ", self.experiment, f": {self._size()}"),
            display.table(columns, rows, left=columns[:4]) if rows else "",
            display.line(f"summary run {self.summary_run_id}" if self.summary_run_id else ""),
        )

    def _size(self) -> str:
        counts = {"scores": len(self.scores), "measures": len(self.measures), "comparisons": len(self.comparisons)}
        parts = [f"{count:,} {name}" for name, count in counts.items() if count]
        return ", ".join([*parts, *([f"{self.waiting:,} waiting for the server"] if self.waiting else [])])
