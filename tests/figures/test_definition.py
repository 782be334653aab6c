"""What a heatmap shows: measures against arithmetic, limits, legends and captions word for word."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from tables import NAN, make_scores

from tokenviz.comparing.comparison import compare
from tokenviz.data.scores import TokenScores
from tokenviz.data.spans import Span
from tokenviz.figures.heatmap.definition import TextHeatmap, shared_limits, text_heatmap
from tokenviz.figures.heatmap.measures import MEASURES, Limits, Percentiles, chosen_limits, written_limits
from tokenviz.figures.typeset.colours import COLOUR_MAPS, text_colour
from tokenviz.stats.estimate import printed

LOGPROBS = [NAN, math.log(0.5), math.log(0.25), math.log(2**-10)]
RANKS = [NAN, 1.0, 10.0, 1001.0]
ENTROPIES = [NAN, 0.5, 2.0, 1.0]


def table(model: str = "model-a", logprobs: list[float] = LOGPROBS) -> TokenScores:
    made = make_scores([["A", " b", " c", " d"]], logprobs, model=model, name="cats")
    return replace(made, rank=np.array(RANKS), entropy=np.array(ENTROPIES))


def other() -> TokenScores:
    return table("model-b", [NAN, -2.0, -1.0, -3.0])


def values(heatmap: TextHeatmap) -> list[float]:
    return heatmap.panels[0].values.tolist()


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("logprob", LOGPROBS),
        ("surprisal_bits", [NAN, 1.0, 2.0, 10.0]),
        ("probability", [NAN, 0.5, 0.25, 2**-10]),
        ("rank_bucket", [NAN, 0.0, 1.0, 4.0]),
        ("entropy", ENTROPIES),
    ],
)
def test_measures_of_tokens_are_what_they_say(measure: str, expected: list[float]) -> None:
    # Rounding of one logarithm or exponential.
    np.testing.assert_allclose(values(text_heatmap(table(), measure=measure)), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("rank", "bucket"),
    [(1, "1"), (2, "2–10"), (10, "2–10"), (11, "11–100"), (100, "11–100"), (101, "101–1000"), (1000, "101–1000"),
     (1001, "above 1000"), (150_000, "above 1000")],
)  # fmt: skip
def test_ranks_fall_into_the_buckets_that_are_named_after_them(rank: int, bucket: str) -> None:
    heatmap = text_heatmap(replace(table(), rank=np.array([NAN, rank, 1.0, 1.0])), measure="rank_bucket")
    assert heatmap.buckets[int(values(heatmap)[1])] == bucket


@pytest.mark.parametrize("dark", ["low", "high"])
def test_the_middle_one_of_five_classes_has_white_letters(dark: Literal["low", "high"]) -> None:
    measure = replace(MEASURES["rank_bucket"], name="mine", dark=dark, take=lambda scores: np.arange(4.0))
    heatmap = text_heatmap(table(), measure=measure)
    inks = [text_colour(heatmap.scale.colour(float(number))) for number in range(5)]
    assert inks == (["white"] * 3 + ["black"] * 2 if dark == "low" else ["black"] * 2 + ["white"] * 3)
    assert (heatmap.limits.low, heatmap.limits.high) == (0.0, 4.0)


def test_a_difference_is_the_second_minus_the_first() -> None:
    a, b = table(logprobs=[NAN, -1.0, -5.0, -2.0]), other()
    expected = [NAN, -1.0, 4.0, -1.0]
    for source in ([a, b], compare(a, b)):
        np.testing.assert_array_equal(values(text_heatmap(source, measure="difference")), expected)


def test_a_difference_of_two_tokenizers_is_over_their_segments() -> None:
    a = make_scores([["ab", "c", "d"]], [-1, -2, -4], tokenizer="a")
    b = make_scores([["a", "bc", "d"]], [-1, -3, -9], model="model-b", tokenizer="b")
    heatmap = text_heatmap([a, b], measure="difference")
    assert heatmap.unit == "segment"
    assert heatmap.panels[0].text == ("abc", "d")
    assert values(heatmap) == [-1.0, -5.0]
    assert heatmap.title == ("Difference in log-prob of each segment of “", "”")


def test_a_comparison_has_a_panel_for_each_model() -> None:
    comparison = compare(table(), other())
    heatmap = text_heatmap(comparison, measure="entropy")
    assert [panel.name for panel in heatmap.panels] == ["model-a", "model-b"]
    assert [panel.text for panel in heatmap.panels] == [table().token] * 2


@pytest.mark.parametrize("measure", [name for name in MEASURES if name != "difference"])
def test_the_predictable_end_is_dark_by_every_measure(measure: str) -> None:
    sure = replace(
        make_scores([["a", "b"]], [math.log(0.9), math.log(0.0001)]), rank=np.array([1.0, 5000.0]), entropy=np.array([0.1, 5.0])
    )
    heatmap = text_heatmap(sure, measure=measure)
    predictable, surprising = (sum(heatmap.scale.colour(value) or ()) for value in values(heatmap))
    assert predictable < surprising


def test_limits_are_by_default_the_least_and_the_greatest_of_all_panels() -> None:
    for tables in ([table(), other()], [other(), table()]):
        heatmap = text_heatmap(tables)
        assert heatmap.limits == Limits(math.log(2**-10), math.log(0.5), "text")
        assert (heatmap.scale.low, heatmap.scale.high) == (math.log(2**-10), math.log(0.5))


def test_limits_of_a_difference_are_equally_far_on_both_sides() -> None:
    heatmap = text_heatmap([table(logprobs=[NAN, -1.0, -5.0, -2.0]), other()], measure="difference")
    assert heatmap.limits == Limits(-4.0, 4.0, "text")


def test_limits_are_shared_by_a_set() -> None:
    sources = [table(), [other(), table(logprobs=[NAN, -20.0, -0.25, -1.0])]]
    limits = shared_limits(sources)
    assert limits == Limits(-20.0, -0.25, "set")
    assert text_heatmap(table(), limits=limits).limits == limits


WRITTEN = {
    "text": "text", "shared": "shared", "-12,0": (-12.0, 0.0), " -1.5 , −.5 ": (-1.5, -0.5), "p1": Percentiles(1, 99),
    "p0": Percentiles(0, 100), "p2.5": Percentiles(2.5, 97.5), "p5,p100": Percentiles(5, 100), "0,1e2": (0.0, 100.0),
    "shared:-3.5,0.25": Limits(-3.5, 0.25, "set"),
}  # fmt: skip


@pytest.mark.parametrize(("written", "chosen"), WRITTEN.items())
def test_limits_are_read_as_a_user_writes_them_and_written_so_that_they_are_read_again(written: str, chosen) -> None:
    assert chosen_limits(written) == chosen
    assert chosen_limits(written_limits(chosen)) == chosen


def test_percentiles_keep_one_outlier_from_flattening_the_scale() -> None:
    values = [NAN, *(-0.1 * k for k in range(100)), -80.0]
    scores = make_scores([[f" w{k}" for k in range(102)]], values)
    heatmap = text_heatmap(scores, limits="p1")
    assert heatmap.limits == Limits(*np.percentile(values[1:], [1, 99]), "percentiles", Percentiles(1, 99))
    assert -11 < heatmap.limits.low < heatmap.limits.high < 0
    assert heatmap.legend.axis == "log-prob (nats), 1st to 99th percentile"
    assert heatmap.printed_limits[0].startswith("≤ ")
    assert "the 1st to 99th percentile of the text; beyond them lie 1 below and 1 above." in heatmap.caption
    assert text_heatmap(scores, limits="text").limits == text_heatmap(scores).limits
    assert text_heatmap(scores, limits="-12,0").limits == Limits(-12, 0, "fixed")


def test_percentiles_of_differences_are_as_far_on_both_sides_of_0() -> None:
    heatmap = text_heatmap([table(), other()], measure="difference", limits="p10")
    assert heatmap.limits.low == -heatmap.limits.high
    assert "percentile of the differences, on both sides of 0" in heatmap.caption


def test_limits_of_a_set_of_differences_and_of_ranks() -> None:
    pair = compare(table(logprobs=[NAN, -1.0, -5.0, -2.0]), other())
    assert shared_limits([pair, compare(other(), table(logprobs=[NAN, -9.0, -1, -1]))], measure="difference") == Limits(
        -7.0, 7.0, "set"
    )
    limits = shared_limits([table()], measure="rank_bucket")
    assert limits == Limits(0.0, 4.0, "set")
    assert text_heatmap(table(), measure="rank_bucket", limits=limits).limits == limits


def test_nothing_scored_has_no_limits() -> None:
    heatmap = text_heatmap(table(logprobs=[NAN] * 4))
    assert heatmap.scale.is_empty
    assert heatmap.legend.ticks == heatmap.legend.lines == ()
    assert "nan" not in heatmap.caption
    assert heatmap.panels[0].remark == "0 of 4 tokens scored, mean – nats per token"


def test_colours_are_the_measures_own_or_those_that_are_asked_for() -> None:
    assert text_heatmap(table()).scale.colours is COLOUR_MAPS["viridis"]
    assert text_heatmap(table(), colours="cividis").scale.colours is COLOUR_MAPS["cividis"]
    assert text_heatmap([table(), other()], measure="difference").scale.colours is COLOUR_MAPS["rdbu"]


def test_a_legend_says_which_end_means_what() -> None:
    legend = text_heatmap(table()).legend
    assert legend.axis == "log-prob (nats)"
    assert legend.ticks == ("−6.93", "−0.69")
    assert legend.lines == ("surprising at the light end, predictable at the dark end",)
    assert legend.unscored == "not scored: no prediction, and no part in the scale"
    assert text_heatmap(table(), measure="entropy").legend.lines == ("uncertain at the light end, certain at the dark end",)


def test_a_legend_of_a_difference_says_whose_side_is_which() -> None:
    legend = text_heatmap([table(), other()], measure="difference").legend
    assert legend.ticks == ("−3.93", "0", "3.93")
    assert legend.lines == (
        "left of 0, underlined: model-a gave it more probability",
        "right of 0: model-b gave it more probability",
    )


def test_a_legend_has_no_sample_of_a_look_that_is_not_there() -> None:
    assert text_heatmap(make_scores([["a", "b"]], [-1, -2])).legend.unscored == ""


@pytest.mark.parametrize(
    ("limits", "printed_limits"),
    [
        ((-8, 0), ("−8.00", "0.00")),
        ((-5, 0), ("≤ −5.00", "0.00")),
        ((-5, -1), ("≤ −5.00", "≥ −1.00")),
        ((-8, -1), ("−8.00", "≥ −1.00")),
    ],
)
def test_a_legend_says_where_values_lie_beyond_its_limits(limits, printed_limits: tuple[str, str]) -> None:
    assert text_heatmap(table(), limits=limits).printed_limits == printed_limits


def test_values_at_the_limits_are_not_beyond_them() -> None:
    heatmap = text_heatmap(table(), limits=(math.log(2**-10), math.log(0.5)))
    assert heatmap.printed_limits == ("−6.93", "−0.69")


BY = "of each token of “cats” by model-a (n = 3 of 4 tokens)"
ENDS = "Light is surprising, dark is predictable"
TEXTS_OWN = "the least and the greatest value of the text. A dashed outline marks what has no prediction."
CAPTIONS = {
    "logprob": f"Log-prob (nats) {BY}. {ENDS}. Colours run from −6.93 to −0.69 nats: {TEXTS_OWN}",
    "probability": f"Probability {BY}. {ENDS}. Colours run from 1e−3 to 0.50: {TEXTS_OWN}",
    "rank_bucket": f"Rank {BY}. Colours by rank: 1, 2–10, 11–100, 101–1000, above 1000; dark is predictable. A dashed outline "
    "marks what has no prediction.",
    "entropy": f"Entropy (nats) {BY}. Light is uncertain, dark is certain. Colours run from 0.50 to 2.00 nats: {TEXTS_OWN}",
}


@pytest.mark.parametrize("measure", CAPTIONS)
def test_a_caption_states_model_text_measure_limits_and_n(measure: str) -> None:
    assert text_heatmap(table(), measure=measure).caption == CAPTIONS[measure]


def test_a_caption_of_several_models_states_n_of_each() -> None:
    caption = text_heatmap([table(), other(), table("model-c", [-1.0, -1.0, -1.0, -1.0])]).caption
    assert "by model-a (n = 3 of 4 tokens), model-b (n = 3 of 4 tokens) and model-c (n = 4 of 4 tokens). " in caption


def test_a_caption_of_a_difference() -> None:
    assert text_heatmap([table(), other()], measure="difference").caption == (
        "Difference in log-prob (nats) of each token of “cats”: model-b minus model-a, n = 3 of 4 tokens. Underlined: model-a "
        "gave it more probability. Colours run from −3.93 to 3.93 nats: the greatest difference of the text on both sides of "
        "0. A dashed outline marks what has no prediction."
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ((-5.0, -1.0), "Colours run from −5.00 to −1.00 nats: fixed limits; beyond them lie 1 below and 1 above."),
        ((-5.0, 0.0), "Colours run from −5.00 to 0.00 nats: fixed limits; beyond them lie 1 below."),
        ((-9.0, 0.0), "Colours run from −9.00 to 0.00 nats: fixed limits."),
        (Limits(-9.0, 0.0, "set"), "Colours run from −9.00 to 0.00 nats: the least and the greatest value of the set."),
    ],
)
def test_a_caption_says_where_the_limits_come_from_and_what_lies_beyond(limits, said: str) -> None:
    assert said in text_heatmap(table(), limits=limits).caption


@pytest.mark.parametrize(
    ("measure", "remark"),
    [
        ("surprisal_bits", "3 of 4 tokens scored, mean 4.33 bits per token"),
        ("probability", "3 of 4 tokens scored, mean 0.25"),
        ("rank_bucket", "3 of 4 tokens scored, rank 1: 33 %"),
        ("entropy", "3 of 4 tokens scored, mean 1.17 nats per token"),
    ],
)
def test_a_panel_says_how_much_is_scored_and_the_mean(measure: str, remark: str) -> None:
    assert text_heatmap(table(), measure=measure).panels[0].remark == remark


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-1.234, "−1.23"),
        (0.0, "0.00"),
        (-0.0, "0.00"),
        (-0.004, "0.00"),
        (-10.001, "−10.00"),
        (-0.006, "−0.01"),
        (12.0, "12.00"),
        (NAN, "–"),
    ],
)
def test_numbers_are_printed_with_a_minus_sign_and_never_as_minus_zero(value: float, expected: str) -> None:
    assert printed(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, "0.50"), (0.005, "0.01"), (0.004, "4e−3"), (1.4e-12, "1e−12"), (0.0, "0.00"), (1.0, "1.00")]
)
def test_a_small_probability_is_not_printed_as_zero(value: float, expected: str) -> None:
    assert MEASURES["probability"].printed(value) == expected


@pytest.mark.parametrize(("n", "end"), [(6, "“n5”."), (7, "“n5” and 1 other."), (8, "“n5” and 2 others.")])
def test_a_caption_names_six_spans_and_counts_the_rest(n: int, end: str) -> None:
    spans = (tuple(Span(f"n{place}", place, place + 1) for place in range(n)),)
    caption = text_heatmap(replace(make_scores([list("abcdefgh")]), spans=spans)).caption
    assert caption.endswith(end)
