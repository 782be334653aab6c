"""The tables of a recorded run as the objects that they were made from: scores, comparisons and their numbers.

Nothing is computed again. A comparison keeps the recorded units and numbers, so that a figure drawn today shows what the run
says. The content of a run's tables is compared with the run's numbers in the store.
"""

import math
from collections.abc import Mapping
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tokenviz.base.errors import DamagedError, StoreError
from tokenviz.base.progress import warn
from tokenviz.comparing.alignment import By, align, units_of
from tokenviz.comparing.comparison import COMPARISON_VERSION, Comparison, recorded_comparison
from tokenviz.data.scores import SCORING_VERSION, TokenScores
from tokenviz.records.run import (
    BY_PARTS,
    SAMPLE_TABLE,
    SAMPLES_OF_BOTH,
    STATISTICS_TABLE,
    TOKENS_TABLE,
    UNITS_TABLE,
    RecordedRun,
)
from tokenviz.stats import definitions
from tokenviz.stats.estimate import Estimate
from tokenviz.stats.summaries import estimates_of

_CLOSE = 1e-9  # relative difference between two computations of one number: processors differ in the order of sums
_MOST_NAMED = 3
_BEFORE_IT_WAS_RECORDED = 2  # COMPARISON_VERSION of runs that do not record it


def read_scores(run: RecordedRun) -> TokenScores:
    """Read the token table of a score run.

    Raises:
        StoreError: The run is not a score run, its table is missing or damaged, or has other numbers than the run.
    """
    if run.kind != "score":
        reader = "load_comparison reads it" if run.kind == "comparison" else "only score runs have scores of tokens"
        raise StoreError(f"{run.described} is of kind {run.kind!r}: {reader}")
    scores = run.read(TOKENS_TABLE, TokenScores.load)
    summary = scores.summary()
    names = ("n_tokens", "n_scored", "mean_logprob", "mean_entropy")  # the definitions of these do not change
    check_numbers(run, TOKENS_TABLE, {name: float(getattr(summary, name)) for name in names})
    if scores.spec.scoring_version != SCORING_VERSION and not scores.spec.imported:
        warn(
            f"scores of scoring version {scores.spec.scoring_version} are read as they were recorded; this tokenviz has "
            f"version {SCORING_VERSION}: run the experiment again for its numbers"
        )
    return scores


def read_sample(run: RecordedRun) -> TokenScores:
    """Read what the figures of a score run show: the sample of a table that was read in parts, else the table.

    Raises:
        StoreError: The run has no such table, or another than was recorded.
    """
    return run.read(SAMPLE_TABLE, TokenScores.load) if run.kind == "score" and BY_PARTS in run.params else read_scores(run)


def read_comparison(run: RecordedRun, a: TokenScores | None = None, b: TokenScores | None = None) -> Comparison:
    """Read the comparison of a comparison run, with the recorded units and numbers.

    Args:
        run: The run.
        a: The first model's scores; None (the default) to read them.
        b: The second model's scores; None (the default) to read them.

    Returns:
        The comparison; of texts that were read in parts with the numbers of the whole, and the units of a sample.

    Raises:
        StoreError: The run is not a comparison, one of its tables or of its two score runs is missing or damaged, or the tables
            contradict each other or the run's numbers.
    """
    if run.kind != "comparison":
        reader = "load_scores reads it" if run.kind == "score" else "only comparison runs have a comparison"
        raise StoreError(f"{run.described} is of kind {run.kind!r}: {reader}")
    large = {"whole": int(run.metrics["n_units"]), "n_parts": int(run.params[BY_PARTS])} if BY_PARTS in run.params else {}
    if large:
        a, b = (run.read(table, TokenScores.load) for table in SAMPLES_OF_BOTH)
    a, b = a or read_scores(run.other("run_a")), b or read_scores(run.other("run_b"))
    by: By = run.params.get("by") or align(a, b).by  # type: ignore[assignment]  # checked by the next line
    if by not in get_args(By):
        raise DamagedError(
            f"{run.described} says that it compares over {by!r}, which is none of {', '.join(get_args(By))}: {run.cure}"
        )
    units = run.read(UNITS_TABLE, lambda path: units_of(pd.read_parquet(path), by))
    comparison = run.read(STATISTICS_TABLE, lambda path: recorded_comparison(a, b, units, pd.read_parquet(path), **large))
    _check_comparison(run, comparison)
    return comparison


def read_statistics(run: RecordedRun) -> dict[str, Estimate]:
    """Read the numbers of a comparison run by name, with intervals and definitions.

    Raises:
        StoreError: The table is missing or damaged, or has other numbers than the run.
    """
    estimates = estimates_of(run.frame("statistics"))
    _check_statistics(run, estimates)
    return estimates


def _check_comparison(run: RecordedRun, comparison: Comparison) -> None:
    """Refuse a comparison whose tables contradict each other or the run's numbers."""
    units = comparison.units
    _check_statistics(run, comparison.estimates())
    for param, scores, logprob, counts in (
        ("run_a", comparison.a, units.logprob_a, units.n_tokens_a),
        ("run_b", comparison.b, units.logprob_b, units.n_tokens_b),
    ):
        # A span has no token if all its characters are in a token that reaches into the next span.
        if not _are_sums(logprob, counts, scores, least=0 if units.by == "span" else 1):
            raise DamagedError(f"the table {UNITS_TABLE!r} of {run.described} does not fit its {param}: {run.cure}")
    if comparison.whole:
        return  # the numbers are those of the whole text
    both = ~np.isnan(units.logprob_a + units.logprob_b)
    x, y = units.logprob_a[both], units.logprob_b[both]
    found = {"n": float(both.sum()), "n_units": float(len(units))}
    found |= {"mean_difference": definitions.mean_difference(x, y).value, "pearson_r": definitions.pearson_r(x, y).value}
    differing, version = _differing(run.metrics, found), _version(run)
    if differing and version == COMPARISON_VERSION:
        raise DamagedError(_other_numbers(run, UNITS_TABLE, differing))
    if version != COMPARISON_VERSION:
        warn(
            f"comparisons of version {version} keep the numbers that were recorded; this tokenviz has version "
            f"{COMPARISON_VERSION}: run the experiment again for its numbers"
        )


def _are_sums(logprob: NDArray[np.float64], counts: NDArray[np.int64], scores: TokenScores, *, least: int) -> bool:
    """Return whether units are consecutive sums of their numbers of tokens, and each has at least `least` tokens."""
    if int(counts.sum()) != len(scores) or (counts < least).any():
        return False
    if not len(counts):
        return True
    sums = np.full(len(counts), np.nan)
    sums[counts > 0] = np.add.reduceat(scores.logprob, (np.cumsum(counts) - counts)[counts > 0])
    return bool(np.allclose(sums, logprob, rtol=_CLOSE, atol=_CLOSE, equal_nan=True))


def _check_statistics(run: RecordedRun, estimates: Mapping[str, Estimate]) -> None:
    found = {name: estimate.value for name, estimate in estimates.items()}
    found |= {f"{name}_low": estimate.low for name, estimate in estimates.items()}
    found |= {f"{name}_high": estimate.high for name, estimate in estimates.items()}
    check_numbers(run, STATISTICS_TABLE, found)


def check_numbers(run: RecordedRun, table: str, found: Mapping[str, float]) -> None:
    """Refuse a table with other numbers than its run.

    Args:
        run: The run.
        table: The path of the table among its files.
        found: The table's numbers, by name; numbers that the run does not have are ignored.

    Raises:
        DamagedError: A number differs.
    """
    if differing := _differing(run.metrics, found):
        raise DamagedError(_other_numbers(run, table, differing))


def _differing(recorded: Mapping[str, float], found: Mapping[str, float]) -> list[str]:
    """Return a line for each number that differs between a run and its table."""
    return [
        f"{name} is {recorded[name]:.6g} and {value:.6g}"
        for name, value in found.items()
        if name in recorded and not _close(recorded[name], value)
    ]


def _close(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)


def _other_numbers(run: RecordedRun, table: str, differing: list[str]) -> str:
    named = ", ".join(differing[:_MOST_NAMED]) + ", ..." * (len(differing) > _MOST_NAMED)
    return f"{run.described} and its table {table!r} hold different numbers ({named}): {run.cure}"


def _version(run: RecordedRun) -> int:
    return int(run.params.get("comparison_version", _BEFORE_IT_WAS_RECORDED))
