"""The grid of an experiment: every model on every text, every pair of models on every text, and a summary.

Each cell is one MLflow run. A cell that is finished already is found by its fingerprint and not computed again; its
table is read back when it is needed.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tokenviz.comparing.alignment import By
from tokenviz.comparing.comparison import COMPARISON_VERSION, Comparison, compare
from tokenviz.comparing.words import Punctuation
from tokenviz.errors import ComparisonError, ExperimentError
from tokenviz.figures.origin import Origin, of_pair, of_scores
from tokenviz.harness import recording
from tokenviz.harness.context import current_experiment
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.drawing import draw_comparison, draw_measure, draw_scores
from tokenviz.harness.links import views_of
from tokenviz.harness.measures import Measure, Measured, Settings
from tokenviz.harness.memory import Memory
from tokenviz.harness.results import (
    TOKENS_TABLE,
    UNITS_TABLE,
    Alignment,
    ComparisonRun,
    GridResult,
    MeasureRun,
    ScoreRun,
)
from tokenviz.harness.workshop import Cell, Outcome, Workshop
from tokenviz.models.loading import LoadedModel, ResolvedModel, load, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.progress import note
from tokenviz.project import samples_folder
from tokenviz.scores import FORMAT_VERSION, SCORING_VERSION, BosMode, TokenScores
from tokenviz.scoring.windows import check_settings
from tokenviz.texts import Text, read_text
from tokenviz.tracking.provenance import provenance
from tokenviz.tracking.runs import Runs, fingerprint_of
from tokenviz.tracking.store import open_store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

T = TypeVar("T")

_LONGEST_NAME = 200  # bytes; file systems take 255, endings included


class Grid:
    """Models x texts, tracked as the runs of the current experiment.

    What is finished already is found in the store and not computed again.

    Example:
        >>> @tv.experiment
        ... def precisions(models: list[str] = ["glass-en", "glass-en,dtype=bfloat16"]) -> tv.GridResult:
        ...     \"\"\"Do two precisions agree?\"\"\"
        ...     grid = tv.Grid(models, [tv.literal("Alice was beginning to get very tired.", name="alice")])
        ...     grid.score()
        ...     grid.compare()
        ...     return grid.summarise("What was found.")
        >>> precisions()
        GridResult('precisions': 2 scores, 1 comparisons)
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
        self._settings = Settings(bos, context, stride, top_k)
        self._texts = [text if isinstance(text, Text) else read_text(text, samples=samples_folder()) for text in texts]
        specs = [ModelSpec.parse(model) for model in models]
        _refuse_repeats("model", [spec.label for spec in specs])
        _refuse_repeats("text", [text.name for text in self._texts])
        self._experiment = current_experiment()
        self.store = open_store()  # before a model is fetched: wrong credentials are said at once
        self._models = [resolve(spec) for spec in specs]
        self.runs = Runs(self.store, self._experiment.name, self._experiment.description)
        cells = [self._fingerprint("score", model, text) for model in self._models for text in self._texts]
        self.grid = fingerprint_of({"experiment": self._experiment.name, "cells": cells})[:12]
        self.scores: list[ScoreRun] = []
        self.comparisons: list[ComparisonRun] = []
        self.measures: list[MeasureRun] = []
        self._memory = Memory(self._load)
        self._provenance = provenance(self._experiment.file)
        self._workshop = Workshop(self.runs, self._experiment, self.grid, self._provenance)

    def score(self) -> list[ScoreRun]:
        """Score every model/text pair that is not finished, each as one run with table, curve and heatmap.

        Raises:
            TokenvizError: Something cannot be scored or stored; what was finished before stays.
        """
        if self.scores:
            return self.scores
        pairs = list(itertools.product(self._models, self._texts))
        cells = [self._score_cell(model, text) for model, text in pairs]
        for (model, text), cell, outcome in zip(
            pairs, cells, self._workshop.do(cells, "scoring model/text pairs", "pairs"), strict=True
        ):
            run = ScoreRun(**_run(cell, outcome, self.runs), model=model.spec.label, text=text.name)
            if outcome.result is not None:
                run.__dict__["scores"] = outcome.result[0]  # fills the cached property: no need to read it back
            self.scores.append(run)
        return self.scores

    def measure(self, measure: Measure) -> list[MeasureRun]:
        """Measure something of every model on every text that is not finished, each as one run with its table.

        A measure that a heatmap can show is drawn on the tokens of the score runs, which are made first.

        Args:
            measure: Of one model; see `tokenviz.harness.measures`.

        Raises:
            TokenvizError: Something cannot be measured or stored; what was finished before stays.
        """
        pairs = list(itertools.product(self._models, self._texts))
        scored = self.score() if measure.shown else [None] * len(pairs)
        cells = [self._measure_cell(measure, *pair, run) for pair, run in zip(pairs, scored, strict=True)]
        outcomes = self._workshop.do(cells, f"measuring {measure.name}", "pairs")
        made = [
            MeasureRun(**_run(cell, outcome, self.runs), model=model.spec.label, text=text.name, name=measure.name)
            for (model, text), cell, outcome in zip(pairs, cells, outcomes, strict=True)
        ]
        self.measures += made
        return made

    def compare(
        self,
        *,
        by: By | None = None,
        punctuation: Punctuation = "attached",
        reference: str | None = None,
        measures: Sequence[Measure] = (),
    ) -> list[ComparisonRun]:
        """Compare pairs of models on every text, each as one run with table, numbers and figures.

        Args:
            by: What to compare over; by default tokens where the tokenizers are the same, else segments. See `compare`.
            punctuation: Of words: whether it belongs to the word it touches, or is apart.
            reference: The spec of the model to compare each other one with; by default every pair is compared.
            measures: What to measure of each pair with both models in memory; it is kept in the comparison's run.

        Raises:
            TokenvizError: Something cannot be compared or stored; what was finished before stays.
        """
        pairs = self._pairs(reference)
        if not self.scores:
            raise ExperimentError("there is nothing to compare yet: call score() before compare()")
        by_cell = {(run.model, run.text): run for run in self.scores}
        wanted = [
            (by_cell[first.spec.label, text.name], by_cell[second.spec.label, text.name], text)
            for first, second in pairs
            for text in self._texts
        ]
        how: Alignment = {"by": by, "punctuation": punctuation}
        cells = [self._comparison_cell(a, b, text, how, measures) for a, b, text in wanted]
        outcomes = self._workshop.do(cells, "comparing models", "comparisons")
        for (a, b, _), cell, outcome in zip(wanted, cells, outcomes, strict=True):
            run = ComparisonRun(**_run(cell, outcome, self.runs), a=a, b=b, by=str(outcome.params["by"]), how=how)
            if outcome.result is not None:
                run.__dict__["comparison"] = outcome.result[0]
            self.comparisons.append(run)
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

        Raises:
            ExperimentError: A name of a figure or table is none for a file.
            TokenvizError: The summary cannot be stored.
        """
        tables = tables or {}
        for name in (*tables, *(figures or ())):
            if not is_file_name(name):
                raise ExperimentError(
                    f"no file can be named {name!r}: give tables and figures names of words, without / \\ # ? %"
                )
        runs = [*self.scores, *self.measures, *self.comparisons]
        (outcome,) = self._workshop.do([self._summary_cell(description, figures or {}, tables)], "summarising", "summaries")
        self.runs.offer(views_of(self.grid, self._texts[0].name))
        reused = sum(run.reused for run in runs)
        if reused:
            note(f"{reused} of {len(runs)} runs were finished already and were not computed again (--force does)")
        return GridResult(
            experiment=self._experiment.name,
            experiment_id=self.runs.try_experiment_id(),
            grid=self.grid,
            web_address=self.store.web_address,
            scores=tuple(self.scores),
            comparisons=tuple(self.comparisons),
            measures=tuple(self.measures),
            summary_run_id=outcome.run_id,
            waiting=sum(run.waiting is not None for run in runs) + (outcome.waiting is not None),
            tables=tables,
        )

    def _score_cell(self, model: ResolvedModel, text: Text) -> Cell[tuple[TokenScores, float]]:
        label = model.spec.label
        fingerprint = self._fingerprint("score", model, text)

        def compute() -> tuple[TokenScores, float]:
            from tokenviz.scoring.scorer import score

            (loaded,) = self._memory.models(label)
            begin = time.perf_counter()
            scores = score(loaded, text, **vars(self._settings))
            return scores, time.perf_counter() - begin

        def draw(result: tuple[TokenScores, float]) -> Drawing:
            scores = result[0]
            return Drawing(draw_scores, (scores, self._about(fingerprint, "score", of_scores(scores))))

        return Cell(
            kind="score",
            name=f"{text.name} · {label}",
            fingerprint=fingerprint,
            tags={"model": label, "text": text.name},
            table=TOKENS_TABLE,
            compute=compute,
            write=lambda result, files: recording.record_scores(result[0], text, result[1], files),
            read=lambda files: (TokenScores.load(files / TOKENS_TABLE), float("nan")),
            draw=draw,
        )

    def _measure_cell(self, measure: Measure, model: ResolvedModel, text: Text, scored: ScoreRun | None) -> Cell[Measured]:
        label = model.spec.label
        table = f"tables/{measure.name}.parquet"
        settings = {"identity": model.identity, **vars(self._settings)}
        fingerprint = self._fingerprint(measure.name, model, text, measure=measure.identity)

        def draw(result: Measured) -> Drawing:
            assert scored is not None
            assert measure.shown is not None
            about = self._about(fingerprint, measure.name, of_scores(scored.scores))
            return Drawing(draw_measure, (scored.scores, measure.shown(result.table), about))

        return Cell(
            kind=measure.name,
            name=f"{measure.name} · {text.name} · {label}",
            fingerprint=fingerprint,
            tags={"model": label, "text": text.name},
            table=table,
            compute=lambda: measure.take(*self._memory.models(label), text, self._settings),
            write=lambda result, files: recording.record_measure(result, measure, label, text, settings, files),
            read=lambda files: _measured(files / table),
            draw=draw if measure.shown else None,
        )

    def _comparison_cell(
        self, a: ScoreRun, b: ScoreRun, text: Text, how: Alignment, measures: Sequence[Measure]
    ) -> Cell[tuple[Comparison, dict[str, Measured]]]:
        parts: dict[str, object] = {"kind": "comparison", "version": COMPARISON_VERSION, "a": a.fingerprint, "b": b.fingerprint}
        if how["by"] is not None:
            parts |= how
        if measures:
            parts["measures"] = {measure.name: measure.identity for measure in measures}
        fingerprint = fingerprint_of(parts)

        def compute() -> tuple[Comparison, dict[str, Measured]]:
            comparison = compare(a.scores, b.scores, **how)
            one_vocabulary = a.scores.spec.tokenizer == b.scores.spec.tokenizer
            fitting = [measure for measure in measures if one_vocabulary or not measure.of_one_vocabulary]
            both = self._memory.models(a.model, b.model) if fitting else []
            taken = {}
            for measure in fitting:
                try:
                    taken[measure.name] = measure.take(*both, text, self._settings)
                except ComparisonError as error:  # some families pad the logits of one tokenizer to several widths
                    note(f"no {measure.name} of {a.model} and {b.model} on {text.name}: {error}")
            return comparison, taken

        def read(files: Path) -> tuple[Comparison, dict[str, Measured]]:
            tables = {measure.name: files / f"tables/{measure.name}.parquet" for measure in measures}
            found = {name: _measured(table) for name, table in tables.items() if table.exists()}
            return compare(a.scores, b.scores, **how), found

        def write(result: tuple[Comparison, dict[str, Measured]], files: Path) -> recording.Content:
            content = replace(recording.record_comparison(*result, files), dataset=recording.dataset_of(text))
            if result[0].unit == "word":
                content.params["punctuation"] = how["punctuation"]
            return content

        def draw(result: tuple[Comparison, dict[str, Measured]]) -> Drawing:
            about = self._about(fingerprint, "comparison", of_pair(result[0]))
            return Drawing(draw_comparison, (result[0], about))

        return Cell(
            kind="comparison",
            name=f"{text.name} · {a.model} and {b.model}",
            fingerprint=fingerprint,
            tags={"model_a": a.model, "model_b": b.model, "text": text.name},
            table=UNITS_TABLE,
            compute=compute,
            write=write,
            read=read,
            draw=draw,
            refers={"run_a": a.fingerprint, "run_b": b.fingerprint},
            # A score run that was computed anew takes its comparisons along: they name it.
            holds=lambda run: (run.params.get("run_a"), run.params.get("run_b")) == (a.run_id, b.run_id),
        )

    def _summary_cell(
        self, description: str, figures: Mapping[str, Callable[[], "Figure"]], tables: "Mapping[str, pd.DataFrame]"
    ) -> Cell[None]:
        runs = [*self.scores, *self.measures, *self.comparisons]
        parts: dict[str, object] = {"kind": "summary", "cells": [run.fingerprint for run in runs]}
        parts |= {"description": description, "figures": sorted(figures), "params": self._experiment.params}
        if tables:
            parts["tables"] = {name: table.to_csv(index=False) for name, table in tables.items()}
        fingerprint = fingerprint_of(parts)
        members = fingerprint_of({"runs": [run.run_id for run in runs]})
        about = self._about(fingerprint, "summary", {"runs": [run.fingerprint for run in runs]})

        def write(_: None, files: Path) -> recording.Content:
            content = recording.record_summary(
                self.scores, self.comparisons, self.measures, description, figures, tables, about, files
            )
            content.params.update(self._experiment.params)
            return content

        return Cell(
            kind="summary",
            name=f"summary · {self._experiment.name}",
            fingerprint=fingerprint,
            tags={"members": members},
            table="",
            compute=lambda: None,
            write=write,
            read=lambda files: None,
        )

    def _fingerprint(self, kind: str, model: ResolvedModel, text: Text, **more: object) -> str:
        return fingerprint_of(
            {
                "kind": kind,
                "version": SCORING_VERSION,
                "format": FORMAT_VERSION,
                "identity": model.identity,
                "spec": asdict(model.spec),
                "text": text.name,
                "text_sha256": text.sha256,
                **vars(self._settings),
                **more,
            }
        )

    def _about(self, fingerprint: str, kind: str, more: Mapping[str, object]) -> dict[str, object]:
        """What a figure's file says of where it comes from."""
        commit = self._provenance.context.get("mlflow.source.git.commit", "")
        return Origin(fingerprint, self._experiment.name, kind, commit, self._provenance.command).about(more)

    def _load(self, label: str) -> LoadedModel:
        """A model that allows the grid's settings."""
        from tokenviz.scoring.kernel import Kernel
        from tokenviz.scoring.scorer import check_possible

        model = load(next(model for model in self._models if model.spec.label == label))
        check_possible(model, **vars(self._settings))
        Kernel.of(model)
        return model

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


def _run(cell: Cell[T], outcome: Outcome[T], runs: Runs) -> dict[str, Any]:
    """What every kind of run has."""
    return {
        "run_id": outcome.run_id,
        "fingerprint": cell.fingerprint,
        "reused": outcome.found is not None,
        "metrics": outcome.metrics,
        "runs": runs,
        "waiting": outcome.waiting,
    }


def _measured(table: Path) -> Measured:
    import pandas as pd

    return Measured(pd.read_parquet(table), {})


def is_file_name(name: str) -> bool:
    """Whether a run may have a file of that name: MLflow reads some signs, and spaces around it, as parts of an address."""
    return (
        name.isprintable()
        and name.strip() == name != ""
        and not set(name) & set("/\\#?%")
        and len(name.encode()) < _LONGEST_NAME
    )


def _refuse_repeats(what: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ExperimentError(f"the {what} {repeated[0]!r} is given twice: every {what} of a grid has a name of its own")
