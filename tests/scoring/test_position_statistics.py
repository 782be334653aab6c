"""From logits to statistics: log-prob, entropy, rank and the likeliest tokens, exact in float32."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from tokenviz.base.errors import ScoringError
from tokenviz.models.vocabulary import INSIDE, PUNCTUATION, SPACE, WordStarts
from tokenviz.scoring import statistics
from tokenviz.scoring.statistics import check_finite, concatenate, even_rows, statistics_of, word_start_masks


def test_statistics_by_hand() -> None:
    # P = 1/8, 1/2, 1/4, 1/8 in nats; the entropy of that is 1.75 bits.
    logits = torch.tensor([[1.0, 4.0, 2.0, 1.0]]).log() + 7
    found = statistics_of(logits, torch.tensor([2]), 3)
    assert found.logprob[0] == pytest.approx(math.log(1 / 4), abs=1e-6)
    assert found.entropy[0] == pytest.approx(1.75 * math.log(2), abs=1e-6)
    assert found.rank[0] == 2
    assert found.top_ids[0].tolist()[:2] == [1, 2]
    np.testing.assert_allclose(found.top_logprobs[0], np.log([1 / 2, 1 / 4, 1 / 8]), atol=1e-6)


def test_equal_logits_give_the_entropy_of_a_uniform_distribution_and_rank_1() -> None:
    found = statistics_of(torch.full((3, 1000), -42.0), torch.tensor([0, 500, 999]), 0)
    np.testing.assert_allclose(found.logprob, -math.log(1000), atol=1e-5)
    np.testing.assert_allclose(found.entropy, math.log(1000), atol=1e-5)
    assert found.rank.tolist() == [1, 1, 1]


def test_a_tied_token_has_the_better_rank() -> None:
    found = statistics_of(torch.tensor([[3.0, 1.0, 1.0, 0.0]] * 4), torch.arange(4), 0)
    assert found.rank.tolist() == [1, 2, 2, 4]


def test_a_certain_token_has_log_prob_and_entropy_0() -> None:
    found = statistics_of(torch.tensor([[0.0, 200.0, 0.0]] * 2), torch.tensor([1, 0]), 0)
    assert found.logprob.tolist() == [0.0, -200.0]  # log(softmax) would be minus infinity
    assert found.entropy.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("vocabulary", [100, 20_001])  # one block, and three of which the last is narrower
def test_a_certain_token_is_exactly_certain_wherever_it_is_and_whatever_its_logit(vocabulary: int) -> None:
    generator = torch.Generator().manual_seed(8)
    targets = torch.randint(vocabulary, (40,), generator=generator)
    logits = torch.full((40, vocabulary), -200.0)
    logits[torch.arange(40), targets] = torch.rand(40, generator=generator) * 200
    found = statistics_of(logits, targets, 1)
    for exact in (found.logprob, found.entropy, found.top_logprobs[:, 0]):
        assert exact.tolist() == [0.0] * 40


@pytest.mark.parametrize("low", [-1e5, -1e10, -1e38])  # tokens that a model never gives, by a constant of its own
def test_tokens_that_are_ruled_out_leave_the_others_as_they_are(low: float) -> None:
    logits = torch.randn(4, 20_001, generator=torch.Generator().manual_seed(9)) * 4
    logits[:, 5:40] = low
    logits[:, 8192:16_384] = low  # the whole of a block
    found = statistics_of(logits, torch.arange(4), 3)
    exact_ = torch.log_softmax(logits.double(), dim=-1)
    np.testing.assert_allclose(found.logprob, exact_.diagonal(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.entropy, -(exact_.exp() * exact_).sum(-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("centre", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_float32_softmax_is_within_1e_5_of_float64(centre: float, spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 262_144, generator=generator) * spread + centre
    targets = torch.tensor([0, 1, 131_072, 262_143, 7, int(logits[5].argmax())])
    found = statistics_of(logits.clone(), targets, 5)
    exact_ = torch.log_softmax(logits.double(), dim=-1)
    own = exact_.gather(-1, targets[:, None])
    np.testing.assert_allclose(found.logprob, own[:, 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.entropy, -(exact_.exp() * exact_).sum(-1), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.rank, 1 + (exact_ > own).sum(-1))
    np.testing.assert_allclose(found.top_logprobs, exact_.topk(5).values, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.top_ids, exact_.topk(5).indices)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_get_a_float32_softmax(dtype: torch.dtype) -> None:
    logits = (torch.randn(8, 5000, generator=torch.Generator().manual_seed(1)) * 4).to(dtype)
    targets = torch.arange(8)
    found = statistics_of(logits, targets, 3)
    exact_ = torch.log_softmax(logits.double(), dim=-1)
    np.testing.assert_allclose(found.logprob, exact_.gather(-1, targets[:, None])[:, 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.entropy, -(exact_.exp() * exact_).sum(-1), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.top_logprobs, exact_.topk(3).values, rtol=0, atol=1e-5)


def test_float64_logits_get_a_float64_softmax() -> None:
    logits = torch.randn(4, 1000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = statistics_of(logits.clone(), torch.arange(4), 0)
    np.testing.assert_allclose(found.logprob, torch.log_softmax(logits, -1).diagonal(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_logit_of_a_token_that_was_not_asked_for_is_noticed(bad: float) -> None:
    logits = torch.zeros(3, 10)
    logits[1, 5] = bad
    found = statistics_of(logits, torch.tensor([0, 1, 2]), 0)
    message = (
        "'m' on 't', passage 2, token 41: the model's logits are NaN or infinite; nothing was recorded. Try dtype=float32, or "
        "check the weights"
    )
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        check_finite(found, "'m' on 't', passage 2", np.array([40, 41, 42]))


def test_finite_statistics_pass() -> None:
    check_finite(statistics_of(torch.zeros(2, 4), torch.tensor([0, 1]), 0), "'m' on 't'", np.array([1, 2]))


@given(st.integers(1, 700), st.integers(0, 12), st.integers(0, 2**31), st.sampled_from([1, 3, 1000]))
@example(8, 7, 4, 1000)
def test_the_likeliest_tokens_are_those_of_a_full_sort(vocabulary: int, k: int, seed: int, levels: int) -> None:
    # Few levels make many ties: which of equal tokens comes first is open, their values are not.
    k = min(k, vocabulary)
    logits = torch.randint(levels, (4, vocabulary), generator=torch.Generator().manual_seed(seed)).float() / 7
    found = statistics_of(logits.clone(), torch.zeros(4, dtype=torch.int64), k)
    expected = torch.log_softmax(logits.double(), -1)
    # Beyond 1e-5 a log-prob of -131 has one rounding of float32 of its own.
    close = {"rtol": 2.0**-23, "atol": 1e-5}
    np.testing.assert_allclose(found.top_logprobs, expected.topk(k).values, **close)
    np.testing.assert_allclose(found.top_logprobs, expected.gather(-1, torch.from_numpy(found.top_ids)), **close)
    assert all(len(set(row)) == k for row in found.top_ids.tolist())


def word_starts(kinds: list[int], dtype: torch.dtype = torch.float32) -> torch.Tensor | None:
    return word_start_masks(WordStarts("front", np.array(kinds, np.int8)), "cpu", dtype)


def test_the_mass_of_word_starts_by_hand() -> None:
    # P = 1/8, 1/2, 1/4, 1/8; the first and third begin with a space, the fourth with punctuation.
    logits = torch.tensor([[1.0, 4.0, 2.0, 1.0]]).log() + 7
    found = statistics_of(logits, torch.tensor([2]), 0, word_starts([SPACE, INSIDE, SPACE, PUNCTUATION]))
    assert found.space_logprob[0] == pytest.approx(math.log(3 / 8), abs=1e-6)
    assert found.punctuation_logprob[0] == pytest.approx(math.log(1 / 8), abs=1e-6)


def test_a_vocabulary_without_punctuation_gives_it_no_probability() -> None:
    found = statistics_of(torch.zeros(2, 3), torch.tensor([0, 1]), 0, word_starts([SPACE, INSIDE, INSIDE]))
    assert found.punctuation_logprob.tolist() == [-math.inf, -math.inf]
    np.testing.assert_allclose(found.space_logprob, math.log(1 / 3), atol=1e-6)


def test_without_word_starts_their_mass_is_missing() -> None:
    assert word_start_masks(WordStarts("apart", np.zeros(4, np.int8)), "cpu", torch.float32) is None
    found = statistics_of(torch.zeros(1, 4), torch.tensor([0]), 0)
    assert np.isnan([found.space_logprob[0], found.punctuation_logprob[0]]).all()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-5), (torch.float16, 1e-5), (torch.float64, 1e-12)]
)
@pytest.mark.parametrize(("spread", "peak"), [(1.0, 0.0), (8.0, 0.0), (1.0, 15.0)])
def test_the_mass_of_word_starts_is_that_of_float64(dtype: torch.dtype, tolerance: float, spread: float, peak: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = (torch.randn(5, 262_144, generator=generator, dtype=torch.float64) * spread).to(dtype)
    kinds = torch.randint(3, (262_144,), generator=generator)
    kinds[7] = SPACE
    logits[:, 7] += peak  # in one running sum, what is added to so large a probability would be rounded 262,144 times
    exact_ = torch.log_softmax(logits.double(), dim=-1)
    found = statistics_of(logits, torch.arange(5), 0, word_starts(kinds.tolist(), dtype))
    for name, kind in (("space_logprob", SPACE), ("punctuation_logprob", PUNCTUATION)):
        expected = exact_[:, kinds == kind].logsumexp(-1)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 131])
def test_the_mass_of_word_starts_is_that_of_each_row(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The last eight rows of a piece may hold memory that nothing was written to: here it is NaN.
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.setattr(statistics, "_READ_AT_ONCE", 50 * 8192 // torch.get_num_threads())  # 131 rows are three pieces
    logits = torch.randn(rows, 20_000, generator=torch.Generator().manual_seed(rows)) * 4
    kinds = np.arange(20_000) % 3
    torch.use_deterministic_algorithms(True)
    try:
        found = statistics_of(logits, torch.zeros(rows, dtype=torch.int64), 0, word_starts(kinds.tolist()))
    finally:
        torch.use_deterministic_algorithms(False)
    exact_ = torch.log_softmax(logits.double(), dim=-1)
    for name, kind in (("space_logprob", SPACE), ("punctuation_logprob", PUNCTUATION)):
        np.testing.assert_allclose(getattr(found, name), exact_[:, kinds == kind].logsumexp(-1), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.logprob, exact_[:, 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.entropy, -(exact_.exp() * exact_).sum(-1), rtol=0, atol=1e-5)


@pytest.mark.gpu
def test_a_gpu_gives_the_statistics_of_the_processor() -> None:
    logits = torch.randn(131, 20_000, generator=torch.Generator().manual_seed(6)) * 4
    starts = WordStarts("front", (np.arange(20_000) % 3).astype(np.int8))
    here, there = (
        statistics_of(logits.to(device), torch.arange(131).to(device), 3, word_start_masks(starts, device, logits.dtype))
        for device in ("cpu", "cuda")
    )
    for name, column in vars(here).items():
        np.testing.assert_allclose(getattr(there, name), column, rtol=0, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(("most", "rows"), [(1, 1), (15, 15), (16, 16), (31, 16), (170, 160)])
def test_rows_that_two_threads_share_are_as_many_eights_for_each(most: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert even_rows(most) == rows


def test_word_starts_leave_every_other_statistic_as_it_is_to_the_last_bit() -> None:
    logits = torch.randn(7, 50_257, generator=torch.Generator().manual_seed(5)) * 4
    kinds = (np.arange(50_257) % 3).tolist()
    without, with_ = (statistics_of(logits.clone(), torch.arange(7), 3, some) for some in (None, word_starts(kinds)))
    for name in ("logprob", "entropy", "rank", "top_ids", "top_logprobs"):
        assert getattr(without, name).tobytes() == getattr(with_, name).tobytes(), name


def test_taking_splitting_and_joining_keep_every_column() -> None:
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(4))
    whole = statistics_of(logits, torch.arange(6), 3, word_starts([SPACE, INSIDE] * 25))
    parts = whole.split([1, 0, 3, 2])
    assert [len(part.logprob) for part in parts] == [1, 0, 3, 2]
    joined = concatenate(parts)
    backwards = whole.take(np.arange(5, -1, -1))
    for name, column in vars(whole).items():
        np.testing.assert_array_equal(getattr(joined, name), column)
        np.testing.assert_array_equal(getattr(backwards, name), column[::-1])
