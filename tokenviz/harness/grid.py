"""The grid of an experiment: every model on every text, every pair of models on every text, and a summary.

Each cell is one MLflow run. A cell that is finished already is found by its fingerprint and not computed again; its
table is read back when it is needed.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenviz.comparing.comparison import COMPARISON_VERSION, Comparison, compare
from tokenviz.errors import ExperimentError
from tokenviz.harness import recording
from tokenviz.harness.context import current_experiment
from tokenviz.harness.measures import Measure
from tokenviz.models.loading import LoadedModel, ResolvedModel, load, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.progress import note, task
from tokenviz.project import samples_folder
from tokenviz.scores import FORMAT_VERSION, SCORING_VERSION, BosMode, TokenScores
from tokenviz.scoring.windows import check_settings
from tokenviz.texts import Text, read_text
from tokenviz.tracking.runs import Runs, fingerprint_of
from tokenviz.tracking.store import open_store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class ScoreRun:
    """One model on one text, as a run.

    Attributes:
        run_id: MLflow's id.
        fingerprint: Of everything that moves its numbers.
        model: The model spec's label.
        text: The text's name.
        reused: Whether it was there already.
        runs: The MLflow experiment's runs, where the table lies.
    """

    run_id: str
    fingerprint: str
    model: str
    text: str
    reused: bool
    runs: Runs

    @cached_property
    def scores(self) -> TokenScores:
        """The token table, read from the run."""
        with tempfile.TemporaryDirectory() as folder:
            return TokenScores.load(self.runs.fetch(self.run_id, recording.TOKENS_TABLE, Path(folder)))


@dataclass(frozen=True, eq=False)
class ComparisonRun:
    """Two models on one text, as a run.

    Attributes:
        run_id: MLflow's id.
        fingerprint: Of everything that moves its numbers.
        a: The first model's run.
        b: The second's.
        by: What the models are compared over: "token" or "segment".
        metrics: The numbers by name; one that is not determined is absent.
        reused: Whether it was there already.
    """

    run_id: str
    fingerprint: str
    a: ScoreRun
    b: ScoreRun
    by: str
    metrics: Mapping[str, float]
    reused: bool

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison, made again from the two tables."""
        return compare(self.a.scores, self.b.scores)

    def measured(self, name: str) -> "pd.DataFrame":
        """The table of a measure that was given to `Grid.compare`, read from the run."""
        import pandas as pd

        with tempfile.TemporaryDirectory() as folder:
            return pd.read_parquet(self.a.runs.fetch(self.run_id, f"tables/{name}.parquet", Path(folder)))


@dataclass(frozen=True, eq=False)
class GridResult:
    """What an experiment leaves.

    Attributes:
        experiment: The MLflow experiment's name.
        experiment_id: Its id.
        grid: The grid's id: equal arguments, equal grid.
        web_address: Where the store's pages are.
        scores: One run a model and text.
        comparisons: One run a pair of models and text.
        summary_run_id: The run that holds the whole.
        tables: The experiment's own, by name.
    """

    experiment: str
    experiment_id: str
    grid: str
    web_address: str
    scores: tuple[ScoreRun, ...]
    comparisons: tuple[ComparisonRun, ...]
    summary_run_id: str
    tables: Mapping[str, "pd.DataFrame"] = field(default_factory=dict)


class Grid:
    """Models x texts, tracked as the runs of the current experiment.

    grid = Grid(["smollm2-135m", "gemma3-270m"], ["correlation"])
    grid.score()
    grid.compare()
    result = grid.summarise("What was found.")
    """

    def __init__(
        self,
        models: Sequence[str],
        texts: Sequence[str | Text],
        *,
        bos: BosMode = "auto",
        context: int | None = None,
        stride: int | None = None,
        top_k: int = 10,
    ) -> None:
        """Read the texts, find or fetch the models, open the store; nothing is computed yet.

        Args:
            models: Model specs.
            texts: Sample names, paths, or texts.
            bos: See `score`.
            context: See `score`.
            stride: See `score`.
            top_k: See `score`.

        Raises:
            TokenvizError: A text, a model or the store cannot be had; a name occurs twice.
        """
        if not models or not texts:
            raise ExperimentError("a grid needs at least one model and one text")
        check_settings(context=context, stride=stride, top_k=top_k)
        self._settings: dict[str, Any] = {"bos": bos, "context": context, "stride": stride, "top_k": top_k}
        self._texts = [text if isinstance(text, Text) else read_text(text, samples=samples_folder()) for text in texts]
        specs = [ModelSpec.parse(model) for model in models]
        _refuse_repeats("model", [spec.label for spec in specs])
        _refuse_repeats("text", [text.name for text in self._texts])
        self._experiment = current_experiment()
        self._models = [resolve(spec) for spec in specs]
        self.store = open_store()
        self.runs = Runs(self.store, self._experiment.name, self._experiment.description)
        cells = [self._score_fingerprint(model, text) for model in self._models for text in self._texts]
        self.grid = fingerprint_of({"experiment": self._experiment.name, "cells": cells})[:12]
        self.scores: list[ScoreRun] = []
        self.comparisons: list[ComparisonRun] = []
        self._in_memory: dict[str, LoadedModel] = {}

    def score(self) -> list[ScoreRun]:
        """Score every model/text pair that is not finished, each as one run with table, curve and heatmap.

        Raises:
            TokenvizError: Something cannot be scored or stored; what was finished before stays.
        """
        if self.scores:
            return self.scores
        cells = len(self._models) * len(self._texts)
        with task("scoring model/text pairs", cells, "pairs") as advance:
            for model in self._models:
                loaded: LoadedModel | None = None
                for text in self._texts:
                    run = self._finished_score(model, text)
                    if run is None:
                        loaded = loaded or self._load(model)
                        run = self._new_score(loaded, text)
                    self.scores.append(run)
                    advance(1)
        return self.scores

    def compare(self, *, reference: str | None = None, measures: Sequence[Measure] = ()) -> list[ComparisonRun]:
        """Compare pairs of models on every text, each as one run with table, numbers and figures.

        Args:
            reference: The spec of the model to compare each other one with; by default every pair is compared.
            measures: What to measure of each pair with both models in memory; it is kept in the comparison's run.
        """
        pairs = self._pairs(reference)
        if not self.scores:
            raise ExperimentError("there is nothing to compare yet: call score() before compare()")
        by_cell = {(run.model, run.text): run for run in self.scores}
        with task("comparing models", len(pairs) * len(self._texts), "comparisons") as advance:
            for first, second in pairs:
                for text in self._texts:
                    a, b = (by_cell[model.spec.label, text.name] for model in (first, second))
                    self.comparisons.append(self._compare(a, b, text, measures))
                    advance(1)
        return self.comparisons

    def summarise(
        self,
        description: str,
        *,
        figures: Mapping[str, Callable[[], "Figure"]] | None = None,
        tables: Mapping[str, "pd.DataFrame"] | None = None,
    ) -> GridResult:
        """Close the grid with a run that shows the whole.

        Args:
            description: What the experiment asks and how to read it, in Markdown; tables of the numbers follow it.
            figures: By name, functions that draw; called only where the summary is not there yet.
            tables: By name, the experiment's own results: they stand in the description, in CSV files, and in what
                the command prints.
        """
        tables = tables or {}
        cells: list[ScoreRun | ComparisonRun] = [*self.scores, *self.comparisons]
        parts: dict[str, object] = {"kind": "summary", "cells": [run.fingerprint for run in cells]}
        parts |= {"description": description, "figures": sorted(figures or {}), "params": self._experiment.params}
        if tables:
            parts["tables"] = {name: table.to_csv(index=False) for name, table in tables.items()}
        fingerprint = fingerprint_of(parts)
        reused = sum(run.reused for run in cells)
        members = fingerprint_of({"runs": [run.run_id for run in cells]})
        finished = None if self._experiment.force else self.runs.find(fingerprint)
        if finished is not None and finished.tags.get("members") != members:
            finished = None
        if finished is None:
            with (
                self._open("summary", f"summary · {self._experiment.name}", fingerprint, {"members": members}) as run,
                _staging() as folder,
            ):
                content = recording.record_summary(self.scores, self.comparisons, description, figures or {}, tables, folder)
                run.log(
                    params=self._experiment.params,
                    metrics=content.metrics,
                    curves={},
                    note=content.note,
                    files=folder,
                )
        summary_run_id = finished.run_id if finished else run.run_id
        if reused:
            note(f"{reused} of {len(cells)} runs were finished already and were not computed again (--force does)")
        return GridResult(
            experiment=self._experiment.name,
            experiment_id=self.runs.experiment_id,
            grid=self.grid,
            web_address=self.store.web_address,
            scores=tuple(self.scores),
            comparisons=tuple(self.comparisons),
            summary_run_id=summary_run_id,
            tables=tables,
        )

    def _score_fingerprint(self, model: ResolvedModel, text: Text) -> str:
        return fingerprint_of(
            {
                "kind": "score",
                "version": SCORING_VERSION,
                "format": FORMAT_VERSION,
                "identity": model.identity,
                "spec": asdict(model.spec),
                "text": text.name,
                "text_sha256": text.sha256,
                **self._settings,
            }
        )

    def _finished_score(self, model: ResolvedModel, text: Text) -> ScoreRun | None:
        fingerprint = self._score_fingerprint(model, text)
        found = None if self._experiment.force else self.runs.find(fingerprint)
        if found is None:
            return None
        self.runs.join_grid(found, self.grid)
        return ScoreRun(found.run_id, fingerprint, model.spec.label, text.name, True, self.runs)

    def _load(self, model: ResolvedModel) -> LoadedModel:
        from tokenviz.scoring.kernel import Kernel
        from tokenviz.scoring.scorer import check_possible

        loaded = load(model)
        # What the model does not allow is refused before a run is opened.
        check_possible(loaded, **self._settings)
        Kernel.of(loaded)
        return loaded

    def _new_score(self, model: LoadedModel, text: Text) -> ScoreRun:
        from tokenviz.scoring.scorer import score

        fingerprint = self._score_fingerprint(model.resolved, text)
        tags = {"model": model.label, "text": text.name}
        with (
            self._open("score", f"{text.name} · {model.label}", fingerprint, tags) as run,
            _staging() as folder,
        ):
            scores, seconds = recording.timed(lambda: score(model, text, **self._settings))
            content = recording.record_scores(scores, text, seconds, folder, run.run_id)
            run.log(
                params=content.params,
                metrics=content.metrics,
                curves=content.curves,
                note=content.note,
                files=folder,
            )
        made = ScoreRun(run.run_id, fingerprint, model.label, text.name, False, self.runs)
        made.__dict__["scores"] = scores  # fills the cached property: no need to read it back
        return made

    def _pairs(self, reference: str | None) -> list[tuple[ResolvedModel, ResolvedModel]]:
        if reference is None:
            return list(itertools.combinations(self._models, 2))
        by_label = {model.spec.label: model for model in self._models}
        label = ModelSpec.parse(reference).label
        if label not in by_label:
            raise ExperimentError(
                f"the reference {reference!r} is none of the grid's models: take one of {', '.join(by_label)}"
            )
        return [(by_label[label], model) for model in self._models if model is not by_label[label]]

    def _both_in_memory(self, *labels: str) -> list[LoadedModel]:
        """Two models, and no third beside them."""
        self._in_memory = {label: model for label, model in self._in_memory.items() if label in labels}
        for model in self._models:
            if model.spec.label in labels and model.spec.label not in self._in_memory:
                self._in_memory[model.spec.label] = self._load(model)
        return [self._in_memory[label] for label in labels]

    def _compare(self, a: ScoreRun, b: ScoreRun, text: Text, measures: Sequence[Measure]) -> ComparisonRun:
        parts: dict[str, object] = {"kind": "comparison", "version": COMPARISON_VERSION, "a": a.fingerprint, "b": b.fingerprint}
        if measures:
            parts["measures"] = {measure.name: measure.version for measure in measures}
        fingerprint = fingerprint_of(parts)
        found = None if self._experiment.force else self.runs.find(fingerprint)
        # A score run that was computed anew takes its comparisons along: they name it.
        if found is not None and (found.params["run_a"], found.params["run_b"]) == (a.run_id, b.run_id):
            self.runs.join_grid(found, self.grid)
            return ComparisonRun(found.run_id, fingerprint, a, b, found.params["by"], found.metrics, True)
        tags = {"model_a": a.model, "model_b": b.model, "text": text.name}
        name = f"{text.name} · {a.model} and {b.model}"
        with self._open("comparison", name, fingerprint, tags) as run, _staging() as folder:
            comparison = compare(a.scores, b.scores)
            content = recording.record_comparison(comparison, a.run_id, b.run_id, folder, run.run_id)
            for measure in measures:
                measured = measure.take(*self._both_in_memory(a.model, b.model), text, **self._settings)
                content.metrics.update(recording.record_measured(measured, measure.name, folder))
            run.log(params=content.params, metrics=content.metrics, curves={}, note=content.note, files=folder)
        return ComparisonRun(run.run_id, fingerprint, a, b, comparison.units.by, content.metrics, False)

    def _open(self, kind: str, name: str, fingerprint: str, tags: Mapping[str, str]):  # type: ignore[no-untyped-def]
        return self.runs.open(name, fingerprint=fingerprint, grid=self.grid, tags={"kind": kind, **tags})


@contextmanager
def _staging() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder:
        yield Path(folder)


def _refuse_repeats(what: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ExperimentError(f"the {what} {repeated[0]!r} is given twice: every {what} of a grid has a name of its own")
