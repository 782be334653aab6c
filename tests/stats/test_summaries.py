"""Ratios and percentiles with intervals: against loops, by hand, and where there is nothing to resample."""

import math

import numpy as np
import pytest
from scipy import stats
from tables import NAN, make_scores

import tokenviz as tv
from tokenviz.base.errors import ComparisonError
from tokenviz.comparing.distances import PERCENTILES, summarise_divergences
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.divergence import Divergences
from tokenviz.scoring.statistics import PositionDivergences
from tokenviz.stats.intervals import LOGARITHM, PLAIN
from tokenviz.stats.summaries import Quantile, Ratio, summarise
from tokenviz.units.sums import information

RANDOM = np.random.default_rng(3)


def made_up(n: int = 400, *, name: str = "text", b: str = "b", top_k: int = 10, passages: int = 1) -> Divergences:
    kl = np.exp(RANDOM.normal(-3, 1, n))
    kl[0] = NAN
    columns = {
        "kl_ab": kl,
        "kl_ba": kl * 1.5,
        "js": kl / 5,
        "total_variation": np.minimum(1, kl),
        "same_first": (kl < 0.2) * 1.0,
    }
    overlap = np.where(np.isnan(kl) | (top_k == 0), NAN, RANDOM.integers(0, 11, n) / 10)
    passage = np.sort(np.arange(n) % passages)
    return Divergences(name, "a", b, top_k, passage, np.arange(n), PositionDivergences(**columns, top_overlap=overlap))


def test_means_and_percentiles_are_those_of_numpy() -> None:
    found = made_up()
    summary = summarise_divergences(found)
    kl = found.values.kl_ab[1:]
    estimates = summary.estimates
    assert estimates["mean_kl_ab"].value == pytest.approx(kl.mean())
    assert estimates["mean_top_overlap"].value == pytest.approx(np.nanmean(found.values.top_overlap))
    for percent in PERCENTILES:
        expected = np.quantile(kl, percent / 100, method="inverted_cdf")
        assert estimates[f"kl_ab_p{percent}"].value == expected
    for name, one in estimates.items():
        assert one.low < one.value < one.high, name
        assert one.n == 399
    assert estimates["mean_kl_ab"].definition == "mean KL divergence of b from a"
    assert estimates["mean_top_overlap"].definition == "mean overlap of the top 10"
    assert estimates["kl_ba_p95"].definition == "KL divergence of a from b, percentile 95"


@pytest.mark.parametrize("n", [20, 100, 400])
def test_percentiles_of_whole_positions_are_the_values_at_them(n: int) -> None:
    values = RANDOM.permutation(n) + 1.0
    for percent in range(5, 100, 5):
        assert Quantile("values", "nats", values, percent / 100).value == percent * n // 100, percent
    # 0.07 x 100 is 7.000000000000001, and 0.29 x 100 is 28.999999999999996.
    for percent in (7, 14, 28, 29, 55, 56, 57, 58):
        assert Quantile("values", "nats", np.arange(1.0, 101), percent / 100).value == percent


def test_percentiles_between_positions_are_the_values_above() -> None:
    for n in (1, 3, 19, 21, 99, 101):
        values = np.arange(1.0, n + 1)
        for share in (0.05, 0.5, 0.95, 0.99):
            expected = np.quantile(values, share, method="inverted_cdf")
            assert Quantile("values", "nats", values, share).value == expected, (n, share)


def test_intervals_are_those_of_a_loop_over_resamples() -> None:
    found = made_up(300)
    summary = summarise_divergences(found, resamples=200, seed=4)
    kl = found.values.kl_ab[1:]
    n, length = len(kl), summary.resampling.block_length
    random, means, tails = np.random.Generator(np.random.PCG64(4)), [], []
    for m in (192, 8):
        for starts in random.integers(0, n, size=(m, -(-n // length))):
            drawn = kl[((starts[:, None] + np.arange(length)) % n).ravel()[:n]]
            means.append(drawn.mean())
            tails.append(np.quantile(drawn, 0.95, method="inverted_cdf"))
    blocks = n / length
    for name, value, replicates in (
        ("mean_kl_ab", kl.mean(), means),
        ("kl_ab_p95", np.quantile(kl, 0.95, method="inverted_cdf"), tails),
    ):
        spread = np.std(np.log(np.array(replicates) / value), ddof=1) * math.sqrt(blocks / (blocks - 1))
        factor = math.exp(stats.t.ppf(0.975, blocks - 1) * spread)
        one = summary.estimates[name]
        assert (one.low, one.high) == pytest.approx((value / factor, value * factor), rel=1e-9)


def test_texts_are_taken_together_and_resampled_whole() -> None:
    texts = [made_up(50, name=f"text {i}") for i in range(6)]
    summary = summarise_divergences(texts)
    assert summary.resampling.of == "texts"
    expected = np.concatenate([one.values.kl_ab[1:] for one in texts]).mean()
    assert summary.estimates["mean_kl_ab"].value == pytest.approx(expected)
    assert summarise_divergences(made_up(400, passages=8)).resampling.of == "passages"


def test_what_is_written_down_names_the_resamples() -> None:
    about = summarise_divergences(made_up(), resamples=100, seed=2).to_json()["mean_js"]
    assert (about["resampled"], about["resamples"], about["seed"], about["unit"]) == ("blocks", 100, 2, "nats")
    frame = summarise_divergences(made_up(), resamples=0).to_frame()
    assert frame["low"].isna().all()
    assert set(frame["reason"]) == {"no interval: no resamples were asked for"}


def test_no_alternatives_no_overlap() -> None:
    assert "mean_top_overlap" not in summarise_divergences(made_up(top_k=0)).estimates


def test_nothing_scored_is_nothing_found() -> None:
    nothing = summarise_divergences(made_up(1)).estimates["mean_kl_ab"]
    assert math.isnan(nothing.value)
    assert (nothing.n, nothing.reason) == (0, "no token has a prediction")
    few = summarise_divergences(made_up(5)).estimates["kl_ab_p50"]
    assert few.reason == "no interval: 4 tokens have a prediction, and an interval needs at least 10"


def test_what_cannot_be_taken_together_is_refused() -> None:
    with pytest.raises(ComparisonError, match=r"^no divergences were given: there is nothing to summarise$"):
        summarise_divergences([])
    message = r"^'a' and 'b' cannot be summarised together with 'a' and 'c': take divergences of the same two models$"
    with pytest.raises(ComparisonError, match=message):
        summarise_divergences([made_up(), made_up(b="c")])
    with pytest.raises(ComparisonError, match=r"^scores by 'm' and 'n' are not one model's: summarise each by itself$"):
        information([make_scores([["a"]], model="m"), make_scores([["a"]], model="n")])
    with pytest.raises(ComparisonError, match=r"^7 resamples are not possible"):
        summarise_divergences(made_up(), resamples=7)


def test_bits_by_hand() -> None:
    scores = make_scores([["The", " cá", " 🙂"]], [NAN, -math.log(8), -math.log(4)])
    found = information(scores).estimates
    # 3 + 2 bits over " cá" and " 🙂": 4 + 5 bytes, 3 + 2 characters. "The" has no prediction and counts nowhere.
    assert found["bits_per_byte"].value == pytest.approx(5 / 9)
    assert found["bits_per_character"].value == pytest.approx(5 / 5)
    assert found["mean_logprob"].value == pytest.approx(-5 * math.log(2) / 2)
    assert found["bits_per_byte"].value == pytest.approx(scores.summary().bits_per_byte)
    assert found["bits_per_byte"].n == 2


def test_bits_per_byte_do_not_depend_on_how_the_text_is_cut() -> None:
    whole = make_scores([["a", "bcd", "ef"]], [NAN, -3.0, -1.5])
    cut = make_scores([["a", "b", "cd", "e", "f"]], [NAN, -1.0, -2.0, -1.0, -0.5])
    for name in ("bits_per_byte", "bits_per_character"):
        assert information(whole).estimates[name].value == pytest.approx(information(cut).estimates[name].value)
    assert information(whole).estimates["mean_logprob"].value != information(cut).estimates["mean_logprob"].value


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    random, held = np.random.default_rng(1), {"mean": 0, "tail": 0}
    rounds, n = 300, 400
    truth = {"mean": math.exp(0.5), "tail": math.exp(stats.norm.ppf(0.9))}
    for _ in range(rounds):
        noise = random.normal(size=n + 1)
        values = np.exp((noise[1:] + 0.5 * noise[:-1]) / math.sqrt(1.25))  # neighbours depend on each other
        numbers = {
            "mean": Ratio("mean", "nats", LOGARITHM, values, np.ones(n)),
            "tail": Quantile("tail", "nats", values, 0.9),
        }
        found = summarise(numbers, scored=np.ones(n, bool), passages=[np.zeros(n, int)], resamples=500, seed=0).estimates
        for name, one in found.items():
            held[name] += one.low <= truth[name] <= one.high
    assert all(0.90 < count / rounds < 0.985 for count in held.values()), held


def test_what_tokens_do_to_a_ratio_adds_up_to_nothing() -> None:
    above, below = RANDOM.normal(5, 1, 50), RANDOM.integers(1, 9, 50).astype(float)
    influence = Ratio("a", "bits", PLAIN, above, below).influence
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    # Leaving a token out moves the number by so much, but for the sum below.
    left = above[1:].sum() / below[1:].sum() - above.sum() / below.sum()
    assert left == pytest.approx(-influence[0] / below[1:].sum(), rel=1e-9)


def test_a_ratio_without_a_denominator_is_not_determined() -> None:
    ratio = Ratio("nothing", "bits", PLAIN, np.ones(3), np.zeros(3))
    assert math.isnan(ratio.value)


def test_divergences_of_real_models_have_a_summary(glass: LoadedModel) -> None:
    other = tv.load_model("glass-en,dtype=bfloat16")
    summary = summarise_divergences(tv.divergences(glass, other, "Alice was beginning to get very tired of sitting."))
    assert 0 < summary.estimates["mean_kl_ab"].low < summary.estimates["mean_kl_ab"].value < 0.01
