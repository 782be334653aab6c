"""How often the intervals of what a referee asks hold the truth: over texts that differ, and over stretches of one.

They promise 95 %. Each share rests on 400 simulated studies and so has a standard error of 0.011 where it is 0.95.
"""

import math
from collections import Counter

import numpy as np
import pytest
from simulated import Simulation, Texts

from tokenviz.comparing.agreement import agreement_of
from tokenviz.stats import adjusted_level, correlation_difference, definitions

pytestmark = pytest.mark.slow

STUDIES = 400
NAMES = ("concordance_accuracy", "location_shift", "scale_shift", "deming_slope", "deming_intercept", "d_z", "d_av")


def three(random: np.random.Generator, sizes: tuple[int, ...], phi: float, spread: float) -> np.ndarray:
    """Log-probs of three models, (3, n): b and c each are a mixed with noise of their own, b the closer; texts differ."""
    parts = []
    for size in sizes:
        noise = random.normal(size=(3, size + 50))
        for i in range(1, size + 50):
            noise[:, i] = phi * noise[:, i - 1] + math.sqrt(1 - phi**2) * noise[:, i]
        a, own_b, own_c = noise[:, 50:]
        mix = [1.3 + spread * random.normal(), 1.0 + spread * random.normal()]
        shared = [math.tanh(one) for one in mix]
        rows = [a, *(rho * a + math.sqrt(1 - rho**2) * own for rho, own in zip(shared, (own_b, own_c), strict=True))]
        parts.append(np.stack(rows))
    return np.concatenate(parts, axis=1)


def difference_coverage(sizes: tuple[int, ...], phi: float, spread: float) -> float:
    population = three(np.random.default_rng(0), (150,) * 4000, phi, spread)
    r = np.corrcoef(population)
    truth, held = r[0, 1] - r[0, 2], 0
    random, texts = np.random.default_rng(1), np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(STUDIES):
        rows = three(random, sizes, phi, spread)
        found = correlation_difference(*rows, texts=texts, resamples=200, seed=seed).estimates["pearson_r_difference"]
        held += found.low <= truth <= found.high
    return held / STUDIES


@pytest.mark.parametrize("sizes", [(80,) * 5, (60,) * 8, (40,) * 15])
def test_the_difference_of_two_correlations_over_texts(sizes: tuple[int, ...]) -> None:
    share = difference_coverage(sizes, 0.4, 0.25)
    assert 0.92 <= share <= 0.99, share


@pytest.mark.parametrize("n", [64, 300])
def test_the_difference_of_two_correlations_within_a_text(n: int) -> None:
    share = difference_coverage((n,), 0.4, 0.0)
    assert 0.90 <= share <= 0.98, share


def coverage_of_texts(sizes: tuple[int, ...]) -> dict[str, float]:
    population, held = Texts(), Counter[str]()
    x, y, _ = population.draw(np.random.default_rng(0), sizes * (600_000 // sum(sizes)))
    truth = {name: getattr(definitions, name)(x, y).value for name in NAMES}
    random, texts = np.random.default_rng(1), np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(STUDIES):
        x, y, _ = population.draw(random, sizes)
        unknown = np.full(len(x), np.nan)
        found = agreement_of(
            x, y, unknown, passages=texts, texts=texts, not_same="unknown", resamples=200, seed=seed, wanted=NAMES
        )  # fmt: skip
        for name in NAMES:
            held[name] += found[name].low <= truth[name] <= found[name].high
    return {name: held[name] / STUDIES for name in NAMES}


@pytest.mark.parametrize("sizes", [(80,) * 5, (60,) * 8, (40,) * 15])
def test_the_other_numbers_over_texts(sizes: tuple[int, ...]) -> None:
    for name, share in coverage_of_texts(sizes).items():
        assert 0.90 <= share <= 0.99, (name, share)


def test_the_other_numbers_within_a_text() -> None:
    population, held, n = Simulation("surprisal", 0.5), Counter[str](), 300
    x, y = population.draw(np.random.default_rng(0), 2_000_000)
    truth = {name: getattr(definitions, name)(x, y).value for name in NAMES}
    random, one = np.random.default_rng(1), np.zeros(n, int)
    for seed in range(STUDIES):
        x, y = population.draw(random, n)
        found = agreement_of(
            x, y, np.full(n, np.nan), passages=one, texts=one, not_same="unknown", resamples=200, seed=seed, wanted=NAMES
        )  # fmt: skip
        for name in NAMES:
            held[name] += found[name].low <= truth[name] <= found[name].high
    for name in NAMES:
        assert 0.85 <= held[name] / STUDIES <= 0.99, (name, held[name] / STUDIES)


def test_adjusted_intervals_hold_all_at_once() -> None:
    """Six mean differences over ten texts: at 95 % each, all hold in fewer than 90 of 100 studies; adjusted, in 95."""
    random, sizes = np.random.default_rng(3), (40,) * 10
    texts, held = np.repeat(np.arange(10), 40), Counter[float]()
    for seed in range(STUDIES):
        rows = random.normal(size=(7, 400)) + 0.5 * np.repeat(random.normal(size=(7, 10)), 40, axis=1)
        for level in (0.95, adjusted_level(6)):
            every = [
                agreement_of(
                    rows[0], row, np.full(400, np.nan), passages=texts, texts=texts, not_same="unknown", resamples=200,
                    seed=seed, level=level, wanted=("mean_difference",),
                )["mean_difference"]
                for row in rows[1:]
            ]  # fmt: skip
            held[level] += all(one.low <= 0 <= one.high for one in every)
    assert sum(sizes) == 400
    assert held[0.95] / STUDIES < 0.90
    assert 0.93 <= held[adjusted_level(6)] / STUDIES <= 1
