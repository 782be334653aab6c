"""The statistics of a comparison for many resamples at once, over units weighted by how often a resample contains them.

The definitions are those of `definitions`. Means, variances and shares come from weighted sums, ranks and medians from weights
in the order of the values. Each replicate is the exact statistic of the whole resample, not an approximation.

A resample contains a unit several times, and its copies are ties, so ranks are means over ties. Nothing is sorted again, since
the order of the values does not change.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenviz.stats.definitions import Values
from tokenviz.stats.resampling import Weights, sums_before

_ROUNDING = 1e-13

Indices = NDArray[np.intp]


def correlation_replicates(rows: Sequence[Values], resamples: Iterable[Weights]) -> dict[str, Values]:
    """Return the correlations of the first series with each of the others, in each resample.

    Args:
        rows: The series, each (n,), nothing missing.
        resamples: Weights (n, m) at a time.

    Returns:
        `pearson_r` and `spearman_rho`, each (number of other series, resamples).
    """
    first, *others = rows
    moments = [_Moments.of_units(first, other, np.full(len(first), np.nan)) for other in others]
    orders = [Order(row) for row in rows]
    found: dict[str, list[Values]] = {"pearson_r": [], "spearman_rho": []}
    for drawn in resamples:
        ranked, *rest = [order.of(drawn) for order in orders]
        found["pearson_r"].append(np.stack([one.of(drawn)["pearson_r"] for one in moments]))
        found["spearman_rho"].append(np.stack([spearman(drawn, ranked, one) for one in rest]))
    return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}


def unit_replicates(
    x: Values, y: Values, same: Values, resamples: Iterable[Weights], *, ranks: bool = True
) -> dict[str, Values]:
    """Return the statistics of each resample.

    Args:
        x: (n,), nothing missing.
        y: (n,), nothing missing.
        same: (n,), 1 where the first choices are the same, 0 where not, NaN where it is not known.
        resamples: Weights (n, m) at a time.
        ranks: Whether to include the statistics of ranks and the median, which take most of the time; by default yes.

    Returns:
        By the names of the statistics in `Agreement`, one number per resample; NaN where a resample does not determine one.
    """
    moments = _Moments.of_units(x, y, same)
    ranked = _Ranks(x, y) if ranks else None
    parts = [moments.of(drawn) | (ranked.of(drawn) if ranked else {}) for drawn in resamples]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class _Ranks:
    """The statistics that depend on the order of the units."""

    def __init__(self, x: Values, y: Values) -> None:
        self._x, self._y, self._middle = Order(x), Order(y), Middle(y - x)
        pairs = np.unique(np.stack([x, y]), axis=1, return_inverse=True)[1]
        self._both, self._inversions = Order(pairs.astype(float)), Inversions(x, y)

    def of(self, drawn: Weights) -> dict[str, Values]:
        x, y = self._x.of(drawn), self._y.of(drawn)
        # Where no two units are equal in x, none are equal in both, and the only ties are copies.
        both = x if self._x.distinct else self._both.of(drawn)
        return {
            "spearman_rho": spearman(drawn, x, y),
            "kendall_tau": kendall(drawn, x, y, both, self._inversions),
            "median_difference": self._middle.of(drawn),
        }


@dataclass(frozen=True)
class PartSums:
    """The pairs of one part of a text, in as many numbers as their moments follow from.

    Attributes:
        n: Pairs.
        mean_x: Mean of x.
        mean_y: Mean of y.
        xx: Sum of the squared deviations of x from its mean here.
        yy: Sum of the squared deviations of y from its mean here.
        xy: Sum of the products of both deviations.
        dd: Sum of the squared deviations of y - x from their mean here.
        greater: Pairs in which y is greater.
        less: Pairs in which x is.
        known: Pairs of which it is known if the first choices are the same.
        same: Pairs of which they are.
        ends_x: The least and the greatest x.
        ends_y: The least and the greatest y.
        ends_d: The least and the greatest y - x.
    """

    n: int
    mean_x: float
    mean_y: float
    xx: float
    yy: float
    xy: float
    dd: float
    greater: int
    less: int
    known: int
    same: int
    ends_x: tuple[float, float]
    ends_y: tuple[float, float]
    ends_d: tuple[float, float]

    @classmethod
    def of(cls, x: Values, y: Values, same: Values) -> "PartSums":
        """Sum up at least one pair; the arguments are those of `unit_replicates`."""
        u, v, d = x - x.mean(), y - y.mean(), y - x
        known = same[~np.isnan(same)]
        ends_x, ends_y, ends_d = ((float(values.min()), float(values.max())) for values in (x, y, d))
        return cls(
            n=len(x),
            mean_x=float(x.mean()),
            mean_y=float(y.mean()),
            xx=float((u * u).sum()),
            yy=float((v * v).sum()),
            xy=float((u * v).sum()),
            dd=float(((d - d.mean()) ** 2).sum()),
            greater=int((d > 0).sum()),
            less=int((d < 0).sum()),
            known=len(known),
            same=int(known.sum()),
            ends_x=ends_x,
            ends_y=ends_y,
            ends_d=ends_d,
        )


def part_replicates(parts: Sequence[PartSums], resamples: Iterable[Weights]) -> dict[str, Values]:
    """Return the statistics that follow from sums, of resamples of whole parts: those of `unit_replicates` without ranks.

    Resampled once with every part, that is weights of ones, they are the statistics of the whole.

    Args:
        parts: All that there are, k of them.
        resamples: How often each part is in each resample: weights (k, m) at a time.
    """
    moments = _Moments.of_parts(parts)
    found = [moments.of(drawn) for drawn in resamples]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def rank_replicates(x: Values, y: Values, resamples: Iterable[Weights]) -> dict[str, Values]:
    """Return the statistics of `unit_replicates` that follow from the order of the units."""
    ranked = _Ranks(x, y)
    found = [ranked.of(drawn) for drawn in resamples]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


class _Moments:
    """Numbers that follow from sums over the units, or over parts of them."""

    def __init__(self, columns: Values, widest: Values, greatest: float, means: tuple[float, float]) -> None:
        """Take the sums.

        Args:
            columns: (n, columns) of each unit, or of each part the sums of its units.
            widest: The greatest squares of centred x, centred y, and the difference of both.
            greatest: The greatest absolute value of x and y.
            means: Means of x and y, by which the columns are centred.
        """
        self._columns, self._means = columns, means
        # A resample's variance is a difference of sums: below, it is their rounding, and the row is constant.
        self._flat = [_ROUNDING * float(square) for square in widest]
        # Differences that are equal but for the rounding of x and y do not differ.
        self._flat[2] = max(self._flat[2], (1e-12 * greatest) ** 2)

    @classmethod
    def of_units(cls, x: Values, y: Values, same: Values) -> "_Moments":
        """Return what resamples of units are computed from."""
        # The values are centred first: otherwise a variance is a small difference of large numbers.
        u, v, difference = x - x.mean(), y - y.mean(), y - x
        known = ~np.isnan(same)
        columns = [np.ones(len(x)), u, v, u * u, v * v, u * v, difference, difference**2]
        columns += [difference > 0, difference < 0, known, np.where(known, same, 0.0), (v - u) ** 2]
        widest = np.array([(values**2).max() for values in (u, v, v - u)])
        greatest = float(np.abs([x, y]).max())
        return cls(np.stack(columns, axis=1).astype(np.float64), widest, greatest, (float(x.mean()), float(y.mean())))

    @classmethod
    def of_parts(cls, parts: Sequence[PartSums]) -> "_Moments":
        """Return what resamples of parts are computed from."""
        n, mean_x, mean_y, xx, yy, xy, dd, greater, less, known, same = (
            np.array([getattr(part, name) for part in parts], np.float64)
            for name in ("n", "mean_x", "mean_y", "xx", "yy", "xy", "dd", "greater", "less", "known", "same")
        )
        x, y = (math.fsum(n * means) / math.fsum(n) for means in (mean_x, mean_y))
        u, v, difference = mean_x - x, mean_y - y, mean_y - mean_x
        columns = [n, n * u, n * v, xx + n * u**2, yy + n * v**2, xy + n * u * v, n * difference, dd + n * difference**2]
        columns += [greater, less, known, same, dd + n * (v - u) ** 2]
        ends = [np.array([getattr(part, name) for part in parts]) for name in ("ends_x", "ends_y", "ends_d")]
        widest = np.array([((end - centre) ** 2).max() for end, centre in zip(ends, (x, y, y - x), strict=True)])
        greatest = float(np.abs(np.concatenate(ends[:2])).max())
        return cls(np.stack(columns, axis=1), widest, greatest, (x, y))

    def of(self, drawn: Weights) -> dict[str, Values]:
        sums = drawn.T.astype(np.float64) @ self._columns
        n, u, v, uu, vv, uv, shift, square, greater, less, known, same, apart = sums.T
        mean_u, mean_v = u / n, v / n
        variance_x, variance_y = uu / n - mean_u**2, vv / n - mean_v**2
        covariance, shift = uv / n - mean_u * mean_v, shift / n
        spread = (variance_x > self._flat[0]) & (variance_y > self._flat[1])
        deviation_x, deviation_y = np.sqrt(np.maximum(variance_x, 0)), np.sqrt(np.maximum(variance_y, 0))
        variance_difference = apart / n - (mean_v - mean_u) ** 2
        across, along = 2 * covariance, variance_x - variance_y
        with np.errstate(invalid="ignore", divide="ignore"):
            free = np.sqrt(n / (n - 1))
            differs = variance_difference > self._flat[2]
            accuracy = 2 * deviation_x * deviation_y / (variance_x + variance_y + shift**2)
            least = 1e-12 * (variance_x + variance_y)
            a_line = spread & ((np.abs(across) > least) | (along > least))
            slope = np.where(a_line, np.tan(np.arctan2(across, along) / 2), np.nan)
            location = np.where(spread, shift / np.sqrt(deviation_x * deviation_y), np.nan)
            scale = np.where(spread, deviation_y / deviation_x, np.nan)
            d_z = np.where(spread & differs, shift / (np.sqrt(variance_difference) * free), np.nan)
            d_av = np.where(spread, 2 * shift / ((deviation_x + deviation_y) * free), np.nan)
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
            "concordance_accuracy": np.where(spread, accuracy, np.nan),
            "location_shift": location,
            "scale_shift": scale,
            "deming_slope": slope,
            "deming_intercept": self._means[1] + mean_v - slope * (self._means[0] + mean_u),
            "d_z": d_z,
            "d_av": d_av,
        }


class Order:
    """The values of one series in order, prepared for any number of resamples.

    Attributes:
        distinct: Whether no two values are equal.
    """

    def __init__(self, values: Values) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._first = np.searchsorted(ordered, values, "left")  # for each unit, the number of smaller values
        self._last = np.searchsorted(ordered, values, "right")  # for each unit, the number of values that are not greater
        self.distinct = bool((self._last - self._first == 1).all())

    def of(self, drawn: Weights) -> "Ranked":
        """Return the ranks in m resamples of weights (n, m)."""
        before = sums_before(drawn[self._order])
        less, up_to = before[self._first], before[self._last]
        return Ranked(less + up_to - before[-1], up_to - less)


@dataclass(frozen=True, eq=False)
class Ranked:
    """Ranks of n units in m resamples.

    Attributes:
        centred: (n, m), twice the difference of a unit's mean rank and the mean of all ranks: the number of units in the
            resample with a smaller value, minus the number with a greater one.
        tied: (n, m), the number of units in the resample with the unit's value.
    """

    centred: Weights
    tied: Weights

    def tied_pairs(self, drawn: Weights) -> Values:
        """Return the number of pairs of units with one value, in each resample: (m,)."""
        return (_sum(drawn, self.tied) - _sum(drawn)) / 2


def spearman(drawn: Weights, x: Ranked, y: Ranked) -> Values:
    """Return Spearman's rho of each resample, (m,); NaN where one series is constant."""
    both = _sum(drawn, x.centred, y.centred)
    return _ratio(both, np.sqrt(_sum(drawn, x.centred, x.centred) * _sum(drawn, y.centred, y.centred)))


class Inversions:
    """Pairs of units in opposite order in x and y, counted as a merge sort counts them.

    The units are in the order of x. At each level they are cut into runs of 2, 4, 8, ... units. In each run the second half
    comes after the first in x, so that a unit of it makes an inversion with each unit of the first half that has a greater y.
    These are counted by going through the run from the greatest y down.

    References:
        Knight 1966, Journal of the American Statistical Association 61:436-439.
    """

    def __init__(self, x: Values, y: Values) -> None:
        """Prepare the levels once, in O(n log^2 n).

        Args:
            x: (n,)
            y: (n,)
        """
        n = len(x)
        # Among units tied in x the smaller y comes first, so that they make no inversion.
        self._order = np.lexsort((y, x))
        place = np.arange(n)
        self._levels: list[_Level] = []
        for half in (2**power for power in range(max(n - 1, 0).bit_length())):
            run = place // (2 * half)
            second = place // half % 2 == 1
            # Descending in y; among units tied in y the second half comes first, since a tie is no inversion.
            along = np.lexsort((~second, -y[self._order], run))
            in_second = second[along]
            begins = np.arange(0, n, 2 * half)
            self._levels.append(
                _Level(
                    first=self._order[along[~in_second]],
                    second=self._order[along[in_second]],
                    passed=np.cumsum(~in_second)[in_second],
                    before_run=half * np.arange(len(begins)),
                    begins_second=np.minimum(begins + half, n),
                    ends=np.minimum(begins + 2 * half, n),
                )
            )

    def of(self, drawn: Weights) -> Values:
        """Return the number of inversions in each of m resamples of weights (n, m)."""
        found = np.zeros(drawn.shape[1])
        in_order = sums_before(drawn[self._order])
        for level in self._levels:
            before = sums_before(drawn[level.first])
            in_second = in_order[level.ends] - in_order[level.begins_second]
            # The number passed over all runs, minus the number passed before the run.
            found += _sum(drawn[level.second], before[level.passed]) - _sum(in_second, before[level.before_run])
        return found


@dataclass(frozen=True, eq=False)
class _Level:
    """Runs of one length.

    Attributes:
        first: Units of the first halves, run by run, descending in y.
        second: Units of the second halves, likewise.
        passed: For each of `second`, the number of `first` before it.
        before_run: For each run, the number of `first` in the runs before it.
        begins_second: Start of each run's second half in the order of x.
        ends: End of each run's second half in the order of x.
    """

    first: Indices
    second: Indices
    passed: Indices
    before_run: Indices
    begins_second: Indices
    ends: Indices


def kendall(drawn: Weights, x: Ranked, y: Ranked, both: Ranked, inversions: Inversions) -> Values:
    """Return Kendall's tau-b of each resample, (m,); NaN where one series is constant.

    Args:
        drawn: Weights (n, m).
        x: Ranks of the first series.
        y: Ranks of the second series.
        both: Ranks of any numbers that are equal for two units where both x and y are equal.
        inversions: Inversions of x and y.
    """
    n = _sum(drawn)
    pairs = n * (n - 1) / 2
    in_x, in_y = x.tied_pairs(drawn), y.tied_pairs(drawn)
    agreement = pairs - in_x - in_y + both.tied_pairs(drawn) - 2 * inversions.of(drawn)
    return _ratio(agreement, np.sqrt((pairs - in_x) * (pairs - in_y)))


class Middle:
    """The median of one series in any number of resamples."""

    def __init__(self, values: Values) -> None:
        self._order = np.argsort(values, kind="stable")
        self._values = values[self._order]

    def of(self, drawn: Weights) -> Values:
        """Return the median of each of m resamples of weights (n, m): the middle value, or the mean of the middle two."""
        up_to = sums_before(drawn[self._order])[1:]
        n = up_to[-1]
        below = [np.count_nonzero(up_to < middle, axis=0) for middle in ((n + 1) // 2, n // 2 + 1)]
        return np.asarray((self._values[below[0]] + self._values[below[1]]) / 2)


def _sum(*factors: Weights) -> Values:
    """Return the sums of the products over the first axis; exact, since integers below 2^53 are."""
    indices = ",".join(["ij"] * len(factors))
    return np.asarray(np.einsum(f"{indices}->j", *factors, dtype=np.float64, casting="unsafe"))


def _ratio(above: Values, below: Values) -> Values:
    quotients = np.full(len(above), np.nan)
    np.divide(above, below, out=quotients, where=below > 0)
    return quotients
