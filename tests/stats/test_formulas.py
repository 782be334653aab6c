"""Intervals in closed form: scipy's numbers, closed cases, and how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from tokenviz.stats import Estimate, clustered, fisher, student, wilson


def ends(found: Estimate) -> tuple[float, float]:
    return found.low, found.high


def test_fishers_interval_at_sixty_four_and_r_of_094() -> None:
    found = fisher(Estimate(0.94, 64))
    assert (round(found.low, 2), round(found.high, 2)) == (0.90, 0.96)
    assert found.method == "Fisher's z, as if the units were independent and normal"


def test_fishers_interval_is_scipys() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=40)
    y = x + random.normal(size=40)
    theirs = stats.pearsonr(x, y)
    found = fisher(Estimate(float(theirs.statistic), 40))
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)), abs=1e-12)


@pytest.mark.parametrize("r", [-1.0, 1.0])
def test_fishers_interval_of_a_full_correlation_holds_it(r: float) -> None:
    found = fisher(Estimate(r, 10))
    assert found.low <= r <= found.high
    assert found.high - found.low < 1e-10


def test_fishers_interval_needs_four_units_and_a_correlation() -> None:
    found = fisher(Estimate(0.5, 3))
    assert math.isnan(found.low)
    assert found.reason == "no interval: 3 units are scored by both, and Fisher's needs at least 4"
    nothing = Estimate(math.nan, 2, reason="too few")
    assert fisher(nothing) is nothing


@pytest.mark.parametrize(("correct", "n"), [(0, 5), (5, 5), (7, 10), (781, 1000)])
def test_wilsons_interval_is_that_of_scipy(correct: int, n: int) -> None:
    expected = stats.binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert ends(wilson(correct, n)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_without_pairs_there_is_no_interval() -> None:
    assert all(map(math.isnan, ends(wilson(0, 0))))
    assert all(map(math.isnan, ends(clustered(np.ones(4), np.zeros(4, np.int64)))))


def test_of_groups_of_one_pair_the_clustered_interval_is_student_s() -> None:
    correct = np.array([1, 0, 1, 1, 0, 1, 1, 1.0])
    expected = stats.ttest_1samp(correct, 0).confidence_interval(0.95)
    low, high = ends(clustered(correct, np.arange(8)))
    assert (low, high) == pytest.approx((expected.low, min(1.0, expected.high)))


def test_the_clustered_interval_covers_shares_that_differ_between_groups() -> None:
    """Twenty groups of 30 pairs, the true share of each between 0.4 and 1: 95 % of 600 intervals hold the mean share."""
    rng = np.random.default_rng(11)
    held = plain = 0
    groups = np.repeat(np.arange(20), 30)
    for _ in range(600):
        correct = (rng.random(600) < rng.uniform(0.4, 1, 20)[groups]).astype(float)
        low, high = ends(clustered(correct, groups))
        held += low <= 0.7 <= high
        low, high = ends(wilson(correct.sum(), 600))
        plain += low <= 0.7 <= high
    assert 0.93 <= held / 600 <= 0.97
    assert plain / 600 < 0.85  # what an interval over pairs would make of it


def test_students_interval_is_scipys() -> None:
    values = np.random.default_rng(3).normal(2, 3, 12)
    found = student(values, "nats")
    assert ends(found) == pytest.approx(stats.t.interval(0.95, 11, values.mean(), stats.sem(values)), abs=1e-12)
    assert (found.value, found.n, found.unit, found.method) == (values.mean(), 12, "nats", "Student's t")


def test_one_value_has_a_mean_and_no_interval() -> None:
    found = student(np.array([2.0]))
    assert (found.value, found.has_interval) == (2.0, False)
    assert found.reason == "no interval: 1 value, and an interval needs at least 2"
    assert student(np.array([])).reason == "there are no values"
