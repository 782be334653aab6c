"""Studies: runs that a grid makes from the scores of one table: items, minimal pairs, prompts, training, reading times.

Each method makes the jobs of one kind of `harness/kinds/` and hands them to the scheduler.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from tokenviz.base.errors import ExperimentError
from tokenviz.data.texts import Text
from tokenviz.harness.kind import Job, Run
from tokenviz.harness.kinds.items import ItemsJob, ItemsRun
from tokenviz.harness.kinds.pairs import PairsJob, PairsRun
from tokenviz.harness.kinds.prompts import PromptsJob, PromptsRun
from tokenviz.harness.kinds.reading_times import ReadingTimesJob, ReadingTimesRun, check_regressions
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.kinds.training import TrainingJob, TrainingRun
from tokenviz.harness.results import GridRuns
from tokenviz.harness.scheduler import Scheduler
from tokenviz.harness.session import Session
from tokenviz.models.loading import ResolvedModel
from tokenviz.models.spec import Checkpoint
from tokenviz.stats.regression import REGRESSIONS, Regression
from tokenviz.units.items import Items
from tokenviz.units.pairs import Pairs
from tokenviz.units.prompts import Prompts
from tokenviz.units.reading_times import ReadingTimes
from tokenviz.units.tidy import By, check_request

R = TypeVar("R", bound=Run)


class Studies(ABC):
    """The methods of a `Grid` that start from its scores.

    Attributes:
        made: The runs that were made so far, by kind.
    """

    made: GridRuns
    _session: Session
    _scheduler: Scheduler
    _models: list[ResolvedModel]
    _texts: list[Text]

    @abstractmethod
    def score(self) -> list[ScoreRun]:
        """Score every model/text pair that is not finished."""

    def tabulate(
        self, items: Items, *, by: By | None = None, previous: int = 1, frequency: str | None = None
    ) -> list[ItemsRun]:
        """Join the scores of a table of items with its columns, each model's as one run with a tidy table and a figure.

        Args:
            items: Items from `read_items`; their text must be one of the grid's.
            by: What a row is, as in `tidy_table`; by default a region or own word where the items have such, else an item.
            previous: Number of preceding units whose numbers are repeated in each row, 0 to 3; by default 1.
            frequency: A language of the package wordfreq, such as "en"; by default no frequencies.

        Raises:
            ExperimentError: The grid does not score the items' text.
            TokenvizError: The table cannot be made or stored; what was finished before stays.
        """
        rows: By = by or ("region" if any(items.units) else "item")
        check_request(items, by=rows, previous=previous)
        jobs = [ItemsJob(self._session, run, items, rows, previous, frequency) for run in self._scores_of(items.text)]
        return self._do(jobs, "tabulating items", "models", self.made.items)

    def decide(self, pairs: Pairs) -> list[PairsRun]:
        """Decide minimal pairs by every model's scores, each model's as one run with its decisions and accuracies.

        Args:
            pairs: Pairs from `read_pairs`; their text must be one of the grid's.

        Raises:
            ExperimentError: The grid does not score the pairs' text.
            TokenvizError: The runs cannot be stored; what was finished before stays.
        """
        jobs = [PairsJob(self._session, run, pairs) for run in self._scores_of(pairs.text)]
        return self._do(jobs, "deciding pairs", "models", self.made.pairs)

    def continue_prompts(self, prompts: Prompts) -> list[PromptsRun]:
        """Score continuations given their prompts by every model, each model's as one run with its table and figure.

        Args:
            prompts: Prompts from `read_prompts` or `continuations`; their text must be one of the grid's.

        Raises:
            ExperimentError: The grid does not score the prompts' text.
            TokenvizError: The runs cannot be stored; what was finished before stays.
        """
        jobs = [PromptsJob(self._session, run, prompts) for run in self._scores_of(prompts.text)]
        return self._do(jobs, "scoring continuations", "models", self.made.prompts)

    def follow(self, model: str, checkpoints: Sequence[Checkpoint]) -> list[TrainingRun]:
        """Follow one model over its checkpoints, each text as one run with numbers by training step, curves and a heatmap.

        Args:
            model: The name of the model whose checkpoints these are.
            checkpoints: Checkpoints from `checkpoints_of`; their models must be the grid's.

        Raises:
            ExperimentError: A checkpoint is not one of the grid's models.
            TokenvizError: The checkpoints cannot be compared, or the runs cannot be stored; what was finished before stays.
        """
        by_label = {one.spec.label: one for one in self._models}
        missing = [one.model for one in checkpoints if one.model not in by_label]
        if missing:
            raise ExperimentError(f"the checkpoint {missing[0]!r} is none of the grid's models: make the grid of all of them")
        resolved = [by_label[one.model] for one in checkpoints]
        scored = {(run.model, run.text): run for run in self.score()}
        jobs = [
            TrainingJob(
                self._session, model, checkpoints, resolved, [scored[one.model, text.name] for one in checkpoints], text
            )
            for text in self._texts
        ]
        return self._do(jobs, "following training", "texts", self.made.training)

    def regress(
        self,
        items: Items,
        times: ReadingTimes,
        *,
        previous: int = 1,
        frequency: str | None = None,
        regressions: Sequence[Regression] = REGRESSIONS,
        folds: int = 10,
        seed: int = 0,
    ) -> list[ReadingTimesRun]:
        """Measure what surprisal adds to regressions of reading times, each model's as one run with an R script.

        Args:
            items: Items from `read_items`; their text must be one of the grid's.
            times: Reading times from `read_reading_times`.
            previous: Number of preceding units that are predictors as well, 0 to 3; by default 1. Whole items have none.
            frequency: A language of the package wordfreq, such as "en"; by default the baseline has no frequencies.
            regressions: "ols_on_means", "mixed" or both; by default both.
            folds: Number of folds of items in the cross-validation.
            seed: Seed of the random assignment of items to folds.

        Raises:
            ExperimentError: The grid does not score the items' text, or a regression or number of folds is not possible.
            TokenvizError: The regressions cannot be fitted or stored; what was finished before stays.
        """
        check_regressions(regressions, folds)
        check_request(items, by=times.by, previous=previous)
        jobs = [
            ReadingTimesJob(self._session, run, items, times, previous, frequency, regressions, folds, seed)
            for run in self._scores_of(items.text)
        ]
        return self._do(jobs, "regressing reading times", "models", self.made.reading_times)

    def _do(self, jobs: Sequence[Job[Any, R]], words: str, things: str, kept: list[R]) -> list[R]:
        """Run jobs, and add their runs to those of the kind."""
        made = self._scheduler.do(jobs, words, things)
        kept.extend(made)
        return made

    def _scores_of(self, text: Text) -> list[ScoreRun]:
        """Return every model's score run of a study's text."""
        if all(own.sha256 != text.sha256 for own in self._texts):
            raise ExperimentError(f"{text.name!r} is none of the grid's texts: give it the text of the items, pairs or prompts")
        return [run for run in self.score() if run.text == text.name]
