"""Statistics of pairs, against scipy and against arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tables import NAN

from tokenviz.comparing.statistics import mean_difference, paired, pearson_r, share_greater, spearman_rho

CORRELATIONS = (pearson_r, spearman_rho)
ALL = (*CORRELATIONS, mean_difference, share_greater)


def columns(n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    x = -random.exponential(2.0, n)
    return x, 0.7 * x - random.exponential(1.0, n)


def test_pearson_is_scipys() -> None:
    x, y = columns()
    assert pearson_r(x, y).value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-14)


def test_pearson_is_the_textbook_formula() -> None:
    x, y = columns()
    dx, dy = x - x.mean(), y - y.mean()
    # Fifty products summed in another order.
    assert pearson_r(x, y).value == pytest.approx((dx @ dy) / math.sqrt((dx @ dx) * (dy @ dy)), abs=1e-12)


def test_spearman_is_scipys_with_ties_at_their_mean_rank() -> None:
    x, y = columns()
    x, y = np.round(x), np.round(y)
    assert spearman_rho(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-14)
    assert spearman_rho(x, y).value == pytest.approx(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1], abs=1e-12)


@pytest.mark.parametrize(("slope", "expected"), [(2.0, 1.0), (-0.5, -1.0)])
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_a_straight_line_correlates_fully(correlation, slope: float, expected: float) -> None:
    x, _ = columns()
    assert correlation(x, slope * x + 1).value == pytest.approx(expected, abs=1e-12)


def test_a_bent_line_keeps_its_ranks_only() -> None:
    x = np.array([-1.0, -2.0, -3.0, -8.0])
    assert spearman_rho(x, -(x**4)).value == pytest.approx(1.0, abs=1e-12)
    assert pearson_r(x, -(x**4)).value < 0.99


def test_mean_difference_is_second_minus_first() -> None:
    estimate = mean_difference(np.array([-1.0, -2.0, -3.0]), np.array([-2.0, -4.0, -6.0]))
    assert (estimate.value, estimate.n) == (-2.0, 3)


def test_share_greater_counts_the_second_and_no_ties() -> None:
    estimate = share_greater(np.array([-1.0, -2.0, -3.0, -4.0]), np.array([-1.0, -1.0, -9.0, -4.0]))
    assert (estimate.value, estimate.n) == (0.25, 4)


@pytest.mark.parametrize("statistic", ALL)
def test_pairs_with_a_missing_value_are_left_out_and_only_those(statistic) -> None:
    x, y = columns(12)
    holed_x, holed_y = x.copy(), y.copy()
    holed_x[[0, 5]] = NAN
    holed_y[[5, 7]] = NAN
    kept = [i for i in range(12) if i not in (0, 5, 7)]
    assert statistic(holed_x, holed_y) == statistic(x[kept], y[kept])
    assert statistic(holed_x, holed_y).n == 9
    assert statistic(holed_x, holed_y).value != statistic(x, y).value


@pytest.mark.parametrize("statistic", ALL)
def test_a_made_up_pair_of_zeros_would_change_the_value(statistic) -> None:
    y, x = columns(12)
    x -= 1  # so that the line through the points does not pass the origin by itself
    x[0] = y[0] = NAN
    filled = statistic(np.nan_to_num(x), np.nan_to_num(y))
    assert abs(filled.value - statistic(x, y).value) > 0.005
    assert (filled.n, statistic(x, y).n) == (12, 11)


@given(st.lists(st.tuples(*[st.one_of(st.just(NAN), st.floats(-50, 0))] * 2), max_size=20))
def test_paired_keeps_the_complete_pairs_in_order(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs, dtype=float).reshape(-1, 2).T
    complete = [pair for pair in pairs if not any(map(math.isnan, pair))]
    assert list(zip(*map(np.ndarray.tolist, paired(x, y)), strict=True)) == complete


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_fewer_than_three_pairs_have_no_correlation_and_say_so(correlation, n: int) -> None:
    x, y = columns(5)
    x[n:] = NAN
    estimate = correlation(x, y)
    assert math.isnan(estimate.value)
    assert estimate.n == n
    assert estimate.reason == f"{n} positions are scored by both; a correlation needs at least 3"


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_three_pairs_are_enough(correlation) -> None:
    estimate = correlation(*columns(3))
    assert not math.isnan(estimate.value)
    assert estimate.reason == ""


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("value", [0.0, -1.5, -1e-300])
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_a_constant_column_has_no_correlation_and_says_so(correlation, value: float, constant: int) -> None:
    both = list(columns(6))
    both[constant] = np.full(6, value)
    estimate = correlation(*both)
    assert math.isnan(estimate.value)
    assert estimate.n == 6
    assert estimate.reason == "one model gives every position the same value; the correlation is not defined"


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_a_spread_of_rounding_errors_counts_as_constant(correlation) -> None:
    x = np.array([-math.log(3), -math.log(3) * (1 + 2e-16), -math.log(3), -math.log(3)])
    estimate = correlation(x, columns(4)[1])
    assert math.isnan(estimate.value)


@pytest.mark.parametrize("statistic", [mean_difference, share_greater])
def test_no_pair_has_no_mean_and_says_so(statistic) -> None:
    estimate = statistic(np.array([NAN, -1.0]), np.array([-1.0, NAN]))
    assert math.isnan(estimate.value)
    assert (estimate.n, estimate.reason) == (0, "no position is scored by both")
