"""Tests of differences: the paired sign-flip test, and two correlations that have a row in common."""

from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError
from tokenviz.stats.definitions import Values, flat, influence_on_r, pearson_r, spearman_rho
from tokenviz.stats.estimate import LEVEL, Estimate
from tokenviz.stats.intervals import DIFFERENCE, FISHER_Z, interval
from tokenviz.stats.replicates import correlation_replicates
from tokenviz.stats.resampling import SEED, Groups, Labels, check_resampling, decide, left_out, weights
from tokenviz.stats.summaries import Summary

# The paired sign-flip test: how likely are differences of this size if each could have had either sign?

FLIPS = 99_999  # random flips; a p of 0.05 is then known to 0.0014 (two standard errors)

_MOST_EXACT = 16  # differences: 65,536 ways to set their signs
_ROUNDING = 1e-12
_AT_ONCE = 1 << 20  # signs in memory


@dataclass(frozen=True)
class SignFlips:
    """The result of `sign_flip_test`.

    Attributes:
        p: Two-sided p; NaN without differences. It is never 0: at least 2 in 2^n for n differences, and at least 1 in `flips` +
            1 for random flips.
        mean: The mean difference.
        n: Number of differences, one for each text or item.
        flips: Number of ways to set the signs that were tried.
        exact: Whether these were all possible ways.
        seed: Seed of the random flips.
    """

    p: float
    mean: float
    n: int
    flips: int
    exact: bool
    seed: int

    @property
    def described(self) -> str:
        """The result in one line for readers."""
        if not self.n:
            return "no sign-flip test: there are no differences"
        how = f"all {self.flips:,} ways to set the signs" if self.exact else f"{self.flips:,} random flips, seed {self.seed}"
        least = f"; the least that {self.n} can give is {2 / 2**self.n:.2g}" if self.exact else ""
        return f"sign-flip test p = {self.p:.2g} (two-sided, {how}{least})"

    def to_json(self) -> dict[str, Any]:
        """Return plain values; None for NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def sign_flip_test(differences: Values, *, flips: int = FLIPS, seed: int = SEED) -> SignFlips:
    """Test whether paired differences are symmetric around 0.

    Each difference keeps its size and may have either sign. p is the share of the ways to set the signs whose mean is at least
    as far from 0 as the observed one. Up to n = 16 all 2^n ways are tried, else random ones, with the observed one counted
    among them: p = (1 + number as far) / (1 + flips). The differences must be independent: take one for each text or item, not
    for each token. Missing ones (NaN) are left out; those of 0 stay.

    The same: scipy.stats.permutation_test(permutation_type="samples").

    Args:
        differences: (n,), one for each text or item.
        flips: Number of random flips, where there are more than 16 differences; by default 99,999.
        seed: Seed of the random numbers (NumPy's PCG64).

    Raises:
        ComparisonError: `flips` or `seed` is not possible.

    References:
        Fisher 1935, The Design of Experiments, 21; Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular
        Biology 9:39 (why 1 is added).
    """
    if flips < 1:
        raise ComparisonError(f"{flips} flips are not possible: take at least 1")
    if seed < 0:
        raise ComparisonError(f"seed {seed} is not possible: take a whole number from 0")
    values = np.asarray(differences, float)
    values = values[~np.isnan(values)]
    n = len(values)
    if not n:
        return SignFlips(float("nan"), float("nan"), 0, 0, exact=True, seed=seed)
    least = abs(float(values.sum())) - _ROUNDING * float(np.abs(values).sum())  # sums in another order are equal up to rounding
    exact = n <= _MOST_EXACT
    if exact:
        ways = np.arange(2**n)
        as_far = sum(
            _count(values, (some[:, None] >> np.arange(n)) & 1, least)
            for some in np.array_split(ways, max(1, n * 2**n // _AT_ONCE))
        )
        return SignFlips(as_far / 2**n, float(values.mean()), n, 2**n, exact=True, seed=seed)
    random = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, _AT_ONCE // n)
    as_far = sum(
        _count(values, random.integers(0, 2, size=(min(at_once, flips - begin), n), dtype=np.int8), least)
        for begin in range(0, flips, at_once)
    )
    return SignFlips((1 + as_far) / (1 + flips), float(values.mean()), n, flips, exact=False, seed=seed)


def _count(values: Values, signs: NDArray[np.integer[Any]], least: float) -> int:
    """Return the number of ways, each a row of 0 and 1, whose sum is at least as far from 0 as `least`."""
    sums = (1 - 2 * signs) @ values
    return int((np.abs(sums) >= least).sum())


# The difference of two correlations with a common series: is a closer to b than to c?
#
# Both correlations come from the same units, so they vary together, and two overlapping intervals do not tell whether they
# differ. So both are computed for every resample, and the interval is that of their difference.

_STATISTICS = {"pearson_r": ("r", pearson_r), "spearman_rho": ("ρ", spearman_rho)}


def correlation_difference(
    a: Values,
    b: Values,
    c: Values,
    *,
    passages: Labels | None = None,
    texts: Labels | None = None,
    unit: str = "unit",
    resamples: int | None = None,
    seed: int = SEED,
    level: float = LEVEL,
) -> Summary:
    """Estimate whether a correlates more with b than with c, over the units at which none of the three is missing.

    Args:
        a: (n,) in reading order; NaN where missing.
        b: (n,) for the same units.
        c: (n,) for the same units.
        passages: (n,) the passage of its text that each unit belongs to; None for one passage.
        texts: (n,) the text of each unit; None for one text. Whole texts are resampled where there are several, as in
            `tokenviz.compare`.
        unit: The noun for a unit, such as "token".
        resamples: Number of resamples; None for 2,000, and fewer for more than 10,000 units; 0 for no intervals.
        seed: Seed of the random numbers.
        level: Level of the intervals; by default 0.95.

    Returns:
        In `estimates`, for Pearson's r: `pearson_r_ab`, `pearson_r_ac` and `pearson_r_difference`, which is r(a, b) - r(a, c),
        between -2 and 2; and the same for Spearman's rho (`spearman_rho_ab`, ...).

    Raises:
        ComparisonError: `resamples`, `seed` or `level` is not possible.

    References:
        Williams 1959, Journal of the Royal Statistical Society B 21:396-399, and Steiger 1980, Psychological Bulletin
        87:245-251, test the same difference for independent normal units (R's psych::r.test and cocor). Zou 2007, Psychological
        Methods 12:399-413, gives such units an interval.
    """
    check_resampling(resamples, seed, level)
    known = ~(np.isnan(a) | np.isnan(b) | np.isnan(c))
    a, b, c = a[known], b[known], c[known]
    none = np.zeros(len(known), np.int64)
    groups: dict[Groups, Labels] = {
        "passages": (none if passages is None else passages)[known],
        "texts": (none if texts is None else texts)[known],
    }

    def series() -> list[Values]:
        if flat(a) or flat(b) or flat(c):
            return [a]
        return [influence_on_r(a, b) - influence_on_r(a, c), influence_on_r(a, b), influence_on_r(a, c)]

    n = len(a)
    drawn, reason = decide(n, series, groups, resamples, seed, counted="units are scored by all three", unit=unit)
    found = correlation_replicates([a, b, c], chain(weights(drawn, n), left_out(drawn, n))) if drawn else {}
    estimates: dict[str, Estimate] = {}
    for name, (symbol, statistic) in _STATISTICS.items():
        ab, ac = (
            replace(statistic(a, other), definition=f"{symbol}(a, {letter})")
            for letter, other in zip("bc", (b, c), strict=True)
        )
        reasons = ab.reason or ac.reason
        difference = Estimate(ab.value - ac.value, n, f"{symbol}(a, b) − {symbol}(a, c)", reason=reasons)
        for ending, estimate in (("ab", ab), ("ac", ac), ("difference", difference)):
            if estimate.determined and drawn is None:
                estimate = replace(estimate, reason=f"no interval: {reason}")
            elif estimate.determined and drawn is not None:
                with_b, with_c = found[name]
                moved = {"ab": with_b, "ac": with_c, "difference": with_b - with_c}[ending]
                resampled, without = np.split(moved, [drawn.resamples])
                kind = DIFFERENCE if ending == "difference" else FISHER_Z
                estimate = interval(estimate, resampled, kind=kind, drawn=drawn, left_out=without, level=level)
            estimates[f"{name}_{ending}"] = estimate
    return Summary(estimates, drawn)
