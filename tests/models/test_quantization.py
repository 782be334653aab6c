"""Rounded weights are exactly those that a quantised file would hold."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import quantised
from gguf import GGMLQuantizationType, quants
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from tokenviz.base.errors import ModelError
from tokenviz.base.hardware import spread_over
from tokenviz.models.conversion import own_quantization, round_linear_layers
from tokenviz.models.loading import LoadedModel, load_model, memory_bytes, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.scoring.kernel import Kernel
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


@pytest.mark.slow
def test_eight_bits_stay_closer_than_four(gpt2: LoadedModel) -> None:
    text = "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do."
    exact = score(gpt2, text).logprob[1:]
    away = {
        form: np.abs(score(load_model(f"{gpt2.resolved.folder},quantize={form}"), text).logprob[1:] - exact).mean()
        for form in ("q8_0", "q4_0")
    }
    assert 0 < away["q8_0"] < away["q4_0"] / 4
    assert score(load_model(f"{gpt2.resolved.folder},quantize=q4_0"), text).spec.quantize == "q4_0"


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


# ---- folders that are quantised already ----------------------------------------------------------------------------


@pytest.fixture
def quantized(gpt2_folder: Path, tmp_path: Path) -> Callable[..., str]:
    """A folder whose config says how its weights are quantised; they are refused before they are read."""

    def make(**settings: Any) -> str:
        return str(quantised(Path(shutil.copytree(gpt2_folder, tmp_path / "quantized")), **settings))

    return make


@pytest.mark.parametrize(
    ("settings", "method", "needs"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq", "packages optimum and gptqmodel: pip install optimum gptqmodel"),
        ({"quant_method": "awq", "bits": 4}, "awq", "package gptqmodel: pip install gptqmodel"),
        (
            {"quant_method": "compressed-tensors", "format": "pack-quantized"},
            "compressed-tensors",
            "package compressed-tensors: pip install compressed-tensors",
        ),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            "bitsandbytes",
            "package bitsandbytes: pip install bitsandbytes",
        ),
        ({"load_in_8bit": True}, "bitsandbytes", "package bitsandbytes: pip install bitsandbytes"),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "torchao", "package torchao: pip install torchao"),
    ],
)
def test_a_quantised_folder_names_the_package_that_it_needs(
    quantized: Callable[..., str], monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], method: str, needs: str
) -> None:
    monkeypatch.setattr("tokenviz.models.conversion.find_spec", lambda name: None)
    model = quantized(**settings)
    assert own_quantization(Path(model)) == method
    with pytest.raises(ModelError) as error:
        load_model(model)
    assert str(error.value) == f"the weights of {model!r} are quantised ({method}), which needs the {needs}"


def test_an_adapter_is_not_merged_into_quantised_weights(quantized: Callable[..., str]) -> None:
    model = quantized(quant_method="gptq", bits=4)
    (Path(model) / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": model}))
    (Path(model) / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError) as error:
        load_model(model)
    assert str(error.value) == (
        f"the weights of {model!r} are quantised already (gptq), and an adapter cannot be merged into them: take the model "
        "before that"
    )


def test_a_config_that_is_not_quantised_or_damaged_has_no_method(gpt2_folder: Path, tmp_path: Path) -> None:
    assert own_quantization(gpt2_folder) == ""
    assert own_quantization(tmp_path) == ""
    (tmp_path / "config.json").write_text('{"quantization_config": "gptq"}')
    assert own_quantization(tmp_path) == ""


# ---- models that do not fit on one GPU -----------------------------------------------------------------------------


def test_the_memory_of_weights_is_read_off_the_heads_of_their_files(gpt2_folder: Path, quantized: Callable[..., str]) -> None:
    stored = sum(tensor.numel() for path in gpt2_folder.glob("*.safetensors") for tensor in load_file(path).values())
    assert stored > 1000
    assert memory_bytes(resolve(ModelSpec.parse(str(gpt2_folder)))) == 4 * stored
    assert memory_bytes(resolve(ModelSpec.parse(f"{gpt2_folder},dtype=bfloat16"))) == 2 * stored
    assert memory_bytes(resolve(ModelSpec.parse(quantized(quant_method="gptq") + ",dtype=float64"))) == 4 * stored


def test_a_model_is_spread_where_one_gpu_has_no_room_for_it() -> None:
    gigabyte = 10**9
    assert not spread_over(8 * gigabyte, [10 * gigabyte], "m")
    assert not spread_over(9 * gigabyte, [10 * gigabyte, 10 * gigabyte], "m")
    assert spread_over(10 * gigabyte, [10 * gigabyte, 10 * gigabyte], "m")
    with pytest.raises(ModelError) as error:
        spread_over(19 * gigabyte, [10 * gigabyte, 10 * gigabyte], "m,dtype=bfloat16")
    assert str(error.value) == (
        "'m,dtype=bfloat16' has 19.0 GB of weights, and the GPUs of this process have room for 18.0 GB: give it more of them, "
        "or take a smaller dtype or device=cpu"
    )


def test_layers_with_the_hooks_of_a_spread_model_give_the_same(llama: LoadedModel) -> None:
    """accelerate's hooks carry what a layer reads to its device; here every layer has them, and one device."""
    from accelerate import dispatch_model

    hooked = load_model(str(llama.resolved.folder))
    layers = {f"model.layers.{number}": "cpu" for number in range(2)}
    rest = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    dispatch_model(hooked.network, device_map=layers | rest, force_hooks=True)
    assert all(hasattr(layer, "_hf_hook") for layer in hooked.network.model.layers)
    found, expected = (
        score(hooked, "Alice was beginning to get very tired."),
        score(llama, "Alice was beginning to get very tired."),
    )
    assert (Kernel.of(hooked).batching, Kernel.of(hooked).head) == ("packed", "streamed")
    np.testing.assert_allclose(found.logprob, expected.logprob, rtol=0, atol=2e-5)


@pytest.mark.gpu
def test_a_model_on_two_gpus_scores_as_on_one(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch.cuda.device_count() >= 2
    model = f"{llama.resolved.folder},device=cuda"
    expected = score(model, "Alice was beginning to get very tired.")
    monkeypatch.setattr("tokenviz.models.loading.spread_over", lambda *_: True)
    spread = load_model(model)
    assert len(set(spread.network.hf_device_map.values())) == 2
    found = score(spread, "Alice was beginning to get very tired.")
    np.testing.assert_allclose(found.logprob, expected.logprob, rtol=0, atol=1e-4)  # two GPUs may take different kernels


@pytest.mark.gpu
def test_memory_that_an_earlier_model_held_counts_as_free(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    monkeypatch.setattr("tokenviz.models.loading.spread_over", lambda _, free, __: found.append(free[0]))
    torch.cuda.empty_cache()
    before, held = torch.cuda.mem_get_info(0)[0], torch.empty(1 << 30, dtype=torch.uint8, device="cuda:0")
    del held  # torch keeps it for what comes next
    assert torch.cuda.mem_get_info(0)[0] <= before - (1 << 30)
    load_model(f"{llama.resolved.folder},device=cuda")
    assert found[0] > before - (1 << 29)
