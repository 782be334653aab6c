"""Intervals in closed form: Fisher's for a correlation, Wilson's for a share, Student's for a mean, and one over groups.

They need no resamples. Each one names its assumptions.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import LEVEL, Estimate, Unit

FISHER = "Fisher's z, as if the units were independent and normal"

_ROUNDING = 1e-12
_LEAST = 2  # values or groups that are needed to see how much they differ


def fisher(r: Estimate) -> Estimate:
    """Add Fisher's interval to Pearson's r: tanh(artanh r -/+ 1.96 / sqrt(n - 3)).

    It is correct for independent pairs from a bivariate normal distribution. Tokens of a text are neither: neighbours depend on
    each other, and log-probs have one long tail. Then it is too narrow, by a quarter to nearly a half in simulations. It is
    shown next to the other interval for readers who know it from elsewhere.

    References:
        Fisher 1921, Metron 1:3-32.
    """
    if not r.determined:
        return r
    if r.n <= 3:
        return replace(r, reason=f"no interval: {r.n} units are scored by both, and Fisher's needs at least 4")
    margin = _normal() / math.sqrt(r.n - 3)
    centre = math.atanh(min(max(r.value, _ROUNDING - 1), 1 - _ROUNDING))
    low, high = min(math.tanh(centre - margin), r.value), max(math.tanh(centre + margin), r.value)
    return replace(r, low=low, high=high, method=FISHER)


def wilson(correct: float, n: int) -> Estimate:
    """Return a share with Wilson's interval, as if all n were independent.

    Args:
        correct: Number of correct ones; a tie is half of one.
        n: Number of all.

    Returns:
        The share; NaN where n is 0.

    References:
        Wilson 1927, Journal of the American Statistical Association 22:209-212.
    """
    if not n:
        return Estimate(math.nan, 0, unit="share", reason="there are none to count")
    z = _normal()
    share, of = float(correct) / n, z**2 / n
    middle = (share + of / 2) / (1 + of)
    half = z * math.sqrt(share * (1 - share) / n + of / (4 * n)) / (1 + of)
    return Estimate(share, n, unit="share", low=middle - half, high=middle + half, method="Wilson")


def clustered(correct: Values, groups: NDArray[np.int64]) -> Estimate:
    """Return a share with an interval over groups, which are the sample: members of one group are similar.

    The variance is that of a ratio of sums over groups; Student's t has one degree of freedom per group minus one.

    Args:
        correct: (n,) 1, 0, or 0.5 for a tie.
        groups: (n,) number of the group.

    Returns:
        The share, with an interval between 0 and 1; without one for fewer than two groups.

    References:
        Liang and Zeger 1986, Biometrika 73:13-22; Miller 2024, Adding error bars to evals.
    """
    n, count = len(correct), len(np.unique(groups))
    if not n:
        return wilson(0, 0)
    share = Estimate(float(correct.mean()), n, unit="share")
    if count < _LEAST:
        return replace(share, reason=f"no interval: {count} group, and an interval over groups needs at least {_LEAST}")
    off = np.bincount(groups, weights=correct - share.value)
    error = math.sqrt(count / (count - 1) * float((off**2).sum())) / n
    half = _student(count - 1) * error
    low, high = max(0.0, share.value - half), min(1.0, share.value + half)
    return replace(share, low=low, high=high, method="clustered by group", drawn_from=f"{count} groups")


def student(values: Values, unit: Unit = "bits") -> Estimate:
    """Return a mean with Student's interval, as if the values were independent.

    Args:
        values: (n,), none missing.
        unit: Unit of the values; by default "bits".

    Returns:
        The mean; NaN for no values, without an interval for one.

    References:
        Student 1908, Biometrika 6:1-25.
    """
    n = len(values)
    if not n:
        return Estimate(math.nan, 0, unit=unit, reason="there are no values")
    mean = Estimate(float(values.mean()), n, unit=unit)
    if n < _LEAST:
        return replace(mean, reason=f"no interval: {n} value, and an interval needs at least {_LEAST}")
    half = _student(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return replace(mean, low=mean.value - half, high=mean.value + half, method="Student's t")


def _normal() -> float:
    """Return the normal quantile of the level, 1.96."""
    from scipy import stats

    return float(stats.norm.ppf((1 + LEVEL) / 2))


def _student(freedom: float) -> float:
    """Return Student's t of the level."""
    from scipy import stats

    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))
