"""What a run holds besides its figures: its parameters, numbers, description and tables."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import pandas as pd

from tokenviz.comparing.comparison import Comparison
from tokenviz.comparing.estimate import Estimate, printed, rounded, rounded_interval
from tokenviz.comparing.information import information
from tokenviz.comparing.summaries import cited_frame
from tokenviz.figures.booktabs import frame_booktabs
from tokenviz.figures.saving import save_figure
from tokenviz.harness.measures import Measure, Measured
from tokenviz.harness.results import TOKENS_TABLE, UNITS_TABLE, ComparisonRun, MeasureRun, ScoreRun
from tokenviz.scores import TokenScores
from tokenviz.tables import cell, write_csv
from tokenviz.texts import Text
from tokenviz.tracking.entities import unwrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OPENING, _LINE = 2000, 60  # characters of a text that are kept with a run, in lines that MLflow's pages do not cut

# A comparison's numbers that are metrics of its run; tables/statistics.csv has them all. MLflow's pages bear about twenty.
_WITH_INTERVAL = ("pearson_r", "concordance", "mean_difference")
_ALONE = ("spearman_rho", "kendall_tau", "rms_difference", "share_b_more_confident", "share_same_first")
COMPARISON_METRICS = (*(f"{name}{end}" for name in _WITH_INTERVAL for end in ("", "_low", "_high")), *_ALONE)

# The columns of the summary's table: metric, heading.
_COMPARISON_COLUMNS = (
    ("pearson_r", "Pearson's r"),
    ("spearman_rho", "Spearman's ρ"),
    ("concordance", "Lin's concordance"),
    ("mean_difference", "mean difference b − a (nats)"),
    ("share_b_more_confident", "share b more confident"),
)


@dataclass(frozen=True)
class Content:
    """What a run holds besides its files; see `tracking.parcels.Slip`."""

    params: dict[str, object]
    metrics: dict[str, float]
    note: str
    curves: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    dataset: dict[str, str] = field(default_factory=dict)


def record_scores(scores: TokenScores, text: Text, seconds: float, folder: Path) -> Content:
    """Write a model/text pair's tables into a folder; return the rest of its run."""
    tables = _tables(folder)
    scores.save(folder / TOKENS_TABLE)
    write_csv(scores.to_frame(), tables / "tokens.csv")
    if text.passage_ids:
        rows = {"passage": range(len(text.passages)), "id": text.passage_ids}
        write_csv(pd.DataFrame(rows), tables / "passages.csv")
    spec = asdict(scores.spec)
    summary = scores.summary()
    numbers = {name: float(value) for name, value in asdict(summary).items()}
    metrics = dict(
        sorted(numbers.items(), key=lambda pair: pair[0].startswith("n_"))
    )  # as MLflow's pages show them: counts last
    for name, estimate in information(scores).estimates.items():
        metrics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    metrics |= {"scoring_seconds": seconds, "tokens_per_second": summary.n_tokens / seconds}
    versions = spec.pop("versions")
    params = spec | {f"version_{name}": value for name, value in versions.items()}
    params |= _text_params(text)
    note = (
        f"{_links({'Text heatmap': 'heatmap.html'})}"
        f"**{_escaped(scores.spec.model)}** on **{_escaped(text.name)}**: mean log-prob {summary.mean_logprob:.3f} nats over "
        f"{summary.n_scored} of {summary.n_tokens} tokens; perplexity per token {summary.perplexity_per_token:.2f}; "
        f"{summary.bits_per_byte:.3f} bits per byte.\n\n"
        "In the heatmap predictable tokens are darkest, a dashed outline marks a token without a prediction. "
        "`tables/tokens.parquet` holds every value; the curve `token/logprob` shows the first thousand tokens."
    )
    curve = [(row, float(value)) for row, value in enumerate(scores.logprob) if scores.scored[row]]
    return Content(params, metrics, note, {"token/logprob": curve}, dataset_of(text))


def record_comparison(comparison: Comparison, measures: Mapping[str, Measured], folder: Path) -> Content:
    """Write the tables of a comparison, and of what was measured beside it, into a folder; return the rest of its run."""
    tables = _tables(folder)
    frame = comparison.to_frame()
    frame.to_parquet(folder / UNITS_TABLE, index=False)
    write_csv(frame, tables / "units.csv")
    rows = comparison.statistics_json()
    for name, measured in measures.items():
        rows |= {key: dict(row) for key, row in measured.statistics.items()}
        _record_measured(measured, name, folder)
    statistics = cited_frame(rows)
    statistics.to_parquet(tables / "statistics.parquet", index=False)
    write_csv(statistics, tables / "statistics.csv")
    write_csv(comparison.largest_differences(), tables / "largest_differences.csv")
    a, b = comparison.a, comparison.b
    estimates = comparison.estimates()
    metrics = {name: estimates[name].value for name in (*_WITH_INTERVAL, *_ALONE)}
    metrics |= {f"{name}_low": estimates[name].low for name in _WITH_INTERVAL}
    metrics |= {f"{name}_high": estimates[name].high for name in _WITH_INTERVAL}
    metrics |= {"n": float(comparison.n), "n_units": float(len(comparison.units))}
    for measured in measures.values():
        metrics |= measured.metrics
    reasons = {name: estimate.reason for name, estimate in estimates.items() if not estimate.determined}
    params: dict[str, object] = {
        "model_a": a.spec.model,
        "model_b": b.spec.model,
        "text": comparison.text_name,
        "text_sha256": a.text_sha256,
        "by": comparison.units.by,
    }
    if reasons:
        params["undetermined"] = reasons
    unit = comparison.units.by
    params["intervals"] = comparison.intervals_from(unit)
    further = [estimate for name, estimate in estimates.items() if name not in ("pearson_r", "pearson_r_fisher")]
    found = "\n".join(f"- {_finding(estimate, unit)}" for estimate in further)
    names = [_escaped(name) for name in (a.spec.model, b.spec.model, comparison.text_name)]
    links = {"Text heatmap": "heatmap.html", "report": "report.html", "difference": "difference.html", "scatter": "scatter.png"}
    note = (
        f"{_links(links)}{_finding(estimates['pearson_r'], unit)}\n\n"
        f"a: **{names[0]}**, b: **{names[1]}**, text: **{names[2]}**. The heatmap shows both on one colour scale, the report "
        "lets you explore them token by token, the difference is b minus a, the scatter their log-probs against each other.\n\n"
        f"{found}\n\n{params['intervals']}; `tables/statistics.csv` has every number with its "
        "definition, unit, interval and method."
    )
    return Content(params, metrics, note)


def _record_measured(measured: Measured, name: str, folder: Path) -> None:
    measured.table.to_parquet(folder / "tables" / f"{name}.parquet", index=False)
    write_csv(measured.table, folder / "tables" / f"{name}.csv")


def record_measure(
    measured: Measured, measure: Measure, model: str, text: Text, settings: Mapping[str, object], folder: Path
) -> Content:
    """Write what a measure found of one model on one text into a folder; return the rest of its run.

    Args:
        measured: What it found.
        measure: The measure.
        model: The model spec's label.
        text: The text.
        settings: What else moves the numbers, for the run's parameters.
        folder: To write into.
    """
    name = measure.name
    _tables(folder)
    _record_measured(measured, name, folder)
    metrics = dict(measured.metrics)
    params: dict[str, object] = {"model": model, "measure": name, "measure_version": measure.version}
    params |= {**measure.settings, **settings, **_text_params(text)}
    found = "\n".join(f"- {_escaped(metric)}: {cell(value)}" for metric, value in metrics.items())
    heatmap = "**[Text heatmap](artifacts/figures/heatmap.html)**\n\n" if measure.shown else ""
    source = f"Source: {_escaped(measure.source)}\n\n" if measure.source else ""
    note = (
        f"{_escaped(name)} of **{_escaped(model)}** on **{_escaped(text.name)}**\n\n{heatmap}{found}\n\n{source}"
        f"`tables/{name}.parquet` holds every value."
    )
    return Content(params, metrics, note, measured.curves, dataset_of(text))


def _text_params(text: Text) -> dict[str, object]:
    return {"text": text.name, "text_sha256": text.sha256, "n_passages": len(text.passages)}


def dataset_of(text: Text) -> dict[str, str]:
    """The text as MLflow's pages show what a run was made of: its name and hash, its size, how it begins."""
    opening = next(passage for passage in text.passages if passage)[:_OPENING]
    profile: dict[str, object] = {"passages": len(text.passages), "characters": sum(map(len, text.passages))}
    profile |= {f"line {number}": line for number, line in enumerate(wrap(opening, _LINE), 1)}
    return {
        "name": text.name,
        "digest": text.sha256,
        "source_type": "text",
        "source": json.dumps({"text": text.name, "sha256": text.sha256}, ensure_ascii=False),
        "profile": json.dumps(profile, ensure_ascii=False),
    }


def record_summary(
    scores: Sequence[ScoreRun],
    comparisons: Sequence[ComparisonRun],
    measures: Sequence[MeasureRun],
    description: str,
    figures: Mapping[str, Callable[[], "Figure"]],
    own_tables: Mapping[str, pd.DataFrame],
    about: Mapping[str, object],
    folder: Path,
) -> Content:
    """Write a grid's tables and figures into a folder; return the rest of its run."""
    tables, drawn = _tables(folder), folder / "figures"
    drawn.mkdir()
    for name, table in own_tables.items():
        write_csv(table, tables / f"{name}.csv")
        (tables / f"{name}.tex").write_text(frame_booktabs(table, about), encoding="utf-8")
    score_rows = [
        {"model": run.model, "text": run.text, **asdict(run.scores.summary()), "run_id": run.run_id} for run in scores
    ]
    write_csv(pd.DataFrame(score_rows), tables / "scores.csv")
    if comparisons:
        rows = [
            {"model_a": run.a.model, "model_b": run.b.model, "text": run.a.text, "by": run.by}
            | {name: run.metrics.get(name) for name in ("n", *COMPARISON_METRICS)}
            | {"run_id": run.run_id}
            for run in comparisons
        ]
        write_csv(pd.DataFrame(rows), tables / "comparisons.csv")
    links = {}
    for name, draw in figures.items():
        saved = save_figure(draw(), drawn / name, title=name, description=json.dumps(about))
        links[_escaped(name)] = saved[0].name
    note = "\n\n".join(
        part
        for part in (
            f"{_links(links)}{headline(scores, comparisons)}",
            unwrapped(description.strip()),
            *(f"**{_escaped(name)}**\n\n{frame_table(table)}" for name, table in own_tables.items()),
            comparison_table(comparisons),
            score_table(scores),
        )
        if part
    )
    metrics = {
        f"n_{kind}_runs": float(len(runs))
        for kind, runs in (("score", scores), ("comparison", comparisons), ("measure", measures))
        if runs
    }
    return Content({}, metrics, note)


def headline(scores: Sequence[ScoreRun], comparisons: Sequence[ComparisonRun]) -> str:
    """The grid in a sentence."""
    models, texts = {run.model for run in scores}, {run.text for run in scores}
    size = f"{len(models)} model{'s' * (len(models) != 1)} on {len(texts)} text{'s' * (len(texts) != 1)}"
    found = [run.metrics["pearson_r"] for run in comparisons if "pearson_r" in run.metrics]
    span = f": Pearson's r from {min(found):.3f} to {max(found):.3f} over {len(found)} comparisons" if found else ""
    return f"**{size}{span}.**"


def comparison_table(comparisons: Sequence[ComparisonRun]) -> str:
    """The comparisons' numbers as a Markdown table; empty where there are none."""
    if not comparisons:
        return ""
    headings = ["a", "b", "text", "n", "over", *(heading for _, heading in _COMPARISON_COLUMNS)]
    rows = [
        [
            _escaped(run.a.model),
            _escaped(run.b.model),
            _escaped(run.a.text),
            f"{run.metrics['n']:.0f}",
            f"{run.by}s",
        ]
        + [_with_interval(run.estimate(name)) for name, _ in _COMPARISON_COLUMNS]
        for run in comparisons
    ]
    return f"In brackets: 95 % intervals.\n\n{_markdown(headings, rows)}"


def frame_table(frame: pd.DataFrame) -> str:
    """Any table as a Markdown table."""
    rows = [[_escaped(cell(value)) for value in row] for row in frame.itertuples(index=False)]
    return _markdown([_escaped(str(name)) for name in frame.columns], rows)


def score_table(scores: Sequence[ScoreRun]) -> str:
    """The scores' summaries as a Markdown table."""
    headings = [
        "model",
        "text",
        "tokens",
        "scored",
        "mean log-prob (nats)",
        "perplexity per token",
        "bits per byte",
    ]
    rows = []
    for run in scores:
        summary = run.scores.summary()
        values = [printed(summary.mean_logprob, 3), printed(summary.perplexity_per_token), printed(summary.bits_per_byte, 3)]
        rows.append([_escaped(run.model), _escaped(run.text), str(summary.n_tokens), str(summary.n_scored), *values])
    return _markdown(headings, rows)


def _markdown(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _finding(estimate: Estimate, unit: str) -> str:
    """A number of a comparison in words."""
    of = "" if estimate.unit in ("coefficient", "share") else f" ({estimate.unit})"
    if not estimate.determined:
        return f"{estimate.definition}{of}: {estimate.reason}"
    interval = f", 95 % interval {rounded_interval(estimate, ' to ')}" if estimate.has_interval else ""
    return f"{estimate.definition}{of}: {rounded(estimate)}{interval} (n = {estimate.n} {unit}s)"


def _links(figures: Mapping[str, str]) -> str:
    """A description's first line, links to figures by their names: further down MLflow's pages take no click at first."""
    links = ", ".join(f"**[{name}](artifacts/figures/{file})**" for name, file in figures.items())
    return f"{links}  \n" if links else ""


def _with_interval(estimate: Estimate) -> str:
    return f"{rounded(estimate)} ({rounded_interval(estimate, ' to ')})" if estimate.has_interval else rounded(estimate)


def _escaped(name: str) -> str:
    """A model's or text's name in Markdown: signs that would be markup are only signs."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>()#+!|~$" else sign for sign in name.replace("\n", " "))


def _tables(folder: Path) -> Path:
    tables = folder / "tables"
    tables.mkdir()
    return tables
