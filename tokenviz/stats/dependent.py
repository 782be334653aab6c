"""The difference of two correlations with a common series: is a closer to b than to c?

Both correlations come from the same units, so they vary together, and two overlapping intervals do not tell whether they
differ. So both are computed for every resample, and the interval is that of their difference.
"""

from dataclasses import replace
from itertools import chain

import numpy as np

from tokenviz.stats.definitions import Values, flat, influence_on_r, pearson_r, spearman_rho
from tokenviz.stats.estimate import LEVEL, Estimate
from tokenviz.stats.intervals import DIFFERENCE, FISHER_Z, interval
from tokenviz.stats.replicates import correlation_replicates
from tokenviz.stats.resampling import SEED, Groups, Labels, check_resampling, decide, left_out, weights
from tokenviz.stats.summaries import Summary

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
        ComparisonError: `resamples` or `seed` is not possible.

    References:
        Williams 1959, Journal of the Royal Statistical Society B 21:396-399, and Steiger 1980, Psychological Bulletin
        87:245-251, test the same difference for independent normal units (R's psych::r.test and cocor). Zou 2007, Psychological
        Methods 12:399-413, gives such units an interval.
    """
    check_resampling(resamples, seed)
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
