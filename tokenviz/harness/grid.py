"""The grid of an experiment: every model on every text, every pair of models on every text, and a summary.

Each is one MLflow run of a kind in `harness/kinds/`. A finished run is found by its fingerprint and not computed again; its
table is read when it is needed.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from tokenviz.base.errors import ExperimentError
from tokenviz.base.progress import note
from tokenviz.comparing.alignment import Alignment, By
from tokenviz.data.scores import BosMode
from tokenviz.data.texts import Text, read_text
from tokenviz.dumps.importing import Imported
from tokenviz.figures.typeset.saving import run_formats
from tokenviz.harness.kind import fingerprint_of_pair
from tokenviz.harness.kinds.comparison import ComparisonJob, ComparisonRun, prepare_drawing
from tokenviz.harness.kinds.measure import MeasureJob, MeasureRun
from tokenviz.harness.kinds.score import ImportJob, ScoreJob, ScoreRun, fingerprint_of_import
from tokenviz.harness.kinds.summary import SummaryJob, several_tokenizers
from tokenviz.harness.kinds.writing import is_file_name
from tokenviz.harness.measures import Measure, Settings
from tokenviz.harness.results import GridResult, GridRuns, views_of
from tokenviz.harness.scheduler import Scheduler
from tokenviz.harness.session import LedgerRun, ModelMemory, Session, current_experiment
from tokenviz.harness.studies import Studies
from tokenviz.models.loading import LoadedModel, load, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.scoring.windows import check_settings
from tokenviz.tracking.provenance import current_provenance
from tokenviz.tracking.runs import Runs, fingerprint_of
from tokenviz.tracking.store import open_store
from tokenviz.units.words import Punctuation

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MANY = 24  # comparisons: processes that start while a model loads then take less time than they save


class Grid(Studies):
    """Models x texts, tracked as the runs of the current experiment.

    A finished run is found in the store and not computed again.

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
        models: str | Sequence[str],
        texts: str | Text | Sequence[str | Text],
        *,
        bos: BosMode = "auto",
        context: int | None = None,
        stride: int | None = None,
        top_k: int = 10,
        imported: Sequence[Imported] = (),
        formats: Sequence[str] = (),
    ) -> None:
        """Read the texts, find or fetch the models, and open the store; nothing is computed yet.

        Args:
            models: Model specs; one string is one model.
            texts: Sample names, paths, or texts, or one of these. For a string that is itself the text, pass `literal(...)`.
            bos: "auto" (the default), "always", "never" or a token, as in `score`.
            context: The most tokens per window; by default as many as the model can read.
            stride: Tokens from one window's start to the next; by default half the context.
            top_k: Number of likeliest alternatives to keep at every position; by default 10.
            imported: Other engines' scores, from `import_scores`. They become score runs next to the models', and their texts
                become texts of the grid. With imported scores neither a model nor another text is necessary.
            formats: Formats in which every figure of a run is drawn into it, next to what its page shows: "png", "svg", "pdf".
                Those of the command's `--formats` are drawn as well. Without them a file is drawn from a run's tables when it
                is wanted, by `tokenviz pull`, `redraw` and `runs fetch`.

        Raises:
            TokenvizError: A text, a model or the store cannot be opened; a name occurs twice.
        """
        models = [models] if isinstance(models, str) else models
        texts = [texts] if isinstance(texts, str | Text) else texts
        if not imported and not (models and texts):
            raise ExperimentError("a grid needs at least one model and one text")
        check_settings(context=context, stride=stride, top_k=top_k)
        settings = Settings(bos, context, stride, top_k)
        self._texts = [text if isinstance(text, Text) else read_text(text) for text in texts]
        known = {(text.name, text.sha256) for text in self._texts}
        self._texts += {key: one.text for one in imported if (key := (one.text.name, one.text.sha256)) not in known}.values()
        specs = [ModelSpec.parse(model) for model in models]
        _refuse_repeats("model", [spec.label for spec in specs])
        _refuse_repeats("text", [text.name for text in self._texts])
        self._imported = list(imported)
        self._labels = [*(spec.label for spec in specs), *dict.fromkeys(one.scores.spec.model for one in imported)]
        _refuse_repeats("model", self._labels)
        _refuse_repeats("import", [f"{one.scores.spec.model} on {one.text.name}" for one in imported])
        experiment = current_experiment()
        pictures = run_formats((*experiment.formats, *formats))
        self.store = open_store()  # before a model is fetched, so that wrong credentials are reported at once
        self._models = [resolve(spec) for spec in specs]
        self.runs = Runs(self.store, experiment.name, experiment.description)
        pairs = itertools.product(self._models, self._texts)
        cells = [fingerprint_of_pair("score", model, text, settings) for model, text in pairs]
        cells += map(fingerprint_of_import, imported)
        self.grid = fingerprint_of({"experiment": experiment.name, "cells": cells})[:12]
        self.made = GridRuns()
        memory = ModelMemory(self._load)
        ledger = LedgerRun(experiment.ledger) if experiment.ledger else None
        made_by = current_provenance(experiment.file)
        self._session = Session(experiment, self.grid, settings, memory, self.runs, made_by, ledger, pictures)
        self._scheduler = Scheduler(self._session)

    def score(self) -> list[ScoreRun]:
        """Score every model/text pair that is not finished, each as one run with table, curve and heatmap.

        Imported scores become runs of the same kind, after those of the models.

        Returns:
            The runs of all pairs.

        Raises:
            TokenvizError: Something cannot be scored or stored; what was finished before stays.
        """
        if self.made.scores:
            return self.made.scores
        jobs = [ScoreJob(self._session, *pair) for pair in itertools.product(self._models, self._texts)]
        if self._session.ledger is not None:
            wanted = [(job.fingerprint, job.model, job.text) for job in self._scheduler.unfinished(jobs)]
            self._session.ledger.fill(wanted, self._session.settings)
        scored = self._scheduler.do(jobs, "scoring model/text pairs", "pairs") if jobs else []
        kept = [ImportJob(self._session, one) for one in self._imported]
        self.made.scores.extend([*scored, *(self._scheduler.do(kept, "keeping imported scores", "tables") if kept else [])])
        return self.made.scores

    def measure(self, measure: Measure) -> list[MeasureRun]:
        """Measure every model on every text, where not finished, each pair as one run with its table.

        A measure that a heatmap can show is drawn on the tokens of the score runs, which are made first.

        Args:
            measure: A `Measure` of one model, for example from `tokenviz.harness.position_measure`.

        Raises:
            TokenvizError: Something cannot be measured or stored; what was finished before stays.
        """
        pairs = list(itertools.product(self._models, self._texts))
        scored = self.score()[: len(pairs)] if measure.shown else [None] * len(pairs)
        jobs = [MeasureJob(self._session, measure, *pair, run) for pair, run in zip(pairs, scored, strict=True)]
        return self._do(jobs, f"measuring {measure.name}", "pairs", self.made.measures)

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
            by: The units to compare over, as in `compare`; by default tokens where the tokenizers are the same, else segments.
            punctuation: For words: "attached" to the word it touches (the default), or "apart".
            reference: The spec of one model that each other model is compared with; by default every pair is compared.
            measures: Measures of pairs, taken with both models in memory and kept in the comparison's run; by default none.

        Raises:
            TokenvizError: Something cannot be compared or stored; what was finished before stays.
        """
        pairs = self._pairs(reference)
        if not self.made.scores:
            raise ExperimentError("there is nothing to compare yet: call score() before compare()")
        by_cell = {(run.model, run.text): run for run in self.made.scores}
        how: Alignment = {"by": by, "punctuation": punctuation}
        jobs = [
            ComparisonJob(self._session, by_cell[a, text.name], by_cell[b, text.name], text, how, measures)
            for a, b in pairs
            for text in self._texts
            if {(a, text.name), (b, text.name)} <= by_cell.keys()  # another engine's scores may be missing for some texts
        ]
        self.made.comparisons.extend(self._scheduler.do(jobs, "comparing models", "comparisons"))
        return self.made.comparisons

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
            figures: Functions that draw figures, by the figures' names; called only if the summary does not exist yet.
            tables: The experiment's own results, by name: they appear in the description, in CSV files, and in what the command
                prints.

        Raises:
            ExperimentError: The name of a figure or table is not possible as a file name.
            TokenvizError: The summary cannot be stored.
        """
        tables = tables or {}
        for name in (*tables, *(figures or ())):
            if not is_file_name(name):
                raise ExperimentError(
                    f"no file can be named {name!r}: give tables and figures names of words, without / \\ # ? %"
                )
        job = SummaryJob(self._session, self.made, description, figures or {}, tables)
        (summary,) = self._scheduler.do([job], "summarising", "summaries")
        self.runs.offer(views_of(self.grid, self._texts[0].name, several_tokenizers=several_tokenizers(self.made.scores)))
        runs = self.made.every_run
        reused = sum(run.reused for run in runs)
        if reused:
            note(f"{reused} of {len(runs)} runs were finished already and were not computed again (--force does)")
            if self._session.formats:
                note("they keep their figures: 'tokenviz runs fetch RUN figures/heatmap.pdf' draws one that is not there")
        return GridResult(
            **self.made.copied(),
            experiment=self._session.experiment.name,
            experiment_id=self.runs.try_experiment_id(),
            grid=self.grid,
            web_address=self.store.web_address,
            summary_run_id=summary.run_id,
            waiting=sum(run.waiting is not None for run in runs) + (summary.waiting is not None),
            tables=tables,
            missing=sum(run.missing for run in self.made.scores),
        )

    def _load(self, label: str) -> LoadedModel:
        """Load a model and check that it allows the grid's settings."""
        from tokenviz.scoring.kernel import Kernel
        from tokenviz.scoring.scorer import check_possible

        if len(self._pairs(None)) * len(self._texts) >= _MANY:
            self._scheduler.drawers.start(prepare_drawing)
        model = load(next(model for model in self._models if model.spec.label == label))
        check_possible(model, **vars(self._session.settings))
        Kernel.of(model)
        return model

    def _pairs(self, reference: str | None) -> list[tuple[str, str]]:
        if reference is None:
            return list(itertools.combinations(self._labels, 2))
        label = reference if reference in self._labels else ModelSpec.parse(reference).label
        if label not in self._labels:
            raise ExperimentError(
                f"the reference {reference!r} is none of the grid's models: take one of {', '.join(self._labels)}"
            )
        return [(label, other) for other in self._labels if other != label]


def _refuse_repeats(what: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ExperimentError(f"the {what} {repeated[0]!r} is given twice: every {what} of a grid has a name of its own")
