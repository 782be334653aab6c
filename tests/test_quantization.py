"""Rounded weights are exactly those that a quantised file would hold."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, quants
from transformers.pytorch_utils import Conv1D

from tokenviz.errors import ModelError
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.models.quantization import round_linear_layers
from tokenviz.scoring.scorer import score

FORMS = ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]


def round_trip(weight: np.ndarray, form: str) -> np.ndarray:
    kind = GGMLQuantizationType[form.upper()]
    return quants.dequantize(quants.quantize(np.ascontiguousarray(weight), kind), kind)


def q8_0_by_hand(weight: np.ndarray) -> np.ndarray:
    """32 neighbours of a row share one float16 scale, their largest magnitude over 127."""
    blocks = weight.reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    whole = np.round(blocks / np.where(scale == 0, 1, scale))
    return (whole * scale.astype(np.float16).astype(np.float32)).reshape(weight.shape)


def linear_layers(model: LoadedModel) -> dict[str, torch.nn.Module]:
    return {
        name: module
        for name, module in model.network.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and name != "lm_head"
    }


@pytest.fixture(scope="module")
def gpt2(gpt2_folder: Path) -> LoadedModel:
    """One that nothing was scored with: scoring lays weights out anew."""
    return load_model(str(gpt2_folder))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory, bigram: LoadedModel) -> LoadedModel:
    """A small random Llama with whole blocks in every row and a head of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, tie_word_embeddings=False,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(folder)
    bigram.tokenizer.save_pretrained(folder)
    return load_model(str(folder))


@pytest.mark.parametrize("form", FORMS)
def test_linear_weights_are_the_round_trip_of_the_gguf_package(llama: LoadedModel, form: str) -> None:
    rounded = load_model(f"{llama.resolved.folder},quantize={form}")
    layers = linear_layers(rounded)
    assert len(layers) == 7 * 2  # four of the attention and three of the MLP a layer
    for name, layer in layers.items():
        original = llama.network.get_submodule(name).weight.cpu().numpy()
        np.testing.assert_array_equal(layer.weight.cpu().numpy(), round_trip(original, form), err_msg=name)
        assert not np.array_equal(layer.weight.cpu().numpy(), original)


def test_blocks_lie_along_the_input_dimension(llama: LoadedModel) -> None:
    rounded = load_model(f"{llama.resolved.folder},quantize=q8_0")
    name = "model.layers.0.mlp.up_proj"
    original, found = (model.network.get_submodule(name).weight.cpu().numpy() for model in (llama, rounded))
    assert original.shape[0] != original.shape[1]
    # Rounding half to even or away may differ on a tie: one step of the scale in a few places at most.
    assert (np.abs(found - q8_0_by_hand(original)) > 1e-6).mean() < 1e-3
    assert (np.abs(found - q8_0_by_hand(original.T).T) > 1e-6).mean() > 0.1


def test_the_transposed_layers_of_gpt2_are_rounded_along_their_input_too(gpt2: LoadedModel) -> None:
    rounded = load_model(f"{gpt2.resolved.folder},quantize=q4_0")
    layers = linear_layers(rounded)
    assert len(layers) == 8
    for name, layer in layers.items():
        assert isinstance(layer, Conv1D)
        original = gpt2.network.get_submodule(name).weight.cpu().numpy()  # (in, out)
        np.testing.assert_array_equal(layer.weight.cpu().numpy(), round_trip(original.T, "q4_0").T, err_msg=name)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_everything_else_keeps_its_precision(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    rounded = load_model(f"{model.resolved.folder},quantize=q4_0")
    linear = {f"{layer}.weight" for layer in linear_layers(model)}
    others = {key: value for key, value in model.network.state_dict().items() if key not in linear}
    assert any("emb" in key or "wte" in key for key in others)
    assert "lm_head.weight" in others
    for key, value in others.items():
        assert torch.equal(rounded.network.state_dict()[key], value), key


def test_eight_bits_stay_closer_than_four(gpt2: LoadedModel) -> None:
    text = "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do."
    exact = score(gpt2, text).logprob[1:]
    away = {
        form: np.abs(score(load_model(f"{gpt2.resolved.folder},quantize={form}"), text).logprob[1:] - exact).mean()
        for form in ("q8_0", "q4_0")
    }
    assert 0 < away["q8_0"] < away["q4_0"] / 4
    assert score(load_model(f"{gpt2.resolved.folder},quantize=q4_0"), text).spec.quantize == "q4_0"


def test_a_row_that_is_no_whole_number_of_blocks_is_refused() -> None:
    message = "quantize=q4_0: the rows of model.layers.0.mlp.down_proj have 341 weights, not a multiple of 32"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model("glass-en,quantize=q4_0")


def test_a_model_without_linear_layers_is_refused(tmp_path: Path) -> None:
    class Head(torch.nn.Linear):
        def get_output_embeddings(self) -> torch.nn.Linear:
            return self

    message = "quantize=q8_0: the model has no linear layers to round"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        round_linear_layers(Head(32, 32), "q8_0")


def test_a_bfloat16_model_keeps_its_dtype(gpt2: LoadedModel) -> None:
    rounded = load_model(f"{gpt2.resolved.folder},dtype=bfloat16,quantize=q8_0")
    assert {weight.dtype for weight in rounded.network.parameters()} == {torch.bfloat16}
