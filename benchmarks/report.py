"""What was measured, as tables, as a figure and as one object that an experiment returns and a run keeps."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.anatomy import Anatomy
from benchmarks.costs import Costs
from benchmarks.lineup import OURS, PREVIEW
from benchmarks.machine import workload_of
from benchmarks.measuring import CaseOutcome, Outcome
from tokenviz.data.scores import nan_to_none

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

_MEGABYTE = 1e6
HEADINGS = (
    "contender",
    "× plain loop",
    "tokens/s",
    "share of peak",
    "peak memory (MB)",
    "beyond weights (MB)",
    "largest error (nats)",
    "mean error (nats)",
    "how",
)


@dataclass(frozen=True)
class Throughput:
    """A benchmark's whole result.

    Attributes:
        machine: Processor, cores, torch, tokenviz.
        date: When it was measured, as 2026-11-29.
        models: The models' descriptions, by their specs.
        rounds: How many.
        cases: In the order of the arguments.
        anatomies: Of the cases, where tokenviz was among the contenders.
        costs: Of a short text; None where they were not measured.
        run_id: The MLflow run's; empty until it is there.
        link: Where the run's page is.
        remark: A sentence on how it was measured otherwise than the page says.
    """

    machine: Mapping[str, str | int]
    date: str
    models: Mapping[str, str]
    rounds: int
    cases: tuple[CaseOutcome, ...]
    anatomies: tuple[Anatomy, ...]
    costs: Costs | None
    run_id: str = ""
    link: str = ""
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """The result as plain values; a number that is not determined is None."""
        costs = None if self.costs is None else asdict(self.costs) | self.costs.ratios
        return {
            "experiment": "throughput",
            "run_id": self.run_id,
            "machine": dict(self.machine),
            "date": self.date,
            "models": dict(self.models),
            "rounds": self.rounds,
            "remark": self.remark,
            "cases": [_case_json(case) for case in self.cases],
            "anatomies": [asdict(anatomy) for anatomy in self.anatomies],
            "costs": costs,
        }

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> "Throughput":
        """A result from what `to_json` made of it."""
        costs = found["costs"]
        return cls(
            machine=found["machine"],
            date=found["date"],
            models=found["models"],
            rounds=found["rounds"],
            cases=tuple(map(_case_of_json, found["cases"])),
            anatomies=tuple(Anatomy(**_fields_of(Anatomy, one)) for one in found["anatomies"]),
            costs=None if costs is None else Costs(**_fields_of(Costs, costs)),
            remark=found["remark"],
        )

    def to_table(self) -> "Table":
        """The result for a terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title="throughput: the same texts by several tools", title_justify="left")
        for heading in ("case", *HEADINGS):
            numeric = heading not in ("case", "contender", "how")
            table.add_column(heading, justify="right" if numeric else "left")
        for case in self.cases:
            for number, row in enumerate(case_rows(case)):
                cells = map(escape, row)  # a tool's own message may have brackets
                table.add_row(case_title(case) if number == 0 else "", *cells, end_section=number + 1 == len(case.outcomes))
        return table

    def guide(self) -> list[str]:
        """What to do next, a line each."""
        lines = [f"Look at it: run make ui, then open {self.link}"] if self.link else []
        if self.costs is not None:
            lines.append(
                f"A short text by {self.costs.model}: a grid's cell takes {self.costs.cell_ratio:.1f} times as long as score() "
                f"alone, {self.costs.grid_texts} texts x 2 models with everything {self.costs.grid_ratio:.1f} times as long as "
                f"scoring them, tokenviz score {self.costs.command_ratio:.2f} times as long as importing torch and transformers"
            )
        return lines

    def metrics(self) -> dict[str, float]:
        """Every number by name, such as `smollm2-135m.mixed.tokenviz.ratio`."""
        found: dict[str, float] = {}
        for case in self.cases:
            found[f"{case.model}.peak_gflops"] = case.peak_flops / 1e9
            for outcome in case.outcomes:
                for name, value in _numbers(case, outcome).items():
                    found[f"{case.model}.{case.text_set}.{outcome.name}.{name}"] = value
        if self.costs is not None:
            for cell in ("first_cell", "next_cell"):
                found |= {f"{cell}.{_plain(part)}_seconds": value for part, value in getattr(self.costs, cell).items()}
            found["score_seconds"] = self.costs.score_seconds
            found |= {f"{_plain(name)}_seconds": median(taken) for name, taken in self.costs.commands.items()}
            found |= self.costs.ratios
        return found


def case_title(case: CaseOutcome) -> str:
    """A case in a line."""
    texts = f"{len(case.lengths)} text{'s' * (len(case.lengths) != 1)}"
    return f"{case.model} on {case.text_set} ({texts}, {case.n_tokens:,} tokens)"


def case_rows(case: CaseOutcome) -> list[tuple[str, ...]]:
    """A case's rows as strings, under `HEADINGS`."""
    rows = []
    for outcome in case.outcomes:
        if outcome.failed:
            rows.append((outcome.label, *["–"] * 7, f"could not run: {outcome.failed}"))
            continue
        beyond = case.memory_beyond_weights(outcome)
        per = " a text" if outcome.gives == "sums" else ""
        rows.append(
            (
                outcome.label,
                with_range(outcome.ratios, 2),
                f"{case.tokens_per_second(outcome):,.0f}",
                _percent(case.share_of_peak(outcome)),
                f"{outcome.peak_bytes / _MEGABYTE:,.0f}",
                f"{beyond / _MEGABYTE:,.0f}".replace("-", "−"),
                f"{outcome.error_largest:.1e}{per}",
                f"{outcome.error_mean:.1e}{per}",
                outcome.how,
            )
        )
    return rows


def with_range(values: tuple[float, ...], digits: int) -> str:
    """The median of rounds, and the least and the greatest where they differ in the digits that are written."""
    least, middle, greatest = (f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))
    return middle if least == greatest else f"{middle} ({least} to {greatest})"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.0%}"


def to_frame(result: Throughput) -> pd.DataFrame:
    """One row a case and contender, for the CSV."""
    rows = []
    for case in result.cases:
        for outcome in case.outcomes:
            about = {"model": case.model, "text_set": case.text_set, "n_texts": len(case.lengths), "n_tokens": case.n_tokens}
            said = {"error_over": outcome.gives, "how": outcome.how, "could_not_run": outcome.failed}
            rows.append(about | {"contender": outcome.label} | _numbers(case, outcome) | said)
    return pd.DataFrame(rows)


def markdown_table(case: CaseOutcome) -> str:
    """A case's table in Markdown."""
    lines = [HEADINGS, ["---", *["--:"] * 7, "---"], *case_rows(case)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def figure(result: Throughput) -> "Figure":
    """The ratios as bars, one panel a case."""
    from tokenviz.figures.plots.computing import RatioPanel, ratio_bars

    panels = [
        RatioPanel(
            title=case_title(case),
            names=tuple(outcome.label for outcome in case.outcomes),
            ratios=tuple(outcome.ratio for outcome in case.outcomes),
            remarks=tuple("could not run" if outcome.failed else "" for outcome in case.outcomes),
            own=frozenset(i for i, outcome in enumerate(case.outcomes) if outcome.name in (OURS.name, PREVIEW.name)),
        )
        for case in result.cases
    ]
    return ratio_bars(panels, baseline="the plain loop's")


def _numbers(case: CaseOutcome, outcome: Outcome) -> dict[str, float]:
    return {
        "ratio": outcome.ratio,
        "ratio_least": min(outcome.ratios, default=math.nan),
        "ratio_greatest": max(outcome.ratios, default=math.nan),
        "tokens_per_second": case.tokens_per_second(outcome),
        "share_of_peak": case.share_of_peak(outcome),
        "peak_megabytes": outcome.peak_bytes / _MEGABYTE if outcome.peak_bytes else math.nan,
        "beyond_weights_megabytes": case.memory_beyond_weights(outcome) / _MEGABYTE,
        "error_largest": outcome.error_largest,
        "error_mean": outcome.error_mean,
    }


def _case_json(case: CaseOutcome) -> dict[str, Any]:
    return {
        "model": case.model,
        "text_set": case.text_set,
        "n_texts": len(case.lengths),
        "n_tokens": case.n_tokens,
        "lengths": case.lengths,
        "workload": asdict(case.workload),
        "peaks": case.peaks,
        "useful_flops": case.workload.useful_flops(case.lengths),
        "contenders": [
            {name: nan_to_none(value) for name, value in (asdict(outcome) | _numbers(case, outcome)).items()}
            for outcome in case.outcomes
        ],
    }


def _case_of_json(found: Mapping[str, Any]) -> CaseOutcome:
    return CaseOutcome(
        model=found["model"],
        text_set=found["text_set"],
        lengths=tuple(found["lengths"]),
        workload=workload_of(found["workload"]),
        outcomes=tuple(Outcome(**_fields_of(Outcome, one)) for one in found["contenders"]),
        peaks=_as_it_was(found["peaks"]),
    )


def _fields_of(kind: type, found: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataclass is made of, as it was before it became JSON: with tuples, and NaN where a number is not determined."""
    return {field.name: _as_it_was(found[field.name]) for field in fields(kind)}


def _as_it_was(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_it_was(one) for name, one in value.items()}
    return math.nan if value is None else tuple(value) if isinstance(value, list) else value


def _plain(name: str) -> str:
    return name.replace(",", "").replace("--", "").replace(" ", "_")
