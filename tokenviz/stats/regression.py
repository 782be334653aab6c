"""The gain from predictors in a regression of reading times: log-likelihood per observation, on items that were left out.

A baseline is compared with the same regression with additional predictors. Both are fitted to some of the items and predict the
others, so that a predictor without information gains nothing: its gain is slightly below 0 on average. There are two
regressions:

- `ols_on_means`: ordinary least squares on the mean reading time of each unit over its readers.
- `mixed`: single readings with random intercepts of the item and, where there are subjects, of the subject.

In the mixed model the readings of an item that was left out are jointly normal and share the variance of its intercept; its
subjects are known from other items, and their intercepts are predicted.

The mixed model is fitted as lme4 does it (Bates, Maechler, Bolker and Walker 2015, Fitting Linear Mixed-Effects Models Using
lme4, section 3): the likelihood is profiled down to the ratios of standard deviations, one or two numbers. statsmodels 0.15 has
such models, but cannot be used here: 15 of 21 fits to 216 readings of 27 items reported no convergence, one seed in three ended
in a singular matrix, and crossed intercepts took 4 s per fit on 1,200 readings (here: some hundredths).
tests/stats/test_regression.py compares these fits with statsmodels and lme4, and with the likelihood written out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError
from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import Estimate
from tokenviz.stats.intervals import _student_95

if TYPE_CHECKING:
    import pandas as pd

REGRESSION_VERSION = 1  # raise it when the same readings would give other numbers

Regression = Literal["ols_on_means", "mixed"]
REGRESSIONS: tuple[Regression, ...] = get_args(Regression)
LEAST_ITEMS = 6

_NAMES = {"ols_on_means": "ordinary least squares on means", "mixed": "mixed model"}


@dataclass(frozen=True, eq=False)
class Readings:
    """Readings with their predictors.

    Attributes:
        time: (n,) reading times, in milliseconds.
        baseline: (n, p) predictors of the baseline.
        added: (n, q) predictors whose gain is estimated.
        item: (n,) number of each reading's item, from 0.
        unit: (n,) number of the unit that was read: a word or region of an item in a condition.
        subject: (n,) number of the subject; None where there are none.
        names: Names of the p + q predictors.
    """

    time: Values
    baseline: NDArray[np.float64]
    added: NDArray[np.float64]
    item: NDArray[np.int64]
    unit: NDArray[np.int64]
    subject: NDArray[np.int64] | None
    names: tuple[str, ...]

    @property
    def full(self) -> NDArray[np.float64]:
        """All predictors, (n, p + q)."""
        return np.hstack([self.baseline, self.added])

    def part(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Readings":
        """Return some of the readings."""
        subject = self.subject[chosen] if self.subject is not None else None
        return replace(
            self,
            time=self.time[chosen],
            baseline=self.baseline[chosen],
            added=self.added[chosen],
            item=self.item[chosen],
            unit=self.unit[chosen],
            subject=subject,
        )


@dataclass(frozen=True, eq=False)
class Gain:
    """The gain from the added predictors in one regression.

    Attributes:
        regression: Name of the regression.
        by_item: One row per item: `item` (its number), `n` observations, `fold`, and `gain`, the sum of its gains in nats.
        slopes: One row per added predictor, from the regression on all items: `predictor`, `slope` and `standard_error` in
            milliseconds per unit of the predictor.
    """

    regression: Regression
    by_item: "pd.DataFrame"
    slopes: "pd.DataFrame"

    @property
    def per_observation(self) -> Estimate:
        """The gain in nats per observation, with its interval over items."""
        return gain_per_observation(self.by_item["gain"].to_numpy(float), self.by_item["n"].to_numpy(float), self.regression)


def gain_per_observation(gains: Values, sizes: Values, regression: str) -> Estimate:
    """Divide the sum of items' gains by the number of observations, with an interval over items.

    The variance is that of a ratio of sums over items, which are the sample; Student's t has one degree of freedom per item
    minus one. Folds share most of their training items; the interval treats items as independent nevertheless.

    Args:
        gains: (m,) gain of each item, in nats.
        sizes: (m,) observations of each item.
        regression: Name of the regression.
    """
    count, n = len(gains), float(sizes.sum())
    value = float(gains.sum()) / n
    off = gains - value * sizes
    half = _student_95(count - 1) * math.sqrt(count / (count - 1) * float((off**2).sum())) / n
    return Estimate(
        value, int(n), f"gain in log-likelihood per observation ({_NAMES.get(regression, regression)})", "nats",
        value - half, value + half, "Student's t over items", drawn_from=f"{count} items",
    )  # fmt: skip


def folds_of(count: int, folds: int, seed: int) -> NDArray[np.int64]:
    """Assign items to folds at random, as equally as possible; return (count,) the fold of each item, from 0."""
    order = np.random.default_rng(seed).permutation(count)
    dealt = np.empty(count, dtype=np.int64)
    dealt[order] = np.arange(count) % folds
    return dealt


def gain(readings: Readings, regression: Regression, *, folds: int = 10, seed: int = 0) -> Gain:
    """Cross-validate over items how much the added predictors gain in log-likelihood.

    Args:
        readings: The readings.
        regression: `ols_on_means` or `mixed`.
        folds: Number of folds of items; at most the number of items. By default 10.
        seed: Seed of the random assignment of items to folds.

    Returns:
        The gain by item, and the slopes on all items.

    Raises:
        ComparisonError: There are fewer than six items, too few readings for the predictors, or a predictor that is constant.

    References:
        Goodkind and Bicknell (2018), Predictive power of word surprisal for reading times is a linear function of language
        model quality; Wilcox, Pimentel, Meister, Cotterell and Levy (2023), Testing the predictions of surprisal theory in 11
        languages: both call the gain delta log-likelihood.
    """
    import pandas as pd

    readings = _means(readings) if regression == "ols_on_means" else readings
    count = int(readings.item.max()) + 1 if len(readings.item) else 0
    _check(readings, count)
    given = readings.added
    readings = replace(readings, baseline=_scaled(readings.baseline), added=_scaled(readings.added))
    fold = folds_of(count, min(folds, count), seed)
    subjects = int(readings.subject.max()) + 1 if readings.subject is not None else 0

    def fitted(some: Readings, predictors: NDArray[np.float64]) -> Fit:
        return fit_ols(some, predictors) if regression == "ols_on_means" else fit_mixed(some, predictors, subjects=subjects)

    gains = np.zeros(count)
    for number in range(int(fold.max()) + 1):
        held = fold[readings.item] == number
        train, test = readings.part(~held), readings.part(held)
        for sign, predictors in ((-1, "baseline"), (1, "full")):
            fit = fitted(train, getattr(train, predictors))
            for item in np.unique(test.item):
                own = test.part(test.item == item)
                gains[item] += sign * fit.log_density(own, getattr(own, predictors))
    whole = fitted(readings, readings.full)
    first = readings.baseline.shape[1]
    spread = given.std(axis=0)
    slopes = {"predictor": readings.names[first:], "slope": whole.slopes[1 + first :] / spread}
    slopes["standard_error"] = whole.errors[1 + first :] / spread
    sizes = np.bincount(readings.item, minlength=count)
    by_item = pd.DataFrame({"item": np.arange(count), "n": sizes, "fold": fold, "gain": gains})
    return Gain(regression, by_item, pd.DataFrame(slopes))


def _check(readings: Readings, count: int) -> None:
    if count < LEAST_ITEMS:
        raise ComparisonError(
            f"{count} items have readings that every predictor is known for, and a cross-validation over items needs at least "
            f"{LEAST_ITEMS}"
        )
    constant = [name for name, column in zip(readings.names, readings.full.T, strict=True) if np.ptp(column) == 0]
    if constant:
        raise ComparisonError(f"the predictor {constant[0]!r} is the same in all readings, so that no slope can be found")
    least = 2 * (len(readings.names) + 2)
    if len(readings.time) < least:
        raise ComparisonError(
            f"{len(readings.time)} readings are too few for {len(readings.names)} predictors: take at least {least}"
        )


def _means(readings: Readings) -> Readings:
    """Return one observation per unit: its mean over readers."""
    _, first, unit = np.unique(readings.unit, return_index=True, return_inverse=True)
    means = np.bincount(unit, weights=readings.time) / np.bincount(unit)
    return replace(readings.part(first), time=means, subject=None)


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted regression.

    Attributes:
        slopes: Slopes of the intercept and the predictors.
        errors: Standard errors of the slopes.
        variance: Variance of a reading around its mean.
        of_items: Variance of the items' intercepts.
        of_subjects: Variance of the subjects' intercepts; 0 where there are no subjects.
        subjects: (subjects,) predicted intercept of each subject; 0 for one who is not in the data.
        loglik: Log-likelihood of the data, in nats.
    """

    slopes: Values
    errors: Values
    variance: float
    of_items: float
    of_subjects: float
    subjects: Values
    loglik: float

    def log_density(self, readings: Readings, predictors: NDArray[np.float64]) -> float:
        """Return the joint log-density of the readings of one item that was not in the data, in nats."""
        mean = _design(predictors) @ self.slopes
        if readings.subject is not None and len(self.subjects):
            mean = mean + self.subjects[readings.subject]
        residual = readings.time - mean
        n, total = len(residual), self.variance + len(residual) * self.of_items
        squares = (float(residual @ residual) - self.of_items * float(residual.sum()) ** 2 / total) / self.variance
        return -0.5 * (n * math.log(2 * math.pi) + (n - 1) * math.log(self.variance) + math.log(total) + squares)


def fit_ols(readings: Readings, predictors: NDArray[np.float64]) -> Fit:
    """Fit ordinary least squares; the variance uses degrees of freedom, and errors allow for dependence within items.

    References:
        Liang and Zeger 1986, Biometrika 73:13-22, for the errors, with the factor m / (m - 1) for m items.
    """
    x, time = _design(predictors), readings.time
    slopes = np.asarray(np.linalg.lstsq(x, time, rcond=None)[0], dtype=float)
    residual = time - x @ slopes
    n, freedom = len(time), max(1, len(time) - x.shape[1])
    squares = float(residual @ residual)
    bread = np.linalg.pinv(x.T @ x)
    pulls = np.stack([np.bincount(readings.item, weights=column) for column in (x * residual[:, None]).T], axis=1)  # (items, p)
    items = len(np.unique(readings.item))
    errors = np.sqrt(np.diag(bread @ (pulls.T @ pulls) @ bread) * items / (items - 1))
    loglik = -n / 2 * (math.log(2 * math.pi * squares / n) + 1)
    return Fit(slopes, errors, squares / freedom, 0.0, 0.0, np.empty(0), loglik)


def fit_mixed(readings: Readings, predictors: NDArray[np.float64], *, subjects: int = 0) -> Fit:
    """Fit random intercepts of items, and of subjects where there are any, by maximum likelihood.

    Args:
        readings: The readings.
        predictors: (n, p) predictors.
        subjects: Number of subjects in all data; by default 0.
    """
    from scipy import linalg, optimize

    x, time, n = _design(predictors), readings.time, len(readings.time)
    factors = [readings.item] + ([readings.subject] if readings.subject is not None else [])
    levels = [np.unique(factor, return_inverse=True) for factor in factors]
    z = np.zeros((n, sum(len(known) for known, _ in levels)))
    of, start = np.empty(z.shape[1], dtype=np.int64), 0  # the factor that a column belongs to
    for number, (known, place) in enumerate(levels):
        z[np.arange(n), start + place.reshape(-1)] = 1
        of[start : start + len(known)] = number
        start += len(known)
    zz, zx, zy, xx, xy, yy = z.T @ z, z.T @ x, z.T @ time, x.T @ x, x.T @ time, float(time @ time)

    def deviance_at(ratios: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
        return solved(ratios)[0]

    def solved(ratios: Values) -> tuple[float, float, Values, Values, NDArray[np.float64]]:
        """Return deviance, residual sum of squares, slopes, intercepts and the factor of the slopes' covariance."""
        scale = np.abs(ratios)[of]
        lower = linalg.cholesky(scale[:, None] * zz * scale + np.eye(len(scale)), lower=True)
        of_y = linalg.solve_triangular(lower, scale * zy, lower=True)
        of_x = linalg.solve_triangular(lower, scale[:, None] * zx, lower=True)
        upper = linalg.cholesky(xx - of_x.T @ of_x)
        right = linalg.solve_triangular(upper, xy - of_x.T @ of_y, trans="T")
        slopes = linalg.solve_triangular(upper, right)
        squares = yy - float(of_y @ of_y) - float(right @ right)
        deviance = 2 * float(np.log(np.diag(lower)).sum()) + n * (1 + math.log(2 * math.pi * squares / n))
        intercepts = scale * linalg.solve_triangular(lower, of_y - of_x @ slopes, lower=True, trans="T")
        return deviance, squares, slopes, intercepts, upper

    start_at = np.full(len(factors), 0.5)
    simplex = np.asarray(optimize.minimize(deviance_at, start_at, method="Nelder-Mead", tol=1e-7).x, dtype=float)
    deviance, squares, slopes, intercepts, upper = solved(simplex)
    variance = squares / n
    inverse = linalg.solve_triangular(upper, np.eye(len(slopes)))
    errors = np.sqrt(variance * (inverse**2).sum(axis=1))
    predicted = np.zeros(subjects)
    if readings.subject is not None:
        predicted[levels[1][0]] = intercepts[of == 1]
    of_items, *of_subjects = (float(ratio) ** 2 * variance for ratio in simplex)
    return Fit(slopes, errors, variance, of_items, sum(of_subjects), predicted, -deviance / 2)


def _scaled(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns with a mean of 0 and a standard deviation of 1, whose sums lose no digits."""
    return np.asarray((columns - columns.mean(axis=0)) / columns.std(axis=0))


def _design(predictors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.ones(len(predictors)), predictors])


def gains(
    readings: Readings, regressions: Sequence[Regression] = REGRESSIONS, *, folds: int = 10, seed: int = 0
) -> Mapping[Regression, Gain]:
    """Return `gain` for several regressions, by their names."""
    return {name: gain(readings, name, folds=folds, seed=seed) for name in regressions}
