"""Adapters: merged into their model by peft, or refused; never left out."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import make_folder
from safetensors.torch import load_file, save_file

from tokenviz.base.errors import ModelError
from tokenviz.models.loading import LoadedModel, load_model, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.scoring.scorer import score

TEXT = "abcdacbb"

# Making an adapter, peft asks transformers for what the latter calls by another name now.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model(str(folder))


def make_adapter(base: Path, folder: Path, config: Any) -> Any:
    """Save a random adapter for a model; give the model with the adapter next to its weights."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weight in adapted.named_parameters():
        if weight.requires_grad:
            weight.data.add_(torch.randn_like(weight) * (0.3 if "lora" in name else 0.1))
    adapted.save_pretrained(folder)
    return adapted.eval()


def exact(network: Any, ids: list[int]) -> np.ndarray:
    """Log-probs of all ids but the first, by the adapter's own forward pass."""
    with torch.inference_mode():
        logits = network(input_ids=torch.tensor([ids])).logits[0].double()
    rows = torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
    return np.asarray(rows.numpy())


@pytest.fixture
def base(tmp_path: Path, bigram: LoadedModel) -> Path:
    make_folder("llama", bigram.tokenizer, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def lora(tmp_path: Path, base: Path) -> tuple[Path, Any]:
    """An adapter in a folder of its own, and its network."""
    from peft import LoraConfig

    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM")
    return tmp_path / "adapter", make_adapter(base, tmp_path / "adapter", config)


def test_an_adapter_of_its_own_is_merged_into_its_model(base: Path, lora: tuple[Path, Any]) -> None:
    folder, network = lora
    model = load_model(str(folder))
    found = score(model, TEXT)
    assert (model.label, found.spec.batching) == (str(folder), "packed")
    np.testing.assert_allclose(found.logprob[1:], exact(network, found.token_id.tolist()), rtol=0, atol=2e-5)
    assert np.abs(found.logprob - score(load_model(str(base)), TEXT).logprob)[1:].max() > 0.05


def test_an_adapter_next_to_its_model_is_merged(base: Path, lora: tuple[Path, Any]) -> None:
    folder, network = lora
    for path in folder.glob("adapter*"):
        shutil.copy(path, base)
    found = score(load_model(str(base)), TEXT)
    np.testing.assert_allclose(found.logprob[1:], exact(network, found.token_id.tolist()), rtol=0, atol=2e-5)


def test_the_identity_covers_adapter_and_model(base: Path, lora: tuple[Path, Any]) -> None:
    folder, _ = lora
    spec = ModelSpec(str(folder))
    seen = {resolve(spec).identity}
    assert next(iter(seen)).endswith("+" + resolve(ModelSpec(str(base))).identity)
    for path in (folder / "adapter_model.safetensors", base / "model.safetensors"):
        save_file({name: value / 2 for name, value in load_file(path).items()}, path, {"format": "pt"})
        seen.add(resolve(spec).identity)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 1}))
    assert len(seen | {resolve(spec).identity}) == 4


def test_an_adapter_is_merged_in_float32_whatever_the_model_computes_in(base: Path, lora: tuple[Path, Any]) -> None:
    merged = lora[1].merge_and_unload().model.layers[0].mlp.down_proj.weight
    model = load_model(f"{lora[0]},dtype=bfloat16")
    assert torch.equal(model.network.model.layers[0].mlp.down_proj.weight, merged.bfloat16())


def test_the_tokenizer_of_an_adapter_is_taken_where_it_has_one(lora: tuple[Path, Any], bigram_bos: LoadedModel) -> None:
    bigram_bos.tokenizer.save_pretrained(lora[0])
    assert score(load_model(str(lora[0])), "ab").spec.bos_ids == (3,)


def test_without_peft_an_adapter_is_refused(base: Path, lora: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lora[0]
    monkeypatch.setattr("tokenviz.models.folders.find_spec", lambda name: None)
    message = (
        "{!r} holds an adapter (LORA): install the package peft to have it merged into its model, or merge it yourself and "
        "give the whole model"
    )
    refused(folder, message.format(str(folder)))
    for path in folder.glob("adapter*"):
        shutil.copy(path, base)
    refused(base, message.format(str(base)))


def test_an_adapter_in_a_pickle_is_refused(lora: tuple[Path, Any]) -> None:
    (lora[0] / "adapter_model.safetensors").rename(lora[0] / "adapter_model.bin")
    refused(
        lora[0],
        f"{str(lora[0])!r} has its weights in adapter_model.bin, a pickle, which can run any code when it is read: it is "
        "refused. Convert it to safetensors where you trust it, or choose another revision",
    )


def test_an_adapter_without_weights_is_refused(lora: tuple[Path, Any]) -> None:
    (lora[0] / "adapter_model.safetensors").unlink()
    refused(lora[0], f"the adapter in {str(lora[0])!r} holds no weights: it has no adapter_model.safetensors")


def test_an_adapter_of_no_model_is_refused(lora: tuple[Path, Any]) -> None:
    path = lora[0] / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": None}))
    refused(
        lora[0],
        f"{str(lora[0])!r} is an adapter, and its adapter_config.json does not name the model that it changes: set "
        "base_model_name_or_path",
    )


def test_an_adapter_of_an_adapter_is_refused(tmp_path: Path, lora: tuple[Path, Any]) -> None:
    shutil.copytree(lora[0], tmp_path / "second")
    path = tmp_path / "second" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": str(lora[0])}))
    second = str(tmp_path / "second")
    refused(
        tmp_path / "second",
        f"{second!r} is an adapter for {str(lora[0])!r}, which holds an adapter itself: merge that one first",
    )


@pytest.mark.parametrize(("change", "what"), [("less", "lacks"), ("more", "holds, without use,")])
def test_an_adapter_that_does_not_fit_its_model_is_refused(lora: tuple[Path, Any], change: str, what: str) -> None:
    path = lora[0] / "adapter_model.safetensors"
    weights = load_file(path)
    name = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    value = weights.pop(name) if change == "less" else weights[name]
    weights |= {} if change == "less" else {name.replace("layers.1", "layers.7"): value.clone()}
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(ModelError, match=f"does not fit its model: it {what} .*lora_A.*; give the model that it was made for$"):
        load_model(str(lora[0]))


def test_an_adapter_of_another_width_is_refused(lora: tuple[Path, Any]) -> None:
    path = lora[0] / "adapter_model.safetensors"
    save_file({name: value.repeat(2, 2) for name, value in load_file(path).items()}, path, {"format": "pt"})
    with pytest.raises(ModelError, match=f"^cannot merge the adapter in {re.escape(repr(str(lora[0])))}: .*size mismatch"):
        load_model(str(lora[0]))


def test_an_adapter_that_adds_to_the_text_is_refused(tmp_path: Path, base: Path) -> None:
    from peft import PromptTuningConfig

    make_adapter(base, tmp_path / "prompt", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    refused(
        tmp_path / "prompt",
        f"{str(tmp_path / 'prompt')!r} holds an adapter of the kind PROMPT_TUNING, which adds to the text and cannot be merged "
        "into weights: only the like of LoRA can be scored",
    )
