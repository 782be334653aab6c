"""Statistics of paired values. Arrays in, frozen results out; nothing here knows what a model is.

Pairs in which either value is missing (NaN) are left out, and only those. A number that the data do not determine
is NaN with a reason, never 0.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FEWEST = 3


@dataclass(frozen=True)
class Estimate:
    """One number and how far it is to be trusted.

    Attributes:
        value: NaN where the data do not determine it.
        n: The pairs it rests on.
        reason: Why it is NaN; empty otherwise.
    """

    value: float
    n: int
    reason: str = ""


def paired(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The pairs in which neither value is missing."""
    both = ~(np.isnan(x) | np.isnan(y))
    return x[both], y[both]


def pearson_r(x: NDArray[np.float64], y: NDArray[np.float64]) -> Estimate:
    """Pearson's product-moment correlation of the pairs (scipy.stats.pearsonr)."""
    from scipy import stats

    x, y = paired(x, y)
    reason = _undetermined(x, y)
    return Estimate(math.nan, len(x), reason) if reason else Estimate(float(stats.pearsonr(x, y).statistic), len(x))


def spearman_rho(x: NDArray[np.float64], y: NDArray[np.float64]) -> Estimate:
    """Spearman's rank correlation of the pairs, ties at their mean rank (scipy.stats.spearmanr)."""
    from scipy import stats

    x, y = paired(x, y)
    reason = _undetermined(x, y)
    return Estimate(math.nan, len(x), reason) if reason else Estimate(float(stats.spearmanr(x, y).statistic), len(x))


def mean_difference(x: NDArray[np.float64], y: NDArray[np.float64]) -> Estimate:
    """The mean of y - x over the pairs."""
    x, y = paired(x, y)
    if not len(x):
        return Estimate(math.nan, 0, "no position is scored by both")
    return Estimate(float((y - x).mean()), len(x))


def share_greater(x: NDArray[np.float64], y: NDArray[np.float64]) -> Estimate:
    """The share of the pairs in which y is greater than x; a tie does not count."""
    x, y = paired(x, y)
    if not len(x):
        return Estimate(math.nan, 0, "no position is scored by both")
    return Estimate(float((y > x).mean()), len(x))


def _undetermined(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    if len(x) < _FEWEST:
        return f"{len(x)} positions are scored by both; a correlation needs at least {_FEWEST}"
    # A spread at the level of rounding is no spread: scipy would warn and give noise.
    for values in (x, y):
        if np.ptp(values) <= 1e-12 * np.abs(values).max():
            return "one model gives every position the same value; the correlation is not defined"
    return ""
