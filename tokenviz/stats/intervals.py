"""Intervals: in closed form, and from resamples."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import LEVEL, Estimate, Unit, percent
from tokenviz.stats.resampling import Resampling

# Intervals from resamples: how much a number varies over them.
#
# An interval is g^-1(g(value) -/+ t se), with Student's t for k - 1 degrees of freedom, where k is the number of blocks, or the
# effective number of passages or texts, that are drawn from. The scale g is one on which the number's spread hardly depends on
# its size, so that the interval is asymmetric where it should be, contains the number and stays in its range: the logarithm for
# a root mean square, and Fisher's z (artanh) for coefficients, unless a resample has a coefficient of 1, which has no z. Shares
# have Wilson's interval, for an effective number of units.
#
# se is the standard deviation of g over the resamples, times sqrt(k / (k - 1)). Where whole texts or passages are drawn, and
# there are few of them, it is at least the jackknife's: sqrt((m - 1) / m sum (g_i - g)^2), with g_i from all m texts except the
# i-th. For coefficients and sizes the factor (m - 1) / m is left out (the jackknife then is Efron and Stein's upper bound).
# Differences between texts lower a correlation and increase differences, and few texts show too little of this. Without that
# margin intervals of five to ten texts contained the true value in 88 to 93 of 100 cases.
#
# How often intervals contain the true value was simulated (tests/stats/test_coverage.py,
# tests/stats/test_coverage_of_texts.py). Percentiles of the resamples use neither t nor the factor. They contained it in 2 to 7
# of 100 cases fewer on 64 units in blocks; over texts, in 59 to 76 of 100 cases with three of them, and in 72 to 85 with five.
#
# References:
#     Künsch 1989, Annals of Statistics 17:1217-1241 (blocks); Efron and Tibshirani 1993, An Introduction to the Bootstrap,
#     12 and 14; Cameron, Gelbach and Miller 2008, Review of Economics and Statistics 90:414-427 (few groups); Efron and Stein
#     1981, Annals of Statistics 9:586-596 (the jackknife's bias is upwards).

_MOST_UNDETERMINED = 0.05  # share of the resamples that may leave the number undetermined
_ROUNDING = 1e-12
_LEAST_FACTOR = 1e-3
_MOST_EXPONENT = 25.0  # so that an interval's end can be printed
_STEEPEST = math.pi / 2 - 1e-4  # a slope of 10,000, for the same reason

Ends = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """A kind of interval.

    Attributes:
        name: Name for readers.
        scaled: Function of numbers and of the value that returns the numbers on the scale g.
        ends: Function of the value, its standard error on that scale, Student's t, and the number k of pieces that returns the
            interval's ends.
        bound: Whether the jackknife's error is not reduced by (m - 1) / m.
    """

    name: str
    scaled: Callable[[Values, float], Values]
    ends: Callable[[float, float, float, float], Ends]
    bound: bool = False


def interval(
    estimate: Estimate,
    replicates: Values,
    *,
    kind: Kind,
    drawn: Resampling,
    left_out: Values | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Return an estimate with its interval.

    Args:
        estimate: An estimate with a value.
        replicates: (m,) the statistic of each resample; NaN where one does not determine it.
        kind: The kind of interval.
        drawn: What was resampled.
        left_out: The statistic without each of the passages or texts; None or empty where it is not needed.
        level: Share of cases in which the interval must contain the true value (`adjusted_level`); by default 0.95.
    """
    undetermined = np.isnan(replicates)
    found, lost = replicates[~undetermined], undetermined.mean()
    if lost > _MOST_UNDETERMINED:
        return replace(estimate, reason=f"no interval: {lost:.0%} of the resamples do not determine this number")
    value, pieces = estimate.value, drawn.pieces
    if kind is FISHER_Z and _is_full(found if left_out is None else np.append(found, left_out)):
        kind = BOUNDED
    error = 0.0
    if value or kind is not LOGARITHM:
        error = _spread(kind.scaled(found, value), pieces)
        if left_out is not None and len(left_out):
            error = max(error, _jackknife(kind, value, left_out))
    low, high = kind.ends(value, error, _student(pieces, level), pieces)
    return replace(
        estimate,
        low=min(low, value),
        high=max(high, value),
        method=f"{kind.name}, resampled {drawn.pieces_named}",
        drawn_from=drawn.pieces_named,
        level=level,
    )


def adjusted_level(count: int, level: float = LEVEL) -> float:
    """Return the level at which each of several intervals must be made for all of them to hold at once at a given level.

    1 - (1 - level) / count, Bonferroni's bound: it is valid however the numbers depend on each other, so also where models and
    texts are shared. Where they depend strongly, as correlations with one model do, the intervals are wider than necessary.

    Args:
        count: Number of intervals, at least 1.
        level: The level for all together; by default 0.95.

    References:
        Dunn 1961, Journal of the American Statistical Association 56:52-64.
    """
    return 1 - (1 - level) / max(count, 1)


def many_intervals(count: int) -> str:
    """Return a sentence on the meaning of several intervals next to each other; empty for one or none."""
    if count < 2:
        return ""
    once, missed = percent(LEVEL), count * (1 - LEVEL)
    return (
        f"These are {count:,} intervals, each of {once} by itself: on average {missed:.1f} of them miss their number, and "
        f"the one that stands out most is the likeliest to. For all {count:,} to hold at once in {once} of studies, each "
        f"needs a level of {percent(adjusted_level(count))} (Bonferroni)."
    )


def _jackknife(kind: Kind, value: float, left_out: Values) -> float:
    """Return the standard error from leaving out each text, or passage, in turn."""
    left_out = left_out[~np.isnan(left_out)]
    moved = kind.scaled(left_out, value) - kind.scaled(np.array([value]), value)
    factor = 1.0 if kind.bound else (len(left_out) - 1) / max(len(left_out), 1)
    return math.sqrt(factor * float(moved @ moved))


def _student(pieces: float, level: float) -> float:
    """Return Student's t of the level."""
    from scipy import special  # scipy.stats would take half a second to import, and calls this

    return float(special.stdtrit(pieces - 1, (1 + level) / 2))


def _spread(replicates: Values, pieces: float) -> float:
    """Return the standard error of the replicates; for few pieces their standard deviation is slightly too small."""
    if np.ptp(replicates) == 0:
        return 0.0  # the standard deviation of equal numbers is rounding
    return float(np.std(replicates, ddof=1)) * math.sqrt(pieces / (pieces - 1))


def _is_full(coefficients: Values) -> bool:
    """Return whether a coefficient is 1 or -1, whose z is infinite: models that hardly differ rank some texts alike."""
    return bool((np.abs(coefficients) >= 1 - _ROUNDING).any())  # False for NaN


def _beyond_rounding(coefficients: Values, value: float) -> Values:
    """Return the coefficients, equal to the value where they differ by rounding only: a full correlation has no spread."""
    return np.where(np.abs(coefficients - value) <= _ROUNDING, value, coefficients)


def _on_fisher_z(coefficients: Values, value: float) -> Values:
    return _artanh(_beyond_rounding(coefficients, value))


def _bounded_ends(r: float, error: float, t: float, _: float) -> Ends:
    return max(-1.0, r - t * error), min(1.0, r + t * error)


def _fisher_ends(r: float, error: float, t: float, _: float) -> Ends:
    centre = float(_artanh(np.array(r)))
    return (math.tanh(centre - t * error), math.tanh(centre + t * error)) if error else (r, r)


def _difference_ends(difference: float, error: float, t: float, _: float) -> Ends:
    return max(-2.0, difference - t * error), min(2.0, difference + t * error)


def _on_logit(shares: Values, _: float) -> Values:
    kept = np.clip(shares, _ROUNDING, 1 - _ROUNDING)
    return np.asarray(np.log(kept / (1 - kept)))


def _logit_ends(share: float, error: float, t: float, _: float) -> Ends:
    centre = float(_on_logit(np.array(share), share))
    low, high = (1 / (1 + math.exp(-(centre + way * min(t * error, _MOST_EXPONENT)))) for way in (-1, 1))
    return low, high


def _on_angle(slopes: Values, slope: float) -> Values:
    # Angles of lines, not of vectors: a line that has turned past the vertical is near the other end of the range.
    turned = np.arctan(slopes) - math.atan(slope)
    return math.atan(slope) + (turned + math.pi / 2) % math.pi - math.pi / 2


def _angle_ends(slope: float, error: float, t: float, _: float) -> Ends:
    low, high = (math.tan(min(max(math.atan(slope) + way * t * error, -_STEEPEST), _STEEPEST)) for way in (-1, 1))
    return low, high


def _plain_ends(value: float, error: float, t: float, _: float) -> Ends:
    return value - t * error, value + t * error


def _on_logarithm(values: Values, value: float) -> Values:
    # A resample of two models that hardly differ may contain no difference at all, whose logarithm is infinite.
    return np.log(np.maximum(values / value, _LEAST_FACTOR))


def _logarithm_ends(value: float, error: float, t: float, _: float) -> Ends:
    factor = math.exp(min(t * error, _MOST_EXPONENT))
    return value / factor, value * factor


def _wilson_ends(share: float, error: float, t: float, pieces: float) -> Ends:
    """Return Wilson's score interval for as many independent units as would let the share vary as much as it does.

    Where no resample differs (all or none of the units count), the number of units is that of the pieces: an event that was not
    observed may still be possible.
    """
    effective = share * (1 - share) / error**2 if error > 0 else pieces
    square = t**2 / effective
    centre = (share + square / 2) / (1 + square)
    margin = math.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return max(0.0, centre - margin), min(1.0, centre + margin)


def _as_it_is(values: Values, _: float) -> Values:
    return values


def _artanh(values: Values) -> Values:
    return np.asarray(np.arctanh(np.clip(values, -1 + _ROUNDING, 1 - _ROUNDING)))


FISHER_Z = Kind("t interval on Fisher's z", _on_fisher_z, _fisher_ends, bound=True)
BOUNDED = Kind("t interval between -1 and 1", _beyond_rounding, _bounded_ends, bound=True)
DIFFERENCE = Kind("t interval between -2 and 2", _as_it_is, _difference_ends, bound=True)
ANGLE = Kind("t interval on the angle of the line", _on_angle, _angle_ends, bound=True)
LOGIT = Kind("t interval on the logit", _on_logit, _logit_ends, bound=True)
PLAIN = Kind("t interval", _as_it_is, _plain_ends)
LOGARITHM = Kind("t interval on the logarithm", _on_logarithm, _logarithm_ends, bound=True)
WILSON = Kind("Wilson's interval for the effective n", _as_it_is, _wilson_ends)


# Intervals in closed form: Fisher's for a correlation, Wilson's for a share, Student's for a mean, and one over groups.
#
# They need no resamples. Each one names its assumptions.

FISHER = "Fisher's z, as if the units were independent and normal"

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
    half = _student_95(count - 1) * error
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
    half = _student_95(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return replace(mean, low=mean.value - half, high=mean.value + half, method="Student's t")


def _normal() -> float:
    """Return the normal quantile of the level, 1.96."""
    from scipy import special

    return float(special.ndtri((1 + LEVEL) / 2))


def _student_95(freedom: float) -> float:
    """Return Student's t of the level."""
    from scipy import special

    return float(special.stdtrit(freedom, (1 + LEVEL) / 2))
