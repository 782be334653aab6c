"""What a run holds: its parameters, numbers, description, tables and figures."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.along import along_text
from tokenviz.figures.files import save_heatmap
from tokenviz.figures.saving import save_figure
from tokenviz.figures.scatter import unity_scatter
from tokenviz.harness.measures import Measured
from tokenviz.scores import TokenScores
from tokenviz.tables import cell, write_csv
from tokenviz.texts import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tokenviz.harness.grid import ComparisonRun, ScoreRun

T = TypeVar("T")

TOKENS_TABLE = "tables/tokens.parquet"

# The columns of the summary's tables: metric, heading, decimals.
_COMPARISON_COLUMNS = (
    ("pearson_r", "Pearson's r", 3),
    ("spearman_rho", "Spearman's ρ", 3),
    ("mean_difference", "mean difference b − a (nats)", 3),
    ("share_b_more_confident", "share b more confident", 3),
)


@dataclass(frozen=True)
class Content:
    """What `OpenRun.log` takes, besides the folder of files."""

    params: dict[str, object]
    metrics: dict[str, float]
    note: str
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """A result and the seconds it took."""
    begin = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begin


def record_scores(scores: TokenScores, text: Text, seconds: float, folder: Path, run_id: str) -> Content:
    """Write a model/text pair's tables and figures into a folder; return the rest of its run."""
    tables, figures = _folders(folder)
    scores.save(folder / TOKENS_TABLE)
    write_csv(scores.to_frame(), tables / "tokens.csv")
    if text.passage_ids:
        rows = {"passage": range(len(text.passages)), "id": text.passage_ids}
        write_csv(pd.DataFrame(rows), tables / "passages.csv")
    spec = asdict(scores.spec)
    save_heatmap(scores, figures / "heatmap", about={"run": run_id, "text_sha256": text.sha256, "spec": spec})
    summary = scores.summary()
    metrics = {name: float(value) for name, value in asdict(summary).items()}
    metrics |= {"scoring_seconds": seconds, "tokens_per_second": summary.n_tokens / seconds}
    versions = spec.pop("versions")
    params = spec | {f"version_{name}": value for name, value in versions.items()}
    params |= {"text": text.name, "text_sha256": text.sha256, "n_passages": len(text.passages)}
    note = (
        f"**{_escaped(scores.spec.model)}** on **{_escaped(text.name)}**: mean log-prob {summary.mean_logprob:.3f} nats over "
        f"{summary.n_scored} of {summary.n_tokens} tokens; perplexity per token {summary.perplexity_per_token:.2f}; "
        f"{summary.bits_per_byte:.3f} bits per byte.\n\n"
        "Open **Artifacts › figures › heatmap.html**: predictable tokens are darkest, a dashed outline marks a token "
        "without a prediction. `tables/tokens.parquet` holds every value; the curve `token/logprob` shows the first "
        "thousand tokens."
    )
    curve = [(row, float(value)) for row, value in enumerate(scores.logprob) if scores.scored[row]]
    return Content(params, metrics, note, {"token/logprob": curve})


def record_comparison(comparison: Comparison, run_a: str, run_b: str, folder: Path, run_id: str) -> Content:
    """Write a comparison's tables and figures into a folder; return the rest of its run."""
    tables, figures = _folders(folder)
    frame = comparison.to_frame()
    frame.to_parquet(tables / "units.parquet", index=False)
    write_csv(frame, tables / "units.csv")
    a, b = comparison.a, comparison.b
    title = f"{a.spec.model} and {b.spec.model} on {comparison.text_name}"
    about = {"run": run_id, "scores": [run_a, run_b]}
    save_heatmap(comparison, figures / "heatmap", about=about)
    save_heatmap(comparison, figures / "difference", measure="difference", formats=["html"], about=about)
    for name, figure in (
        ("scatter", unity_scatter(comparison)),
        ("along_text", along_text(comparison)),
    ):
        save_figure(figure, figures / name, title=title, description=json.dumps(about))
    estimates = comparison.estimates()
    metrics = {name: estimate.value for name, estimate in estimates.items()}
    metrics |= {"n": float(comparison.n), "n_units": float(len(comparison.units))}
    reasons = {name: estimate.reason for name, estimate in estimates.items() if estimate.reason}
    params: dict[str, object] = {
        "model_a": a.spec.model,
        "model_b": b.spec.model,
        "text": comparison.text_name,
        "text_sha256": a.text_sha256,
        "by": comparison.units.by,
        "run_a": run_a,
        "run_b": run_b,
    }
    if reasons:
        params["undetermined"] = reasons
    unit = comparison.units.by
    found = "\n".join(
        f"- {heading}: {estimates[name].reason or f'{estimates[name].value:.{decimals}f}'} (n = {estimates[name].n} {unit}s)"
        for name, heading, decimals in _COMPARISON_COLUMNS
    )
    names = [_escaped(name) for name in (a.spec.model, b.spec.model, comparison.text_name)]
    note = (
        f"a: **{names[0]}**, b: **{names[1]}**, text: **{names[2]}**\n\n{found}\n\n"
        "Open **Artifacts › figures › heatmap.html** for both models on one colour scale, **difference.html** for b minus a, "
        "**scatter.png** for the log-probs against each other."
    )
    return Content(params, metrics, note)


def record_measured(measured: Measured, name: str, folder: Path) -> Mapping[str, float]:
    """Write a measure's table beside a comparison's; return its metrics."""
    tables = folder / "tables"
    measured.table.to_parquet(tables / f"{name}.parquet", index=False)
    write_csv(measured.table, tables / f"{name}.csv")
    return measured.metrics


def record_summary(
    scores: Sequence["ScoreRun"],
    comparisons: Sequence["ComparisonRun"],
    description: str,
    figures: Mapping[str, Callable[[], "Figure"]],
    own_tables: Mapping[str, pd.DataFrame],
    folder: Path,
) -> Content:
    """Write a grid's tables and figures into a folder; return the rest of its run."""
    tables, drawn = _folders(folder)
    for name, table in own_tables.items():
        write_csv(table, tables / f"{name}.csv")
    score_rows = [
        {"model": run.model, "text": run.text, **asdict(run.scores.summary()), "run_id": run.run_id} for run in scores
    ]
    write_csv(pd.DataFrame(score_rows), tables / "scores.csv")
    if comparisons:
        rows = [
            {"model_a": run.a.model, "model_b": run.b.model, "text": run.a.text, "by": run.by}
            | {name: run.metrics.get(name) for name in ("n", *(column[0] for column in _COMPARISON_COLUMNS))}
            | {"run_id": run.run_id}
            for run in comparisons
        ]
        write_csv(pd.DataFrame(rows), tables / "comparisons.csv")
    for name, draw in figures.items():
        about = json.dumps({"scores": [run.run_id for run in scores], "comparisons": [run.run_id for run in comparisons]})
        save_figure(draw(), drawn / name, title=name, description=about)
    note = "\n\n".join(
        part
        for part in (
            headline(scores, comparisons),
            description.strip(),
            *(f"**{_escaped(name)}**\n\n{frame_table(table)}" for name, table in own_tables.items()),
            comparison_table(comparisons),
            score_table(scores),
        )
        if part
    )
    metrics = {"n_score_runs": float(len(scores)), "n_comparison_runs": float(len(comparisons))}
    return Content({}, metrics, note)


def headline(scores: Sequence["ScoreRun"], comparisons: Sequence["ComparisonRun"]) -> str:
    """The grid in a sentence."""
    models, texts = {run.model for run in scores}, {run.text for run in scores}
    size = f"{len(models)} model{'s' * (len(models) != 1)} on {len(texts)} text{'s' * (len(texts) != 1)}"
    found = [run.metrics["pearson_r"] for run in comparisons if "pearson_r" in run.metrics]
    span = f": Pearson's r from {min(found):.3f} to {max(found):.3f} over {len(found)} comparisons" if found else ""
    return f"**{size}{span}.**"


def comparison_table(comparisons: Sequence["ComparisonRun"]) -> str:
    """The comparisons' numbers as a Markdown table; empty where there are none."""
    if not comparisons:
        return ""
    headings = ["a", "b", "text", "n", "over", *(heading for _, heading, _ in _COMPARISON_COLUMNS)]
    rows = [
        [
            _escaped(run.a.model),
            _escaped(run.b.model),
            _escaped(run.a.text),
            f"{run.metrics['n']:.0f}",
            f"{run.by}s",
        ]
        + [_cell(run.metrics.get(name), decimals) for name, _, decimals in _COMPARISON_COLUMNS]
        for run in comparisons
    ]
    return _markdown(headings, rows)


def frame_table(frame: pd.DataFrame) -> str:
    """Any table as a Markdown table."""
    rows = [[_escaped(cell(value)) for value in row] for row in frame.itertuples(index=False)]
    return _markdown([_escaped(str(name)) for name in frame.columns], rows)


def score_table(scores: Sequence["ScoreRun"]) -> str:
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
        values = [
            _cell(summary.mean_logprob, 3),
            _cell(summary.perplexity_per_token, 2),
            _cell(summary.bits_per_byte, 3),
        ]
        rows.append([_escaped(run.model), _escaped(run.text), str(summary.n_tokens), str(summary.n_scored), *values])
    return _markdown(headings, rows)


def _markdown(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: float | None, decimals: int) -> str:
    return "–" if value is None or value != value else f"{value:.{decimals}f}"


def _escaped(name: str) -> str:
    """A model's or text's name in Markdown: signs that would be markup are only signs."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>()#+!|~$" else sign for sign in name.replace("\n", " "))


def _folders(folder: Path) -> tuple[Path, Path]:
    tables, figures = folder / "tables", folder / "figures"
    tables.mkdir()
    figures.mkdir()
    return tables, figures
