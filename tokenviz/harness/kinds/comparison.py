"""Comparison runs: two models on one text, as an aligned table, statistics, heatmaps on one scale, a scatter and a report."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenviz.base.display import write_csv
from tokenviz.base.errors import ComparisonError
from tokenviz.base.progress import warn
from tokenviz.comparing.agreement import FURTHER
from tokenviz.comparing.alignment import Alignment, By
from tokenviz.comparing.comparison import COMPARISON_VERSION, Comparison, compare
from tokenviz.comparing.gaps import ALL, gaps_by_kind, parts_of_gap, passage_gaps
from tokenviz.comparing.large import PARTS_VERSION, compare_parts
from tokenviz.data.texts import Text
from tokenviz.figures.heatmap.files import HeatmapFormat
from tokenviz.figures.heatmap.measures import Chosen
from tokenviz.figures.named import FIGURES, OWN_LOOK, Look, formats_of, save_named, with_limits
from tokenviz.figures.origin import of_pair
from tokenviz.figures.plots.labels import families
from tokenviz.figures.report.overview import Cell, PairCell
from tokenviz.figures.report.page import save_report
from tokenviz.figures.typeset.saving import FigureFormat, page_formats
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.kind import Content, Job, Kind, Outcome, Quantity, Run, RunTable
from tokenviz.harness.kinds.measure import read_measured, write_measured
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.kinds.writing import dataset_of, escaped, links_line, model_in_bold, pictures, tables_folder
from tokenviz.harness.measures import DIVERGENCES, Measure, Measured, Settings
from tokenviz.harness.recomputing import Again, NotEnoughError, Rerun, held_against
from tokenviz.harness.session import Session
from tokenviz.models.describing import description_of
from tokenviz.records.loading import Reader
from tokenviz.records.run import BY_PARTS, SAMPLES_OF_BOTH, STATISTICS_TABLE, UNITS_TABLE, RecordedRun, table_file
from tokenviz.records.tables import read_comparison, read_statistics
from tokenviz.stats.estimate import PLAIN_UNITS, Estimate, printed, rounded, rounded_interval
from tokenviz.stats.resampling import drawn_in
from tokenviz.stats.summaries import cited_frame
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import FinishedRun, fingerprint_of

if TYPE_CHECKING:
    import pandas as pd

    from tokenviz.scoring.divergence import Divergences

# The numbers that are metrics of a comparison's run; tables/statistics.csv has all. MLflow's pages can show about twenty.
_WITH_INTERVAL = ("pearson_r", "concordance", "mean_difference")
_ALONE = ("spearman_rho", "kendall_tau", "rms_difference", "share_b_more_confident", "share_same_first")
COMPARISON_METRICS = (*(f"{name}{end}" for name in _WITH_INTERVAL for end in ("", "_low", "_high")), *_ALONE)

_KINDS_NAMED = 3
_OF_FINGERPRINT = 12  # digits of a fingerprint by which a command finds the run, before it has an id
_IN_TABLES = tuple(f"{name}{end}" for name in FURTHER for end in ("", "_bits"))

_FIGURES = ("heatmap", "difference", "scatter", "along_text", "gaps")


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonRun(Run):
    """Two models on one text, as a run.

    Attributes:
        a: The first model's score run.
        b: The second model's score run.
        by: The units that the models are compared over: "token", "segment", "word" or "span".
    """

    a: ScoreRun
    b: ScoreRun
    by: str

    def _subject(self) -> str:
        return f"{self.a.text!r} by {self.a.model!r} and {self.b.model!r}"

    def _about(self) -> dict[str, Any]:
        named = {
            "model_a": self.a.model,
            "model_b": self.b.model,
            "text": self.a.text,
            "by": self.by,
            "n": int(self.metrics["n"]),
        }
        numbers = {name: self.metrics.get(name) for name in COMPARISON_METRICS}
        return {**named, **numbers, "resampled": self.estimate("pearson_r").drawn_from or None}

    def cell(self, run_id: str) -> Cell:
        return PairCell.of(self.a.model, self.b.model, self.a.text, run_id, self.by, self.metrics)

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison, read from the run; of a text that was read in parts the whole's numbers, and a sample's units."""
        return _read(self.recorded, self.a, self.b)

    @cached_property
    def divergences(self) -> "Divergences | None":
        """The result of `DIVERGENCES`, read from the run; None where it was not measured, or was not possible.

        Of a text that was read in parts it is a random sample of the tokens, and the numbers of the run are of all.
        """
        if "mean_kl_ab" not in self.metrics:
            return None
        from tokenviz.scoring.divergence import Divergences
        from tokenviz.scoring.statistics import PositionDivergences  # imports torch, which nothing else of a run needs

        table = self.read("divergences")
        passage, position = (table.pop(name).to_numpy() for name in ("passage", "position"))
        return Divergences(
            text_name=f"{self.a.text}, a sample of {len(passage):,} tokens"
            if BY_PARTS in self.recorded.params
            else self.a.text,
            model_a=self.a.model,
            model_b=self.b.model,
            top_k=self.a.sample.spec.top_k,
            passage=passage,
            position=position,
            values=PositionDivergences(**{str(name): table[name].to_numpy() for name in table}),
        )

    def estimate(self, name: str) -> Estimate:
        """Return one of the numbers, with its interval if the run has one; NaN where it is not determined."""
        value, low, high = (self.metrics.get(key, math.nan) for key in (name, f"{name}_low", f"{name}_high"))
        drawn_from = "" if math.isnan(low) else drawn_in(self.metrics, self.by)
        return Estimate(value, int(self.metrics["n"]), low=low, high=high, drawn_from=drawn_from)


_Result = tuple[Comparison, dict[str, Measured]]


@dataclass(frozen=True, eq=False)
class ComparisonJob(Job[_Result, ComparisonRun]):
    """Compare two models on one text; the result is the comparison, and the pair's measures by name.

    Attributes:
        session: The grid's session.
        a: The first model's score run.
        b: The second model's score run.
        text: The text.
        how: The units to compare over.
        measures: Measures that are taken with both models in memory.
    """

    session: Session
    a: ScoreRun
    b: ScoreRun
    text: Text
    how: Alignment
    measures: Sequence[Measure]
    kind = "comparison"
    table = UNITS_TABLE

    @property
    def name(self) -> str:
        return f"{self.text.name} · {self.a.model} and {self.b.model}"

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "version": COMPARISON_VERSION}
        parts |= {"a": self.a.fingerprint, "b": self.b.fingerprint}
        if self.how["by"] is not None:
            parts |= self.how
        if self._in_parts:
            parts["in_parts"] = PARTS_VERSION
        if self.measures:
            parts["measures"] = {measure.name: measure.identity for measure in self.measures}
            if self._in_parts and (by_parts := [measure.name for measure in self.measures if measure.take_by_parts]):
                parts["measures_by_parts"] = by_parts
        return fingerprint_of(parts)

    @property
    def _in_parts(self) -> bool:
        """Whether the tables are read part by part; spans may be longer than any part."""
        return bool(self.a.n_parts or self.b.n_parts) and self.how["by"] != "span"

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model_a": self.a.model, "model_b": self.b.model, "text": self.text.name}

    @property
    def refers(self) -> Mapping[str, str]:
        return {"run_a": self.a.fingerprint, "run_b": self.b.fingerprint}

    def holds(self, run: FinishedRun) -> bool:
        """Return whether the run names the present score runs: new score runs need a new comparison."""
        return (run.params.get("run_a"), run.params.get("run_b")) == (self.a.run_id, self.b.run_id)

    def compute(self) -> _Result:
        if self._in_parts:
            with self.a.parts() as a, self.b.parts() as b:
                comparison = compare_parts(a, b, self.text, **self.how)
        else:
            comparison = compare(self.a.scores, self.b.scores, **self.how)
        fitting = [one for one in self.measures if _of_one_tokenizer(comparison) or not one.of_one_vocabulary]
        if comparison.a.spec.imported or comparison.b.spec.imported:
            fitting = []  # measures need models, and imported scores have none
        both = self.session.memory.models(self.a.model, self.b.model) if fitting else []
        taken = {}
        for measure in fitting:
            try:
                take = (measure.take_by_parts if self._in_parts else None) or measure.take
                taken[measure.name] = take(*both, self.text, self.session.settings)
            except ComparisonError as error:  # some families pad the logits of one tokenizer to several widths
                warn(f"no {measure.name} of {self.a.model} and {self.b.model} on {self.text.name}: {error}")
        return comparison, taken

    def write(self, result: _Result, files: Path) -> Content:
        content = record_comparison(*result, files)
        note = f"{content.note}{_further_figures(self.fingerprint)}{pictures({'Scatter of the log-probs': 'scatter.png'})}"
        content = replace(content, note=note, dataset=dataset_of(self.text))
        content.params["text"] = self.text.name
        if result[0].unit == "word":
            content.params["punctuation"] = self.how["punctuation"]
        return content

    def read(self, run: RecordedRun) -> _Result:
        kept = [measure.name for measure in self.measures if run.has(table_file(measure.name))]
        return _read(run, self.a, self.b), {name: read_measured(run, name) for name in kept}

    def draw(self, result: _Result) -> Drawing:
        about = self.session.about(self.fingerprint, self.kind, of_pair(result[0]))
        return Drawing(draw_comparison, (result[0], about, self.session.experiment.limits, self.session.formats))

    def run(self, outcome: Outcome[_Result]) -> ComparisonRun:
        by = str(outcome.params["by"])
        run = ComparisonRun(**self.about_run(outcome, self.session.runs), a=self.a, b=self.b, by=by)
        if outcome.result is not None:
            run.__dict__["comparison"] = outcome.result[0]  # fills the cached property
        return run


def _read(run: RecordedRun, a: ScoreRun, b: ScoreRun) -> Comparison:
    return read_comparison(run) if BY_PARTS in run.params else read_comparison(run, a.scores, b.scores)


def record_comparison(comparison: Comparison, measures: Mapping[str, Measured], folder: Path) -> Content:
    """Write the tables of a comparison, and of its measures, into a folder; return the rest of its run."""
    tables = tables_folder(folder)
    frame = comparison.to_frame()
    frame.to_parquet(folder / UNITS_TABLE, index=False)
    write_csv(frame, tables / "units.csv")
    rows = comparison.statistics_json()
    for name, measured in measures.items():
        rows |= {key: dict(row) for key, row in measured.statistics.items()}
        write_measured(measured, name, folder)
    statistics = cited_frame(rows)
    statistics.to_parquet(folder / STATISTICS_TABLE, index=False)
    write_csv(statistics, tables / "statistics.csv")
    write_csv(comparison.largest_differences(), tables / "largest_differences.csv")
    by_kind, by_passage = gaps_by_kind(comparison), passage_gaps(comparison)
    write_csv(by_kind, tables / "gaps.csv")
    if len(by_passage) > 1:
        write_csv(by_passage, tables / "passage_gaps.csv")
    a, b = comparison.a, comparison.b
    if comparison.whole:
        for table, path in zip((a, b), SAMPLES_OF_BOTH, strict=True):
            table.save(folder / path)
    estimates = comparison.estimates()
    metrics = {name: estimates[name].value for name in (*_WITH_INTERVAL, *_ALONE)}
    metrics |= {f"{name}_low": estimates[name].low for name in _WITH_INTERVAL}
    metrics |= {f"{name}_high": estimates[name].high for name in _WITH_INTERVAL}
    metrics |= comparison.resampling.numbers if comparison.resampling else {}
    metrics |= {"n": float(comparison.n), "n_units": float(comparison.n_units)}
    for measured in measures.values():
        metrics |= measured.metrics
    reasons = {name: estimate.reason for name, estimate in estimates.items() if not estimate.determined}
    params: dict[str, object] = {
        "model_a": a.spec.model,
        "model_a_description": description_of(a.spec),
        "model_b": b.spec.model,
        "model_b_description": description_of(b.spec),
        "text": comparison.text_name,
        "text_sha256": a.text_sha256,
        "by": comparison.units.by,
        "comparison_version": COMPARISON_VERSION,
    }
    if reasons:
        params["undetermined"] = reasons
    if comparison.whole:
        params[BY_PARTS] = comparison.n_parts
    unit = comparison.units.by
    params["intervals"] = comparison.intervals_from
    further = [estimate for name, estimate in estimates.items() if name not in ("pearson_r", "pearson_r_fisher", *_IN_TABLES)]
    found = "\n".join(f"- {_finding(estimate, unit)}" for estimate in further)
    models = [model_in_bold(table.spec.model, description_of(table.spec)) for table in (a, b)]
    links = {"Text heatmap": "heatmap.html", "report": "report.html", "difference": "difference.html", "scatter": "scatter.png"}
    if not _of_one_tokenizer(comparison):
        links["both by segment"] = "segments.html"
    bits = [f"{table.summary().bits_per_byte:.3f}" for table in (a, b)]
    of_what = "the sample" if comparison.whole else "it"
    note = (
        f"{links_line(links)}{_finding(estimates['pearson_r'], unit)}\n\n"
        f"a: {models[0]}, b: {models[1]}, text: **{escaped(comparison.text_name)}**. "
        f"a takes {bits[0]} bits per byte of {of_what}, b {bits[1]}. "
        "The heatmap shows both on one colour scale, the report lets you explore them token by token and sums up where "
        "they differ, the difference is b minus a, the scatter their log-probs against each other.\n\n"
        f"{found}\n\n{_in_parts(comparison)}{_where(by_kind, by_passage, unit)}{params['intervals']}; "
        "`tables/statistics.csv` has every number with its "
        "definition, unit, interval and method."
    )
    return Content(params, metrics, note)


def _further_figures(fingerprint: str) -> str:
    """Return what draws the figures that a run does not hold, in words."""
    command = f"tokenviz redraw {fingerprint[:_OF_FINGERPRINT]} --figure"
    return (
        f" `{command} gaps` draws what the difference consists of, with intervals, `{command} along_text` both models along "
        "the text."
    )


def _in_parts(comparison: Comparison) -> str:
    """How the numbers of a large text were found, in words."""
    if not comparison.whole:
        return ""
    unit, ranked = comparison.unit, comparison.spearman_rho.n
    return (
        f"**The tables were read in {comparison.n_parts:,} parts.** What is a sum over {unit}s is of all {comparison.n:,}; "
        f"Spearman's ρ, Kendall's τ and the median are of {ranked:,} {unit}s that were taken at random, from the text's hash. "
        f"The figures, `tables/units.csv`, `tables/gaps.csv` and the largest differences are of a sample of passages with "
        f"{len(comparison.units):,} {unit}s. Percentiles of divergences, and their table, are of tokens taken at random as "
        "well.\n\n"
    )


def _where(by_kind: "pd.DataFrame", by_passage: "pd.DataFrame", unit: By) -> str:
    """Return a description of where the difference is: the kinds that contribute most, and the passages."""
    kinds = by_kind[by_kind["kind"] != ALL]
    if kinds.empty:
        return ""
    order = kinds["bits_per_unit"].abs().sort_values(ascending=False, kind="stable").index[:_KINDS_NAMED]
    named = ", ".join(f"{kinds['kind'][row]} {printed(kinds['bits_per_unit'][row], 3)}" for row in order)
    total = printed(by_kind["bits_per_unit"].iloc[-1], 3)
    words = f"By {parts_of_gap(unit)}, of {total} bits per {unit} (b minus a): {named} (`tables/gaps.csv`)."
    if len(by_passage) > 1:
        furthest = zip(by_passage["passage"][:_KINDS_NAMED], by_passage["sum_bits"], strict=False)
        passages = ", ".join(f"{passage + 1} ({printed(bits, 1)} bits)" for passage, bits in furthest)
        link = "[passages](artifacts/figures/report.html)"
        words += f" The {link} that differ most: {passages} (`tables/passage_gaps.csv`)."
    return f"{words}\n\n"


def _finding(estimate: Estimate, unit: str) -> str:
    """Return a number of a comparison in words."""
    of = "" if estimate.unit in PLAIN_UNITS else f" ({estimate.unit})"
    if not estimate.determined:
        return f"{estimate.definition}{of}: {estimate.reason}"
    interval = f", 95 % interval {rounded_interval(estimate, ' to ')}" if estimate.has_interval else ""
    source = f"; resampled {estimate.drawn_from}" if estimate.drawn_from else ""
    return f"{estimate.definition}{of}: {rounded(estimate)}{interval} (n = {estimate.n} {unit}s{source})"


def _of_one_tokenizer(comparison: Comparison) -> bool:
    """Return whether one tokenizer cut the text for both models; only then can means over tokens be compared."""
    return comparison.a.spec.tokenizer == comparison.b.spec.tokenizer


def draw_comparison(
    comparison: Comparison, about: Mapping[str, object], limits: Chosen, formats: Sequence[FigureFormat], folder: Path
) -> None:
    """Draw both heatmaps on one scale, their difference, the scatter and the report.

    Args:
        comparison: A comparison of two models on one text.
        about: What made it, for the files' metadata.
        limits: Limits of the colours.
        formats: Formats that were asked for, besides what the run's page shows. In these the log-probs along the text and the
            bars of gaps are drawn as well: the report has what they show, and both take longer than all that the page needs.
        folder: The folder for the figures.
    """
    own: dict[str, tuple[HeatmapFormat, ...]] = {
        "heatmap": (*formats, "html"),
        "difference": ("html",),
        "scatter": page_formats(formats),
    }
    for figure in _FIGURES:
        if wanted := own.get(figure, formats):
            look = with_limits(figure, OWN_LOOK, limits)
            save_named(figure, comparison, folder / figure, formats=wanted, look=look, about=about)
    if not _of_one_tokenizer(comparison):
        look = with_limits("segments", OWN_LOOK, limits)
        save_named("segments", comparison, folder / "segments", formats=("html",), look=look, about=about)
    save_report(comparison, folder / "report.html", limits=limits, about=about)


def prepare_drawing() -> None:
    """Load what the first `draw_comparison` of a process would wait for: this module, and the fonts."""
    families("a")


class ComparisonKind(Kind[Comparison]):
    """Recorded comparison runs."""

    name = "comparison"
    plain = True
    of_tokens = True
    tables = (
        RunTable(
            "comparisons",
            "Log-probs of each text by two models, a and b, over $n$ tokens, or segments where the tokenizers differ: "
            r"Pearson's $r$ with its 95\,\% interval, Spearman's $\rho$, Lin's concordance $\rho_c$.",
            (("n", "$n$"), ("pearson_r", "$r$"), ("spearman_rho", r"$\rho$"), ("concordance", r"$\rho_c$")),
            interval="pearson_r",
            words=(("by", "over"),),
        ),
    )

    def read(self, run: FoundRun, reader: Reader) -> Comparison:
        recorded = reader.recorded(run)
        if BY_PARTS in run.params:
            return read_comparison(recorded)
        a, b = (reader.scores(run.params.get(name, ""), recorded.other(name)) for name in ("run_a", "run_b"))
        return read_comparison(recorded, a, b)

    def figures(self, run: FoundRun, reader: Reader) -> Mapping[str, tuple[str, ...]]:
        return {figure: formats_of(figure) for figure in FIGURES}

    def shown(self, run: FoundRun, reader: Reader) -> tuple[str, ...]:
        # The figure of gaps is newer: folders that were pulled before do not have it, and are checked against their own list.
        return tuple(figure for figure in _FIGURES if figure != "gaps")

    def draw(
        self, figure: str, source: Comparison, stem: Path, *, formats: Sequence[Any], look: Look, about: Mapping[str, object]
    ) -> list[Path]:
        return save_named(figure, source, stem, formats=formats, look=look, about=about)

    def about(self, source: Comparison) -> Mapping[str, object]:
        return of_pair(source)

    def quantities(self, run: FoundRun, reader: Reader) -> Sequence[Quantity]:
        return [Quantity(name, estimate) for name, estimate in read_statistics(reader.recorded(run)).items()]

    def rerun(self, run: FoundRun, again: Again) -> Rerun:
        if BY_PARTS in run.params:
            raise NotEnoughError(
                f"run {run.run_id} compares tables that are too large to be computed again in one process: repeat "
                f"'{run.tags.get('command', 'its command')}' with a new ledger, and compare the runs"
            )
        recorded = again.reader.recorded(run)
        pairs = [again.both(run.params[name], recorded.other(name)) for name in ("run_a", "run_b")]
        (_, a, text), (_, b, _) = pairs
        how: Alignment = {
            "by": run.params["by"],  # type: ignore[typeddict-item]  # as a job of the kind wrote it
            "punctuation": run.params.get("punctuation", "attached"),  # type: ignore[typeddict-item]  # likewise
        }
        measured = {}
        if "mean_kl_ab" in run.metrics:
            narrow = min(a.spec, b.spec, key=lambda spec: spec.context)  # windows that both models can read
            settings = Settings(a.spec.bos, narrow.context, narrow.stride, a.spec.top_k)
            measured[DIVERGENCES.name] = DIVERGENCES.take(*again.memory.models(a.spec.model, b.spec.model), text, settings)
        with tempfile.TemporaryDirectory() as folder:
            content = record_comparison(compare(a, b, **how), measured, Path(folder))
        return held_against(run, content.metrics, [(then, now) for then, now, _ in pairs])


KIND = ComparisonKind()
