"""Statistics of pairs, against scipy and against arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tables import NAN

from tokenviz.stats.definitions import (
    concordance,
    influence_on_r,
    kendall_tau,
    mean_difference,
    median_difference,
    paired,
    pearson_r,
    rms_difference,
    share_greater,
    share_same,
    spearman_rho,
)
from tokenviz.stats.estimate import Estimate

CORRELATIONS = (pearson_r, spearman_rho, kendall_tau, concordance)
DIFFERENCES = (mean_difference, median_difference, rms_difference, share_greater)
ALL = (*CORRELATIONS, *DIFFERENCES)

# Bland and Altman 1986, Lancet 327:307-310, table 1: peak flow in l/min by two meters, the first reading of 17 people.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


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


def test_kendall_is_scipys_tau_b() -> None:
    x, y = columns()
    assert kendall_tau(x, y).value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-14)


def test_kendall_counts_pairs_of_pairs() -> None:
    x, y = np.array([1.0, 2, 2, 3, 4]), np.array([1.0, 3, 2, 2, 5])
    # Of ten pairs of units one is tied in x, one in y, and one ordered in opposite ways: (2, 3) and (3, 2).
    assert kendall_tau(x, y).value == pytest.approx((7 - 1) / 9, abs=1e-15)


def test_concordance_of_a_published_pair_of_meters() -> None:
    x, y = np.array(WRIGHT, float), np.array(MINI, float)
    # The paper's own figures: r = 0.94, a mean difference of -2.1 (first minus second).
    assert round(pearson_r(x, y).value, 2) == 0.94
    assert round(-mean_difference(x, y).value, 1) == -2.1
    # Lin's two factors, precision and accuracy, as the programs in R compute it: r times C_b.
    scale = x.std(ddof=1) / y.std(ddof=1)
    place = (x.mean() - y.mean()) / math.sqrt(x.std() * y.std())
    accuracy = 2 / (scale + 1 / scale + place**2)
    assert concordance(x, y).value == pytest.approx(np.corrcoef(x, y)[0, 1] * accuracy, abs=1e-14)
    assert concordance(x, y).value == pytest.approx(0.942742, abs=5e-7)


def test_concordance_by_hand() -> None:
    # Variances 2/3 and 8/3, covariance 4/3, means 2 and 4.
    assert concordance(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])).value == pytest.approx((8 / 3) / (10 / 3 + 4), abs=1e-15)


def test_concordance_of_a_normal_pair_is_that_of_its_parameters() -> None:
    random = np.random.default_rng(11)
    n, rho, shift, stretch = 400_000, 0.8, 0.5, 2.0
    x = random.normal(size=n)
    y = shift + stretch * (rho * x + math.sqrt(1 - rho**2) * random.normal(size=n))
    # Standard errors are about 1e-3.
    assert pearson_r(x, y).value == pytest.approx(rho, abs=5e-3)
    assert spearman_rho(x, y).value == pytest.approx(6 / math.pi * math.asin(rho / 2), abs=5e-3)
    assert concordance(x, y).value == pytest.approx(2 * rho * stretch / (1 + stretch**2 + shift**2), abs=5e-3)
    some = slice(0, 100_000)
    assert kendall_tau(x[some], y[some]).value == pytest.approx(2 / math.pi * math.asin(rho), abs=1e-2)


def test_shift_and_stretch_leave_correlations_and_lower_the_concordance() -> None:
    x, y = columns()
    for moved in (y - 3, 0.5 * y, 2 * y - 1):
        for correlation in (pearson_r, spearman_rho, kendall_tau):
            assert correlation(x, moved).value == pytest.approx(correlation(x, y).value, abs=1e-12)
        assert concordance(x, moved).value < concordance(x, y).value - 0.05
    assert abs(concordance(x, y).value) <= pearson_r(x, y).value


def test_exchanging_the_models_turns_differences_round_and_leaves_the_rest() -> None:
    x, y = columns()
    for statistic in (*CORRELATIONS, rms_difference):
        assert statistic(x, y).value == pytest.approx(statistic(y, x).value, abs=1e-14)
    for statistic in (mean_difference, median_difference):
        assert statistic(x, y).value == -statistic(y, x).value
    assert share_greater(x, y).value + share_greater(y, x).value == 1


def test_only_equal_rows_have_a_concordance_of_one() -> None:
    x, _ = columns()
    assert concordance(x, x).value == pytest.approx(1.0, abs=1e-15)
    assert concordance(x, -x + 2 * x.mean()).value == pytest.approx(-1.0, abs=1e-14)


@pytest.mark.parametrize(("slope", "expected"), [(2.0, 1.0), (-0.5, -1.0)])
@pytest.mark.parametrize("correlation", [pearson_r, spearman_rho, kendall_tau])
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


def test_median_difference_is_the_middle_or_the_mean_of_the_two() -> None:
    assert median_difference(np.zeros(3), np.array([-1.0, -2.0, -9.0])).value == -2.0
    assert median_difference(np.zeros(4), np.array([-1.0, -2.0, -4.0, -9.0])).value == -3.0


def test_rms_difference_by_hand() -> None:
    assert rms_difference(np.array([-1.0, -2.0]), np.array([-4.0, 2.0])).value == math.sqrt((9 + 16) / 2)


def test_rms_difference_joins_the_mean_and_the_spread() -> None:
    x, y = columns()
    assert rms_difference(x, y).value ** 2 == pytest.approx((y - x).mean() ** 2 + (y - x).var(), abs=1e-12)


def test_share_same_leaves_out_what_is_not_known() -> None:
    assert share_same(np.array([1.0, NAN, 0.0, 1.0, 1.0])) == Estimate(0.75, 4)


def test_influence_is_how_the_correlation_moves() -> None:
    x, y = columns()
    influence = influence_on_r(x, y)
    assert influence.mean() == pytest.approx(0, abs=1e-15)
    n, i = len(x), 7
    # Left out, a unit takes its influence along; what remains of the difference is of the order 1 / n^2.
    without = pearson_r(np.delete(x, i), np.delete(y, i)).value
    assert n * (pearson_r(x, y).value - without) == pytest.approx(influence[i], abs=0.02)


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


@pytest.mark.parametrize("statistic", [*CORRELATIONS, mean_difference, rms_difference])
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


@pytest.mark.parametrize("statistic", DIFFERENCES)
def test_no_pair_has_no_mean_and_says_so(statistic) -> None:
    estimate = statistic(np.array([NAN, -1.0]), np.array([-1.0, NAN]))
    assert math.isnan(estimate.value)
    assert (estimate.n, estimate.reason) == (0, "no position is scored by both")
