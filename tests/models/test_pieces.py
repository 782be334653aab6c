"""Tokenizers that are a sentencepiece model alone: read, and held against the original."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoConfig, AutoModelForCausalLM

from tokenviz.base.errors import ModelError
from tokenviz.models.loading import load_model
from tokenviz.scoring.scorer import score

LINES = ["the cat sat on the mat", "The first of two, and 1999 more.", "Alice was very tired: hello.", "jkbgpqvxyz 123"]
# As Llama's and Gemma's are, and T5's.
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "vocab_size": 300},
    "gemma": {
        "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "vocab_size": 300,
        "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3,
    },
    "unigram": {"model_type": "unigram", "vocab_size": 60},
}  # fmt: skip


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sentencepiece models by their kinds."""
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "text.txt").write_text("\n".join(LINES * 20))
    for kind, settings in KINDS.items():
        SentencePieceTrainer.train(
            input=str(folder / "text.txt"), model_prefix=str(folder / kind), hard_vocab_limit=False, minloglevel=2,
            remove_extra_whitespaces=kind == "unigram", **settings,
        )  # fmt: skip
    return folder


def make(folder: Path, model: Path, name: str, tokenizer_class: str | None, *, model_type: str = "llama") -> Path:
    config = AutoConfig.for_model(
        model_type, vocab_size=320, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    shutil.copy(model, folder / name)
    if tokenizer_class is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": tokenizer_class}))
    return folder


@pytest.mark.parametrize(
    ("kind", "name", "tokenizer_class", "model_type"),
    [
        ("llama", "tokenizer.model", "LlamaTokenizer", "llama"),
        ("gemma", "tokenizer.model", "GemmaTokenizer", "gemma"),
        ("gemma", "tokenizer.model", None, "gemma2"),
        ("unigram", "spiece.model", "T5Tokenizer", "llama"),
        ("unigram", "sentencepiece.bpe.model", "CamembertTokenizer", "llama"),
    ],
)
def test_a_sentencepiece_model_alone_is_read_as_its_own_library_reads_it(
    tmp_path: Path, pieces: Path, kind: str, name: str, tokenizer_class: str | None, model_type: str
) -> None:
    folder = make(tmp_path, pieces / f"{kind}.model", name, tokenizer_class, model_type=model_type)
    model = load_model(str(folder))
    found = score(model, "The cat sat on two.", bos="never")
    expected = SentencePieceProcessor(model_file=str(folder / name)).encode("The cat sat on two.", out_type=str)
    assert model.tokenizer.convert_ids_to_tokens(found.token_id.tolist()) == expected


@pytest.mark.parametrize(("kind", "tokenizer_class"), [("llama", None), ("unigram", "LlamaTokenizer")])
def test_a_tokenizer_that_was_rebuilt_into_another_is_refused(
    tmp_path: Path, pieces: Path, kind: str, tokenizer_class: str | None
) -> None:
    folder = make(tmp_path, pieces / f"{kind}.model", "tokenizer.model", tokenizer_class)
    begin = f"{str(folder)!r} has its tokenizer in tokenizer.model alone, and transformers cuts '"
    end = ": name the right tokenizer_class in tokenizer_config.json, or add the model's tokenizer.json"
    with pytest.raises(ModelError, match=f"^{re.escape(begin)}.* where the original cuts it into ▁.*{re.escape(end)}$"):
        load_model(str(folder))


def test_a_file_of_another_format_by_that_name_is_left_to_transformers(tmp_path: Path, pieces: Path) -> None:
    folder = make(tmp_path, pieces / "text.txt", "tokenizer.model", "LlamaTokenizer")
    with pytest.raises(ModelError, match=f"^cannot load {re.escape(repr(str(folder)))}: [^\n]+$"):
        load_model(str(folder))
