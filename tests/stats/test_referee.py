"""What a referee asks of paired numbers: R's values, scipy's, closed cases, and what must never happen."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tables import NAN

from tokenviz.base.errors import ComparisonError
from tokenviz.stats import (
    adjusted_level,
    concordance,
    concordance_accuracy,
    correlation_difference,
    d_av,
    d_z,
    deming_intercept,
    deming_slope,
    location_shift,
    many_intervals,
    mean_difference,
    pearson_r,
    scale_shift,
    sign_flip_test,
)
from tokenviz.stats.estimate import Estimate, percent
from tokenviz.stats.intervals import ANGLE, PLAIN, interval
from tokenviz.stats.resampling import Resampling

X = np.array([-1.2, -0.4, -3.1, -7.9, -2.2, -5.0, -0.1, -1.7, -4.4, -2.9, -6.3, -0.8])
Y = np.array([-1.0, -0.9, -2.2, -6.5, -3.0, -4.1, -0.3, -1.1, -5.2, -2.0, -4.9, -1.6])
Z = np.array([-2.0, -0.2, -1.0, -5.5, -4.4, -2.0, -1.3, -0.5, -5.9, -3.8, -2.5, -2.1])


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        # R 4.2.2: epiR 2.0.57's epi.ccc(x, y): rho.c, C.b, l.shift, s.shift
        (concordance, 0.919482386772),
        (concordance_accuracy, 0.971526872159),
        (location_shift, 0.125643025539),
        (scale_shift, 0.813357736487),
        # prcomp(cbind(x, y)): rotation[2, 1] / rotation[1, 1], and mean(y) - slope mean(x)
        (deming_slope, 0.804045030534),
        (deming_intercept, -0.321198241732),
        # mean(y - x) / sd(y - x), mean(y - x) / ((sd(x) + sd(y)) / 2)
        (d_z, 0.310630372099),
        (d_av, 0.119655154682),
    ],
)
def test_rs_values(statistic, expected: float) -> None:
    found = statistic(np.append(X, NAN), np.append(Y, 1.0))
    assert found.value == pytest.approx(expected, abs=1e-11)
    assert found.n == 12


@given(st.integers(0, 10_000))
def test_concordance_is_precision_times_accuracy(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=9)
    y = random.normal() + math.exp(random.normal()) * x + random.normal(size=9)
    accuracy, u, v = (statistic(x, y).value for statistic in (concordance_accuracy, location_shift, scale_shift))
    assert concordance(x, y).value == pytest.approx(pearson_r(x, y).value * accuracy, abs=1e-12)
    assert accuracy == pytest.approx(2 / (v + 1 / v + u**2), rel=1e-12)


def test_exchanging_the_rows_turns_the_line_over() -> None:
    assert deming_slope(Y, X).value == pytest.approx(1 / deming_slope(X, Y).value, rel=1e-12)
    assert scale_shift(Y, X).value == pytest.approx(1 / scale_shift(X, Y).value, rel=1e-12)
    for statistic in (location_shift, d_z, d_av):
        assert statistic(Y, X).value == pytest.approx(-statistic(X, Y).value, rel=1e-12)
    assert concordance_accuracy(Y, X).value == pytest.approx(concordance_accuracy(X, Y).value, rel=1e-12)


def test_the_line_has_the_least_squared_distance() -> None:
    def distance(slope: float, intercept: float) -> float:
        return float(((Y - slope * X - intercept) ** 2).sum() / (1 + slope**2))

    slope, intercept = deming_slope(X, Y).value, deming_intercept(X, Y).value
    best = distance(slope, intercept)
    assert all(distance(slope + a, intercept + b) > best for a, b in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)))


def test_d_z_is_students_t_over_the_root_of_n() -> None:
    assert d_z(X, Y).value == pytest.approx(stats.ttest_rel(Y, X).statistic / math.sqrt(12), rel=1e-12)


@pytest.mark.parametrize("statistic", [concordance_accuracy, location_shift, scale_shift, deming_slope, d_z, d_av])
def test_what_data_do_not_determine_is_missing_with_a_reason(statistic) -> None:
    few = statistic(X[:2], Y[:2])
    assert math.isnan(few.value)
    assert few.reason == "2 positions are scored by both; this number needs at least 3"
    assert statistic(X, np.full(12, -1.0)).reason == (
        "one model gives every position the same value; this number is not defined"
    )


def test_numbers_too_small_to_be_squared_end_in_no_error() -> None:
    tiny = np.array([0.0, 0.0, -7e-199, 0.0])
    assert d_av(tiny, X[:4]).reason == "the values differ by less than can be squared; this number is not defined"
    assert math.isnan(concordance_accuracy(tiny, tiny).value)


def test_equal_differences_have_no_standardised_one_and_a_round_cloud_no_line() -> None:
    assert d_z(X, X + 0.1).reason == "all differences are equal; there is nothing to divide by"
    assert math.isnan(d_z(X, X).value)
    assert d_av(X, X + 0.1).value == pytest.approx(0.1 / X.std(ddof=1))
    square = np.array(list(product([-1.0, 1.0], repeat=2)))
    assert deming_slope(*square.T).reason == "the pairs have no line: they spread alike in every direction, or straight up"
    assert deming_slope(X, -X).value == pytest.approx(-1)


def test_an_interval_of_a_slope_knows_that_lines_have_no_direction() -> None:
    random = np.random.default_rng(0)
    drawn = Resampling("texts", None, 30, 30, 4000, 0)
    angles = random.normal(math.atan(50.0), 0.01, 4000)  # some have turned past the vertical: their slopes are below 0
    slopes = np.tan(angles)
    assert (slopes < 0).any()
    found = interval(Estimate(50.0, 100), slopes, kind=ANGLE, drawn=drawn)
    margin = stats.t.ppf(0.975, 29) * angles.std(ddof=1) * math.sqrt(30 / 29)
    assert math.atan(found.low) == pytest.approx(math.atan(50.0) - margin, abs=1e-9)
    assert found.high == pytest.approx(10_000, rel=1e-3)


# The difference of two correlations


def williams(r_ab: float, r_ac: float, r_bc: float, n: int) -> float:
    """Williams 1959: Student's t of r(a, b) - r(a, c) for independent normal units, with n - 3 degrees of freedom."""
    determinant = 1 - r_ab**2 - r_ac**2 - r_bc**2 + 2 * r_ab * r_ac * r_bc
    mean = (r_ab + r_ac) / 2
    below = 2 * determinant * (n - 1) / (n - 3) + mean**2 * (1 - r_bc) ** 3
    return (r_ab - r_ac) * math.sqrt((n - 1) * (1 + r_bc) / below)


def test_williams_t_is_that_of_r() -> None:
    # psych 2.2.9's r.test(n=12, r12, r13, r23) of the rows above
    r = (np.corrcoef(X, Y)[0, 1], np.corrcoef(X, Z)[0, 1], np.corrcoef(Y, Z)[0, 1])
    assert williams(*r, 12) == pytest.approx(5.0522852106, abs=1e-9)


def three(random: np.random.Generator, n: int, r_ab: float, r_ac: float, r_bc: float) -> np.ndarray:
    return random.multivariate_normal(np.zeros(3), [[1, r_ab, r_ac], [r_ab, 1, r_bc], [r_ac, r_bc, 1]], n).T


def test_its_error_is_williams_on_independent_normal_units() -> None:
    """Each unit is a passage, so that units are drawn one by one; 2,000 of them, so that both have their large-sample value."""
    a, b, c = three(np.random.default_rng(5), 2000, 0.75, 0.75, 0.8)
    found = correlation_difference(a, b, c, passages=np.arange(2000)).estimates["pearson_r_difference"]
    r = (np.corrcoef(a, b)[0, 1], np.corrcoef(a, c)[0, 1], np.corrcoef(b, c)[0, 1])
    assert found.value == pytest.approx(r[0] - r[1], abs=1e-12)
    error = (found.high - found.low) / 2 / stats.t.ppf(0.975, 1999)
    assert found.value / error == pytest.approx(williams(*r, 2000), rel=0.06)  # the resamples know their error to 1.6 %
    apart = math.hypot(*(math.atanh(one) for one in r[:2]))
    assert error < apart  # and it is far less than that of two independent correlations
    independent = math.hypot(*((1 - one**2) / math.sqrt(2000) for one in r[:2]))
    assert error < 0.75 * independent


def test_both_correlations_come_from_the_same_units_and_resamples() -> None:
    random = np.random.default_rng(2)
    a, b, c = three(random, 300, 0.9, 0.8, 0.85)
    c[:7] = NAN
    found = correlation_difference(a, b, c, unit="token").estimates
    assert {one.n for one in found.values()} == {293}
    assert found["pearson_r_ab"].value == pytest.approx(np.corrcoef(a[7:], b[7:])[0, 1])
    assert found["spearman_rho_ac"].value == pytest.approx(stats.spearmanr(a[7:], c[7:]).statistic)
    assert {one.drawn_from for one in found.values()} == {found["pearson_r_ab"].drawn_from}
    assert "blocks of" in found["pearson_r_ab"].drawn_from
    other = correlation_difference(a, c, b, unit="token").estimates
    for name in ("pearson_r_difference", "spearman_rho_difference"):
        assert (other[name].value, other[name].low, other[name].high) == pytest.approx(
            (-found[name].value, -found[name].high, -found[name].low)
        )
    assert found["pearson_r_difference"].definition == "r(a, b) − r(a, c)"
    same = correlation_difference(a, b, b).estimates["pearson_r_difference"]
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_whole_texts_are_drawn_where_there_are_enough() -> None:
    a, b, c = three(np.random.default_rng(2), 300, 0.9, 0.8, 0.85)
    texts = np.repeat(np.arange(6), 50)
    found = correlation_difference(a, b, c, texts=texts, passages=np.zeros(300, int))
    assert found.estimates["pearson_r_difference"].drawn_from == "6 texts"
    two = correlation_difference(a, b, c, texts=texts // 3).estimates["pearson_r_difference"]
    assert two.reason == "no interval: 2 texts, and an interval across texts needs at least 3"
    few = correlation_difference(a[:2], b[:2], c[:2]).estimates["pearson_r_difference"]
    assert (few.determined, few.reason) == (False, "2 positions are scored by both; a correlation needs at least 3")
    with pytest.raises(ComparisonError, match="3 resamples are not possible"):
        correlation_difference(a, b, c, resamples=3)


# The sign-flip test


@given(st.lists(st.floats(-3, 3, allow_nan=False).map(lambda x: round(x, 2)), min_size=1, max_size=9))
def test_small_samples_are_tested_exactly_as_by_a_loop(values: list[float]) -> None:
    differences = np.array(values)
    observed = abs(differences.mean())
    ways = [abs((differences * signs).mean()) for signs in product([1, -1], repeat=len(values))]
    found = sign_flip_test(differences)
    assert found.exact
    assert found.flips == 2 ** len(values)
    assert found.p == np.mean([way >= observed - 1e-9 for way in ways])


def test_scipys_test_is_the_same() -> None:
    differences = (Y - X)[:10]
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True, axis=0
    )
    assert sign_flip_test(differences).p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_large_samples_are_flipped_at_random_with_a_seed_and_never_have_p_of_0() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, 60)
    found = sign_flip_test(differences)
    assert (found.exact, found.flips, found.seed, found.n) == (False, 99_999, 0, 60)
    assert found.p == sign_flip_test(differences).p != sign_flip_test(differences, seed=1).p
    # Of 60 normal values the t test is nearly the same.
    assert found.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert sign_flip_test(np.ones(40), flips=999).p == 1 / 1000
    assert sign_flip_test(np.zeros(40), flips=999).p == 1
    assert sign_flip_test(np.append(differences, NAN)).n == 60


def test_random_flips_agree_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(4).normal(0.4, 1, 14)
    exact = sign_flip_test(differences).p
    monkeypatch.setattr("tokenviz.stats.differences._MOST_EXACT", 0)
    assert sign_flip_test(differences).p == pytest.approx(exact, abs=4 * math.sqrt(exact / 99_999))


def test_the_sign_flip_test_says_what_it_did() -> None:
    assert sign_flip_test(np.array([1.0, 2, 3, 4, 5])).described == (
        "sign-flip test p = 0.062 (two-sided, all 32 ways to set the signs; the least that 5 can give is 0.062)"
    )
    assert sign_flip_test(np.array([])).described == "no sign-flip test: there are no differences"
    assert sign_flip_test(np.array([])).to_json()["p"] is None


# Many intervals


def test_levels_for_several_intervals_at_once() -> None:
    assert adjusted_level(1) == 0.95
    assert adjusted_level(10) == pytest.approx(0.995)
    assert [percent(adjusted_level(count)) for count in (1, 2, 10, 12, 5000)] == [
        "95 %", "97.50 %", "99.50 %", "99.58 %", "99.9990 %",
    ]  # fmt: skip
    assert many_intervals(1) == ""
    assert many_intervals(24) == (
        "These are 24 intervals, each of 95 % by itself: on average 1.2 of them miss their number, and the one that stands out "
        "most is the likeliest to. For all 24 to hold at once in 95 % of studies, each needs a level of 99.79 % (Bonferroni)."
    )


def test_an_adjusted_interval_is_students_at_its_level() -> None:
    replicates = np.random.default_rng(0).normal(1.0, 0.2, 5000)
    found = interval(
        Estimate(1.0, 100), replicates, kind=PLAIN, drawn=Resampling("texts", None, 25, 25, 5000, 0), level=adjusted_level(10)
    )
    margin = stats.t.ppf(0.9975, 24) * replicates.std(ddof=1) * math.sqrt(25 / 24)
    assert (found.low, found.high) == pytest.approx((1 - margin, 1 + margin), abs=1e-14)
    assert found.to_json()["level"] == pytest.approx(0.995)


def test_mean_difference_keeps_its_sign_next_to_the_standardised_ones() -> None:
    assert np.sign(mean_difference(X, Y).value) == np.sign(d_z(X, Y).value) == np.sign(location_shift(X, Y).value)
