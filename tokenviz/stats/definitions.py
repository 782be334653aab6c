"""Statistics of paired values: the definitions, and calibration. Arrays in, estimates out; nothing here knows what a model is.

x and y are two models' log-probs of the same units, in nats. Only pairs with a missing value (NaN) are left out. A number
that the data do not determine is NaN with a reason, never 0. Intervals are added elsewhere (`tokenviz.stats.intervals`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenviz.stats.estimate import Estimate

Values = NDArray[np.float64]

_FEWEST = 3  # pairs that a correlation needs
_ROUND = 1e-12
_NO_LINE = "the pairs have no line: they spread alike in every direction, or straight up"


def paired(x: Values, y: Values) -> tuple[Values, Values]:
    """Return the pairs in which neither value is missing."""
    both = ~(np.isnan(x) | np.isnan(y))
    return x[both], y[both]


def pearson_r(x: Values, y: Values) -> Estimate:
    """Return Pearson's product-moment correlation: how close the pairs are to any rising straight line.

    r = sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2), between -1 and 1. It does not change when
    either series is shifted or scaled, so it does not show whether the values are equal: for that see `concordance`.

    The same: scipy.stats.pearsonr, R's cor, and the correlation that llama.cpp's perplexity --kl-divergence prints as
    Cor(ln(PPL(Q)), ln(PPL(base))).

    References:
        Pearson 1895, Proceedings of the Royal Society of London 58:240-242.
    """
    from scipy import stats

    x, y = paired(x, y)
    reason = _undetermined(x, y)
    return Estimate(math.nan if reason else float(stats.pearsonr(x, y).statistic), len(x), reason=reason)


def spearman_rho(x: Values, y: Values) -> Estimate:
    """Return Spearman's rank correlation: Pearson's r of the ranks, with ties at the mean of the ranks they share.

    It is between -1 and 1, and 1 where one series rises whenever the other does, along any curve. A few very surprising tokens
    have no more weight in it than any others.

    The same: scipy.stats.spearmanr, pandas' corr(method="spearman"), R's cor(method="spearman"). Different with ties:
    the short formula 1 - 6 sum d^2 / (n^3 - n).

    References:
        Spearman 1904, American Journal of Psychology 15:72-101.
    """
    from scipy import stats

    x, y = paired(x, y)
    reason = _undetermined(x, y)
    return Estimate(math.nan if reason else float(stats.spearmanr(x, y).statistic), len(x), reason=reason)


def kendall_tau(x: Values, y: Values) -> Estimate:
    """Return Kendall's tau-b: how much more likely two random units are in the same order in both series than not."""
    from scipy import stats

    x, y = paired(x, y)
    reason = _undetermined(x, y)
    return Estimate(math.nan if reason else float(stats.kendalltau(x, y, variant="b").statistic), len(x), reason=reason)


def concordance(x: Values, y: Values) -> Estimate:
    """Return Lin's concordance correlation coefficient: how close the pairs are to the line y = x, the unity line.

    ccc = 2 s_xy / (s_x^2 + s_y^2 + (mean x - mean y)^2), with variances and covariance that divide by n. It is Pearson's r
    times C_b = 2 / (v + 1/v + u^2), where v = s_x / s_y is the shift in scale and u = (mean x - mean y) / sqrt(s_x s_y) the
    shift in location. It is 1 only where y = x, and never further from 0 than r.

    The same: R's epiR::epi.ccc and DescTools::CCC. Different, in the order of 1/n: programs that divide by n - 1, such
    as torchmetrics' ConcordanceCorrCoef.

    References:
        Lin 1989, Biometrics 45:255-268.
    """
    x, y = paired(x, y)
    reason = _undetermined(x, y)
    if reason:
        return Estimate(math.nan, len(x), reason=reason)
    shift = float((y - x).mean())
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    return Estimate(2 * covariance / (float(x.var()) + float(y.var()) + shift**2), len(x))


def concordance_accuracy(x: Values, y: Values) -> Estimate:
    """Return the second factor of Lin's concordance, C_b: how close the line of the pairs is to y = x.

    ccc = r C_b with C_b = 2 / (v + 1/v + u^2), u the `location_shift` and v the `scale_shift`. Pearson's r is the precision:
    how close the pairs are to their own line. C_b is between 0 and 1, and 1 where means and variances are equal, whatever r is.

    The same: C.b of R's epiR::epi.ccc.

    References:
        Lin 1989, Biometrics 45:255-268.
    """
    return _of_moments(x, y, lambda one: 2 * one.s_x * one.s_y / (one.s_x**2 + one.s_y**2 + one.shift**2))


def location_shift(x: Values, y: Values) -> Estimate:
    """Return the shift in location, the first cause of a C_b below 1: (mean y - mean x) / sqrt(s_x s_y).

    It is above 0 where y has the higher mean. The same: l.shift of R's epiR::epi.ccc.
    """
    return _of_moments(x, y, lambda one: one.shift / math.sqrt(one.s_x * one.s_y))


def scale_shift(x: Values, y: Values) -> Estimate:
    """Return the shift in scale, the second cause of a C_b below 1: s_y / s_x, above 1 where y has the larger deviation.

    The same: s.shift of R's epiR::epi.ccc.
    """
    return _of_moments(x, y, lambda one: one.s_y / one.s_x)


def deming_slope(x: Values, y: Values) -> Estimate:
    """Return the slope of Deming's line with equal error variances: the line with the least squared distance from the pairs.

    slope = tan(theta), theta = atan2(2 s_xy, s_x^2 - s_y^2) / 2: the first principal component of the pairs. Unlike least
    squares it takes neither series as exact, and exchanging the series gives 1 / slope. It is not determined where the pairs
    vary equally in every direction.

    The same: scipy.odr with equal weights, R's mcr::mcreg(method.reg="Deming", error.ratio=1).

    References:
        Adcock 1878, The Analyst 5:53-54; Deming 1943, Statistical Adjustment of Data.
    """
    return _of_moments(x, y, lambda one: one.slope, _NO_LINE)


def deming_intercept(x: Values, y: Values) -> Estimate:
    """Return Deming's line's value at x = 0, in nats: mean y - slope mean x."""
    return _of_moments(x, y, lambda one: one.mean_y - one.slope * one.mean_x, _NO_LINE)


def d_z(x: Values, y: Values) -> Estimate:
    """Return the mean of y - x divided by the standard deviation of y - x (n - 1).

    It shows how certain the sign of a difference is: t = d_z sqrt(n) for independent pairs. It grows with the correlation of
    the series, and so is not comparable with the d of two groups.

    References:
        Lakens 2013, Frontiers in Psychology 4:863.
    """
    return _of_moments(
        x, y, lambda one: one.shift / one.s_difference, "all differences are equal; there is nothing to divide by"
    )


def d_av(x: Values, y: Values) -> Estimate:
    """Return the mean of y - x divided by the mean of the two series' standard deviations (n - 1).

    It shows the size of a difference relative to the variation within the series, whatever their correlation.

    References:
        Cumming 2012, Understanding the New Statistics; Lakens 2013, Frontiers in Psychology 4:863.
    """

    def over_average(one: "_Moments") -> float:
        return one.shift / ((one.s_x + one.s_y) / 2) / math.sqrt(one.n / (one.n - 1))

    return _of_moments(x, y, over_average)


@dataclass(frozen=True)
class _Moments:
    """Means of pairs, and deviations that divide by n."""

    n: int
    mean_x: float
    mean_y: float
    s_x: float
    s_y: float
    s_xy: float
    s_difference: float  # divides by n - 1; NaN where all differences are equal

    @property
    def shift(self) -> float:
        return self.mean_y - self.mean_x

    @property
    def slope(self) -> float:
        across, along = 2 * self.s_xy, self.s_x**2 - self.s_y**2
        if max(abs(across), along) <= _ROUND * (self.s_x**2 + self.s_y**2):
            return math.nan
        return math.tan(math.atan2(across, along) / 2)


def _of_moments(x: Values, y: Values, statistic: Callable[[_Moments], float], no_value: str = "") -> Estimate:
    x, y = paired(x, y)
    reason = _undetermined(x, y).replace("a correlation needs", "this number needs").replace("the correlation", "this number")
    if reason:
        return Estimate(math.nan, len(x), reason=reason)
    if not float(x.std()) * float(y.std()) > 0:  # numbers so small that their squares are 0
        return Estimate(math.nan, len(x), reason="the values differ by less than can be squared; this number is not defined")
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    spread = math.nan if flat_differences(x, y) else float((y - x).std(ddof=1))
    means = float(x.mean()), float(y.mean())
    value = statistic(_Moments(len(x), *means, float(x.std()), float(y.std()), covariance, spread))
    return Estimate(value, len(x), reason=no_value if math.isnan(value) else "")


def flat_differences(x: Values, y: Values) -> bool:
    """Return whether y - x is the same everywhere, up to the rounding of x and y."""
    return bool(np.ptp(y - x) <= _ROUND * max(np.abs(x).max(), np.abs(y).max()))


def mean_difference(x: Values, y: Values) -> Estimate:
    """Return the mean of y - x, in nats: how much more log-prob the second model gives per unit on average.

    Times n it is the difference of the two models' total log-probs, so its exponential is the ratio of their perplexities per
    unit. In bits it is divided by ln 2.
    """
    x, y = paired(x, y)
    return _of_differences(y - x, lambda difference: float(difference.mean()))


def median_difference(x: Values, y: Values) -> Estimate:
    """Return the median of y - x, in nats; for an even number of pairs, the mean of the two in the middle.

    Unlike the mean it is not changed by a few units with large differences.
    """
    x, y = paired(x, y)
    return _of_differences(y - x, lambda difference: float(np.median(difference)))


def rms_difference(x: Values, y: Values) -> Estimate:
    """Return the root mean square of y - x, in nats: the size of the difference at a unit, in either direction.

    sqrt(mean (y - x)^2), the square root of the sum of the squared mean difference and the variance of the differences.

    Different: llama.cpp's "RMS Δp" is of probabilities in per cent, not of log-probs.
    """
    x, y = paired(x, y)
    return _of_differences(y - x, lambda difference: math.sqrt(float((difference**2).mean())))


def share_greater(x: Values, y: Values) -> Estimate:
    """Return the share of the pairs in which y is greater than x, between 0 and 1; a tie does not count.

    For log-probs: the share of units to which the second model gives the greater probability. It is 1 minus the share with x
    and y exchanged only where nothing is tied.
    """
    x, y = paired(x, y)
    return _of_differences(y - x, lambda difference: float((difference > 0).mean()))


def share_same(same: Values) -> Estimate:
    """Return the share of positions at which both models' likeliest next token is the same, between 0 and 1.

    The same: llama.cpp's "Same top p".

    Args:
        same: One value per position: 1 where the two first choices are one token, 0 where not, NaN where there are none.
    """
    return _of_differences(same[~np.isnan(same)], lambda known: float(known.mean()))


def influence_on_r(x: Values, y: Values) -> Values:
    """Return how much each pair changes Pearson's r: the empirical influence function, whose mean is 0.

    With standardised values, x y - r (x^2 + y^2) / 2. To first order r of a resample is r plus the mean of these values, so
    their dependence on each other shows how the parts of r depend on each other.

    References:
        Devlin, Gnanadesikan and Kettenring 1975, Biometrika 62:531-545.
    """
    u, v = ((values - values.mean()) / values.std() for values in (x, y))
    product = u * v
    return np.asarray(product - product.mean() / 2 * (u**2 + v**2))


def _of_differences(values: Values, statistic: Callable[[Values], float]) -> Estimate:
    if not len(values):
        return Estimate(math.nan, 0, reason="no position is scored by both")
    return Estimate(statistic(values), len(values))


def _undetermined(x: Values, y: Values) -> str:
    if len(x) < _FEWEST:
        return f"{len(x)} positions are scored by both; a correlation needs at least {_FEWEST}"
    if flat(x) or flat(y):
        return "one model gives every position the same value; the correlation is not defined"
    return ""


def flat(values: Values) -> bool:
    """Return whether values are equal, up to rounding."""
    # For a spread at the level of rounding scipy would warn and return noise.
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


# Calibration: the entropy of a model's predictions compared with the surprisal of the tokens that follow.
#
# The entropy of a predicted distribution is the surprisal that the model itself expects. Where its probabilities are right,
# tokens predicted with an entropy of H have a mean surprisal of H. A higher mean is overconfidence, a lower one
# underconfidence.

_FEWEST_IN_BIN = 5  # tokens per bin: the mean of fewer is too uncertain to draw


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scored tokens in bins of nearly equal counts, by the entropy of their predictions; arrays of one value per bin, in nats.

    Attributes:
        entropy: Mean entropy of the predictions.
        surprisal: Mean surprisal of the tokens that followed.
        standard_error: Standard error of the mean surprisal, as if the tokens were independent; NaN in a bin of one.
        n: Number of tokens.
    """

    entropy: NDArray[np.float64]
    surprisal: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    n: NDArray[np.int64]


def calibrate(entropy: Values, surprisal: Values, *, bins: int = 10) -> Calibration:
    """Bin tokens by the entropy of their predictions.

    Args:
        entropy: (n,) entropy of each token's prediction, in nats.
        surprisal: (n,) surprisal of the token that followed, in nats; NaN for one without a prediction, which is left out.
        bins: The most bins; there are fewer where a bin would hold fewer than five tokens. By default 10.

    References:
        Braverman et al. 2020, "Calibration, Entropy Rates, and Memory in Language Models", compare the two means over a whole
        text; here they are compared bin by bin, as reliability diagrams do for probabilities.
    """
    rows = np.flatnonzero(~np.isnan(surprisal))
    rows = rows[np.argsort(entropy[rows], kind="stable")]
    groups = [group for group in np.array_split(rows, max(1, min(bins, len(rows) // _FEWEST_IN_BIN))) if len(group)]
    surprisals = [surprisal[group] for group in groups]
    errors = [np.std(one, ddof=1) / np.sqrt(len(one)) if len(one) > 1 else np.nan for one in surprisals]
    return Calibration(
        entropy=np.array([entropy[group].mean() for group in groups]),
        surprisal=np.array([one.mean() for one in surprisals]),
        standard_error=np.array(errors, dtype=float),
        n=np.array([len(group) for group in groups], dtype=np.int64),
    )
