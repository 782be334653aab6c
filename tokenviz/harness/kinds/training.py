"""Training runs: one model's checkpoints on one text. MLflow's step is the training step, so that its page draws the curves."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from tokenviz.base.display import write_csv
from tokenviz.base.progress import warn
from tokenviz.comparing.studies import CURVES, TRAINING_VERSION, step_logprobs, training_statistics, training_table
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.named import PLOT_FORMATS, Look, Plot, save_plot
from tokenviz.figures.plots.labels import add_key
from tokenviz.figures.plots.training import step_heatmap, training_curves
from tokenviz.figures.report.overview import Cell, OtherRun
from tokenviz.figures.typeset.saving import FigureFormat, page_formats
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.kind import Content, Job, Kind, Outcome, Run, RunTable, plain_rows
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.kinds.writing import dataset_of, escaped, frame_table, links_line, tables_folder, text_params
from tokenviz.harness.measures import Settings
from tokenviz.harness.recomputing import Again, Rerun, largest_of_frames, text_of
from tokenviz.harness.session import ModelMemory, Session
from tokenviz.models.loading import ResolvedModel, weights_of
from tokenviz.models.spec import Checkpoint
from tokenviz.records.loading import Reader
from tokenviz.records.run import STATISTICS_TABLE, RecordedRun, table_file
from tokenviz.records.tables import check_numbers
from tokenviz.stats.summaries import Summary
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import fingerprint_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING_TABLE = table_file("training")
_LOGPROBS = "step_logprobs"


@dataclass(frozen=True, eq=False)
class Course:
    """The numbers and log-probs of a model's checkpoints on one text.

    Attributes:
        table: The table of `training_table`, one row per step.
        logprobs: The table of `step_logprobs`, one row per token.
        statistics: The table of `training_statistics`, one row per step and number; empty of a run of an earlier version.
    """

    table: pd.DataFrame
    logprobs: pd.DataFrame
    statistics: pd.DataFrame

    @classmethod
    def of(cls, run: RecordedRun) -> "Course":
        """Read the tables of a recorded run."""
        return cls(run.frame("training"), run.frame(_LOGPROBS), _statistics_of(run))


def _statistics_of(run: RecordedRun) -> pd.DataFrame:
    return run.frame("statistics") if run.has(STATISTICS_TABLE) else pd.DataFrame()


def course_divergences(
    labels: Sequence[str], weights: Sequence[str], text: Text, settings: Settings, memory: ModelMemory
) -> tuple[dict[str, list[float]], dict[str, list[Summary | None]]]:
    """Compute the divergence of each checkpoint from the last and from the previous one, with two models in memory at once.

    Args:
        labels: The checkpoints' labels, in the order of their steps.
        weights: SHA-256 of each checkpoint's weights: equal weights have a divergence of 0.
        text: The text.
        settings: The settings of scoring.
        memory: Returns a model by its label.

    Returns:
        `kl_to_last` and `kl_to_previous`, means over tokens in nats, as for `training_table`; and their summaries, as for
        `training_statistics`.
    """

    def mean_kl(later: int, earlier: int) -> tuple[float, Summary | None]:
        from tokenviz.comparing.distances import summarise_divergences
        from tokenviz.scoring.divergence import divergences

        if weights[later] == weights[earlier]:
            return 0.0, None
        a, b = memory.models(labels[later], labels[earlier])
        found = divergences(a, b, text, **vars(settings))
        values = found.values.kl_ab
        return float(np.mean(values[~np.isnan(values)])), summarise_divergences(found)

    n = len(labels)
    to_last = [mean_kl(n - 1, i) for i in range(n)]
    to_previous = [(math.nan, None), *(mean_kl(i, i - 1) for i in range(1, n))]
    both = {"kl_to_last": to_last, "kl_to_previous": to_previous}
    means = {name: [mean for mean, _ in found] for name, found in both.items()}
    return means, {name: [summary for _, summary in found] for name, found in both.items()}


def course_of(
    steps: Sequence[int],
    tables: Sequence[TokenScores],
    weights: Sequence[str],
    divergences: tuple[Mapping[str, Sequence[float]], Mapping[str, Sequence[Summary | None]]],
) -> Course:
    """Make the tables of a course of training.

    Args:
        steps: Training steps, ascending.
        tables: The scores of one text by each checkpoint.
        weights: SHA-256 of each checkpoint's weights.
        divergences: The result of `course_divergences`.
    """
    kl, summaries = divergences
    table = training_table(
        steps, tables, weights, kl_to_last=kl["kl_to_last"], kl_to_previous=kl["kl_to_previous"]
    )  # fmt: skip
    return Course(table, step_logprobs(steps, tables), training_statistics(steps, tables, summaries))


def course_metrics(course: Course) -> dict[str, float]:
    """Return the numbers of a training run: those of the last checkpoint, and counts."""
    table, last = course.table, course.table.iloc[-1]
    metrics = {f"last_{name}": float(last[name]) for name in ("mean_logprob", "bits_per_byte")}
    same = int(table["same_weights_as"].notna().sum())
    metrics |= {"n_checkpoints": float(len(table)), "n_distinct_weights": float(len(table) - same)}
    return metrics | {
        "n_scored": float(last["n_scored"]),
        "first_step": float(table["step"].min()),
        "last_step": float(last["step"]),
    }


@dataclass(frozen=True, eq=False)
class TrainingRun(Run):
    """A run of one model's checkpoints on one text.

    Attributes:
        model: The model whose checkpoints these are.
        text: The text's name.
    """

    model: str
    text: str

    def _subject(self) -> str:
        return f"the training of {self.model!r} on {self.text!r}"

    def _about(self) -> dict[str, Any]:
        return {"model": self.model, "text": self.text, **self.metrics, "statistics": plain_rows(self.statistics)}

    def cell(self, run_id: str) -> Cell:
        return OtherRun.of("training", f"training · {self.text} · {self.model}", run_id, self.metrics, ())

    @cached_property
    def table(self) -> pd.DataFrame:
        """The numbers by step, as in `training_table`, read from the run."""
        return self.read("training")

    @cached_property
    def statistics(self) -> pd.DataFrame:
        """Their intervals, as in `training_statistics`, read from the run; empty of a run of an earlier version."""
        return _statistics_of(self.recorded)


@dataclass(frozen=True, eq=False)
class TrainingJob(Job[Course, TrainingRun]):
    """Follow one model over its checkpoints on one text.

    Attributes:
        session: The grid's session.
        model: The model whose checkpoints these are.
        checkpoints: The checkpoints, in the order of their steps.
        resolved: The model of each checkpoint.
        scored: The score run of each checkpoint.
        text: The text.
    """

    session: Session
    model: str
    checkpoints: Sequence[Checkpoint]
    resolved: Sequence[ResolvedModel]
    scored: Sequence[ScoreRun]
    text: Text
    kind = "training"
    table = TRAINING_TABLE

    @property
    def name(self) -> str:
        return f"training · {self.text.name} · {self.model}"

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "version": TRAINING_VERSION, "steps": self._steps}
        return fingerprint_of(parts | {"model": self.model, "scores": [run.fingerprint for run in self.scored]})

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model": self.model, "text": self.text.name}

    @property
    def _steps(self) -> list[int]:
        return [one.step for one in self.checkpoints]

    def compute(self) -> Course:
        weights = [weights_of(one) for one in self.resolved]
        labels = [one.model for one in self.checkpoints]
        kl = course_divergences(labels, weights, self.text, self.session.settings, self.session.memory)
        return course_of(self._steps, [run.scores for run in self.scored], weights, kl)

    def write(self, result: Course, files: Path) -> Content:
        return record_training(result, self, files)

    def read(self, run: RecordedRun) -> Course:
        return Course.of(run)

    def draw(self, result: Course) -> Drawing:
        about = self.session.about(self.fingerprint, self.kind, {"text_sha256": self.text.sha256})
        source = RecordedCourse(result, self.model, self.text.name, self.text.sha256)
        return Drawing(draw_training, (source, about, self.session.formats))

    def run(self, outcome: Outcome[Course]) -> TrainingRun:
        run = TrainingRun(**self.about_run(outcome, self.session.runs), model=self.model, text=self.text.name)
        if outcome.result is not None:
            run.__dict__.update(table=outcome.result.table, statistics=outcome.result.statistics)  # fills cached properties
        return run


def record_training(course: Course, job: TrainingJob, folder: Path) -> Content:
    """Write the tables of a course of training into a folder; return the rest of its run."""
    tables, table = tables_folder(folder), course.table
    table.to_parquet(folder / TRAINING_TABLE, index=False)
    course.logprobs.to_parquet(folder / table_file(_LOGPROBS), index=False)
    write_csv(table, tables / "training.csv")
    course.statistics.to_parquet(folder / STATISTICS_TABLE, index=False)
    write_csv(course.statistics, tables / "statistics.csv")
    same = table.dropna(subset=["same_weights_as"])
    named = [f"{row.step:,} as {row.same_weights_as:,}" for row in same.itertuples()]
    if named:
        warn(f"checkpoints of {job.model} have the same weights: step {', step '.join(named)}")
    curves = {
        name: [(int(step), float(value)) for step, value in zip(table["step"], table[name], strict=True) if value == value]
        for name in CURVES
    }
    metrics = course_metrics(course)
    params: dict[str, object] = {"model": job.model, **text_params(job.text), "steps": job._steps}
    params |= {"checkpoints": [one.model for one in job.checkpoints], "training_version": TRAINING_VERSION}
    params |= vars(job.session.settings)
    equal = f"The same weights: step {', step '.join(named)}.\n\n" if named else ""
    note = (
        f"{links_line({'Curves': 'curves.png', 'Tokens by step': 'steps.png'})}**{escaped(job.model)}** over {len(table)} "
        f"checkpoints on **{escaped(job.text.name)}**. The step of each curve is the training step.\n\n{equal}"
        f"{frame_table(table.drop(columns=['model']))}\n\n`{table_file(_LOGPROBS)}` has every token's log-prob at every step, "
        "`tables/statistics.csv` every number of each step with n and interval, or why there is none."
    )
    return Content(params, metrics, note, curves, dataset_of(job.text))


def described_course(table: pd.DataFrame) -> str:
    """Return the number of checkpoints and their range of steps in words, for the key of a figure."""
    steps = table["step"]
    return f"{steps.nunique()} checkpoints, training steps {steps.min():,} to {steps.max():,}"


@dataclass(frozen=True, eq=False)
class RecordedCourse:
    """A recorded course of training.

    Attributes:
        course: Its tables.
        model: The model whose checkpoints these are.
        text: The text's name.
        text_sha256: SHA-256 of the text.
    """

    course: Course
    model: str
    text: str
    text_sha256: str

    @property
    def key(self) -> dict[str, str]:
        """Return the model and the number of its checkpoints, for the key of a figure."""
        return {self.model: described_course(self.course.table)}


def _draw_curves(source: RecordedCourse, width: float, size: float, _: bool) -> "Figure":
    course = source.course
    table, intervals = (frame.assign(text=source.text) for frame in (course.table, course.statistics))
    return add_key(training_curves(table, intervals, width=width, font_size=size), source.key, font_size=size)


def _draw_steps(source: RecordedCourse, width: float, size: float, _: bool) -> "Figure":
    return add_key(step_heatmap(source.course.logprobs, width=width, font_size=size), source.key, font_size=size)


def _curves_caption(source: RecordedCourse, _: bool) -> str:
    table, statistics = source.course.table, source.course.statistics
    drawn: list[str] = [] if statistics.empty else list(statistics["resampled"].dropna().unique())
    bands = f" Bands: 95 % intervals, from resampled {' and '.join(drawn)}." if drawn else ""
    return (
        f"“{source.text}” by {source.model} in the course of its training, at {len(table)} checkpoints "
        f"({int(table['n_scored'].iloc[-1])} scored tokens): mean log-prob, bits per byte, Pearson’s r of the log-probs with "
        f"those of the last checkpoint, and the mean KL divergence of its predictions from those of the last.{bands}"
    )


def _steps_caption(source: RecordedCourse, _: bool) -> str:
    return (
        f"The beginning of “{source.text}” by {source.model}, a column per token and a row per training step. The darker, the "
        "more predictable: log-prob in nats, on one scale. An outline marks a token without a prediction."
    )


_PLOTS = {"curves": Plot(_draw_curves, _curves_caption, 7.0), "steps": Plot(_draw_steps, _steps_caption, 7.0)}


class TrainingKind(Kind[RecordedCourse]):
    """The kind of recorded training runs."""

    name = "training"
    tables = (
        RunTable(
            "training",
            "Courses of training: checkpoints, the last training step, $n$ scored tokens, and log-prob (nats per token) and "
            "bits per byte at the last.",
            (
                ("n_checkpoints", "checkpoints"),
                ("last_step", "last step"),
                ("n_scored", "$n$"),
                ("last_mean_logprob", "log-prob"),
                ("last_bits_per_byte", "bits/byte"),
            ),
        ),
    )
    definitions: ClassVar[Mapping[str, str]] = {
        "last_mean_logprob": "mean log-prob at the last checkpoint (nats per token)",
        "last_bits_per_byte": "bits per byte at the last checkpoint",
        "n_checkpoints": "checkpoints",
        "n_distinct_weights": "checkpoints with weights of their own",
    }

    def read(self, run: FoundRun, reader: Reader) -> RecordedCourse:
        recorded = reader.recorded(run)
        course = Course.of(recorded)
        check_numbers(recorded, TRAINING_TABLE, course_metrics(course))
        return RecordedCourse(course, run.params["model"], run.params["text"], run.params["text_sha256"])

    def figures(self, run: FoundRun, reader: Reader) -> Mapping[str, tuple[str, ...]]:
        return dict.fromkeys(_PLOTS, PLOT_FORMATS)

    def draw(
        self,
        figure: str,
        source: RecordedCourse,
        stem: Path,
        *,
        formats: Sequence[Any],
        look: Look,
        about: Mapping[str, object],
    ) -> list[Path]:
        return save_plot(
            figure, _PLOTS[figure], source, stem, models=[source.model], text=source.text, formats=formats, look=look,
            about=about,
        )  # fmt: skip

    def about(self, source: RecordedCourse) -> Mapping[str, object]:
        return {"text_sha256": source.text_sha256}

    def rerun(self, run: FoundRun, again: Again) -> Rerun:
        from tokenviz.scoring.scorer import score

        before, params = self.read(run, again.reader).course, run.params
        labels, steps = json.loads(params["checkpoints"]), json.loads(params["steps"])
        context, stride, top_k = (json.loads(params[name]) for name in ("context", "stride", "top_k"))
        settings = Settings(params["bos"], context, stride, top_k)
        other, scores = again.reader.scores_beside(run, same_model=False)
        text = text_of(scores, other.run_id, other.params)
        tables, weights = [], []
        for label in labels:
            (model,) = again.memory.models(label)
            weights.append(weights_of(model.resolved))
            tables.append(score(model, text, **vars(settings)))
        after = course_of(steps, tables, weights, course_divergences(labels, weights, text, settings, again.memory))
        largest = max(
            largest_of_frames(before.table, after.table), largest_of_frames(before.logprobs, after.logprobs)
        )  # fmt: skip
        return Rerun(
            run=run,
            largest=largest,
            metrics={name: (run.metrics.get(name, math.nan), value) for name, value in course_metrics(after).items()},
            left_out=(),
            changed={},
        )


KIND = TrainingKind()


def draw_training(source: RecordedCourse, about: Mapping[str, object], formats: Sequence[FigureFormat], folder: Path) -> None:
    """Draw the curves, and the text at every step.

    Args:
        source: The course of training.
        about: What made it, for the files' metadata.
        formats: Formats that were asked for, besides what the run's page shows.
        folder: The folder for the figures.
    """
    for figure in _PLOTS:
        KIND.draw(figure, source, folder / figure, formats=page_formats(formats), look=Look(), about=about)
