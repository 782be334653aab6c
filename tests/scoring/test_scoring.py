"""`score`: known answers, an exact reference, and everything that must not change a number."""

import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import FLOAT32, assert_agrees, exact

from tokenviz.base.errors import ScoringError
from tokenviz.data.scores import SCORING_VERSION, TokenScores
from tokenviz.data.texts import corpus, literal
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.scorer import score

PROBABILITIES = BIGRAM_WEIGHTS / BIGRAM_WEIGHTS.sum(axis=1, keepdims=True)
ALICE = "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do."
AWKWARD = "!! e\u0301 café\r\n\ttwo  spaces 🐈‍⬛ 次の שלום <|endoftext|> Việt Nam"
ONE_UNIT = 1e-6  # the bigram's logits are a few nats: float32 holds them to 5e-7


def refused(message: str):
    return pytest.raises(ScoringError, match=f"^{re.escape(message)}$")


def assert_same(one: TokenScores, other: TokenScores, *, atol: float = 1e-5) -> None:
    """Numbers that may differ in the order of a sum only: float32, some layers, logits of a few tens."""
    assert one.token == other.token
    assert len(one) > 0
    np.testing.assert_array_equal(np.isnan(one.logprob), np.isnan(other.logprob))
    np.testing.assert_allclose(one.logprob, other.logprob, rtol=0, atol=atol)
    np.testing.assert_allclose(one.entropy, other.entropy, rtol=0, atol=atol)


def passage_rows(scores: TokenScores, number: int) -> np.ndarray:
    return np.flatnonzero(scores.passage == number)


# ---- known answers -------------------------------------------------------------------------------------------------


def test_log_probs_of_a_bigram_model_are_arithmetic(bigram: LoadedModel) -> None:
    scores = score(bigram, "abcda")
    # a -> b: 2/15, b -> c: 2/15, c -> d: 1/4, d -> a: 1/40.
    expected = [math.nan, math.log(2 / 15), math.log(2 / 15), math.log(1 / 4), math.log(1 / 40)]
    np.testing.assert_allclose(scores.logprob, expected, rtol=0, atol=ONE_UNIT)


def test_ranks_of_a_bigram_model_are_known(bigram: LoadedModel) -> None:
    # After "a" the likeliest is d, c, b, a; after "c" all are equal and each is a first choice.
    np.testing.assert_array_equal(score(bigram, "abacadaaca").rank, [math.nan, 3, 1, 2, 1, 1, 4, 4, 2, 1])


def test_entropies_of_a_bigram_model_are_known(bigram: LoadedModel) -> None:
    scores = score(bigram, "acda")
    of_a, of_d = (-(row * np.log(row)).sum() for row in PROBABILITIES[[0, 3]])
    np.testing.assert_allclose(scores.entropy, [math.nan, of_a, math.log(4), of_d], rtol=0, atol=ONE_UNIT)


def test_alternatives_of_a_bigram_model_are_known(bigram: LoadedModel) -> None:
    scores = score(bigram, "ab", top_k=3)
    assert scores.top_ids.tolist() == [[-1, -1, -1], [3, 2, 1]]
    assert scores.top_tokens == (("", "", ""), ("d", "c", "b"))
    assert np.isnan(scores.top_logprobs[0]).all()
    np.testing.assert_allclose(scores.top_logprobs[1], np.log([8 / 15, 4 / 15, 2 / 15]), rtol=0, atol=ONE_UNIT)


def test_a_bos_gives_the_first_token_a_prediction(bigram_bos: LoadedModel) -> None:
    scores = score(bigram_bos, "ba")
    # "d" stands before the text: d -> b: 3/40, b -> a: 8/15.
    np.testing.assert_allclose(scores.logprob, np.log([3 / 40, 8 / 15]), rtol=0, atol=ONE_UNIT)
    assert scores.token == ("b", "a")
    assert scores.rank.tolist() == [3, 1]


def test_summary_of_a_bigram_model_is_arithmetic(bigram: LoadedModel) -> None:
    summary = score(bigram, "acd").summary()
    mean = (math.log(4 / 15) + math.log(1 / 4)) / 2
    assert (summary.n_tokens, summary.n_scored) == (3, 2)
    assert summary.mean_logprob == pytest.approx(mean, abs=ONE_UNIT)
    assert summary.perplexity_per_token == pytest.approx(math.exp(-mean), rel=1e-6)
    assert summary.bits_per_byte == pytest.approx((math.log2(15 / 4) + math.log2(4)) / 2, rel=1e-6)


def test_a_uniform_model_gives_the_logarithm_of_its_vocabulary(tmp_path: Path) -> None:
    scores = score(load_model(str(make_bigram_folder(tmp_path, np.ones((4, 4))))), "abcdabcd")
    np.testing.assert_allclose(scores.logprob[1:], -math.log(4), rtol=0, atol=ONE_UNIT)
    np.testing.assert_allclose(scores.entropy[1:], math.log(4), rtol=0, atol=ONE_UNIT)
    assert scores.summary().bits_per_byte == pytest.approx(2, abs=1e-6)


# ---- independent references ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["glass", "gpt2"])
@pytest.mark.parametrize("passage", [ALICE, AWKWARD], ids=["plain", "awkward"])
def test_scores_agree_with_the_exact_loop(name: str, passage: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    scores = score(model, passage, top_k=5)
    assert_agrees(scores, exact(model.resolved.folder, scores.token_id.tolist()))


def test_scores_with_a_bos_agree_with_the_exact_loop(gpt2: LoadedModel) -> None:
    scores = score(gpt2, ALICE, bos="always", top_k=2)
    assert_agrees(scores, exact(gpt2.resolved.folder, scores.token_id.tolist(), prefix=(50256,)))


@pytest.mark.parametrize("name", ["glass", "gpt2"])
def test_the_mean_is_hugging_faces_own_loss(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    scores = score(model, ALICE)
    ids = torch.from_numpy(scores.token_id.copy())[None].to(model.device)
    with torch.inference_mode():
        loss = float(model.network(input_ids=ids, labels=ids).loss)
    assert scores.summary().mean_logprob == pytest.approx(-loss, abs=1e-5)  # a float32 mean of some 30 terms


@pytest.fixture(scope="session")
def glassllm(tmp_path_factory: pytest.TempPathFactory):
    """The package that glass-en comes from: its own tokenizer and NumPy forward pass, never installed."""
    folder = tmp_path_factory.mktemp("glassllm")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "glassllm==0.1.0"]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    shutil.unpack_archive(wheel, folder, format="zip")
    sys.path.insert(0, str(folder))
    try:
        yield import_module("glassllm")
    finally:
        sys.path.remove(str(folder))


@pytest.mark.parametrize("passage", [ALICE, "a\r\n\tb  café 🐈 \u201cquoted\u201d\n\n--No!", "<unk> <bos>", " x "])
def test_glass_agrees_with_its_own_numpy_forward(glass: LoadedModel, glassllm: Any, passage: str) -> None:
    network, tokenizer = glassllm.load_pretrained("en")
    scores = score(glass, passage)
    ids = tokenizer.encode(passage)
    assert scores.token_id.tolist() == ids
    with glassllm.no_grad():
        logits = network(np.array(ids)).data[0].astype(np.float64)
    logprobs = (
        logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True)) - logits.max(-1, keepdims=True)
    )
    expected = logprobs[np.arange(len(ids) - 1), ids[1:]]
    # Two float32 implementations with their sums in another order: logits of up to 30, where a float32 step is 2e-6.
    np.testing.assert_allclose(scores.logprob[1:], expected, rtol=0, atol=1e-5)
    assert np.abs(scores.logprob[1:] - expected).mean() < 3e-6


# ---- the first token, and texts of hardly anything -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["glass", "gpt2", "bigram"])
def test_without_a_bos_the_first_token_is_missing_and_no_other(name: str, request: pytest.FixtureRequest) -> None:
    scores = score(request.getfixturevalue(name), "abcd abcd", top_k=1)
    for column in (scores.logprob, scores.rank, scores.entropy, scores.top_logprobs[:, 0]):
        assert np.isnan(column[0])
        assert not np.isnan(column[1:]).any()
    assert scores.scored.sum() == len(scores) - 1


def test_the_missing_token_is_in_no_mean(glass: LoadedModel) -> None:
    scores = score(glass, ALICE)
    summary = scores.summary()
    assert (summary.n_tokens, summary.n_scored) == (len(scores), len(scores) - 1)
    assert summary.mean_logprob == pytest.approx(scores.logprob[1:].sum() / (len(scores) - 1), rel=1e-12)
    assert summary.mean_entropy == pytest.approx(scores.entropy[1:].mean(), rel=1e-12)
    n_bytes = len(ALICE.encode()) - len(scores.token[0].encode())
    assert summary.bits_per_byte == pytest.approx(-scores.logprob[1:].sum() / math.log(2) / n_bytes, rel=1e-12)


def test_bits_per_byte_of_a_text_of_many_bytes_a_character(gpt2: LoadedModel) -> None:
    scores = score(gpt2, "次の🐈‍⬛é")
    first = gpt2.tokenizer.convert_ids_to_tokens(int(scores.token_id[0]))  # a letter for each byte
    n_bytes = len("次の🐈‍⬛é".encode()) - len(first)
    bits = -np.nansum(scores.logprob) / math.log(2)
    assert scores.summary().bits_per_byte == pytest.approx(bits / n_bytes, rel=1e-12)


def test_a_text_of_one_token_has_nothing_to_score(glass: LoadedModel) -> None:
    scores = score(glass, "a")
    assert (len(scores), scores.summary().n_scored) == (1, 0)
    assert np.isnan(scores.logprob).all()
    assert math.isnan(scores.summary().mean_logprob)


def test_a_text_of_one_token_after_a_bos_is_scored(bigram_bos: LoadedModel) -> None:
    np.testing.assert_allclose(score(bigram_bos, "a").logprob, [math.log(1 / 40)], rtol=0, atol=ONE_UNIT)


@pytest.mark.parametrize("name", ["glass", "gpt2"])
def test_whitespace_alone_is_scored_like_any_text(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    scores = score(model, " \n\t\r\n  ")
    assert "".join(scores.token) == " \n\t\r\n  "
    assert scores.scored.tolist() == [False, *[True] * (len(scores) - 1)]
    assert_agrees(scores, exact(model.resolved.folder, scores.token_id.tolist()))


def test_empty_passages_keep_their_number(bigram: LoadedModel) -> None:
    scores = score(bigram, corpus(["", "ab", "", "", "cda", ""], name="c"))
    assert scores.passage.tolist() == [1, 1, 4, 4, 4]
    assert scores.position.tolist() == [0, 1, 0, 1, 2]
    assert scores.start.tolist() == [0, 1, 0, 1, 2]
    expected = [math.nan, math.log(2 / 15), math.nan, math.log(1 / 4), math.log(1 / 40)]
    np.testing.assert_allclose(scores.logprob, expected, rtol=0, atol=ONE_UNIT)


# ---- invariances ---------------------------------------------------------------------------------------------------

PASSAGES = [
    ALICE, "x", "So she", "!!! \u0000".replace("\u0000", "!"), "", " \n", "<|endoftext|>a<|endoftext|>", ALICE[:40], "次の🐈",
    "Alice! " * 9, "the bank, " * 12, "!",
]  # fmt: skip


@pytest.mark.parametrize("name", ["glass", "gpt2"])
@pytest.mark.parametrize("bos", ["auto", "always"])
def test_a_passage_has_the_same_scores_alone_and_among_others(name: str, bos: Any, request: pytest.FixtureRequest) -> None:
    if (name, bos) == ("glass", "always"):
        name = "bigram_bos"  # glass-en has no BOS to put
    model = request.getfixturevalue(name)
    together = score(model, corpus(PASSAGES, name="c"), bos=bos, context=40)
    for number, passage in enumerate(PASSAGES):
        rows = passage_rows(together, number)
        if not passage:
            assert len(rows) == 0
            continue
        alone = score(model, passage, bos=bos, context=40)
        np.testing.assert_array_equal(together.token_id[rows], alone.token_id)
        np.testing.assert_allclose(together.logprob[rows], alone.logprob, rtol=0, atol=1e-5)
        np.testing.assert_allclose(together.entropy[rows], alone.entropy, rtol=0, atol=1e-5)


def test_the_order_of_passages_changes_nothing(glass: LoadedModel) -> None:
    forwards = score(glass, corpus(PASSAGES, name="c"))
    backwards = score(glass, corpus(PASSAGES[::-1], name="c"))
    for number in range(len(PASSAGES)):
        one, other = passage_rows(forwards, number), passage_rows(backwards, len(PASSAGES) - 1 - number)
        np.testing.assert_array_equal(forwards.token_id[one], backwards.token_id[other])
        np.testing.assert_allclose(forwards.logprob[one], backwards.logprob[other], rtol=0, atol=1e-5)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text("abcd", max_size=30), min_size=1, max_size=12).filter(any))
def test_any_corpus_of_a_bigram_model_is_arithmetic(bigram: LoadedModel, passages: list[str]) -> None:
    scores = score(bigram, corpus(passages, name="c"), context=8, stride=3)
    logs = np.log(PROBABILITIES)
    expected = [
        logs["abcd".index(passage[i - 1]), "abcd".index(passage[i])] if i else math.nan
        for passage in passages
        for i in range(len(passage))
    ]
    np.testing.assert_allclose(scores.logprob, expected, rtol=0, atol=ONE_UNIT)


@pytest.mark.parametrize("name", ["glass", "gpt2"])
def test_what_follows_a_token_does_not_change_its_score(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    one = score(model, "She was tired of reading the book")
    other = score(model, "She was tired of reading! Why")
    same = next(i for i, (a, b) in enumerate(zip(one.token_id, other.token_id, strict=False)) if a != b)
    assert same > 3
    np.testing.assert_allclose(one.logprob[:same], other.logprob[:same], rtol=0, atol=1e-5)
    assert abs(one.logprob[same] - other.logprob[same]) > 1e-3


def test_texts_may_hold_the_id_that_padding_uses(gpt2: LoadedModel) -> None:
    passages = ["! !!! !", ALICE + " ! more of it!", "!"]  # "!" is id 0 in GPT-2's vocabulary
    scores = score(gpt2, corpus(passages, name="c"))
    assert (scores.token_id == 0).sum() >= 3
    for number, passage in enumerate(passages):
        rows = passage_rows(scores, number)
        reference = exact(gpt2.resolved.folder, scores.token_id[rows].tolist())
        np.testing.assert_allclose(scores.logprob[rows], reference.logprob, rtol=0, atol=FLOAT32)
        assert "".join(scores.token[i] for i in rows) == passage


def test_two_runs_are_bit_identical(glass: LoadedModel) -> None:
    text = corpus(PASSAGES, name="c")
    one, other = score(glass, text, top_k=4), score(glass, text, top_k=4)
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            assert value.tobytes() == getattr(other, name).tobytes(), name


# ---- the distribution ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["glass", "bigram", "bigram_bos"])
def test_the_probabilities_of_the_whole_vocabulary_sum_to_1(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    scores = score(model, "abcd dcba", top_k=model.vocabulary)
    sums = np.exp(scores.top_logprobs[scores.scored]).sum(axis=1)
    assert len(sums) > 3
    np.testing.assert_allclose(sums, 1, rtol=0, atol=1e-6)  # float32 exponentials
    assert (np.sort(scores.top_ids[scores.scored], axis=1) == np.arange(model.vocabulary)).all()


def test_every_token_is_found_in_the_whole_distribution(glass: LoadedModel) -> None:
    scores = score(glass, ALICE, top_k=glass.vocabulary)
    for i in np.flatnonzero(scores.scored):
        (place,) = np.flatnonzero(scores.top_ids[i] == scores.token_id[i])
        assert scores.top_logprobs[i, place] == scores.logprob[i]
        assert scores.rank[i] == 1 + (scores.top_logprobs[i] > scores.logprob[i]).sum()
        assert scores.entropy[i] == pytest.approx(-(np.exp(scores.top_logprobs[i]) * scores.top_logprobs[i]).sum(), abs=1e-5)


def test_more_alternatives_than_the_vocabulary_are_refused(bigram: LoadedModel) -> None:
    with refused(f"top-k 5 is not possible: {bigram.label!r} has a vocabulary of 4"):
        score(bigram, "ab", top_k=5)


def test_logits_wider_than_the_tokenizer_are_scored_as_they_are(tmp_path: Path) -> None:
    weights = np.arange(1, 37).reshape(6, 6)
    model = load_model(str(make_bigram_folder(tmp_path, weights)))
    assert (len(model.tokenizer), model.vocabulary) == (4, 6)
    scores = score(model, "ab", top_k=6)
    # After "a": 1 to 6 of 21, two of them tokens that the tokenizer never makes.
    assert scores.logprob[1] == pytest.approx(math.log(2 / 21), abs=ONE_UNIT)
    assert scores.top_tokens[1] == ("<id 5>", "<id 4>", "d", "c", "b", "a")


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory, bigram_bos: LoadedModel) -> LoadedModel:
    """Three logits beside a tokenizer of four tokens, its BOS the one too many."""
    folder = make_bigram_folder(tmp_path_factory.mktemp("narrow"), BIGRAM_WEIGHTS[:3, :3])
    bigram_bos.tokenizer.save_pretrained(folder)
    return load_model(str(folder))


def test_an_id_beyond_the_logits_is_refused(narrow: LoadedModel) -> None:
    message = "passage 1 has token id 3, and {!r} has logits for 3 ids only: tokenizer and model do not belong together"
    with refused(message.format(narrow.label)):
        score(narrow, corpus(["abc", "abd"], name="c"), bos="never")


def test_a_bos_beyond_the_logits_is_refused(narrow: LoadedModel) -> None:
    message = "the BOS has token id 3, and {!r} has logits for 3 ids only: tokenizer and model do not belong together"
    with refused(message.format(narrow.label)):
        score(narrow, "abc")


# ---- BOS modes -----------------------------------------------------------------------------------------------------


def test_every_mode_is_recorded(bigram_bos: LoadedModel) -> None:
    found = {bos: score(bigram_bos, "ab", bos=bos).spec for bos in ("auto", "always", "never")}
    assert {bos: (spec.bos, spec.bos_ids) for bos, spec in found.items()} == {
        "auto": ("auto", (3,)), "always": ("always", (3,)), "never": ("never", ())
    }  # fmt: skip


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The ids of every window that the model reads, as they come."""
    rows_read: list[list[int]] = []
    original = Kernel.statistics

    def noting(self: Kernel, sequences: list[Any], *others: Any) -> Any:
        rows_read.extend(ids.tolist() for ids in sequences)
        return original(self, sequences, *others)

    monkeypatch.setattr(Kernel, "statistics", noting)
    return rows_read


@pytest.mark.parametrize("bos", ["auto", "always"])
@pytest.mark.parametrize("passage", ["aba", "daba"])
def test_a_bos_is_never_doubled(bigram_bos: LoadedModel, rows_read: list[list[int]], bos: Any, passage: str) -> None:
    score(bigram_bos, passage, bos=bos)
    assert rows_read == [[3, 0, 1, 0]]


def test_never_leaves_the_bos_out(bigram_bos: LoadedModel, bigram: LoadedModel) -> None:
    np.testing.assert_array_equal(score(bigram_bos, "abca", bos="never").logprob, score(bigram, "abca").logprob)


def test_a_bos_changes_every_token_of_a_model_that_attends(gpt2: LoadedModel) -> None:
    without, with_bos = score(gpt2, ALICE), score(gpt2, ALICE, bos="always")
    assert not np.isnan(with_bos.logprob).any()
    assert (np.abs(without.logprob[1:] - with_bos.logprob[1:]) > 1e-4).mean() > 0.9


@pytest.mark.parametrize("bos", ["auto", "always"])
def test_the_bos_string_at_the_start_of_a_text_serves_as_its_bos(bigram_bos: LoadedModel, bos: Any) -> None:
    scores = score(bigram_bos, "dbda", bos=bos)
    # The literal "d" opens the window, is not doubled, and has no prediction itself; a later one is a token like any.
    expected = [math.nan, math.log(3 / 40), math.log(1 / 15), math.log(1 / 40)]
    np.testing.assert_allclose(scores.logprob, expected, rtol=0, atol=ONE_UNIT)
    assert scores.token == ("d", "b", "d", "a")


def test_a_start_token_by_name_opens_every_window_and_is_not_doubled(bigram: LoadedModel, bigram_bos: LoadedModel) -> None:
    for model in (bigram, bigram_bos):  # one that puts nothing by itself, one that puts "d"
        scores = score(model, corpus(["abc", "cab"], name="c"), bos="c")
        assert (scores.spec.bos, scores.spec.bos_ids) == ("c", (2,))
        first, second = [1 / 4, 2 / 15, 2 / 15], [math.nan, 1 / 4, 2 / 15]  # the literal "c" of the second is its start
        np.testing.assert_allclose(scores.logprob, np.log([*first, *second]), rtol=0, atol=ONE_UNIT)
    windows = score(bigram, "abcdabcd", bos="c", context=3, stride=1)
    np.testing.assert_allclose(windows.logprob, score(bigram, "abcdabcd", bos="c").logprob, rtol=0, atol=ONE_UNIT)


def test_the_named_start_token_comes_back_from_the_file(bigram: LoadedModel, tmp_path: Path) -> None:
    score(bigram, "ab", bos="d").save(tmp_path / "t.parquet")
    assert TokenScores.load(tmp_path / "t.parquet").spec.bos == "d"


def test_the_bos_string_and_nothing_else_has_nothing_to_score(bigram_bos: LoadedModel) -> None:
    scores = score(bigram_bos, corpus(["d", "a", "dd"], name="c"))
    expected = [math.nan, math.log(1 / 40), math.nan, math.log(27 / 40)]
    np.testing.assert_allclose(scores.logprob, expected, rtol=0, atol=ONE_UNIT)


def test_the_bos_string_of_real_vocabularies_serves_as_bos(gpt2: LoadedModel) -> None:
    literally = score(gpt2, "<|endoftext|>" + ALICE, bos="always")
    added = score(gpt2, ALICE, bos="always")
    assert np.isnan(literally.logprob[0])
    np.testing.assert_allclose(literally.logprob[1:], added.logprob, rtol=0, atol=1e-5)
    assert literally.token == ("<|endoftext|>", *added.token)


# ---- windows -------------------------------------------------------------------------------------------------------

LONG = (ALICE + " ") * 3


@pytest.mark.parametrize(("name", "bos"), [("glass", "auto"), ("gpt2", "auto"), ("gpt2", "always")])
def test_stride_1_is_the_exact_loop_with_that_context(name: str, bos: Any, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    scores = score(model, ALICE, bos=bos, context=9, stride=1, top_k=2)
    prefix = scores.spec.bos_ids
    reference = exact(model.resolved.folder, scores.token_id.tolist(), prefix=prefix, context=9)
    assert_agrees(scores, reference)


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_windows_change_no_score_of_a_model_without_memory(bigram: LoadedModel, stride: int) -> None:
    assert_same(score(bigram, "abcdacbd" * 20, context=9, stride=stride), score(bigram, "abcdacbd" * 20, context=64))


def test_a_bos_opens_every_window(bigram_bos: LoadedModel, rows_read: list[list[int]]) -> None:
    scores = score(bigram_bos, "abca" * 5, context=6, stride=5)
    assert scores.scored.all()
    assert rows_read == [[3, 0, 1, 2, 0, 0], [3, 1, 2, 0, 0, 1], [3, 2, 0, 0, 1, 2], [3, 0, 0, 1, 2, 0]]
    # With this stride the first token of a window has only the BOS before it: d -> a is 1/40, d -> b 3/40, d -> c 9/40.
    first = scores.logprob[[0, 5, 10, 15]]
    np.testing.assert_allclose(first, np.log([1 / 40, 3 / 40, 9 / 40, 1 / 40]), rtol=0, atol=ONE_UNIT)


def test_a_text_that_fits_is_one_pass(glass: LoadedModel) -> None:
    whole = score(glass, ALICE)
    n = len(whole)
    for stride in (1, n // 2, n - 1):
        assert_same(score(glass, ALICE, context=n, stride=stride), whole)


def test_a_later_token_has_the_promised_context(glass: LoadedModel) -> None:
    context, stride = 20, 5
    scores = score(glass, LONG, context=context, stride=stride)
    ids = scores.token_id.tolist()
    # Every window by itself: the tokens that it alone scores, given what it holds.
    for begin in range(stride, 40, stride):
        window = exact(glass.resolved.folder, ids[begin : begin + context])
        np.testing.assert_allclose(
            scores.logprob[begin + context - stride : begin + context], window.logprob[-stride:], rtol=0, atol=FLOAT32
        )


@pytest.mark.parametrize("name", ["glass", "gpt2"])
def test_nothing_of_a_long_text_is_cut(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    text = LONG * 8
    scores = score(model, text)
    assert len(scores) > 2 * model.context
    assert "".join(scores.token) == text
    assert scores.scored.tolist() == [False, *[True] * (len(scores) - 1)]


# ---- what is recorded ----------------------------------------------------------------------------------------------


def test_the_settings_that_move_a_number_are_recorded(glass: LoadedModel) -> None:
    text = literal(ALICE, name="alice")
    scores = score(glass, text, context=20, stride=4, top_k=2)
    spec = scores.spec
    assert (scores.text_name, scores.text_sha256) == ("alice", text.sha256)
    assert (spec.model, spec.source, spec.identity) == ("glass-en", "catalogue", glass.resolved.identity)
    assert (spec.tokenizer, spec.dtype, spec.quantize, spec.device) == (glass.tokenizer_sha256, "float32", None, glass.device)
    assert (spec.bos, spec.bos_ids, spec.context, spec.stride, spec.top_k) == ("auto", (), 20, 4, 2)
    assert (spec.head, spec.scoring_version) == ("streamed", SCORING_VERSION)
    assert set(spec.versions) == {"tokenviz", "torch", "transformers", "tokenizers"}


def test_the_defaults_are_recorded_as_the_numbers_they_stand_for(glass: LoadedModel) -> None:
    spec = score(glass, ALICE).spec
    assert (spec.context, spec.stride, spec.top_k) == (128, 64, 0)


def test_a_string_is_a_text_of_its_own(bigram: LoadedModel) -> None:
    scores = score(bigram, "ab")
    assert scores.text_name == literal("ab").name
    assert replace(scores.spec, bos="never") == score(bigram, "ab", bos="never").spec


def test_slices_of_every_passage_join_up_to_it(gpt2: LoadedModel) -> None:
    passages = [AWKWARD, "", ALICE, "🐈‍⬛" * 3]
    scores = score(gpt2, corpus(passages, name="c"))
    for number, passage in enumerate(passages):
        rows = passage_rows(scores, number)
        assert "".join(scores.token[i] for i in rows) == passage
        for i in rows:
            assert passage[scores.start[i] : scores.end[i]] == scores.token[i]
