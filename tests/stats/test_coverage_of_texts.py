"""How often intervals across several texts hold the truth, where texts differ and their tokens depend on each other.

They promise 95 %. Each share rests on 500 simulated studies and so has a standard error of 0.01 where it is 0.95.
"""

import math
from collections import Counter

import numpy as np
import pytest
from simulated import Texts

from tokenviz.comparing.agreement import agreement_of
from tokenviz.stats import definitions
from tokenviz.stats.intervals import PLAIN
from tokenviz.stats.summaries import Ratio, summarise

pytestmark = pytest.mark.slow

STUDIES = 500
NOISE = 0.02  # two standard errors
STATISTICS = {
    "pearson_r": definitions.pearson_r,
    "concordance": definitions.concordance,
    "mean_difference": definitions.mean_difference,
}
ALIKE, DIFFERENT, VERY_DIFFERENT = Texts(0.3, 0, 0, 0), Texts(), Texts(0.5, 0.3, 0.5, 0.5)


def truths(population: Texts, sizes: tuple[int, ...]) -> dict[str, float]:
    """The statistics of so many texts that no more than a thousandth is left to chance."""
    x, y, n_bytes = population.draw(np.random.default_rng(0), sizes * (600_000 // sum(sizes)))
    found = {name: statistic(x, y).value for name, statistic in STATISTICS.items()}
    return found | {"bits_per_byte": -x.sum() / math.log(2) / n_bytes.sum()}


def coverage(population: Texts, sizes: tuple[int, ...]) -> dict[str, float]:
    """The share of intervals that hold the truth, by statistic."""
    random, held, truth = np.random.default_rng(1), Counter[str](), truths(population, sizes)
    texts = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(STUDIES):
        x, y, n_bytes = population.draw(random, sizes)
        unknown, scored = np.full(len(x), np.nan), np.ones(len(x), bool)
        found = agreement_of(x, y, unknown, passages=texts, texts=texts, not_same="unknown", resamples=200, seed=seed)
        bits = Ratio("bits per byte", "bits", PLAIN, -x / math.log(2), n_bytes)
        passages = [np.zeros(size, int) for size in sizes]
        summary = summarise({"bits_per_byte": bits}, scored=scored, passages=passages, resamples=200, seed=seed)
        for name, value in truth.items():
            estimate = found.get(name) or summary.estimates[name]
            assert estimate.drawn_from.startswith(f"{len(sizes)} texts")
            held[name] += estimate.low <= value <= estimate.high
    return {name: held[name] / STUDIES for name in truth}


@pytest.mark.parametrize("population", [ALIKE, DIFFERENT])
@pytest.mark.parametrize("sizes", [(80,) * 5, (60,) * 8, (40,) * 12])
def test_equal_texts_from_five_on(population: Texts, sizes: tuple[int, ...]) -> None:
    for name, share in coverage(population, sizes).items():
        assert 0.93 - NOISE <= share <= 0.97 + NOISE, (name, share)


@pytest.mark.parametrize("population", [DIFFERENT, VERY_DIFFERENT])
@pytest.mark.parametrize(
    "sizes", [(134, 418, 98, 399, 113), (40, 60, 120), (80, 80, 80), (150, 15, 20, 40, 25, 30, 75), (40, 55, 40, 70)]
)
def test_unequal_or_few_texts(population: Texts, sizes: tuple[int, ...]) -> None:
    assert min(coverage(population, sizes).values()) >= 0.9


def test_blocks_over_the_ends_of_texts_would_not_do() -> None:
    """Why several texts are never cut into blocks."""
    random, held, sizes = np.random.default_rng(1), Counter[str](), (134, 418, 98, 399, 113)
    truth = truths(VERY_DIFFERENT, sizes)
    for seed in range(100):
        x, y, _ = VERY_DIFFERENT.draw(random, sizes)
        one = np.zeros(len(x), int)
        found = agreement_of(
            x, y, np.full(len(x), np.nan), passages=one, texts=one, not_same="unknown", resamples=200, seed=seed
        )  # fmt: skip
        for name in STATISTICS:
            held[name] += found[name].low <= truth[name] <= found[name].high
    assert max(held.values()) < 80
