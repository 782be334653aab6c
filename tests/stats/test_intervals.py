"""Intervals, by arithmetic and by what must never happen to them."""

import math

import numpy as np
import pytest
from scipy import stats

from tokenviz.stats.estimate import Estimate
from tokenviz.stats.intervals import FISHER_Z, LOGARITHM, PLAIN, WILSON, Kind, interval
from tokenviz.stats.resampling import Resampling


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def with_interval(
    value: float, replicates: np.ndarray, kind: Kind, pieces: float = 25, left_out: np.ndarray | None = None
) -> Estimate:
    drawn = Resampling("texts", None, math.ceil(pieces), pieces, len(replicates), 0)
    return interval(Estimate(value, 100), replicates, kind=kind, drawn=drawn, left_out=left_out)


def test_a_plain_interval_is_students(random: np.random.Generator) -> None:
    replicates = random.normal(1.0, 0.2, 5000)
    found = with_interval(1.0, replicates, PLAIN)
    margin = stats.t.ppf(0.975, 24) * replicates.std(ddof=1) * math.sqrt(25 / 24)
    assert (found.low, found.high) == pytest.approx((1 - margin, 1 + margin), abs=1e-14)
    assert found.method == "t interval, resampled 25 texts"
    assert found.drawn_from == "25 texts"


def test_an_interval_of_a_mean_of_independent_values_is_the_textbooks(random: np.random.Generator) -> None:
    values = random.normal(size=30)
    means = random.choice(values, (200_000, 30)).mean(axis=1)
    found = with_interval(values.mean(), means, PLAIN, pieces=30)
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    # The standard deviation of 200,000 replicates is known to 0.2 %.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.005 * (high - low))


def test_a_correlation_is_lopsided_and_stays_in_range(random: np.random.Generator) -> None:
    replicates = np.tanh(random.normal(np.arctanh(0.95), 0.5, 5000))
    found = with_interval(0.95, replicates, FISHER_Z)
    margin = stats.t.ppf(0.975, 24) * np.arctanh(replicates).std(ddof=1) * math.sqrt(25 / 24)
    assert found.low == pytest.approx(math.tanh(math.atanh(0.95) - margin), abs=1e-12)
    assert 0.95 - found.low > 3 * (found.high - 0.95)
    assert -1 < found.low < 0.95 < found.high < 1


def test_a_full_correlation_in_a_resample_does_not_make_the_interval_boundless() -> None:
    replicates = np.concatenate([np.full(50, 1.0), np.full(450, 0.9995)])
    found = with_interval(0.9996, replicates, FISHER_Z, 3, np.array([1.0, 0.9994, 0.9995]))
    assert found.method == "t interval between -1 and 1, resampled 3 texts"
    error = math.sqrt(((np.array([1.0, 0.9994, 0.9995]) - 0.9996) ** 2).sum())
    assert found.low == pytest.approx(0.9996 - stats.t.ppf(0.975, 2) * error, abs=1e-12)
    assert found.high == 1


def test_a_root_mean_square_stays_above_zero(random: np.random.Generator) -> None:
    found = with_interval(0.1, np.exp(random.normal(np.log(0.1), 1.0, 5000)), LOGARITHM)
    assert found.low > 0
    assert found.low * found.high == pytest.approx(0.1**2, rel=1e-12)


def test_a_share_of_independent_units_has_wilsons_interval(random: np.random.Generator) -> None:
    n, share = 50, 0.3
    found = with_interval(share, random.binomial(n, share, 400_000) / n, WILSON, pieces=n)
    # Wilson 1927, with Student's t in the place of the normal quantile and n - 1 in the place of n.
    t, effective = stats.t.ppf(0.975, n - 1), n - 1
    centre = (share + t**2 / (2 * effective)) / (1 + t**2 / effective)
    margin = t / (1 + t**2 / effective) * math.sqrt(share * (1 - share) / effective + t**2 / (4 * effective**2))
    assert (found.low, found.high) == pytest.approx((centre - margin, centre + margin), abs=0.002)


@pytest.mark.parametrize(("share", "end"), [(0.0, "low"), (1.0, "high")])
def test_what_was_never_seen_is_not_excluded(share: float, end: str) -> None:
    found = with_interval(share, np.full(500, share), WILSON, pieces=40)
    assert getattr(found, end) == share
    assert found.high - found.low == pytest.approx(stats.t.ppf(0.975, 39) ** 2 / (40 + stats.t.ppf(0.975, 39) ** 2), rel=0.05)


@pytest.mark.parametrize(
    ("value", "kind"), [(-1.0, FISHER_Z), (0.3, FISHER_Z), (1.0, FISHER_Z), (0.0, PLAIN), (0.0, LOGARITHM)]
)
def test_replicates_that_do_not_differ_have_an_interval_of_no_width(value: float, kind: Kind) -> None:
    found = with_interval(value, np.full(500, value), kind)
    assert (found.low, found.high) == (value, value)


def test_resamples_without_any_difference_leave_a_finite_interval() -> None:
    replicates = np.concatenate([np.zeros(40), np.full(460, 0.1)])
    found = with_interval(0.1, replicates, LOGARITHM)
    assert 0 < found.low < 0.1 < found.high < math.inf


@pytest.mark.parametrize("kind", [FISHER_Z, PLAIN, WILSON, LOGARITHM])
@pytest.mark.parametrize("value", [1e-9, 0.5, 1 - 1e-13])
def test_an_interval_always_holds_its_number_and_its_range(kind: Kind, value: float, random: np.random.Generator) -> None:
    replicates = np.clip(random.normal(0.2, 0.3, 500), 1e-12, 1)  # far from the value: a bias
    found = with_interval(value, replicates, kind, pieces=4)
    assert found.low <= value <= found.high
    if kind is FISHER_Z or kind is WILSON:
        assert found.low >= -1
        assert found.high <= 1


def test_an_interval_holds_a_correlation_that_is_one_but_for_rounding(random: np.random.Generator) -> None:
    value = 1 - 1e-13
    found = with_interval(value, 1 - random.uniform(0, 2e-12, 500), FISHER_Z)
    assert found.low < value <= found.high <= 1


@pytest.mark.parametrize(("kind", "factor"), [(PLAIN, 5 / 6), (WILSON, 5 / 6), (FISHER_Z, 1.0), (LOGARITHM, 1.0)])
def test_an_interval_over_texts_is_no_narrower_than_the_jackknifes(kind: Kind, factor: float) -> None:
    value, replicates = 0.4, np.full(500, 0.4)
    left_out = np.array([0.3, 0.35, 0.4, 0.45, 0.5, 0.42])
    found = with_interval(value, replicates, kind, 6, left_out)
    scale = {PLAIN: lambda x: x, WILSON: lambda x: x, FISHER_Z: np.arctanh, LOGARITHM: np.log}[kind]
    error = math.sqrt(factor * ((scale(left_out) - scale(value)) ** 2).sum())
    t = stats.t.ppf(0.975, 5)
    if kind is WILSON:
        effective = 0.4 * 0.6 / error**2
        centre = (0.4 + t**2 / (2 * effective)) / (1 + t**2 / effective)
        margin = math.sqrt(t**2 / effective * 0.24 + (t**2 / effective) ** 2 / 4) / (1 + t**2 / effective)
        expected = (centre - margin, centre + margin)
    else:
        back = {PLAIN: lambda x: x, FISHER_Z: np.tanh, LOGARITHM: np.exp}[kind]
        expected = (back(scale(value) - t * error), back(scale(value) + t * error))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)


def test_resamples_that_move_further_than_the_jackknife_decide(random: np.random.Generator) -> None:
    replicates, left_out = random.normal(0, 1, 500), np.array([-0.01, 0.01, 0.0])
    assert with_interval(0.0, replicates, PLAIN, 3, left_out) == with_interval(0.0, replicates, PLAIN, 3)


def test_few_pieces_make_it_wider(random: np.random.Generator) -> None:
    replicates = random.normal(0, 1, 500)
    widths = [with_interval(0.0, replicates, PLAIN, pieces).high for pieces in (4, 10, 100, 10_000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == pytest.approx(1.96 * replicates.std(ddof=1), rel=1e-3)


def test_resamples_that_do_not_determine_the_number_are_left_out_unless_they_are_many(random: np.random.Generator) -> None:
    replicates = random.normal(0, 1, 1000)
    replicates[:50] = math.nan
    assert with_interval(0.0, replicates, PLAIN).high == with_interval(0.0, replicates[50:], PLAIN).high
    replicates[50] = math.nan
    found = with_interval(0.0, replicates, PLAIN)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.reason == "no interval: 5% of the resamples do not determine this number"
    assert found.value == 0
