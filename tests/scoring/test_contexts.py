"""Log-probs by context: the same numbers as windows of that context give, and as a model gives alone."""

from itertools import pairwise

import numpy as np
import pytest
from arithmetic import BIGRAM_WEIGHTS
from reference import exact

import tokenviz as tv
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.positions import context_logprobs

SEEN = [1, 2, 4, 8]
TEXT = "Alice was beginning to get very tired of sitting by her sister."
# The same sums in another order: float32 logits of about 20 differ by some 1e-6.
ROUNDING = 1e-5


def test_each_column_is_what_windows_of_that_context_give(glass: LoadedModel) -> None:
    text = corpus([TEXT, "", "A", TEXT[::-1]], name="several")
    found = context_logprobs(glass, text, SEEN)
    for column, seen in zip(found.logprob.T, SEEN, strict=True):
        scores = tv.score(glass, text, context=seen + 1, stride=1)
        np.testing.assert_array_equal(found.passage, scores.passage)
        np.testing.assert_array_equal(found.position, scores.position)
        np.testing.assert_allclose(column, scores.logprob, rtol=0, atol=ROUNDING)


def test_each_column_is_what_the_model_gives_alone(glass: LoadedModel) -> None:
    found = context_logprobs(glass, TEXT, SEEN)
    ids = tv.score(glass, TEXT).token_id.tolist()
    for column, seen in zip(found.logprob.T, SEEN, strict=True):
        reference = exact(glass.resolved.folder, ids, context=seen + 1)
        np.testing.assert_allclose(column, reference.logprob, rtol=0, atol=ROUNDING)


def test_the_columns_differ(glass: LoadedModel) -> None:
    logprob = context_logprobs(glass, TEXT, SEEN).logprob
    for shorter, longer in zip(logprob.T[:-1], logprob.T[1:], strict=True):
        assert (np.abs(shorter[8:] - longer[8:]) > 0.01).mean() > 0.5


def test_a_model_that_reads_one_token_back_gains_nothing_from_more(bigram: LoadedModel) -> None:
    found = context_logprobs(bigram, "abcdabcdaacc", SEEN)
    expected = np.log(BIGRAM_WEIGHTS / BIGRAM_WEIGHTS.sum(axis=1, keepdims=True))
    ids = ["abcd".index(sign) for sign in "abcdabcdaacc"]
    for column in found.logprob.T:
        np.testing.assert_allclose(column[1:], [expected[pair] for pair in pairwise(ids)], atol=1e-5)
        assert np.isnan(column[0])


def test_a_bos_opens_every_window_and_is_not_counted(bigram_bos: LoadedModel) -> None:
    found = context_logprobs(bigram_bos, "abcdabcd", [1, 3])
    assert found.bos_ids == (3,)
    assert not np.isnan(found.logprob).any()
    for column, seen in zip(found.logprob.T, found.seen, strict=True):
        scores = tv.score(bigram_bos, "abcdabcd", context=seen + 2, stride=1)
        np.testing.assert_allclose(column, scores.logprob, rtol=0, atol=ROUNDING)
    assert np.isnan(context_logprobs(bigram_bos, "abcd", [1], bos="never").logprob[0, 0])


def test_a_passage_that_opens_with_the_bos_gets_no_second_one(bigram_bos: LoadedModel) -> None:
    found = context_logprobs(bigram_bos, "dabc", [2])
    scores = tv.score(bigram_bos, "dabc", context=4, stride=1)
    np.testing.assert_array_equal(np.isnan(found.logprob[:, 0]), np.isnan(scores.logprob))
    np.testing.assert_allclose(found.logprob[:, 0], scores.logprob, rtol=0, atol=ROUNDING)


def test_long_texts_are_windowed_in_groups(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = context_logprobs(glass, TEXT, SEEN).logprob
    monkeypatch.setattr("tokenviz.scoring.positions._IDS_AT_ONCE", 20)
    np.testing.assert_allclose(context_logprobs(glass, TEXT, SEEN).logprob, whole, rtol=0, atol=ROUNDING)


def test_the_frame_has_a_column_a_context(glass: LoadedModel) -> None:
    found = context_logprobs(glass, TEXT, [1, 16])
    frame = found.to_frame()
    assert list(frame.columns) == ["passage", "position", "logprob_1", "logprob_16"]
    np.testing.assert_array_equal(frame["logprob_16"], found.logprob[:, 1])
