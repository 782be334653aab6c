"""Measure runs: a user-defined measure of one model on one text, as a table, its numbers and perhaps a heatmap."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from tokenviz.base.display import cell, write_csv
from tokenviz.base.errors import FigureError
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.heatmap.files import save_heatmap
from tokenviz.figures.heatmap.measures import Chosen, TokenMeasure, chosen_limits, limits_fit
from tokenviz.figures.named import Look, formats_of
from tokenviz.figures.origin import of_scores
from tokenviz.figures.report.overview import Cell, OtherRun
from tokenviz.figures.typeset.saving import FigureFormat
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.kind import Content, Job, Kind, Outcome, Run, fingerprint_of_pair
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.kinds.writing import dataset_of, escaped, model_in_bold, tables_folder, text_params
from tokenviz.harness.measures import Measure, Measured, Settings, known_measure, shown_by
from tokenviz.harness.recomputing import Again, NotEnoughError, Rerun, is_newer, largest_of_frames, text_of
from tokenviz.harness.session import Session
from tokenviz.models.loading import ResolvedModel
from tokenviz.records.loading import Reader
from tokenviz.records.run import RecordedRun, table_file
from tokenviz.tracking.finding import FoundRun


@dataclass(frozen=True, eq=False, repr=False)
class MeasureRun(Run):
    """A run of a measure of one model on one text.

    Attributes:
        model: The model spec's label.
        text: The text's name.
        name: The measure's name.
    """

    model: str
    text: str
    name: str

    def _subject(self) -> str:
        return f"{self.name} of {self.text!r} by {self.model!r}"

    def _about(self) -> dict[str, Any]:
        return {"measure": self.name, "model": self.model, "text": self.text, **self.metrics}

    def cell(self, run_id: str) -> Cell:
        return OtherRun.of(self.name, f"{self.name} · {self.text} · {self.model}", run_id, self.metrics, ())

    @cached_property
    def table(self) -> pd.DataFrame:
        """The measure's table, read from the run."""
        return self.read(self.name)


@dataclass(frozen=True, eq=False)
class MeasureJob(Job[Measured, MeasureRun]):
    """Take a measure of one model on one text.

    Attributes:
        session: The grid's session.
        measure: The measure.
        model: The model.
        text: The text.
        scored: The score run on whose tokens the measure is drawn; None where it cannot be shown.
    """

    session: Session
    measure: Measure
    model: ResolvedModel
    text: Text
    scored: ScoreRun | None

    @property
    def kind(self) -> str:
        return self.measure.name

    @property
    def name(self) -> str:
        return f"{self.measure.name} · {self.text.name} · {self.model.spec.label}"

    @property
    def table(self) -> str:
        return table_file(self.measure.name)

    @property
    def has_figures(self) -> bool:
        return self.measure.shown is not None

    @cached_property
    def fingerprint(self) -> str:
        identity = self.measure.identity
        return fingerprint_of_pair(self.kind, self.model, self.text, self.session.settings, measure=identity)

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model": self.model.spec.label, "text": self.text.name}

    def compute(self) -> Measured:
        (loaded,) = self.session.memory.models(self.model.spec.label)
        return self.measure.take(loaded, self.text, self.session.settings)

    def write(self, result: Measured, files: Path) -> Content:
        settings = {"identity": self.model.identity, **vars(self.session.settings)}
        return record_measure(result, self.measure, self.model, self.text, settings, files)

    def read(self, run: RecordedRun) -> Measured:
        return read_measured(run, self.measure.name)

    def draw(self, result: Measured) -> Drawing:
        assert self.scored is not None
        assert self.measure.shown is not None
        about = self.session.about(self.fingerprint, self.kind, of_scores(self.scored.scores))
        shown, session = self.measure.shown(result.table), self.session
        return Drawing(draw_measure, (self.scored.scores, shown, about, session.experiment.limits, session.formats))

    def run(self, outcome: Outcome[Measured]) -> MeasureRun:
        about = self.about_run(outcome, self.session.runs)
        return MeasureRun(**about, model=self.model.spec.label, text=self.text.name, name=self.measure.name)


def read_measured(run: RecordedRun, name: str) -> Measured:
    """Read a measure's table from a run; its numbers are among the run's."""
    return Measured(run.frame(name), {})


def write_measured(measured: Measured, name: str, folder: Path) -> None:
    measured.table.to_parquet(folder / table_file(name), index=False)
    write_csv(measured.table, folder / "tables" / f"{name}.csv")


def record_measure(
    measured: Measured, measure: Measure, model: ResolvedModel, text: Text, settings: Mapping[str, object], folder: Path
) -> Content:
    """Write the result of a measure of one model on one text into a folder; return the rest of its run.

    Args:
        measured: The result.
        measure: The measure.
        model: The model.
        text: The text.
        settings: Other settings that the numbers depend on, for the run's parameters.
        folder: The folder to write to.
    """
    name = measure.name
    tables_folder(folder)
    write_measured(measured, name, folder)
    metrics = dict(measured.metrics)
    label = model.spec.label
    params: dict[str, object] = {"model": label, "model_description": model.description}
    params |= {"measure": name, "measure_version": measure.version}
    params |= {**measure.settings, **settings, **text_params(text)}
    found = "\n".join(f"- {escaped(metric)}: {cell(value)}" for metric, value in metrics.items())
    heatmap = "**[Text heatmap](artifacts/figures/heatmap.html)**\n\n" if measure.shown else ""
    source = f"Source: {escaped(measure.source)}\n\n" if measure.source else ""
    note = (
        f"{escaped(name)} of {model_in_bold(label, model.description)} on **{escaped(text.name)}**\n\n"
        f"{heatmap}{found}\n\n{source}`{table_file(name)}` holds every value."
    )
    return Content(params, metrics, note, measured.curves, dataset_of(text))


def draw_measure(
    scores: TokenScores,
    measure: TokenMeasure,
    about: Mapping[str, object],
    limits: Chosen,
    formats: Sequence[FigureFormat],
    folder: Path,
) -> None:
    """Draw the heatmap of a user-defined measure on the tokens of a model/text pair.

    Args:
        scores: The token table.
        measure: The measure that the colours show.
        about: What made it, for the files' metadata.
        limits: Limits of the colours.
        formats: Formats that were asked for, besides what the run's page shows.
        folder: The folder for the figures.
    """
    own = limits if limits_fit(limits, measure) else None
    save_heatmap(scores, folder / "heatmap", formats=(*formats, "html"), measure=measure, limits=own, about=about)


@dataclass(frozen=True, eq=False)
class RecordedMeasure:
    """A recorded measure.

    Attributes:
        table: Its table.
        scores: Reads the score run of the same model and text, on whose tokens it is drawn.
        shown: What a heatmap of its tokens shows; None for no heatmap.
    """

    table: pd.DataFrame
    scores: Callable[[], TokenScores]
    shown: TokenMeasure | None


class MeasureKind(Kind[RecordedMeasure]):
    """The kind of recorded measure runs, whatever the measure's name."""

    name = "measure"

    def read(self, run: FoundRun, reader: Reader) -> RecordedMeasure:
        table = reader.recorded(run).frame(run.tags["kind"])
        shown = shown_by(run.params)
        return RecordedMeasure(table, lambda: reader.scores_beside(run, same_model=True)[1], shown(table) if shown else None)

    def figures(self, run: FoundRun, reader: Reader) -> Mapping[str, tuple[str, ...]]:
        return {"heatmap": formats_of("heatmap")} if shown_by(run.params) else {}

    def look(self, figure: str, look: Look) -> Look:
        return replace(look, measure=None, limits=None)  # those that were asked for are of log-probs

    def as_drawn(self, figure: str, look: Look, limits: str, source: Callable[[], RecordedMeasure]) -> Look:
        shown = source().shown
        return replace(look, limits=limits) if shown and limits_fit(chosen_limits(limits), shown) else look

    def figure_part(self, run: FoundRun, figure: str) -> str:
        return f"{run.tags['kind']}_{figure}"  # so that it differs from the heatmap of the scores

    def draw(
        self,
        figure: str,
        source: RecordedMeasure,
        stem: Path,
        *,
        formats: Sequence[Any],
        look: Look,
        about: Mapping[str, object],
    ) -> list[Path]:
        assert source.shown is not None
        if look.measure not in (None, source.shown.name):
            raise FigureError(
                f"the heatmap of a run of the measure {source.shown.name!r} shows that, not {look.measure!r}: take the score "
                "run of the same text for it"
            )
        width = 7.0 if look.width is None else look.width
        return save_heatmap(
            source.scores(), stem, formats=formats, measure=source.shown, limits=look.limits, colours=look.colours,
            font_size=look.font_size, title=look.title, about=about, width=width,
        )  # fmt: skip

    def about(self, source: RecordedMeasure) -> Mapping[str, object]:
        return of_scores(source.scores()) if source.shown else {}

    def rerun(self, run: FoundRun, again: Again) -> Rerun:
        measure = known_measure(run.params) or again.own_measure(run)
        if measure is None:
            raise NotEnoughError.of(run)
        params = run.params
        then = again.reader.recorded(run).frame(measure.name)
        other, scores = again.reader.scores_beside(run, same_model=False)
        text = text_of(scores, other.run_id, other.params)
        (model,) = again.memory.models(params["model"])
        context, stride, top_k = (json.loads(params[name]) for name in ("context", "stride", "top_k"))
        settings = Settings(params["bos"], context, stride, top_k)
        now = measure.take(model, text, settings)
        changed = {"measure_version": str(measure.version), "identity": model.resolved.identity}
        if "function" in params:  # the hash of a user's function
            changed["function"] = str(measure.settings.get("function", "–"))
        return Rerun(
            run=run,
            largest=largest_of_frames(then, now.table),
            metrics={
                name: (run.metrics.get(name, math.nan), value) for name, value in now.metrics.items() if not is_newer(name, run)
            },
            left_out=(),
            changed={name: (params[name], value) for name, value in changed.items() if params[name] != value},
        )


KIND = MeasureKind()
