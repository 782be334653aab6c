"""Every statistic of a comparison, of many resamples at once: the same definitions as in `statistics`, over units that
count as often as a resample holds them.

Means, variances and shares come from weighted sums, ranks and medians from weights in the order of the values
(`ranks`). Each replicate is the statistic of the whole resample, computed anew; none is approximated.
"""

from collections.abc import Iterable

import numpy as np

from tokenviz.comparing.ranks import Inversions, Middle, Order, kendall, spearman
from tokenviz.comparing.resampling import Weights
from tokenviz.comparing.statistics import Values

_ROUNDING = 1e-13


def replicates(x: Values, y: Values, same: Values, resamples: Iterable[Weights]) -> dict[str, Values]:
    """The statistics of each resample.

    Args:
        x: (n,), nothing missing.
        y: (n,), nothing missing.
        same: (n,), 1 where the first choices are the same, 0 where not, NaN where that is not known.
        resamples: Weights (n, m) at a time.

    Returns:
        By the names that `Agreement` gives the statistics, one number a resample; NaN where a resample does not
        determine one.
    """
    moments = _Moments(x, y, same)
    order_x, order_y, middle = Order(x), Order(y), Middle(y - x)
    pairs = np.unique(np.stack([x, y]), axis=1, return_inverse=True)[1]
    order_both, inversions = Order(pairs.astype(float)), Inversions(x, y)
    parts = []
    for drawn in resamples:
        ranked_x, ranked_y = order_x.of(drawn), order_y.of(drawn)
        # Where no two units are equal in x, none are in both, and the only ties are copies.
        both = ranked_x if order_x.distinct else order_both.of(drawn)
        ranks = {
            "spearman_rho": spearman(drawn, ranked_x, ranked_y),
            "kendall_tau": kendall(drawn, ranked_x, ranked_y, both, inversions),
            "median_difference": middle.of(drawn),
        }
        parts.append(moments.of(drawn) | ranks)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class _Moments:
    """What follows from sums over the units."""

    def __init__(self, x: Values, y: Values, same: Values) -> None:
        # Centred first: a variance is a small difference of large numbers otherwise.
        u, v, difference = x - x.mean(), y - y.mean(), y - x
        known = ~np.isnan(same)
        columns = [np.ones(len(x)), u, v, u * u, v * v, u * v, difference, difference**2]
        columns += [difference > 0, difference < 0, known, np.where(known, same, 0.0)]
        self._columns = np.stack(columns, axis=1).astype(np.float64)  # (n, columns)
        # A resample's variance is a difference of sums: below, it is their rounding, and the row is constant.
        self._flat = [_ROUNDING * float((values**2).max()) for values in (u, v)]

    def of(self, drawn: Weights) -> dict[str, Values]:
        sums = drawn.T.astype(np.float64) @ self._columns
        n, u, v, uu, vv, uv, shift, square, greater, less, known, same = sums.T
        mean_u, mean_v = u / n, v / n
        variance_x, variance_y = uu / n - mean_u**2, vv / n - mean_v**2
        covariance, shift = uv / n - mean_u * mean_v, shift / n
        spread = (variance_x > self._flat[0]) & (variance_y > self._flat[1])
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.where(spread, covariance / np.sqrt(variance_x * variance_y), np.nan)
            concordance = np.where(spread, 2 * covariance / (variance_x + variance_y + shift**2), np.nan)
            share_same = same / known
        return {
            "pearson_r": np.clip(r, -1, 1),
            "concordance": np.clip(concordance, -1, 1),
            "mean_difference": shift,
            "rms_difference": np.sqrt(square / n),
            "share_a_more_confident": less / n,
            "share_b_more_confident": greater / n,
            "share_same_first": share_same,
        }
