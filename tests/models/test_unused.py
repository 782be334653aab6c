"""Weights that a file holds and a config does not use: refused by name, but for those that are known to say nothing."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from architectures import ARCHITECTURES, make_folder
from folders import Edit, edit_json, edit_weights
from safetensors.torch import load_file, save_file

from tokenviz.base.errors import ModelError
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.models.supported import KNOWN
from tokenviz.scoring.scorer import score


def edit(folder: Path, *, weights: Edit | None = None, **config: object) -> None:
    edit_json(folder / "config.json", **config)
    if weights is not None:
        edit_weights(folder, weights)


def refused(folder: Path, count: int, names: str, what_to_do: str) -> None:
    message = (
        f"{str(folder)!r} has {count} weights that its config.json does not use ({names}): without them the numbers would be "
        f"another model's; {what_to_do}"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model(str(folder))


def logprobs(folder: Path) -> list[float]:
    return score(load_model(str(folder)), "abcdacb").logprob[1:].tolist()


@pytest.fixture
def llama(tmp_path: Path, bigram: LoadedModel) -> Path:
    make_folder("llama", bigram.tokenizer, tmp_path / "llama", num_hidden_layers=4, attention_bias=True, mlp_bias=True)
    return tmp_path / "llama"


def test_layers_beyond_those_of_the_config_are_refused(llama: Path) -> None:
    edit(llama, num_hidden_layers=2)
    first = "model.layers.2.input_layernorm.weight, model.layers.2.mlp.down_proj.bias, model.layers.2.mlp.down_proj.weight, ..."
    refused(llama, 32, first, "num_hidden_layers is 2, and the file has 4 layers")


def test_biases_that_the_config_turns_off_are_refused(llama: Path) -> None:
    edit(llama, attention_bias=False)
    names = [f"model.layers.0.self_attn.{name}_proj.bias" for name in "koq"]
    refused(llama, 16, ", ".join(names) + ", ...", "turn on what this kind of config has for biases, such as attention_bias")


def test_weights_in_a_second_file_are_seen(llama: Path) -> None:
    (llama / "more").mkdir()
    (llama / "model.safetensors").rename(llama / "a.safetensors")
    save_file({"odd.weight": torch.ones(1)}, llama / "more" / "b.safetensors", {"format": "pt"})
    names = dict.fromkeys(load_file(llama / "a.safetensors"), "a.safetensors") | {"odd.weight": "more/b.safetensors"}
    (llama / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    refused(llama, 1, "odd.weight", "give the config that belongs to the weights")


# ---- what says nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "name", "value"),
    [
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4)),
        ("mistral", "model.rotary_emb.inv_freq", torch.ones(4)),
        ("gpt_neox", "gpt_neox.layers.0.attention.bias", torch.ones(1, 1, 8, 8)),
        ("gpt_neox", "gpt_neox.layers.1.attention.masked_bias", torch.tensor(-1e9)),
        ("gpt2", "transformer.h.0.attn.bias", torch.ones(1, 1, 8, 8)),
        ("gpt2", "h.0.attn.masked_bias", torch.tensor(-1e4)),
        ("gpt_neo", "transformer.h.1.attn.attention.bias", torch.ones(1, 1, 8, 8)),
        ("gpt_neo", "transformer.h.1.attn.attention.masked_bias", torch.tensor(-1e9)),
        ("gptj", "transformer.h.0.attn.bias", torch.ones(1, 1, 8, 8)),
        ("deepseek_v3", "model.mtp.layers.0.weight", torch.ones(2)),
    ],
)
def test_what_is_computed_from_the_config_may_be_left_out(
    tmp_path: Path, bigram: LoadedModel, architecture: str, name: str, value: torch.Tensor
) -> None:
    make_folder(architecture, bigram.tokenizer, tmp_path)
    before = logprobs(tmp_path)
    edit(tmp_path, weights=lambda tensors: tensors.update({name: value}))
    assert logprobs(tmp_path) == before


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("gpt2", "transformer.h.0.attn.bias"),  # transformers' own list leaves out whatever is called so
        ("gpt_neox", "gpt_neox.layers.0.attention.bias"),
        ("llama", "model.layers.0.self_attn.bias"),
    ],
)
def test_a_real_bias_by_the_name_of_a_mask_is_refused(
    tmp_path: Path, bigram: LoadedModel, architecture: str, name: str
) -> None:
    make_folder(architecture, bigram.tokenizer, tmp_path)
    edit(tmp_path, weights=lambda tensors: tensors.update({name: torch.ones(16)}))
    refused(tmp_path, 1, name, "turn on what this kind of config has for biases, such as attention_bias")


@pytest.mark.slow
def test_a_layer_of_deepseek_for_the_token_after_the_next_may_be_left_out(tmp_path: Path, bigram: LoadedModel) -> None:
    make_folder("deepseek_v3", bigram.tokenizer, tmp_path, num_hidden_layers=61)
    before = logprobs(tmp_path)
    layer = {"model.layers.61.enorm.weight": torch.ones(16), "model.layers.61.eh_proj.weight": torch.ones(16, 32)}
    edit(tmp_path, weights=lambda tensors: tensors.update(layer))
    assert logprobs(tmp_path) == before


def test_a_last_layer_of_deepseek_is_not_taken_for_another_kind(tmp_path: Path, bigram: LoadedModel) -> None:
    """transformers leaves out layer 61 of any file of the family."""
    make_folder("deepseek_v3", bigram.tokenizer, tmp_path, num_hidden_layers=62)
    edit(tmp_path, num_hidden_layers=61)
    with pytest.raises(ModelError, match=r"weights that its config\.json does not use \(model\.layers\.61\.") as refusal:
        load_model(str(tmp_path))
    assert str(refusal.value).endswith("num_hidden_layers is 61, and the file has 62 layers")


def test_every_exception_has_a_reason() -> None:
    assert all(known.reason for known in KNOWN)
    assert {known.ndims for known in KNOWN if "attn" in known.pattern and known.families and "gpt2" in known.families} == {
        (0, 4)
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_transformers_writes_is_read_whole(tmp_path: Path, bigram: LoadedModel, architecture: str) -> None:
    make_folder(architecture, bigram.tokenizer, tmp_path)


def test_a_head_of_its_own_is_used_although_the_config_ties_it(tmp_path: Path, bigram: LoadedModel) -> None:
    make_folder("llama", bigram.tokenizer, tmp_path / "own", tie_word_embeddings=False)
    before = logprobs(tmp_path / "own")
    shutil.copytree(tmp_path / "own", tmp_path / "tied")
    edit(tmp_path / "tied", tie_word_embeddings=True)
    assert logprobs(tmp_path / "tied") == before
