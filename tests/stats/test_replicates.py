"""Statistics of many resamples at once, against the definitions applied to each resample by itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenviz.stats import definitions
from tokenviz.stats.replicates import Inversions, unit_replicates
from tokenviz.stats.resampling import plan, weights

DEFINITIONS = {
    "pearson_r": definitions.pearson_r,
    "spearman_rho": definitions.spearman_rho,
    "kendall_tau": definitions.kendall_tau,
    "concordance": definitions.concordance,
    "mean_difference": definitions.mean_difference,
    "median_difference": definitions.median_difference,
    "rms_difference": definitions.rms_difference,
    "share_b_more_confident": definitions.share_greater,
    "share_a_more_confident": lambda x, y: definitions.share_greater(y, x),
    "concordance_accuracy": definitions.concordance_accuracy,
    "location_shift": definitions.location_shift,
    "scale_shift": definitions.scale_shift,
    "deming_slope": definitions.deming_slope,
    "deming_intercept": definitions.deming_intercept,
    "d_z": definitions.d_z,
    "d_av": definitions.d_av,
}


def columns(n: int, decimals: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two rows and whether the first choices are the same; few decimals make many ties."""
    random = np.random.default_rng(n)
    x = -random.exponential(2.0, n)
    y = 0.8 * x - random.exponential(0.5, n)
    same = (random.random(n) < 0.6).astype(float)
    same[3] = math.nan
    return np.round(x, decimals), np.round(y, decimals), same


def check_against_loop(x: np.ndarray, y: np.ndarray, same: np.ndarray, drawn: np.ndarray) -> None:
    found = unit_replicates(x, y, same, [drawn])
    assert found.keys() == {*DEFINITIONS, "share_same_first"}
    for resample, times in enumerate(drawn.T):
        units = np.repeat(np.arange(len(x)), times)  # the resample as it would be drawn by hand
        for name, definition in DEFINITIONS.items():
            # Sums in another order.
            assert found[name][resample] == pytest.approx(definition(x[units], y[units]).value, abs=1e-12, nan_ok=True), name
        assert found["share_same_first"][resample] == pytest.approx(definitions.share_same(same[units]).value, nan_ok=True)


@pytest.mark.parametrize("decimals", [15, 1, 0])
@pytest.mark.parametrize("n", [10, 33, 64])
def test_blocks_give_what_a_loop_over_resamples_gives(n: int, decimals: int) -> None:
    x, y, same = columns(n, decimals)
    resampling, _ = plan([y - x], {"texts": np.zeros(n, int), "passages": np.zeros(n, int)}, 200, 1)
    assert resampling is not None
    assert resampling.of == "blocks"
    check_against_loop(x, y, same, np.concatenate(list(weights(resampling, n)), axis=1))


@pytest.mark.parametrize("decimals", [15, 1])
def test_passages_give_what_a_loop_over_resamples_gives(decimals: int) -> None:
    x, y, same = columns(60, decimals)
    labels = np.sort(np.random.default_rng(2).integers(0, 9, 60))
    resampling, _ = plan([y - x], {"texts": np.zeros(60, int), "passages": labels}, 200, 1)
    assert resampling is not None
    assert resampling.of == "passages"
    check_against_loop(x, y, same, np.concatenate(list(weights(resampling, 60)), axis=1))


@given(st.lists(st.tuples(st.integers(-5, 0), st.integers(-5, 0), st.integers(0, 3)), min_size=3, max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_pairs_drawn_any_number_of_times(units: list[tuple[int, int, int]]) -> None:
    x, y, times = (np.array(column) for column in zip(*units, strict=True))
    times[0] += 3  # a correlation needs three pairs
    check_against_loop(x.astype(float), y.astype(float), np.full(len(x), math.nan), times[:, None].astype(np.int16))


def test_each_unit_once_gives_the_statistic_itself() -> None:
    x, y, same = columns(2000, 15)
    found = unit_replicates(x, y, same, [np.ones((2000, 1), np.int16)])
    for name, definition in DEFINITIONS.items():
        assert found[name][0] == pytest.approx(definition(x, y).value, abs=1e-12), name


def test_values_far_from_zero_lose_nothing() -> None:
    x, y, same = columns(50, 15)
    drawn = np.random.default_rng(4).poisson(1.0, (50, 20)).astype(np.int16)
    near, far = (unit_replicates(x + shift, y + shift, same, [drawn]) for shift in (0.0, -1e6))
    # Seven digits go to the shift itself.
    np.testing.assert_allclose(near["pearson_r"], far["pearson_r"], atol=1e-8)


def test_a_resample_of_one_unit_determines_no_correlation() -> None:
    x, y, same = columns(12, 15)
    drawn = np.zeros((12, 1), np.int16)
    drawn[5] = 12
    found = unit_replicates(x, y, same, [drawn])
    assert all(math.isnan(found[name][0]) for name in ("pearson_r", "spearman_rho", "kendall_tau", "concordance"))
    assert found["mean_difference"][0] == y[5] - x[5]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 200])
def test_inversions_are_counted_pair_by_pair(n: int) -> None:
    random = np.random.default_rng(n)
    x, y = random.integers(0, 9, n).astype(float), random.integers(0, 9, n).astype(float)
    drawn = random.poisson(1.0, (n, 3)).astype(np.int16)
    opposite = (x[:, None] < x[None, :]) & (y[:, None] > y[None, :])
    expected = [float(times @ opposite @ times) for times in drawn.T.astype(int)]
    assert Inversions(x, y).of(drawn).tolist() == expected


def test_counts_beyond_sixteen_bits_do_not_overflow() -> None:
    n = 40_000
    x, y, same = columns(n, 15)
    resampling, _ = plan([y - x], {"texts": np.zeros(n, int), "passages": np.zeros(n, int)}, 100, 1)
    assert resampling is not None
    drawn = next(weights(resampling, n))[:, :1]
    units = np.repeat(np.arange(n), drawn[:, 0])
    found = unit_replicates(x, y, same, [drawn])
    for name in ("spearman_rho", "kendall_tau", "median_difference"):
        assert found[name][0] == pytest.approx(DEFINITIONS[name](x[units], y[units]).value, abs=1e-12)
