"""How often the intervals of studies hold the truth: means over prompts, items and pairs, where members of a group are alike.

They promise 95 %. Each share rests on 400 simulated studies and so has a standard error of 0.011 where it is 0.95. The truths
are closed forms of the distributions that are drawn from.
"""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from tokenviz.comparing.studies import accuracies, condition_means
from tokenviz.stats.intervals import student, wilson
from tokenviz.units.prompts import summarise_prompts

pytestmark = pytest.mark.slow

STUDIES = 400
MEAN = 2.5  # nats per token
TOKENS = 2.5  # per continuation
BYTES = 4.0  # per token
FIRST = (2.0, 3.0)  # parameters of a beta distribution: how often the continuations of a prompt are the first choice


def continuations(random: np.random.Generator, prompts: int, each: int) -> pd.DataFrame:
    """Return a table as of `prompt_table`: what follows a prompt is predictable to a degree that differs between prompts."""
    number = np.repeat(np.arange(prompts), each)
    ease = np.exp(0.5 * random.normal(size=prompts) - 0.5**2 / 2)[number]  # a factor of mean 1
    n_tokens = 1 + random.poisson(TOKENS - 1, size=len(number))
    logprob = -MEAN * ease * random.gamma(n_tokens)  # a sum of as many exponentials
    return pd.DataFrame(
        {
            "prompt_number": number,
            "n_tokens": n_tokens,
            "n_bytes": n_tokens + random.poisson((BYTES - 1) * n_tokens),
            "logprob": logprob,
            "surprisal_bits": -logprob / math.log(2),
            "all_first": random.random(len(number)) < random.beta(*FIRST, size=prompts)[number],
        }
    )


@pytest.mark.parametrize(("prompts", "each"), [(4, 4), (8, 3), (20, 2), (40, 4)])
def test_means_over_continuations(prompts: int, each: int) -> None:
    """Prompts differ so much, and surprisals are so skewed, that means fall a little short, as those of skewed values do."""
    random, held = np.random.default_rng(1), Counter[str]()
    truths = {
        "mean_logprob_per_continuation": -MEAN * TOKENS,
        "mean_logprob_per_token": -MEAN,
        "bits_per_byte_of_continuations": MEAN / math.log(2) / BYTES,
        "share_all_first": FIRST[0] / sum(FIRST),
    }
    for seed in range(STUDIES):
        found = summarise_prompts(continuations(random, prompts, each), resamples=200, seed=seed).estimates
        for name, truth in truths.items():
            held[name] += found[name].low <= truth <= found[name].high
    for name, count in held.items():
        least, most = (0.94, 1.0) if name == "share_all_first" else (0.88, 0.97)
        assert least <= count / STUDIES <= most, (name, held)


def test_continuations_of_a_prompt_are_no_sample_of_their_own() -> None:
    """Why whole prompts are drawn: Student's interval over continuations, as if each were drawn by itself, is too narrow."""
    random, held = np.random.default_rng(1), 0
    for _ in range(STUDIES):
        alone = student(continuations(random, 8, 12)["logprob"].to_numpy(), "nats")
        held += alone.low <= -MEAN * TOKENS <= alone.high
    assert held / STUDIES < 0.8


def rows_of(random: np.random.Generator, items: int) -> pd.DataFrame:
    """Return studies of two conditions, each study as one model's rows; what an item adds is the same in both."""
    study, item = (np.ravel(one) for one in np.meshgrid(np.arange(STUDIES), np.arange(items), indexing="ij"))
    shared = random.gamma(2.0, size=len(item))  # mean 2, skewed as surprisals are
    cells = {"plain": shared + random.gamma(3.0, size=len(item)), "hard": shared + 1.5 * random.gamma(3.0, size=len(item))}
    return pd.concat(
        [
            pd.DataFrame({"model": study, "item": item, "condition": name, "region": "verb", "surprisal_bits": bits})
            for name, bits in cells.items()
        ]
    )


@pytest.mark.parametrize("items", [4, 8, 12])
def test_means_over_items_and_differences_within_them(items: int) -> None:
    means, differences = condition_means(rows_of(np.random.default_rng(1), items), item="item", condition="condition")
    held = {}
    for name, truth in (("plain", 5.0), ("hard", 6.5)):
        own = means[means["condition"] == name]
        assert len(own) == STUDIES
        held[name] = ((own["low"] <= truth) & (truth <= own["high"])).mean()
    sign = np.where(differences["condition_b"] == "hard", 1.0, -1.0)
    held["difference"] = ((differences["low"] <= 1.5 * sign) & (1.5 * sign <= differences["high"])).mean()
    assert min(held.values()) >= 0.91, held
    assert max(held.values()) <= 0.98, held


def pairs_of(random: np.random.Generator, groups: int, size: int, spread: float) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a table as of `pair_table`, and its groups; with a spread above 0 some groups are easier than others."""
    easy = random.beta(0.75 * spread, 0.25 * spread, size=groups) if spread else np.full(groups, 0.75)
    names = np.repeat(np.arange(groups), size)
    correct = (random.random(len(names)) < easy[names]).astype(float)
    table = {"correct_sum": correct, "logprob_good": correct - 20 + random.normal(size=len(names)), "logprob_bad": -20.0}
    return pd.DataFrame(table), tuple(map(str, names))


@pytest.mark.parametrize("groups", [3, 5, 12])
def test_accuracy_over_groups_of_pairs(groups: int) -> None:
    random, held, alone = np.random.default_rng(1), 0, 0
    for _ in range(STUDIES):
        table, names = pairs_of(random, groups, 20, 6.0)
        found = accuracies(table, names, ("sum",))
        row = found[found["group"] == "all"].iloc[0]
        held += row["low"] <= 0.75 <= row["high"]
        share = wilson(table["correct_sum"].sum(), len(table))
        alone += share.low <= 0.75 <= share.high
    assert 0.90 <= held / STUDIES <= 0.97
    assert alone / STUDIES < 0.75  # as if pairs of a group were not alike


@pytest.mark.parametrize("size", [8, 20, 100])
def test_accuracy_within_a_group(size: int) -> None:
    random, held = np.random.default_rng(1), 0
    for _ in range(STUDIES):
        row = accuracies(*pairs_of(random, 1, size, 0.0), ("sum",)).iloc[0]
        held += row["low"] <= 0.75 <= row["high"]
    assert 0.92 <= held / STUDIES <= 0.99
