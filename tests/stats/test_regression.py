"""Regressions of reading times: held against likelihoods written out, statsmodels and lme4, and tried on simulated data."""

import re
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tokenviz.base.errors import ComparisonError
from tokenviz.stats.regression import Readings, fit_mixed, fit_ols, folds_of, gain, gain_per_observation

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import statsmodels.api as sm


def simulated(
    seed: int, *, items: int = 12, units: int = 8, subjects: int = 0, slope: float = 0.0, noise: float = 40.0
) -> Readings:
    """Readings that follow the mixed model, with a known slope of surprisal in milliseconds per bit."""
    rng = np.random.default_rng(seed)
    item = np.repeat(np.arange(items), units)
    length = rng.integers(2, 12, len(item)).astype(float)
    surprisal = rng.gamma(2, 3, len(item)) + 0.3 * length
    baseline = np.column_stack([length, np.roll(length, 1)])
    mean = 250 + 6 * length + slope * surprisal + rng.normal(0, 15, items)[item]
    readers = max(1, subjects)
    rows, subject = np.tile(np.arange(len(item)), readers), np.repeat(np.arange(readers), len(item))
    time = mean[rows] + rng.normal(0, 30, readers)[subject] * bool(subjects) + rng.normal(0, noise, len(rows))
    return Readings(
        time, baseline[rows], surprisal[rows, None], item[rows], rows, subject if subjects else None,
        ("length", "length_prev1", "surprisal_bits"),
    )  # fmt: skip


def covariance(readings: Readings, variance: float, of_items: float, of_subjects: float) -> np.ndarray:
    same_item = readings.item[:, None] == readings.item
    same_subject = readings.subject[:, None] == readings.subject if readings.subject is not None else 0
    return variance * np.eye(len(readings.time)) + of_items * same_item + of_subjects * same_subject


# ---- fits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subjects", [0, 5])
def test_a_mixed_model_is_at_the_maximum_of_the_likelihood_written_out(subjects: int) -> None:
    readings = simulated(1, subjects=subjects, slope=5)
    fit = fit_mixed(readings, readings.full, subjects=subjects)
    x = np.column_stack([np.ones(len(readings.time)), readings.full])

    def likelihood(slopes: np.ndarray, *variances: float) -> float:
        return float(stats.multivariate_normal.logpdf(readings.time, x @ slopes, covariance(readings, *variances)))

    found = (fit.variance, fit.of_items, fit.of_subjects)
    best = likelihood(fit.slopes, *found)
    assert fit.loglik == pytest.approx(best, abs=1e-6)
    assert (fit.of_subjects > 0) == bool(subjects)
    for place in range(4):
        for sign in (-1, 1):
            assert likelihood(fit.slopes + sign * 0.1 * fit.errors[place] * np.eye(4)[place], *found) < best
    for place in range(2 + bool(subjects)):
        for factor in (0.95, 1.05):
            moved = tuple(value * (factor if i == place else 1) for i, value in enumerate(found))
            assert likelihood(fit.slopes, *moved) < best


def test_a_mixed_model_agrees_with_statsmodels() -> None:
    readings = simulated(3, items=20, slope=5)
    fit = fit_mixed(readings, readings.full)
    x = sm.add_constant(readings.full)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sm.MixedLM(readings.time, x, groups=readings.item).fit(reml=False, method="powell")
    assert fit.loglik == pytest.approx(theirs.llf, abs=1e-3)
    assert fit.slopes == pytest.approx(theirs.fe_params, rel=1e-3)
    assert fit.errors == pytest.approx(theirs.bse_fe, rel=1e-2)
    assert fit.variance == pytest.approx(theirs.scale, rel=1e-2)


def test_least_squares_agree_with_statsmodels() -> None:
    readings = simulated(4, slope=5)
    fit = fit_ols(readings, readings.full)
    theirs = sm.OLS(readings.time, sm.add_constant(readings.full)).fit()
    assert fit.slopes == pytest.approx(theirs.params, rel=1e-9)
    assert fit.loglik == pytest.approx(theirs.llf, rel=1e-12)
    assert fit.variance == pytest.approx(theirs.mse_resid, rel=1e-12)
    clustered = theirs.get_robustcov_results("cluster", groups=readings.item, use_correction=False)
    assert fit.errors == pytest.approx(clustered.bse * np.sqrt(12 / 11), rel=1e-9)


def test_an_item_that_was_left_out_is_jointly_normal_and_its_subjects_are_known() -> None:
    readings = simulated(5, subjects=4, slope=5)
    held = readings.item == 3
    fit = fit_mixed(readings.part(~held), readings.full[~held], subjects=4)
    own = readings.part(held)
    assert own.subject is not None
    mean = fit.slopes[0] + own.full @ fit.slopes[1:] + fit.subjects[own.subject]
    expected = stats.multivariate_normal.logpdf(own.time, mean, covariance(own, fit.variance, fit.of_items, 0.0))
    assert fit.log_density(own, own.full) == pytest.approx(float(expected), abs=1e-8)
    # Predictions of subjects, as the joint normal of readings and intercepts has them.
    train = readings.part(~held)
    assert train.subject is not None
    everything = covariance(train, fit.variance, fit.of_items, fit.of_subjects)
    residual = train.time - fit.slopes[0] - train.full @ fit.slopes[1:]
    shared = fit.of_subjects * (np.arange(4)[:, None] == train.subject)
    assert fit.subjects == pytest.approx(shared @ np.linalg.solve(everything, residual), abs=1e-6)


def test_a_subject_who_is_not_in_the_data_is_predicted_without_an_intercept() -> None:
    readings = simulated(6, subjects=4)
    assert readings.subject is not None
    others = readings.part(readings.subject != 2)
    fit = fit_mixed(others, others.full, subjects=4)
    assert fit.subjects[2] == 0
    assert np.count_nonzero(fit.subjects) == 3


# ---- gains ---------------------------------------------------------------------------------------------------------


def test_folds_are_of_items_and_as_equal_as_can_be() -> None:
    dealt = folds_of(23, 10, seed=0)
    assert sorted(np.bincount(dealt).tolist()) == [2] * 7 + [3] * 3
    assert not np.array_equal(dealt, folds_of(23, 10, seed=1))


def test_a_gain_is_what_a_plain_loop_finds() -> None:
    readings = simulated(7, slope=8)
    found = gain(readings, "ols_on_means", folds=4)
    expected = np.zeros(12)
    for number in range(4):
        train = ~np.isin(readings.item, np.flatnonzero(found.by_item["fold"] == number))
        for sign, x in ((-1, readings.baseline), (1, readings.full)):
            theirs = sm.OLS(readings.time[train], sm.add_constant(x[train])).fit()
            means = theirs.predict(sm.add_constant(x[~train], has_constant="add"))
            density = stats.norm.logpdf(readings.time[~train], means, np.sqrt(theirs.mse_resid))
            np.add.at(expected, readings.item[~train], sign * density)
    assert found.by_item["gain"].to_numpy() == pytest.approx(expected, abs=1e-8)
    overall = found.per_observation
    assert (overall.value, overall.n) == (pytest.approx(expected.sum() / 96), 96)
    assert overall.drawn_from == "12 items"


def test_an_interval_over_equal_items_is_students() -> None:
    gains = np.array([0.5, -0.2, 1.0, 0.3, 0.4, 0.1])
    found = gain_per_observation(gains, np.full(6, 4.0), "mixed")
    low, high = stats.t.interval(0.95, 5, loc=gains.mean() / 4, scale=stats.sem(gains) / 4)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("regression", ["ols_on_means", "mixed"])
@pytest.mark.parametrize("subjects", [0, 5])
def test_an_effect_is_found_and_none_is_not(regression, subjects: int) -> None:
    strong, none = (gain(simulated(8, items=20, subjects=subjects, slope=slope), regression) for slope in (10, 0))
    assert strong.per_observation.low > 0
    assert none.per_observation.value < 0.01
    assert none.per_observation.low < 0
    slope, error = strong.slopes[["slope", "standard_error"]].iloc[0]
    assert abs(slope - 10) < 3 * error
    assert 0 < error < 2


def test_readers_count_once_in_means_and_each_in_the_mixed_model() -> None:
    readings = simulated(9, subjects=5, slope=5)
    means, single = (gain(readings, name) for name in ("ols_on_means", "mixed"))
    assert (means.per_observation.n, single.per_observation.n) == (96, 480)
    order = np.random.default_rng(0).permutation(480)
    again = gain(readings.part(order), "ols_on_means")
    assert again.by_item["gain"].to_numpy() == pytest.approx(means.by_item["gain"].to_numpy(), abs=1e-9)


def test_means_with_the_same_predictors_stay_apart() -> None:
    readings = simulated(10)
    twice = replace(
        readings,
        **{name: np.concatenate([getattr(readings, name)] * 2) for name in ("time", "baseline", "added", "item")},
        unit=np.arange(192),
    )
    assert gain(twice, "ols_on_means").per_observation.n == 192


@pytest.mark.parametrize(
    ("readings", "message"),
    [
        (
            simulated(1, items=5),
            "5 items have readings that every predictor is known for, and a cross-validation over items needs at least 6",
        ),
        (
            replace(simulated(1), added=np.full((96, 1), 3.0)),
            "the predictor 'surprisal_bits' is the same in all readings, so that no slope can be found",
        ),
        (simulated(1, items=9, units=1), "9 readings are too few for 3 predictors: take at least 10"),
    ],
)
def test_what_cannot_be_fitted_is_refused(readings: Readings, message: str) -> None:
    with pytest.raises(ComparisonError, match=f"^{re.escape(message)}$"):
        gain(readings, "mixed")


@pytest.mark.slow
@pytest.mark.parametrize("subjects", [0, 4])
@pytest.mark.parametrize("regression", ["ols_on_means", "mixed"])
def test_the_interval_holds_the_expected_gain_and_finds_no_effect_where_there_is_none(regression, subjects: int) -> None:
    """Simulated studies of 20 items each: no effect is found in at most 1 of 20, and 95 % intervals hold what is expected."""
    for slope in (0.0, 4.0):
        found = [
            gain(simulated(seed, items=20, units=6, subjects=subjects, slope=slope), regression, folds=5).per_observation
            for seed in range(60 if subjects and regression == "mixed" else 120)
        ]
        if not slope:
            assert np.mean([one.low > 0 for one in found]) <= 0.05
            continue
        expected = np.mean([one.value for one in found])
        assert 0.88 <= np.mean([one.low <= expected <= one.high for one in found]) <= 0.99
        assert np.mean([one.low > 0 for one in found]) > 0.2  # a small effect, in few items


# ---- lme4 ----------------------------------------------------------------------------------------------------------

IN_R = """
d <- read.csv("readings.csv")
fit <- lme4::lmer(time ~ length + before + surprisal + (1 | item) + (1 | subject), data = d, REML = FALSE)
v <- as.data.frame(lme4::VarCorr(fit))
options(digits = 12)
cat(as.numeric(logLik(fit)), v$vcov[v$grp == "item"], v$vcov[v$grp == "subject"], sigma(fit)^2, lme4::fixef(fit), "\\n")
cat(coef(summary(fit))[, "Std. Error"], "\\n")
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_crossed_intercepts_are_those_of_lme4(tmp_path: Path) -> None:
    readings = simulated(11, subjects=6, slope=5)
    columns = np.column_stack([readings.time, readings.full, readings.item, readings.subject])
    header = "time,length,before,surprisal,item,subject"
    np.savetxt(tmp_path / "readings.csv", columns, delimiter=",", header=header, comments="", fmt="%.12g")
    done = subprocess.run(["Rscript", "-e", IN_R], capture_output=True, text=True, check=True, cwd=tmp_path)
    theirs = np.array(done.stdout.split(), dtype=float)
    fit = fit_mixed(readings, readings.full, subjects=6)
    assert fit.loglik == pytest.approx(theirs[0], abs=1e-4)
    assert [fit.of_items, fit.of_subjects, fit.variance] == pytest.approx(theirs[1:4], rel=2e-3)
    assert fit.slopes == pytest.approx(theirs[4:8], rel=1e-4)
    assert fit.errors == pytest.approx(theirs[8:], rel=2e-3)
