"""The two real catalogue models: the same promises, with trained weights and vocabularies of 49,152 and 262,144."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from reference import assert_agrees, exact
from small_tokenizers import assert_tiles, slices
from writing import PIECE_TEXTS, PIECES

from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.models.tokens import encode, readable
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.scorer import score
from tokenviz.scoring.statistics import PositionStatistics, statistics_of

pytestmark = pytest.mark.slow

PASSAGE = "The goal of a correlation  is\r\n\tđẹp 次 🐈‍⬛!"  # short: the exact loop reads it once a token, in float64
SLOW_EXAMPLES = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    return load_model("smollm2-135m")


@pytest.fixture(scope="session")
def gemma3() -> LoadedModel:
    return load_model("gemma3-270m")


@pytest.fixture(params=["smollm2", "gemma3"])
def model(request: pytest.FixtureRequest) -> LoadedModel:
    return request.getfixturevalue(request.param)


# Gemma's float32 activations run to some thousands before its last norm; the tolerance of the other models holds all the same.
def test_scores_agree_with_the_exact_loop(model: LoadedModel) -> None:
    scores = score(model, PASSAGE, top_k=5)
    reference = exact(model.resolved.folder, scores.token_id.tolist(), prefix=scores.spec.bos_ids)
    assert_agrees(scores, reference)
    assert scores.spec.head == "streamed"


def test_their_tokenizers_bos_is_what_auto_does(smollm2: LoadedModel, gemma3: LoadedModel) -> None:
    assert score(smollm2, "A goal").spec.bos_ids == ()
    assert score(gemma3, "A goal").spec.bos_ids == (2,)
    assert score(smollm2, "A goal", bos="always").spec.bos_ids == (1,)


def test_the_bos_string_of_gemma_is_not_doubled(gemma3: LoadedModel) -> None:
    literally, added = score(gemma3, "<bos>" + PASSAGE), score(gemma3, PASSAGE)
    assert math.isnan(literally.logprob[0])
    np.testing.assert_allclose(literally.logprob[1:], added.logprob, rtol=0, atol=1e-4)


def test_the_mean_is_hugging_faces_own_loss(model: LoadedModel) -> None:
    scores = score(model, PASSAGE, bos="never")
    ids = torch.from_numpy(scores.token_id.copy())[None]
    with torch.inference_mode():
        loss = float(model.network(input_ids=ids, labels=ids).loss)
    assert scores.summary().mean_logprob == pytest.approx(-loss, abs=2e-5)  # a float32 mean of some 20 terms


def test_trained_models_know_the_phrase(model: LoadedModel) -> None:
    scores = score(model, "The goal of a correlation analysis is to compute a correlation coefficient.")
    by_token = dict(zip(scores.token, scores.rank, strict=True))
    assert by_token[" coefficient"] <= 5
    assert scores.summary().bits_per_byte < 3  # a uniform guess over the vocabulary would be above that


def test_the_probabilities_of_the_whole_vocabulary_sum_to_1(model: LoadedModel) -> None:
    scores = score(model, "The goal of", bos="never", top_k=model.vocabulary)
    sums = np.exp(scores.top_logprobs[scores.scored]).sum(axis=1)
    assert len(sums) == 2
    np.testing.assert_allclose(sums, 1, rtol=0, atol=1e-5)  # float32 exponentials of up to 262,144 terms


def test_a_passage_has_the_same_scores_alone_and_among_others(model: LoadedModel) -> None:
    passages = [PASSAGE, "!", "", "The goal", "<eos>", PASSAGE * 2]
    together = score(model, corpus(passages, name="c"), context=64)
    for number, passage in enumerate(passages):
        if passage:
            alone = score(model, passage, context=64)
            # float32 sums of other shapes of matrices; a padding that is read would change whole nats.
            np.testing.assert_allclose(together.logprob[together.passage == number], alone.logprob, rtol=0, atol=1e-4)


def test_stride_1_is_the_exact_loop_with_that_context(model: LoadedModel) -> None:
    scores = score(model, "The goal of a correlation analysis is", context=5, stride=1)
    reference = exact(model.resolved.folder, scores.token_id.tolist(), prefix=scores.spec.bos_ids, context=5)
    assert_agrees(scores, reference)


def test_logits_never_exist_for_all_positions(gemma3: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    most = Kernel.of(gemma3).budget.logits
    sizes: list[int] = []

    def watched(logits: torch.Tensor, *others: Any, **named: Any) -> PositionStatistics:
        sizes.append(logits.numel())
        return statistics_of(logits, *others, **named)

    monkeypatch.setattr("tokenviz.scoring.kernel.statistics_of", watched)
    scores = score(gemma3, PASSAGE * 20)
    assert len(scores) * gemma3.vocabulary > 2 * most
    assert 0 < max(sizes) <= most


def test_eight_bits_stay_closer_than_four(smollm2: LoadedModel) -> None:
    plain = score(smollm2, PASSAGE).logprob[1:]
    away = {
        form: np.abs(score(load_model(f"smollm2-135m,quantize={form}"), PASSAGE).logprob[1:] - plain).mean()
        for form in ("q8_0", "q4_0")
    }
    assert 0 < away["q8_0"] < away["q4_0"] / 3


def test_a_bfloat16_model_differs_by_its_weights_only(smollm2: LoadedModel) -> None:
    coarse = load_model("smollm2-135m,dtype=bfloat16")
    scores = score(coarse, PASSAGE, top_k=3)
    assert scores.spec.dtype == "bfloat16"
    # Eight bits of mantissa through 30 layers: tenths of a nat.
    assert np.abs(scores.logprob[1:] - score(smollm2, PASSAGE).logprob[1:]).mean() < 0.3


@SLOW_EXAMPLES
@given(passage=PIECE_TEXTS)
@example(passage="".join(PIECES))
def test_slices_join_up_to_the_text(model: LoadedModel, passage: str) -> None:
    # SmolLM2's vocabulary has no token for some control characters: "x" leaves something to tokenize.
    assert_tiles(model.tokenizer, "x" + passage)


@SLOW_EXAMPLES
@given(passage=PIECE_TEXTS)
def test_a_slice_is_what_its_token_decodes_to_where_that_is_whole_characters(model: LoadedModel, passage: str) -> None:
    passage = "x" + passage
    encoded = encode(model.tokenizer, passage)
    decoded = [model.tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in encoded.ids if i >= 0]
    if "".join(decoded) == passage:
        assert slices(passage, encoded) == decoded


@pytest.mark.parametrize("character", ["ᚠ", "🐈", "𓀀"])
def test_a_character_of_several_tokens_is_counted_once(model: LoadedModel, character: str) -> None:
    passage = f"a {character}b"
    scores = score(model, passage)
    assert "".join(scores.token) == passage
    assert sum(character in token for token in scores.token) == 1


def test_no_id_is_shown_as_a_replacement_character(model: LoadedModel) -> None:
    for token_id in range(len(model.tokenizer)):
        shown = readable(model.tokenizer, token_id)
        assert shown
        # A vocabulary may hold U+FFFD itself as a character; bytes that are no character never become one.
        assert "\ufffd" not in shown or "\ufffd" in model.tokenizer.convert_ids_to_tokens(token_id)


def test_a_byte_is_shown_as_a_byte(model: LoadedModel) -> None:
    ids = encode(model.tokenizer, "ᚠ").ids
    assert "".join(readable(model.tokenizer, int(i)) for i in ids) == "<0xE1><0x9A><0xA0>"


def test_two_runs_are_bit_identical(model: LoadedModel) -> None:
    one, other = score(model, PASSAGE, top_k=3), score(model, PASSAGE, top_k=3)
    for name in ("logprob", "entropy", "rank", "top_ids", "top_logprobs"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def test_their_vocabularies_are_told_apart(smollm2: LoadedModel, gemma3: LoadedModel) -> None:
    assert smollm2.tokenizer_sha256 != gemma3.tokenizer_sha256
    assert load_model("smollm2-135m,quantize=q8_0").tokenizer_sha256 == smollm2.tokenizer_sha256
