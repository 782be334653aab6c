"""Intervals of comparisons, of one text and of several taken together."""

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter
from tables import NAN, NUMBERS, long_pair, make_scores

from tokenviz.comparing.comparison import Comparison, compare, pool


def intervals(comparison: Comparison) -> dict[str, tuple[float, float]]:
    return {name: (estimate.low, estimate.high) for name, estimate in comparison.estimates().items()}


def test_every_number_has_an_interval_that_holds_it_with_unit_and_method() -> None:
    comparison = compare(*long_pair())
    assert comparison.resampling is not None
    assert (comparison.resampling.of, comparison.resampling.block_length) == ("blocks", 6)
    units = {"nats": "", "bits": "_bits", "share": "", "coefficient": "", "ratio": "s"}
    units["standard deviations"] = ""
    for name, estimate in comparison.estimates().items():
        assert estimate.low < estimate.value < estimate.high, name
        assert units[estimate.unit] in name
        assert estimate.n == 199
        assert estimate.method
        assert estimate.definition
        assert estimate.reason == ""
    assert comparison.pearson_r.method == "t interval on Fisher's z, resampled 34 blocks of 6 tokens"
    assert comparison.pearson_r.drawn_from == "34 blocks of 6 tokens"
    assert comparison.pearson_r_fisher.drawn_from == ""
    assert comparison.pearson_r_fisher.value == comparison.pearson_r.value
    assert (
        comparison.pearson_r_fisher.high - comparison.pearson_r_fisher.low
        < comparison.pearson_r.high - comparison.pearson_r.low
    )


def test_an_interval_is_that_of_a_loop_over_resamples() -> None:
    a, b = long_pair()
    comparison = compare(a, b, resamples=400, seed=9)
    both = a.scored & b.scored
    x, y = a.logprob[both], b.logprob[both]
    n, length = len(x), comparison.resampling.block_length
    # All starts of 192 resamples at a time, in one draw.
    random, z = np.random.Generator(np.random.PCG64(9)), []
    for m in (192, 192, 16):
        for starts in random.integers(0, n, size=(m, -(-n // length))):
            units = ((starts[:, None] + np.arange(length)) % n).ravel()[:n]
            z.append(math.atanh(np.corrcoef(x[units], y[units])[0, 1]))
    blocks = n / length
    margin = stats.t.ppf(0.975, blocks - 1) * np.std(z, ddof=1) * math.sqrt(blocks / (blocks - 1))
    centre = math.atanh(comparison.pearson_r.value)
    expected = (math.tanh(centre - margin), math.tanh(centre + margin))
    assert (comparison.pearson_r.low, comparison.pearson_r.high) == pytest.approx(expected, abs=1e-10)


def test_blocks_are_as_long_as_what_the_correlation_depends_on() -> None:
    random = np.random.default_rng(0)
    shocks, noise = random.normal(size=(2, 2000))
    x = lfilter([1], [1, -0.95], shocks)
    # The differences are noise, which alone has blocks of the cube root of n; the correlation depends on x's own past.
    a, b = (make_scores([[f" {number}" for number in range(2000)]], values) for values in (x - 20, x + 2 * noise - 20))
    assert compare(a, b, resamples=100).resampling.block_length > 20 > 2000 ** (1 / 3)


def test_intervals_change_their_sign_with_the_order_and_correlations_stay() -> None:
    a, b = long_pair()
    forth, back = intervals(compare(a, b)), intervals(compare(b, a))
    for name in ("pearson_r", "spearman_rho", "kendall_tau", "concordance", "rms_difference", "share_same_first"):
        assert forth[name] == pytest.approx(back[name], abs=1e-12)
    for name in ("mean_difference", "median_difference"):
        assert forth[name] == pytest.approx((-back[name][1], -back[name][0]), abs=1e-12)
    assert forth["share_a_more_confident"] == pytest.approx(back["share_b_more_confident"], abs=1e-12)


def test_the_same_seed_gives_the_same_intervals_and_another_one_nearly_the_same() -> None:
    tables = long_pair()
    assert intervals(compare(*tables)) == intervals(compare(*tables))
    assert intervals(compare(*tables)) == intervals(compare(*tables, seed=0, resamples=2000))
    other = compare(*tables, seed=1)
    assert other.pearson_r.low != compare(*tables).pearson_r.low
    assert other.pearson_r.low == pytest.approx(compare(*tables).pearson_r.low, abs=0.005)
    assert other.pearson_r.value == compare(*tables).pearson_r.value


def test_a_text_of_many_passages_has_whole_passages_resampled() -> None:
    few, many = (compare(*long_pair(passages=passages)) for passages in (4, 20))
    assert (few.resampling.of, few.resampling.count) == ("passages", 4)
    assert (many.resampling.of, many.resampling.pieces) == ("passages", 20)
    assert many.pearson_r.method == "t interval on Fisher's z, resampled 20 passages"


def test_two_passages_have_no_interval_and_say_why() -> None:
    comparison = compare(*long_pair(passages=2))
    assert comparison.resampling is None
    assert math.isnan(comparison.pearson_r.low)
    assert comparison.pearson_r.reason == (
        "no interval: 2 passages, and an interval across passages needs at least 3"
    )  # fmt: skip
    assert comparison.intervals_from == comparison.mean_difference.reason == comparison.pearson_r.reason
    assert not math.isnan(comparison.pearson_r_fisher.low)


def test_an_interval_over_few_passages_is_that_of_resamples_and_of_the_jackknife() -> None:
    a, b = long_pair(passages=4)
    comparison = compare(a, b, resamples=200, seed=9)
    both = a.scored & b.scored
    x, y, passage = a.logprob[both], b.logprob[both], a.passage[both]
    random, moved = np.random.Generator(np.random.PCG64(9)), []
    for m in (192, 8):
        for chosen in random.integers(0, 4, size=(m, 4)):
            units = np.concatenate([np.flatnonzero(passage == one) for one in chosen])
            moved.append((y - x)[units].mean())
    mean = (y - x).mean()
    without = np.array([(y - x)[passage != one].mean() for one in range(4)])
    jackknife = math.sqrt(3 / 4 * ((without - mean) ** 2).sum())
    pieces = comparison.resampling.pieces
    error = max(np.std(moved, ddof=1) * math.sqrt(pieces / (pieces - 1)), jackknife)
    margin = stats.t.ppf(0.975, pieces - 1) * error
    found = comparison.mean_difference
    assert (found.low, found.high) == pytest.approx((mean - margin, mean + margin), abs=1e-10)


def test_passages_that_disagree_widen_the_interval_of_whole_passages() -> None:
    a, b = long_pair(passages=20)
    moved = replace(b, logprob=b.logprob - np.where(b.passage % 2, 1.5, 0.0))
    plain, uneven = compare(a, b).mean_difference, compare(a, moved).mean_difference
    assert uneven.high - uneven.low > 2 * (plain.high - plain.low)


def test_a_comparison_goes_to_another_process_as_it_is() -> None:
    comparison = compare(*long_pair(passages=20))
    again = pickle.loads(pickle.dumps(comparison))
    assert intervals(again) == intervals(comparison)
    assert again.resampling == comparison.resampling


def test_no_resamples_give_no_intervals_and_say_so() -> None:
    comparison = compare(*long_pair(), resamples=0)
    assert comparison.resampling is None
    assert math.isnan(comparison.pearson_r.low)
    assert comparison.pearson_r.reason == "no interval: no resamples were asked for"
    assert comparison.pearson_r.value == compare(*long_pair()).pearson_r.value
    assert not math.isnan(comparison.pearson_r_fisher.low)


def test_nine_units_are_too_few_for_an_interval_and_ten_are_not() -> None:
    nine, ten = (compare(*long_pair(n)) for n in (10, 11))
    assert nine.pearson_r.reason == "no interval: 9 units are scored by both, and an interval needs at least 10"
    assert not math.isnan(nine.pearson_r.value)
    assert nine.undetermined() == {}
    assert -1 < ten.pearson_r.low < ten.pearson_r.value < ten.pearson_r.high < 1


def test_a_model_that_is_always_as_sure_has_no_correlation_but_a_difference_with_an_interval() -> None:
    a, b = long_pair()
    flat = replace(b, logprob=np.where(b.scored, -1.0, NAN))
    comparison = compare(a, flat)
    reason = "one model gives every position the same value; the correlation is not defined"
    assert comparison.undetermined() == {
        reason: ["Pearson's r", "Spearman's ρ", "Kendall's τ-b", "Lin's concordance"],
        "one model gives every position the same value; this number is not defined": [
            "accuracy C_b of the concordance", "location shift", "scale shift s_b / s_a", "Deming slope", "Deming intercept",
            "standardised difference d_z", "standardised difference d_av",
        ],
    }  # fmt: skip
    assert comparison.mean_difference.low < comparison.mean_difference.value < comparison.mean_difference.high
    assert comparison.pearson_r_fisher.reason == reason


def test_pooled_texts_are_one_row_of_all_their_units() -> None:
    one, two = compare(*long_pair(120, name="x")), compare(*long_pair(80, name="y", seed=2))
    pooled = pool([one, two])
    units = pd.concat([one.to_frame(), two.to_frame()]).dropna()
    assert pooled.n == len(units) == 198
    assert pooled.pearson_r.value == pytest.approx(np.corrcoef(units.logprob_a, units.logprob_b)[0, 1], abs=1e-12)
    assert pooled.mean_difference.value == pytest.approx(units.difference.mean(), abs=1e-12)
    same = one.share_same_first.value * 119 + two.share_same_first.value * 79
    assert pooled.share_same_first.value == pytest.approx(same / 198, abs=1e-12)
    assert pooled.pearson_r.reason == "no interval: 2 texts, and an interval across texts needs at least 3"
    document = json.loads(json.dumps(pooled.to_json(), allow_nan=False))
    assert {key: document[key] for key in ("texts", "by", "n", "n_units")} == {
        "texts": ["x", "y"], "by": "token", "n": 198, "n_units": 200,
    }  # fmt: skip
    assert list(document["statistics"]) == NUMBERS


def test_one_text_pooled_is_itself() -> None:
    comparison = compare(*long_pair())
    assert intervals(pool([comparison])) == intervals(comparison)


def test_pooling_draws_texts_and_never_their_passages_or_blocks() -> None:
    texts = [compare(*long_pair(40, name=f"t{number}", seed=number)) for number in range(6)]
    assert pool(texts).resampling.of == "texts"
    assert pool(texts).resampling.pieces == 6
    assert pool(texts[:3]).resampling.count == 3
    corpora = [compare(*long_pair(100, passages=10, name=f"t{number}", seed=number)) for number in range(2)]
    assert pool(corpora).resampling is None
    assert pool(corpora[:1]).resampling.pieces_named == "10 passages"


def test_texts_are_drawn_whole_whatever_their_passages_are_numbered() -> None:
    parts = [long_pair(40, passages=4, name=f"t{number}", seed=number) for number in range(5)]
    numbered = [tuple(replace(table, passage=table.passage + 4 * i) for table in pair) for i, pair in enumerate(parts)]
    alike, apart = (pool([compare(*pair) for pair in pairs]) for pairs in (parts, numbered))
    assert alike.resampling.pieces_named == "5 texts"
    assert intervals(alike) == intervals(apart)


def test_a_text_without_a_scored_unit_does_not_count() -> None:
    (a, b), (c, d) = long_pair(100, passages=10), long_pair(40, name="other")
    nothing = tuple(replace(table, logprob=np.full(40, np.nan)) for table in (c, d))
    pooled = pool([compare(a, b), compare(*nothing)])
    assert pooled.resampling.of == "passages"
    assert intervals(pooled) == intervals(compare(a, b))


def test_three_texts_have_a_wide_interval_and_say_what_was_drawn() -> None:
    texts = [compare(*long_pair(size, name=f"t{size}", seed=size)) for size in (134, 418, 98)]
    three, one = pool(texts), texts[1]
    found = three.pearson_r
    assert found.drawn_from == "3 texts, effectively 2.1"
    assert found.method == "t interval on Fisher's z, resampled 3 texts, effectively 2.1"
    assert three.intervals_from == "95 % intervals from 2,000 resamples of 3 texts, effectively 2.1 (seed 0)"
    assert found.high - found.low > one.pearson_r.high - one.pearson_r.low
    row = three.statistics_json()["pearson_r"]
    assert (row["resampled"], row["n_resampled"], row["n_effective"]) == ("texts", 3, three.resampling.pieces)
    assert all(three.statistics_json()["pearson_r_fisher"][name] is None for name in ("resampled", "n_resampled"))
