"""From logits to statistics: exact in float32, and the same whichever way a model's head is run."""

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference import FLOAT32, assert_agrees, exact
from safetensors.torch import load_file, save_file

import tokenviz.scoring.kernel as kernel_module
from tokenviz.errors import ModelError, ScoringError
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.kernel import Kernel, check_finite, statistics_of
from tokenviz.scoring.scorer import score
from tokenviz.texts import corpus

# ---- statistics_of -------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("centre", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_float32_softmax_is_within_1e_5_of_float64(centre: float, spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 262_144, generator=generator) * spread + centre
    targets = torch.tensor([0, 1, 131_072, 262_143, 7, int(logits[5].argmax())])
    found = statistics_of(logits, targets, 5)
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
    found = statistics_of(logits, torch.arange(4), 0)
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


# ---- architectures -------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {"vocab_size": 5, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
# Each does something to its logits or positions that a head of one's own would miss.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gemma2": {**SMALL, "intermediate_size": 32, "head_dim": 8, "num_key_value_heads": 1, "final_logit_softcapping": 2.0},
    "cohere": {**SMALL, "intermediate_size": 32, "logit_scale": 0.25},
    "phi": {**SMALL, "intermediate_size": 32},  # a bias on the head
    "granite": {**SMALL, "intermediate_size": 32, "logits_scaling": 3.0},
    "gpt_neox": {**SMALL, "intermediate_size": 32},
    "opt": {**SMALL, "ffn_dim": 32, "word_embed_proj_dim": 16},  # positions counted from the mask
    "bloom": {"vocab_size": 5, "hidden_size": 16, "n_layer": 2, "n_head": 2},  # ALiBi: no positions at all
}


@pytest.fixture(scope="session", params=sorted(ARCHITECTURES))
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bigram: LoadedModel) -> LoadedModel:
    """A small random model of each architecture over four letters."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp(request.param)
    config = AutoConfig.for_model(request.param, **ARCHITECTURES[request.param], bos_token_id=0, eos_token_id=1, pad_token_id=2)
    torch.manual_seed(3)
    network = AutoModelForCausalLM.from_config(config)
    for name, weight in network.named_parameters():
        weight.data.add_(torch.randn_like(weight) * (0.3 if "norm" not in name else 0.05))
    network.save_pretrained(folder)
    bigram.tokenizer.save_pretrained(folder)
    return load_model(str(folder))


SENTENCE = "abcdabddcaacbdbacc"


def test_every_architecture_agrees_with_the_exact_loop(small: LoadedModel) -> None:
    scores = score(small, SENTENCE, top_k=5)
    # OPT's head calls the decoder inside its transformer, so its logits are made at once.
    assert scores.spec.head == ("whole" if small.network.config.model_type == "opt" else "streamed")
    assert_agrees(scores, exact(small.resolved.folder, scores.token_id.tolist()))
    assert scores.logprob[1:].std() > 0.01  # a model that says the same everywhere would prove nothing


def test_padding_changes_nothing_for_any_architecture(small: LoadedModel) -> None:
    kernel = Kernel(small)
    rows = [np.array(row) for row in ([0, 1, 2, 3, 1, 0, 3, 2], [2, 2, 1], [3, 0, 1, 0, 2])]
    wanted = [np.arange(1, len(row)) for row in rows]
    together = kernel.batch_statistics(rows, wanted, 2)
    for row, positions, statistics in zip(rows, wanted, together, strict=True):
        (alone,) = kernel.batch_statistics([row], [positions], 2)
        np.testing.assert_allclose(statistics.logprob, alone.logprob, rtol=0, atol=1e-5)  # float32 sums in another order
        np.testing.assert_allclose(statistics.entropy, alone.entropy, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(statistics.top_ids, alone.top_ids)


@pytest.mark.parametrize("name", ["glass", "gpt2"])
def test_the_whole_head_gives_the_same_numbers(name: str, request, monkeypatch: pytest.MonkeyPatch) -> None:
    model = request.getfixturevalue(name)
    text = "Alice was beginning to get very tired of sitting by her sister on the bank."
    streamed = score(model, text, top_k=2)
    monkeypatch.setattr(Kernel, "_streams", lambda *_: False)
    whole = score(replace(model, memo={}), text, top_k=2)
    assert (streamed.spec.head, whole.spec.head) == ("streamed", "whole")
    # The same matrices, multiplied for other numbers of rows at a time.
    np.testing.assert_allclose(whole.logprob, streamed.logprob, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(whole.rank, streamed.rank)


def test_a_model_is_checked_once(bigram: LoadedModel) -> None:
    assert Kernel.of(bigram) is Kernel.of(bigram)


def test_a_model_whose_head_cannot_be_run_apart_is_run_whole(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(glass)
    assert kernel.head == "streamed"

    def refuses(*_: object) -> None:
        raise TypeError("this head wants more than hidden states")

    monkeypatch.setattr(Kernel, "_apply_head", refuses)
    assert Kernel(glass).head == "whole"


def test_a_head_that_gives_other_logits_is_not_used(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    true_head = Kernel._apply_head
    monkeypatch.setattr(Kernel, "_apply_head", lambda self, states: true_head(self, states) + 1)
    assert Kernel(glass).head == "whole"


def test_the_network_is_left_as_it_was(glass: LoadedModel) -> None:
    ids = torch.arange(8)[None]
    before = glass.network(input_ids=ids).logits
    score(glass, "Alice was beginning to get very tired")
    assert torch.equal(glass.network(input_ids=ids).logits, before)


def test_logits_never_exist_for_all_positions_of_a_long_text(gpt2: LoadedModel) -> None:
    sizes: list[int] = []
    hook = gpt2.network.lm_head.register_forward_hook(lambda module, inputs, output: sizes.append(output.numel()))
    try:
        scores = score(gpt2, "word " * 3000)
    finally:
        hook.remove()
    assert len(scores) * gpt2.vocabulary > 4 * kernel_module._HEAD_ELEMENTS
    assert max(sizes) <= kernel_module._HEAD_ELEMENTS


def test_chunks_of_the_head_change_nothing(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Alice was beginning to get very tired of sitting by her sister on the bank."
    whole = score(glass, text, top_k=3)
    monkeypatch.setattr(kernel_module, "_HEAD_ELEMENTS", 3 * glass.vocabulary)
    chunked = score(glass, text, top_k=3)
    np.testing.assert_allclose(chunked.logprob, whole.logprob, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(chunked.top_ids, whole.top_ids)


def test_a_model_that_sees_what_follows_is_refused(tmp_path: Path, bigram: LoadedModel) -> None:
    from transformers import BertConfig, BertLMHeadModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, initializer_range=0.5
    )
    BertLMHeadModel(config).save_pretrained(tmp_path)
    bigram.tokenizer.save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    message = f"{str(tmp_path)!r} is not a causal language model: its predictions change with the tokens after them"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        score(model, "abcd")


def test_the_softmax_of_a_bfloat16_model_is_float32(bigram_bfloat16: LoadedModel) -> None:
    logits: list[torch.Tensor] = []
    model = bigram_bfloat16
    kernel = Kernel(model)
    hook = model.network.lm_head.register_forward_hook(lambda module, inputs, output: logits.append(output[0]))
    row = np.array([0, 1, 2, 3, 0, 2])
    try:
        (found,) = kernel.batch_statistics([row], [np.arange(1, 6)], 4)
    finally:
        hook.remove()
    assert logits[-1].dtype == torch.bfloat16
    exact_ = torch.log_softmax(logits[-1].double(), dim=-1)
    np.testing.assert_allclose(found.logprob, exact_.numpy()[np.arange(5), row[1:]], rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.exp(found.top_logprobs).sum(axis=1), 1, rtol=0, atol=1e-5)


@pytest.fixture(scope="session")
def bigram_bfloat16(bigram: LoadedModel) -> LoadedModel:
    return load_model(f"{bigram.resolved.folder},dtype=bfloat16")


def test_left_padding_by_hand_gives_the_same_log_probs(gpt2: LoadedModel) -> None:
    # The kernel pads on the right; the numbers must be the model's, not the padding side's.
    scores = score(gpt2, "The goal of a correlation analysis is to compute a coefficient.")
    ids = torch.tensor([[0, 0, 0, *scores.token_id.tolist()]])
    mask = torch.tensor([[0, 0, 0, *[1] * len(scores)]])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        logits = gpt2.network(input_ids=ids, attention_mask=mask, position_ids=positions).logits[0, 3:-1].double()
    expected = torch.log_softmax(logits, -1).gather(-1, torch.from_numpy(scores.token_id[1:].copy())[:, None])[:, 0]
    np.testing.assert_allclose(scores.logprob[1:], expected, rtol=0, atol=FLOAT32)


def test_a_copy_of_a_model_with_broken_weights_is_stopped(tmp_path: Path, bigram: LoadedModel) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(bigram.resolved.folder, folder)
    weights = load_file(folder / "model.safetensors")
    # Overflows after a "c" and nowhere else; a NaN in an embedding would reach every position through the attention.
    weights["model.layers.0.mlp.gate_proj.weight"][0, 2] = 3e38
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    message = (
        f"'{folder}' on 'sample', passage 1, token 3: the model's logits are NaN or infinite; nothing was recorded. "
        "Try dtype=float32, or check the weights"
    )
    with pytest.raises(ScoringError, match=f"^{re.escape(message)}$"):
        score(load_model(str(folder)), corpus(["abab", "abca", "ab"], name="sample"))
