"""Summary runs: a whole grid as one page, with its tables, and the experiment's own tables and figures."""

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tokenviz.base.display import write_csv
from tokenviz.base.errors import DiskError, FigureError
from tokenviz.figures.named import OWN_LOOK, PLOT_FORMATS, Look
from tokenviz.figures.plots.labels import add_key
from tokenviz.figures.report.overview import OVERVIEW, OtherRun, Overview, PairCell, ScoreCell, overview_html
from tokenviz.figures.typeset.latex import frame_booktabs
from tokenviz.figures.typeset.saving import save_pages
from tokenviz.harness.kind import Content, Job, Kind, Outcome, Run
from tokenviz.harness.kinds.comparison import COMPARISON_METRICS, ComparisonRun
from tokenviz.harness.kinds.score import WITHOUT, ScoreRun, without
from tokenviz.harness.kinds.training import described_course
from tokenviz.harness.kinds.writing import (
    escaped,
    frame_table,
    links_line,
    markdown_table,
    model_in_bold,
    pictures,
    report_items,
    report_pairs,
    report_texts,
    run_link,
    tables_folder,
)
from tokenviz.harness.session import Session
from tokenviz.models.describing import description_of
from tokenviz.records.loading import Reader
from tokenviz.records.run import RecordedRun
from tokenviz.stats.estimate import Estimate, interval_source, printed, rounded, rounded_interval
from tokenviz.stats.intervals import many_intervals
from tokenviz.tracking.entities import unwrapped
from tokenviz.tracking.finding import FoundRun, files_of
from tokenviz.tracking.runs import fingerprint_of
from tokenviz.tracking.staged_runs import EXPERIMENT_LATER, run_later, tag_of_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tokenviz.harness.results import GridRuns

# The columns of the summary's table: metric, heading.
_COMPARISON_COLUMNS = (
    ("pearson_r", "Pearson's r"),
    ("spearman_rho", "Spearman's ρ"),
    ("concordance", "Lin's concordance"),
    ("mean_difference", "mean difference b − a (nats)"),
    ("share_b_more_confident", "share b more confident"),
)


@dataclass(frozen=True, eq=False)
class SummaryJob(Job[None, Run]):
    """Write the summary of a grid.

    Attributes:
        session: The grid's session.
        runs: The grid's runs.
        description: What the experiment asks and how to read it, in Markdown.
        figures: Functions that draw the experiment's own figures, by name.
        tables: The experiment's own tables, by name.
    """

    session: Session
    runs: "GridRuns"
    description: str
    figures: Mapping[str, Callable[[], "Figure"]]
    tables: Mapping[str, pd.DataFrame]
    kind = "summary"
    has_figures = False  # the experiment's own figures are drawn in this process, by functions that cannot be sent to another

    @property
    def name(self) -> str:
        return f"summary · {self.session.experiment.name}"

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "cells": [run.fingerprint for run in self.runs.every_run]}
        parts |= {"description": self.description, "figures": sorted(self.figures), "params": self.session.experiment.params}
        if self.tables:
            parts["tables"] = {name: table.to_csv(index=False) for name, table in self.tables.items()}
        return fingerprint_of(parts)

    @property
    def tags(self) -> Mapping[str, str]:
        return {"members": tag_of_runs([_id_of(run) for run in self.runs.every_run])}

    def compute(self) -> None:
        pass

    def write(self, _: None, files: Path) -> Content:
        about = self.session.about(self.fingerprint, self.kind, {"runs": [run.fingerprint for run in self.runs.every_run]})
        content = record_summary(self.runs, self.description, self.figures, self.tables, about, files)
        content.params.update(self.session.experiment.params)
        return replace(content, pages={**content.pages, OVERVIEW: overview_html(self._overview(), "artifact")})

    def _overview(self) -> Overview:
        """Return the data of the grid's page; what waits for a server gets its id when it is delivered."""
        cells = [run.cell(_id_of(run)) for run in self.runs.every_run]
        return Overview(
            self.session.experiment.name,
            self.session.runs.try_experiment_id() or EXPERIMENT_LATER,
            self.session.grid,
            self.session.experiment.description.partition("\n")[0],
            [cell for cell in cells if isinstance(cell, ScoreCell)],
            [cell for cell in cells if isinstance(cell, PairCell)],
            [cell for cell in cells if isinstance(cell, OtherRun)],
        )

    def read(self, _: RecordedRun) -> None:
        pass

    def run(self, outcome: Outcome[None]) -> Run:
        return Run(**self.about_run(outcome, self.session.runs))


def record_summary(
    runs: "GridRuns",
    description: str,
    figures: Mapping[str, Callable[[], "Figure"]],
    own_tables: Mapping[str, pd.DataFrame],
    about: Mapping[str, object],
    folder: Path,
) -> Content:
    """Write a grid's figures and the experiment's own tables into a folder; return the rest of its run."""
    scores, comparisons = runs.scores, runs.comparisons
    tables, drawn = tables_folder(folder), folder / "figures"
    drawn.mkdir()
    for name, table in own_tables.items():
        write_csv(table, tables / f"{name}.csv")
        (tables / f"{name}.tex").write_text(frame_booktabs(table, about), encoding="utf-8")
    score_rows = [{"model": run.model, "text": run.text, **asdict(run.summary), "run_id": _id_of(run)} for run in scores]
    pages = {"tables/scores.csv": _csv(score_rows)}
    if comparisons:
        rows = [
            {"model_a": run.a.model, "model_b": run.b.model, "text": run.a.text, "by": run.by}
            | {name: run.metrics.get(name) for name in ("n", *COMPARISON_METRICS)}
            | {"resampled": run.estimate("pearson_r").drawn_from}
            | {"run_id": _id_of(run)}
            for run in comparisons
        ]
        pages["tables/comparisons.csv"] = _csv(rows)
    described = models_of(scores)
    courses = {run.model: described_course(run.table) for run in runs.training}
    links = {}
    for name, draw in figures.items():
        saved = save_pages(add_key(draw(), courses or described), drawn / name, title=name, description=json.dumps(about))
        links[escaped(name)] = saved[0].name
    missing = sum(run.missing for run in scores)
    report = _report(runs, about, drawn)
    reports = {"report": report} if report else {}
    note = "\n\n".join(
        part
        for part in (
            f"{links_line(links | reports, {'Overview': OVERVIEW})}{headline(scores, comparisons)}",
            f"**{without(missing)}: the pages of the score runs say which, and why.**" if missing else "",
            unwrapped(description.strip()),
            "\n".join(f"- {model_in_bold(label, words)}" for label, words in described.items() if words),
            *(f"**{escaped(name)}**\n\n{frame_table(table)}" for name, table in own_tables.items()),
            comparison_table(comparisons),
            score_table(scores),
        )
        if part
    )
    note += pictures(dict(list(links.items())[:_MOST_PICTURES]))
    metrics = {f"n_{kind}_runs": float(len(own)) for kind, own in runs.by_kind.items() if own}
    return Content({}, metrics, note, tags={WITHOUT: str(missing)} if missing else {}, pages=pages)


def _id_of(run: Run) -> str:
    return run.run_id or run_later(run.fingerprint)


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    written = io.StringIO()
    write_csv(pd.DataFrame(rows), written)
    return written.getvalue()


def _report(runs: "GridRuns", about: Mapping[str, object], folder: Path) -> str:
    """Write the report of the grid's minimal pairs, its items, or several texts; return the file's name, or an empty one."""
    scores, items, pairs = runs.scores, runs.items, runs.pairs
    by_cell = {(run.model, run.text): run for run in scores}
    of_pairs = [run for run in pairs if run.text == pairs[0].text]
    of_items = [by_cell[run.model, run.text].scores for run in items if run.text == items[0].text]
    if of_pairs:
        tables = [by_cell[run.model, run.text].scores for run in of_pairs]
        return report_pairs(tables, [run.table for run in of_pairs], of_pairs[0].groups, folder, about)
    if of_items:
        return report_items(of_items, items[0].names, folder, about)
    if len({run.text for run in scores}) > 1:
        return report_texts([run.sample for run in scores], folder, "text", about)
    return ""


def models_of(scores: Sequence[ScoreRun]) -> dict[str, str]:
    """Return the description of each model of some runs, by its label; empty where it is not known."""
    return {label: description_of(run.sample.spec) for label, run in _first_runs(scores).items()}


def several_tokenizers(scores: Sequence[ScoreRun]) -> bool:
    """Return whether the models of some runs cut texts differently, so that means over tokens cannot be compared."""
    return len({run.sample.spec.tokenizer for run in _first_runs(scores).values()}) > 1


def _first_runs(scores: Sequence[ScoreRun]) -> dict[str, ScoreRun]:
    found: dict[str, ScoreRun] = {}
    for run in scores:
        found.setdefault(run.model, run)
    return found


def headline(scores: Sequence[ScoreRun], comparisons: Sequence[ComparisonRun]) -> str:
    """Return a sentence that describes the grid."""
    models, texts = {run.model for run in scores}, {run.text for run in scores}
    size = f"{len(models)} model{'s' * (len(models) != 1)} on {len(texts)} text{'s' * (len(texts) != 1)}"
    found = [run.metrics["pearson_r"] for run in comparisons if "pearson_r" in run.metrics]
    span = f": Pearson's r from {min(found):.3f} to {max(found):.3f} over {len(found)} comparisons" if found else ""
    return f"**{size}{span}.**"


def comparison_table(comparisons: Sequence[ComparisonRun]) -> str:
    """Return the comparisons' numbers as a Markdown table; empty where there are none."""
    if not comparisons:
        return ""
    headings = ["a", "b", "text", "n", "over", *(heading for _, heading in _COMPARISON_COLUMNS), "resampled"]
    rows = [
        [
            escaped(run.a.model),
            escaped(run.b.model),
            escaped(run.a.text),
            f"{run.metrics['n']:.0f}",
            f"{run.by}s",
        ]
        + [run_link(_with_interval(run.estimate("pearson_r")), _id_of(run) if number < _MOST_LINKS else "", "report.html")]
        + [_with_interval(run.estimate(name)) for name, _ in _COMPARISON_COLUMNS[1:]]
        + [interval_source(run.estimate("pearson_r"))]
        for number, run in enumerate(comparisons)
    ]
    count = sum(run.estimate(name).has_interval for run in comparisons for name, _ in _COMPARISON_COLUMNS)
    reading = f"In brackets: 95 % intervals; the last column says what was resampled. {many_intervals(count)}".rstrip()
    return f"{reading}\n\n{markdown_table(headings, rows)}"


_MOST_PICTURES = 2
_MOST_LINKS = 12  # for scores and for comparisons each: a description holds 8,000 characters, and a link takes about 130
_CAVEATS = ("unknown tokens", "characters not read")  # columns that are shown only if any value is above 0


def score_table(scores: Sequence[ScoreRun]) -> str:
    """Return the scores' summaries as a Markdown table."""
    several = several_tokenizers(scores)
    own = " of its own" * several
    headings = ["model", "text", "bits per byte", "tokens", "scored", *_CAVEATS]
    headings += [f"mean log-prob (nats per token{own})", f"perplexity per token{own}"]
    warning = "Of models with different tokenizers only bits per byte can be compared.\n\n" if several else ""
    rows = []
    for number, run in enumerate(scores):
        summary = run.summary
        bits = run_link(printed(summary.bits_per_byte, 3), _id_of(run) if number < _MOST_LINKS else "", "heatmap.html")
        counts = map(str, (summary.n_tokens, summary.n_scored, summary.n_unknown, summary.n_unread))
        means = [printed(summary.mean_logprob, 3), printed(summary.perplexity_per_token)]
        rows.append([escaped(run.model), escaped(run.text), bits, *counts, *means])
    kept = [place for place, name in enumerate(headings) if name not in _CAVEATS or any(row[place] != "0" for row in rows)]
    table = markdown_table([headings[place] for place in kept], [[row[place] for place in kept] for row in rows])
    return warning + table


def _with_interval(estimate: Estimate) -> str:
    return f"{rounded(estimate)} ({rounded_interval(estimate, ' to ')})" if estimate.has_interval else rounded(estimate)


class SummaryKind(Kind[RecordedRun]):
    """The kind of recorded summaries. Their figures were drawn by functions of an experiment, and cannot be drawn again."""

    name = "summary"

    def read(self, run: FoundRun, reader: Reader) -> RecordedRun:
        return reader.recorded(run)

    def figures(self, run: FoundRun, reader: Reader) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for path in sorted(files_of(reader.store, run.run_id, "figures")):
            name, _, form = path.removeprefix("figures/").rpartition(".")
            if form in PLOT_FORMATS:
                found[name] = (*found.get(name, ()), form)
        return found

    def figure_part(self, run: FoundRun, figure: str) -> str:
        return "-".join(figure.split())  # LaTeX does not accept spaces

    def look(self, figure: str, look: Look) -> Look:
        return OWN_LOOK

    def draw(
        self, figure: str, source: RecordedRun, stem: Path, *, formats: Sequence[Any], look: Look, about: Mapping[str, object]
    ) -> list[Path]:
        if look != OWN_LOOK:
            raise FigureError(
                f"the figure {figure!r} is the experiment's own and is had as it was drawn: leave out its look, or change the "
                "function that draws it and run the experiment again with --force"
            )
        written = []
        for form in formats:
            if not source.has(f"figures/{figure}.{form}"):
                raise FigureError(f"{source.described} has no figure {figure!r} as {form}")
            with tempfile.TemporaryDirectory() as folder:
                path = source.fetch(f"figures/{figure}.{form}", Path(folder))
                try:
                    written.append(Path(shutil.copyfile(path, stem.with_name(f"{stem.name}.{form}"))))
                except OSError as error:
                    raise DiskError(f"cannot write the figure {str(stem)!r}: {error.strerror or error}") from error
        return written

    def tex(self, run: FoundRun, reader: Reader) -> Mapping[str, str]:
        names = [path for path in files_of(reader.store, run.run_id, "tables") if path.endswith(".tex")]
        recorded = reader.recorded(run)
        return {Path(name).stem: recorded.read(name, lambda path: path.read_text(encoding="utf-8")) for name in sorted(names)}


KIND = SummaryKind()
