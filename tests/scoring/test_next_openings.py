"""How the next token may open: for every token of a text, from the logits that predict the next, in the same pass."""

from dataclasses import replace

import numpy as np
import pytest
from arithmetic import SPACED_TOKENS, SPACED_WEIGHTS
from reference import FLOAT32, exact

from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.models.vocabulary import PUNCTUATION, SPACE, WordStarts
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import Budget
from tokenviz.scoring.scorer import score

ALICE = 'Alice was  beginning to "get\ntired", (on the bank).'
PASSAGES = [ALICE, "I", "", "The cat's", "The cat's mat.", ALICE[:20]]
P = SPACED_WEIGHTS / SPACED_WEIGHTS.sum(axis=1, keepdims=True)


def masses(model: LoadedModel, logprobs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the mass of tokens that decode to whitespace first, and to a sign that is no letter, digit or joined one."""
    kinds = Kernel.of(model).word_starts.kinds  # sorted rightly: test_vocabulary.py
    return tuple(np.logaddexp.reduce(logprobs[:, : len(kinds)][:, kinds == kind], axis=1) for kind in (SPACE, PUNCTUATION))


def assert_agrees(model: LoadedModel, scores: TokenScores, rows: np.ndarray, **how: int) -> None:
    """A passage's rows are what the exact loop says of the token after each, and after the last."""
    # The id after the last row is one that is predicted as well; which one it is does not matter.
    ids = scores.token_id[rows].tolist()
    logprobs = exact(model.resolved.folder, [*ids, 0], prefix=scores.spec.bos_ids, **how).logprobs[1:]
    space, punctuation = masses(model, logprobs)
    assert space.std() > 0.05  # a model that says the same everywhere would prove nothing
    np.testing.assert_allclose(scores.space_logprob[rows], space, rtol=0, atol=FLOAT32)
    np.testing.assert_allclose(scores.punctuation_logprob[rows], punctuation, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("bos", ["never", "always"])
def test_every_token_has_the_mass_of_what_may_follow(gpt2: LoadedModel, bos: str) -> None:
    scores = score(gpt2, ALICE, bos=bos)
    assert_agrees(gpt2, scores, np.arange(len(scores)))


def test_trained_weights_agree_with_the_exact_loop(glass: LoadedModel) -> None:
    scores = score(glass, ALICE)
    assert_agrees(glass, scores, np.arange(len(scores)))


def test_by_hand_on_a_model_that_knows_one_token_back(spaced: LoadedModel) -> None:
    scores = score(spaced, "ab ba.  a\nb")
    spaces = [SPACED_TOKENS.index(token) for token in ("<eos>", " a", " b", " ", "\n")]
    before = P[scores.token_id]
    np.testing.assert_allclose(scores.space_logprob, np.log(before[:, spaces].sum(1)), atol=1e-6)
    np.testing.assert_allclose(scores.punctuation_logprob, np.log(before[:, SPACED_TOKENS.index(".")]), atol=1e-6)
    assert scores.opens.tolist() == [0, 0, 1, 0, 2, 1, 1, 1, 0]


def test_passages_of_a_corpus_each_have_an_end(glass: LoadedModel) -> None:
    scores = score(glass, corpus(PASSAGES, name="alice"))
    for number in (0, 3, 4, 5):
        assert_agrees(glass, scores, np.flatnonzero(scores.passage == number))
    # A passage of one token is not read at all without a BOS: there is nothing to score.
    assert np.isnan(scores.space_logprob[scores.passage == 1]).all()
    with_bos = score(glass, corpus(["x", "y"], name="letters"), bos="never")
    assert np.isnan(with_bos.space_logprob).all()


def test_a_single_token_after_a_bos_has_an_end(gpt2: LoadedModel) -> None:
    scores = score(gpt2, corpus(["I", "The"], name="words"), bos="always")
    for row in (0, 1):
        reference = exact(gpt2.resolved.folder, [int(scores.token_id[row]), 0], prefix=(50256,))
        space, _ = masses(gpt2, reference.logprobs[1:])
        np.testing.assert_allclose(scores.space_logprob[row], space[0], rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("bos", ["never", "always"])
def test_windows_leave_no_gap(gpt2: LoadedModel, bos: str) -> None:
    scores = score(gpt2, ALICE, bos=bos, context=9, stride=1)
    # A token is predicted from the 8 ids before it in its window; what follows the last, from its window as a whole.
    assert_agrees(gpt2, scores, np.arange(len(scores) - 1), context=9)
    ids = scores.token_id[-(9 - len(scores.spec.bos_ids)) :].tolist()
    (space,), _ = masses(gpt2, exact(gpt2.resolved.folder, [*ids, 0], prefix=scores.spec.bos_ids).logprobs[-1:])
    np.testing.assert_allclose(scores.space_logprob[-1], space, rtol=0, atol=FLOAT32)
    assert not np.isnan(score(gpt2, ALICE, bos=bos, context=9, stride=5).space_logprob).any()


@pytest.mark.parametrize("way", ["padded", "whole"])
def test_every_way_of_running_a_model_gives_them(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    text = corpus(PASSAGES, name="alice")
    packed = score(glass, text)
    monkeypatch.setattr(Kernel, "_packs" if way == "padded" else "_streams", lambda *_: None)
    other = score(replace(glass, memo={}), text)
    assert (other.spec.batching, other.spec.head) == ("padded", "whole" if way == "whole" else "streamed")
    np.testing.assert_allclose(other.space_logprob, packed.space_logprob, rtol=0, atol=1e-5)
    np.testing.assert_allclose(other.punctuation_logprob, packed.punctuation_logprob, rtol=0, atol=1e-5)


def test_a_small_budget_changes_nothing(gpt2: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = corpus([*PASSAGES, ALICE * 5], name="alice")
    whole = score(gpt2, text)
    monkeypatch.setattr(Kernel.of(gpt2), "budget", Budget(tokens=16, logits=5 * gpt2.vocabulary))
    chunked = score(gpt2, text)
    np.testing.assert_allclose(chunked.space_logprob, whole.space_logprob, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["glass", "gpt2"])
@pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"context": 16, "stride": 5}], ids=str)
def test_no_other_number_moves_by_a_bit(name: str, settings: dict, request: pytest.FixtureRequest) -> None:
    # A GPU sums in other orders for other numbers of rows.
    model = load_model(f"{request.getfixturevalue(name).resolved.folder},device=cpu")
    plain = replace(model, memo={})
    Kernel.of(plain).word_starts = WordStarts("none", np.zeros(model.vocabulary, np.int8))
    for text in (*PASSAGES[:1], "The", "The cat", corpus(PASSAGES, name="alice"), corpus([ALICE] * 9, name="nine")):
        without, with_ = score(plain, text, **settings), score(model, text, **settings)
        assert np.isnan(without.space_logprob).all()
        for column in ("logprob", "entropy", "rank", "top_ids", "top_logprobs"):
            assert getattr(without, column).tobytes() == getattr(with_, column).tobytes(), column


def test_a_tokenizer_without_spaces_at_the_front_has_none(bigram: LoadedModel) -> None:
    scores = score(bigram, "abcd")
    assert scores.spec.spaces == "none"
    assert np.isnan(scores.space_logprob).all()
    assert np.isnan(scores.punctuation_logprob).all()
    assert not scores.opens.any()


def test_how_a_token_opens_is_that_of_its_id(gpt2: LoadedModel) -> None:
    scores = score(gpt2, "I can't,\n“now”")
    assert list(zip(scores.token, scores.opens.tolist(), strict=True)) == [
        ("I", 0), (" can", 1), ("'t", 0), (",", 2), ("\n", 1), ("“", 2), ("", 0), ("now", 0), ("”", 2), ("", 0),
    ]  # fmt: skip
