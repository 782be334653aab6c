"""`compare`: what two tables give together."""

import math

import numpy as np
import pytest
from scipy import stats
from tables import NAN, make_scores

from tokenviz.comparing.comparison import compare
from tokenviz.errors import ComparisonError
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.scorer import score

WORDS = ["The", " cat", " sat", " on", " the", " mat"]
A = [NAN, -1.0, -2.5, -0.5, -4.0, -3.0]
B = [NAN, -2.0, -2.0, -1.0, -6.0, -3.0]


def test_numbers_are_over_what_both_models_scored() -> None:
    comparison = compare(make_scores([WORDS], A), make_scores([WORDS], B, model="model-b"))
    assert comparison.n == 5
    assert comparison.pearson_r.value == pytest.approx(stats.pearsonr(A[1:], B[1:]).statistic, abs=1e-14)
    assert comparison.spearman_rho.value == pytest.approx(stats.spearmanr(A[1:], B[1:]).statistic, abs=1e-14)


def test_first_token_is_no_point_at_zero() -> None:
    comparison = compare(make_scores([WORDS], A), make_scores([WORDS], B, model="model-b"))
    with_zeros = stats.pearsonr([0.0, *A[1:]], [0.0, *B[1:]]).statistic
    assert abs(comparison.pearson_r.value - with_zeros) > 0.01


def test_a_first_token_that_one_model_scored_is_left_out_of_every_number() -> None:
    without = compare(make_scores([WORDS], A), make_scores([WORDS], B))
    with_bos = compare(make_scores([WORDS], A), make_scores([WORDS], [-7.0, *B[1:]]))
    assert without.estimates() == with_bos.estimates()


def test_difference_is_second_minus_first() -> None:
    comparison = compare(make_scores([WORDS], A), make_scores([WORDS], B, model="model-b"))
    assert comparison.mean_difference.value == pytest.approx((-1 + 0.5 - 0.5 - 2 + 0) / 5, abs=1e-15)
    assert comparison.share_b_more_confident.value == 0.2  # one of five; the tie at the end is not one


def test_difference_changes_its_sign_with_the_order() -> None:
    a, b = make_scores([WORDS], A), make_scores([WORDS], B)
    assert compare(a, b).mean_difference.value == -compare(b, a).mean_difference.value


def test_the_numbers_have_their_names() -> None:
    comparison = compare(make_scores([WORDS], A), make_scores([WORDS], B))
    assert list(comparison.estimates()) == ["pearson_r", "spearman_rho", "mean_difference", "share_b_more_confident"]
    assert comparison.text_name == "text"


def test_segments_are_compared_where_the_tokenizers_differ() -> None:
    a = make_scores([["x", "y", "z", "u", "vw"]], [NAN, -1, -2, -4, -3], tokenizer="a")
    b = make_scores([["x", "yz", "u", "v", "w"]], [NAN, -2, -3, -1, -8], tokenizer="b")
    comparison = compare(a, b)
    assert comparison.units.by == "segment"
    assert comparison.n == 3
    assert comparison.pearson_r.value == pytest.approx(stats.pearsonr([-3, -4, -3], [-2, -3, -9]).statistic, abs=1e-14)


def test_a_model_against_itself_agrees_fully(glass: LoadedModel) -> None:
    scores = score(glass, "Alice was beginning to get very tired of sitting by her sister on the bank.")
    comparison = compare(scores, scores)
    assert comparison.n == len(scores) - 1
    assert comparison.pearson_r.value == pytest.approx(1.0, abs=1e-12)
    assert comparison.mean_difference.value == 0
    assert comparison.share_b_more_confident.value == 0


def test_two_tokens_have_no_correlation_but_a_difference() -> None:
    comparison = compare(make_scores([WORDS[:3]], A[:3]), make_scores([WORDS[:3]], B[:3]))
    assert math.isnan(comparison.pearson_r.value)
    assert comparison.pearson_r.reason == "2 positions are scored by both; a correlation needs at least 3"
    assert comparison.mean_difference.value == -0.25


def test_the_frame_has_one_row_a_unit_and_keeps_what_is_missing() -> None:
    frame = compare(make_scores([WORDS], A), make_scores([WORDS], B)).to_frame()
    columns = ["passage", "start", "end", "text", "logprob_a", "logprob_b", "n_tokens_a", "n_tokens_b", "difference"]
    assert list(frame) == columns
    assert "".join(frame["text"]) == "".join(WORDS)
    np.testing.assert_array_equal(frame["logprob_a"], A)
    np.testing.assert_array_equal(frame["difference"], np.array(B) - np.array(A))


def test_words_are_compared_on_request() -> None:
    a = make_scores([["The", " c", "at", " sat", "."]], [NAN, -1, -2, -4, -8])
    b = make_scores([["The", " c", "at", " sat", "."]], [NAN, -3, -9, -27, -81], model="model-b")
    comparison = compare(a, b, by="word")
    assert comparison.units.text == ("The", " cat", " sat.")
    assert comparison.n == 2
    assert comparison.mean_difference.value == (-12 + 3 - 108 + 12) / 2
    assert compare(a, b, by="word", punctuation="apart").n == 3
    assert compare(a, b, by="segment").n == 4
    assert comparison.to_frame()["n_words"].tolist() == [1, 1, 1]


def test_different_texts_are_refused() -> None:
    message = "^the scores are of two texts, 'x' and 'y': score one text with both models$"
    with pytest.raises(ComparisonError, match=message):
        compare(make_scores([["one"]], name="x"), make_scores([["two"]], name="y"))
