"""How often the intervals hold the truth, on simulated data whose truth is known. They promise 95 %.

The bounds are what the intervals do, not what they should do: on few strongly dependent units they fall short, by far less
than Fisher's. Each share below rests on 250 to 800 simulated texts; two of its standard errors are 0.02 to 0.035.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from simulated import Simulation

from tokenviz.comparing.agreement import agreement_of

pytestmark = pytest.mark.slow

CORRELATIONS = ("pearson_r", "spearman_rho", "kendall_tau", "concordance")


def coverage(simulation: Simulation, texts: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[dict, dict]:
    """The share of intervals that hold the truth, and their mean width, by statistic."""
    truths = simulation.truths()
    truths["pearson_r_fisher"] = truths["pearson_r"]
    held: Counter[str] = Counter()
    width: Counter[str] = Counter()
    count = 0
    for seed, (x, y, passages) in enumerate(texts):
        unknown = np.full(len(x), np.nan)
        found = agreement_of(
            x, y, unknown, passages=passages, texts=np.zeros(len(x), int), not_same="unknown", resamples=200, seed=seed
        )  # fmt: skip
        for name, truth in truths.items():
            held[name] += found[name].low <= truth <= found[name].high
            width[name] += found[name].high - found[name].low
        count = seed + 1
    return {name: held[name] / count for name in truths}, {name: width[name] / count for name in truths}


def of_one_text(simulation: Simulation, n: int, texts: int) -> tuple[dict, dict]:
    random = np.random.default_rng(1)
    return coverage(simulation, ((*simulation.draw(random, n), np.zeros(n, int)) for _ in range(texts)))


# n, texts, the coefficient of the autoregression; the least coverage of a correlation and of a difference.
CASES = [
    (64, 800, 0.0, 0.89, 0.89), (64, 800, 0.3, 0.89, 0.87), (64, 800, 0.6, 0.86, 0.82),
    (200, 500, 0.0, 0.90, 0.90), (200, 500, 0.3, 0.90, 0.89), (200, 500, 0.6, 0.88, 0.85),
    (1000, 250, 0.0, 0.91, 0.91), (1000, 250, 0.3, 0.90, 0.89), (1000, 250, 0.6, 0.88, 0.87),
]  # fmt: skip


@pytest.mark.parametrize("margins", ["normal", "surprisal"])
@pytest.mark.parametrize(("n", "texts", "phi", "least", "least_of_differences"), CASES)
def test_blocks_of_one_text(margins: str, n: int, texts: int, phi: float, least: float, least_of_differences: float) -> None:
    held, width = of_one_text(Simulation(margins, phi), n, texts)
    for name, share in held.items():
        if name != "pearson_r_fisher":
            assert share >= (least if name in CORRELATIONS or "share" in name else least_of_differences), (name, held)
    # No wider than it takes, either.
    assert max(held["pearson_r"], held["mean_difference"]) < 0.99
    if margins == "normal" and phi == 0 and n > 64:  # where Fisher is right
        assert width["pearson_r"] == pytest.approx(width["pearson_r_fisher"], rel=0.07)


@pytest.mark.parametrize(
    ("margins", "phi", "most"),
    [("normal", 0.6, 0.87), ("surprisal", 0.0, 0.87), ("surprisal", 0.3, 0.85), ("surprisal", 0.6, 0.76)],
)
def test_fishers_interval_is_too_narrow_for_dependent_or_skewed_units(margins: str, phi: float, most: float) -> None:
    held, _ = of_one_text(Simulation(margins, phi), 200, 500)
    assert held["pearson_r_fisher"] < most
    assert held["pearson_r"] > held["pearson_r_fisher"] + 0.05


@pytest.mark.parametrize("margins", ["normal", "surprisal"])
@pytest.mark.parametrize(("count", "size"), [(8, 60), (20, 40)])
def test_whole_passages_that_differ_among_themselves(margins: str, count: int, size: int) -> None:
    simulation, random = Simulation(margins, 0.3), np.random.default_rng(1)
    texts = [simulation.draw_passages(random, count, size, 0.2) for _ in range(300)]
    held, _ = coverage(simulation, iter(texts))
    for name, share in held.items():
        if name != "pearson_r_fisher":
            assert share >= 0.87, (name, held)
    as_one = [(x, y, np.zeros(len(x), int)) for x, y, _ in texts]
    in_blocks, _ = coverage(simulation, iter(as_one))
    assert in_blocks["mean_difference"] < held["mean_difference"] - 0.05
