"""`compare`: what two tables give together."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tables import NAN, NUMBERS, long_pair, make_scores, with_first_choices

from tokenviz.base.errors import ModelError
from tokenviz.comparing.comparison import compare
from tokenviz.data.scores import TokenScores
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
    assert without.statistics_json() == with_bos.statistics_json()


def test_difference_is_second_minus_first() -> None:
    comparison = compare(make_scores([WORDS], A), make_scores([WORDS], B, model="model-b"))
    assert comparison.mean_difference.value == pytest.approx((-1 + 0.5 - 0.5 - 2 + 0) / 5, abs=1e-15)
    assert comparison.share_b_more_confident.value == 0.2  # one of five; the tie at the end is not one


def test_difference_changes_its_sign_with_the_order() -> None:
    a, b = make_scores([WORDS], A), make_scores([WORDS], B)
    assert compare(a, b).mean_difference.value == -compare(b, a).mean_difference.value


def test_models_are_compared_as_their_scores_are(glass: LoadedModel) -> None:
    text = "Alice was beginning to get very tired of sitting by her sister on the bank."
    scores = score(glass, text, top_k=1)
    by_name, mixed = compare("glass-en", glass, text=text), compare(scores, "glass-en", text=text)
    assert by_name.to_json() == mixed.to_json() == compare(scores, scores).to_json()
    assert by_name.share_same_first.value == 1


def test_both_models_are_there_before_the_first_reads_the_text(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.scoring.scorer.score", None)
    for a in ("glass-en", glass):
        with pytest.raises(ModelError, match=r"^no model at 'nope/': "):
            compare(a, "nope/", text="Alice.")
        with pytest.raises(ModelError, match=r"^a int is no model spec: give a string such as 'gpt2'$"):
            compare(a, 7, text="Alice.")  # type: ignore[arg-type]  # the caller may have no type checker


def test_the_numbers_have_their_names() -> None:
    comparison = compare(make_scores([WORDS], A), make_scores([WORDS], B))
    assert list(comparison.estimates()) == NUMBERS
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
    for name in ("pearson_r", "spearman_rho", "kendall_tau", "concordance"):
        estimate = comparison.estimates()[name]
        assert (estimate.low, estimate.high) == (estimate.value, estimate.value)
    assert (comparison.rms_difference.low, comparison.rms_difference.high) == (0, 0)


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


def test_equal_first_choices_are_counted_where_both_models_scored() -> None:
    a = with_first_choices(make_scores([WORDS], A), [-1, 0, 1, 2, 3, 4])
    b = with_first_choices(make_scores([WORDS], [-7.0, *B[1:]], model="model-b"), [-1, 0, 1, 2, 9, 9])
    assert compare(a, b).share_same_first.value == 3 / 5
    assert compare(a, b).share_same_first.n == 5


def test_first_choices_of_a_model_and_itself_in_another_precision(glass: LoadedModel) -> None:
    scores = score(glass, "Alice was beginning to get very tired of sitting by her sister on the bank.", top_k=3)
    assert compare(scores, scores).share_same_first.value == 1
    # Where both give the text's own token the first rank, they have the same first choice; and never where one does.
    ranks = np.where(scores.rank == 1, 2.0, 1.0)
    assert compare(scores, replace(scores, rank=ranks)).share_same_first.value == 1  # the ids decide, not the ranks


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        (
            (make_scores([WORDS], A), make_scores([WORDS], B)),
            "no first choices were kept: score with a top_k of at least 1",
        ),
        (
            (make_scores([WORDS], A, tokenizer="x"), make_scores([WORDS], B, tokenizer="y")),
            "first choices are of tokens, and these models are compared over segments",
        ),
    ],
)
def test_unknown_first_choices_say_why(tables: tuple[TokenScores, TokenScores], reason: str) -> None:
    estimate = compare(*tables).share_same_first
    assert math.isnan(estimate.value)
    assert (estimate.n, estimate.reason) == (0, reason)


def test_the_largest_differences_come_first_with_their_context_and_ranks() -> None:
    a, b = make_scores([WORDS], A), make_scores([WORDS], B, model="model-b")
    a = replace(a, rank=np.array([NAN, 1, 2, 3, 4, 5]))
    table = compare(a, b).largest_differences(3)
    assert table.to_dict("list") == {
        "passage": [0, 0, 0], "start": [14, 3, 7], "end": [18, 7, 11], "context": ["The cat sat on", "The", "The cat"],
        "text": [" the", " cat", " sat"], "logprob_a": [-4.0, -1.0, -2.5], "logprob_b": [-6.0, -2.0, -2.0],
        "difference": [-2.0, -1.0, 0.5], "rank_a": [4, 1, 2], "rank_b": [2, 2, 2],
    }  # fmt: skip
    assert len(compare(a, b).largest_differences()) == 5  # the first token has no difference


def test_the_context_of_a_difference_is_the_end_of_what_stands_before_in_its_passage() -> None:
    passages = [["other"], ["x" * 50, "y" * 50, "z"]]
    a, b = (make_scores(passages, [NAN, NAN, -1.0, value]) for value in (-2.0, -9.0))
    row = compare(a, b).largest_differences(1).iloc[0]
    assert (row["text"], row["context"]) == ("z", "x" * 10 + "y" * 50)
    b = make_scores(passages, [NAN, NAN, -9.0, -1.0])
    row = compare(a, b).largest_differences(1).iloc[0]
    assert (row["text"], row["context"]) == ("y" * 50, "x" * 50)  # nothing of the other passage


def test_differences_over_segments_have_no_ranks() -> None:
    a = make_scores([["ab", "c", "d"]], [-1, -2, -4], tokenizer="a")
    b = make_scores([["a", "bc", "d"]], [-1, -3, -9], tokenizer="b")
    table = compare(a, b).largest_differences()
    assert table["text"].tolist() == ["d", "abc"]
    assert table["rank_a"].isna().all()
    assert table["rank_b"].isna().all()


def test_json_states_each_number_with_all_that_is_needed_to_cite_it() -> None:
    document = json.loads(json.dumps(compare(*long_pair(), seed=4).to_json(differences=2), allow_nan=False))
    assert {key: document[key] for key in ("text", "by", "n", "n_units")} == {
        "text": "text",
        "by": "token",
        "n": 199,
        "n_units": 200,
    }
    assert list(document["statistics"]) == NUMBERS
    r = document["statistics"]["pearson_r"]
    assert {key: value for key, value in r.items() if key not in ("value", "low", "high")} == {
        "definition": "Pearson's r", "unit": "coefficient", "n": 199, "level": 0.95, "reason": "", "resampled": "blocks",
        "method": "t interval on Fisher's z, resampled 34 blocks of 6 tokens", "n_resampled": 34,
        "drawn_from": "34 blocks of 6 tokens",
        "n_effective": 199 / 6, "block_length": 6, "resamples": 2000, "seed": 4,
    }  # fmt: skip
    fisher = document["statistics"]["pearson_r_fisher"]
    assert (fisher["resampled"], fisher["resamples"], fisher["seed"]) == (None, None, None)
    assert len(document["largest_differences"]) == 2
    assert document["largest_differences"][0]["rank_a"] == 2


def test_json_of_what_is_not_determined_has_none_and_a_reason() -> None:
    document = json.loads(json.dumps(compare(make_scores([["a"]]), make_scores([["a"]])).to_json(), allow_nan=False))
    assert document["n"] == 0
    for number in document["statistics"].values():
        assert (number["value"], number["low"], number["high"], number["resamples"]) == (None, None, None, None)
        assert number["reason"]
    assert document["largest_differences"] == []


def test_the_frame_of_statistics_has_one_row_a_number() -> None:
    comparison = compare(*long_pair())
    frame = comparison.statistics_frame()
    assert frame["statistic"].tolist() == NUMBERS
    row = frame[frame["statistic"] == "pearson_r"].iloc[0]
    assert (row["value"], row["low"], row["block_length"]) == (comparison.pearson_r.value, comparison.pearson_r.low, 6)
    nothing = compare(*long_pair(4)).statistics_frame()
    assert nothing["low"].isna().all()
    assert nothing.dtypes.to_dict() == frame.dtypes.to_dict()


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
