"""Kinds of models that cannot be scored are refused by what they are, and sizes that no model has by their names."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import make_folder

from tokenviz.base.errors import ModelError, ScoringError
from tokenviz.models.loading import LoadedModel, load_model
from tokenviz.scoring.scorer import score

SMALL: dict[str, Any] = {
    "vocab_size": 5,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "max_position_embeddings": 64,
}
BART = {
    **SMALL, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "decoder_start_token_id": 1,
}  # fmt: skip
BERT = {**SMALL, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
T5 = {**SMALL, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def save(folder: Path, tokenizer: Any, kind: str, model: str, **settings: Any) -> str:
    import transformers
    from transformers import AutoConfig

    torch.manual_seed(1)
    network = getattr(transformers, model)(AutoConfig.for_model(kind, **settings))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def refused(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        load_model(spec)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("kind", "model", "settings"),
    [
        ("bart", "BartForConditionalGeneration", BART),
        ("pegasus", "PegasusForConditionalGeneration", BART),
        ("mbart", "MBartForConditionalGeneration", BART),
        ("blenderbot", "BlenderbotForConditionalGeneration", BART),
        ("marian", "MarianMTModel", BART),
        ("t5", "T5ForConditionalGeneration", T5),
        ("umt5", "UMT5ForConditionalGeneration", T5),
    ],
)
def test_encoder_decoders_are_refused_by_name(
    tmp_path: Path, bigram: LoadedModel, kind: str, model: str, settings: dict[str, Any], tied: bool
) -> None:
    spec = save(tmp_path, bigram.tokenizer, kind, model, **settings, tie_word_embeddings=tied)
    refused(
        spec,
        f"{spec!r} is an encoder-decoder model ({kind}), which predicts a text from another one: only causal language models "
        "can be scored",
    )


def test_the_decoder_of_such_a_model_by_itself_is_causal(tmp_path: Path, bigram: LoadedModel) -> None:
    spec = save(tmp_path, bigram.tokenizer, "bart", "BartForCausalLM", **BART)
    assert score(load_model(spec), "abcd").scored.sum() == 3


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("bert", "BertForMaskedLM"),
        ("roberta", "RobertaForMaskedLM"),
        ("electra", "ElectraForMaskedLM"),
        ("distilbert", "DistilBertForMaskedLM"),
        ("albert", "AlbertForMaskedLM"),
        ("bert", "BertForPreTraining"),
    ],
)
def test_masked_models_are_refused_by_name(tmp_path: Path, bigram: LoadedModel, kind: str, model: str) -> None:
    settings = {**BERT, "dim": 16, "n_heads": 2, "n_layers": 1, "hidden_dim": 16, "embedding_size": 16}
    spec = save(tmp_path, bigram.tokenizer, kind, model, **settings)
    refused(
        spec,
        f"{spec!r} is a masked language model ({model}), which sees both sides of the token that it predicts: only causal "
        "language models can be scored",
    )


def test_a_bert_trained_as_a_decoder_is_scored(tmp_path: Path, bigram: LoadedModel) -> None:
    spec = save(tmp_path, bigram.tokenizer, "bert", "BertLMHeadModel", **BERT, is_decoder=True)
    assert score(load_model(spec), "abcd").scored.sum() == 3


def test_a_model_without_a_causal_form_is_refused_in_a_sentence(tmp_path: Path, bigram: LoadedModel) -> None:
    settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    spec = save(tmp_path, bigram.tokenizer, "vit", "ViTModel", **settings)
    refused(
        spec,
        f"{spec!r} is a model (vit, ViTModel) that transformers has no causal form of: only causal language models can be "
        "scored",
    )


@pytest.mark.parametrize("seed", [None, 3])
def test_reformers_with_lsh_attention_are_refused(tmp_path: Path, bigram: LoadedModel, seed: int | None) -> None:
    settings = {
        **SMALL, "hidden_size": 16, "attention_head_size": 8, "num_attention_heads": 2, "feed_forward_size": 16,
        "attn_layers": ["local", "lsh"], "axial_pos_shape": [8, 8], "axial_pos_embds_dim": [8, 8], "is_decoder": True,
        "hash_seed": seed,
    }  # fmt: skip
    spec = save(tmp_path, bigram.tokenizer, "reformer", "ReformerModelWithLMHead", **settings)
    refused(
        spec,
        f"{spec!r} is a Reformer with LSH attention, whose predictions depend on the tokens after them in texts longer than a "
        "chunk: only causal language models can be scored",
    )


def test_big_birds_with_block_sparse_attention_are_refused(tmp_path: Path, bigram: LoadedModel) -> None:
    spec = save(tmp_path, bigram.tokenizer, "big_bird", "BigBirdForCausalLM", **BERT, is_decoder=True)
    refused(
        spec,
        f"{spec!r} is a BigBird with block-sparse attention, which sees later tokens in long texts: only causal language "
        "models can be scored; with attention_type original_full in its config.json it is one",
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "attention_type": "original_full"}))
    assert score(load_model(spec), "abcd").scored.sum() == 3


# ---- sizes that no model has ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "bloom"])
@pytest.mark.parametrize("value", [-1, 0])
def test_sizes_by_other_names_are_refused(tmp_path: Path, bigram: LoadedModel, name: str, value: int) -> None:
    make_folder(name, bigram.tokenizer, tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for setting in {"n_layer", "n_head", "n_embd", "num_layers", "num_heads", "n_positions"} & set(config):
        path.write_text(json.dumps({**config, setting: value}))
        with pytest.raises(ModelError, match=f"its config.json has {setting} {value}, which must be a whole number from 1 on$"):
            load_model(str(tmp_path))


def test_layers_without_end_are_not_built(tmp_path: Path, bigram: LoadedModel) -> None:
    make_folder("gpt2", bigram.tokenizer, tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_layer": 10**12}))
    with pytest.raises(
        ModelError, match=r"config\.json has n_layer 1,000,000,000,000, and no model has more than 10,000 layers$"
    ):
        load_model(str(tmp_path))


SENSELESS = {
    "rope_parameters": [{"rope_type": "default", "rope_theta": value} for value in (0, -1, "x", None, 1e400)],
    "rms_norm_eps": [-1, "x", None, [], float("nan")],
    "hidden_act": ["nonsense", 3, None],
    "head_dim": [7, 3],
    "tie_word_embeddings": ["x", []],
    "pad_token_id": [-7, 10**9],
    "attention_bias": ["x"],
    "initializer_range": [-1, "x"],
    "dtype": ["float3", 3],
    "architectures": [3, [3], "x"],
    "model_type": [3, None, "", []],
    "sliding_window": [-1],
    "layer_types": [["nonsense"], []],
    "quantization_config": [{"quant_method": "x"}, 3],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in SENSELESS.items() for value in values])
def test_settings_without_sense_end_in_one_line_or_move_nothing(
    tmp_path: Path, bigram: LoadedModel, name: str, value: object
) -> None:
    for file in bigram.resolved.folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**config, name: value}))
    message, found = "", None
    try:
        found = score(load_model(str(tmp_path)), "abcd").logprob[1:].tolist()
    except (ModelError, ScoringError) as error:
        message = str(error)
    assert "\n" not in message
    assert message or found == score(bigram, "abcd").logprob[1:].tolist()
