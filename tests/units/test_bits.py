"""Bits per byte and per character against an own loop, over texts of many scripts: bits and bytes are of the same tokens."""

import math
import re
from typing import Any

import numpy as np
import pytest
from small_tokenizers import SENTENCES, in_bytes, with_byte_fallback
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

import tokenviz as tv
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel, load_model

OPENINGS = {
    "emoji": "🐈 is a cat.",
    "Chinese": "我",
    "short": "좋아요.",
    "Thai": "สวัสดี",
    "Hebrew": "שלום עולם",
    "Latin": "A cat.",
}
TEXTS = SENTENCES | OPENINGS


def bytes_of_piece(piece: str) -> int:
    """How many bytes a piece of a vocabulary stands for, by its own spelling: SentencePiece's or that of byte-level BPE."""
    if re.fullmatch("<0x[0-9A-F]{2}>", piece):
        return 1
    return len(piece.replace("\u2581", " ").encode())


def own_bits(network: Any, tokenizer: Any, text: str, prefix: list[int], sizes: list[int]) -> tuple[float, int]:
    """Surprisal in bits of all tokens that have a prediction, one prefix at a time, and their bytes."""
    import torch

    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    bits, n_bytes = 0.0, 0
    for place, number in enumerate(ids):
        before = [*prefix, *ids[:place]]
        if before:
            with torch.inference_mode():
                logits = network(torch.tensor([before])).logits[0, -1].double()
            bits -= float(logits.log_softmax(-1)[number]) / math.log(2)
            n_bytes += sizes[place]
    return bits, n_bytes


def assert_agrees(model: LoadedModel, network: Any, text: str, sizes: list[int], bos: Any = "auto") -> None:
    """The numbers of a text are those of the loop; `network` is the model as transformers runs it."""
    scores = tv.score(model, text, bos=bos)
    bits, n_bytes = own_bits(network, model.tokenizer, text, list(scores.spec.bos_ids), sizes)
    summary, found = scores.summary(), tv.information(scores).estimates
    assert summary.n_bytes == n_bytes
    if not n_bytes:  # of one token that has no prediction
        assert bits == 0
        assert math.isnan(summary.bits_per_byte)
        return
    assert summary.bits_per_byte == pytest.approx(bits / n_bytes, rel=1e-4)
    assert found["bits_per_byte"].value == pytest.approx(bits / n_bytes, rel=1e-4)
    # Each byte of a character is an equal share of it.
    shares = [1 / len(character.encode()) for character in text for _ in character.encode()]
    assert found["bits_per_character"].value == pytest.approx(bits / sum(shares[len(shares) - n_bytes :]), rel=1e-4)


@pytest.fixture(scope="module", params=["bytes", "byte fallback"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A small random GPT-2 with a tokenizer that splits characters."""
    import torch

    tokenizer = in_bytes() if request.param == "bytes" else with_byte_fallback(None)
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(1)
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_model(str(folder))


@pytest.mark.parametrize("script", TEXTS)
def test_small_models(small: LoadedModel, script: str) -> None:
    text = TEXTS[script]
    pieces = small.tokenizer.convert_ids_to_tokens(small.tokenizer(text, add_special_tokens=False)["input_ids"])
    in_letters = sum(map(len, pieces)) == len(text.encode())  # one letter of byte-level BPE for each byte
    sizes = [len(piece) if in_letters else bytes_of_piece(piece) for piece in pieces]
    sizes[0] -= sum(sizes) - len(text.encode())  # a space that is put before the text
    network = AutoModelForCausalLM.from_pretrained(small.resolved.folder).eval()
    assert_agrees(small, network, text, sizes)


@pytest.mark.slow
@pytest.mark.parametrize("script", TEXTS)
def test_smollm2(script: str) -> None:
    model = _loaded("smollm2-135m")
    text = TEXTS[script]
    pieces = model[0].tokenizer.convert_ids_to_tokens(model[0].tokenizer(text)["input_ids"])
    assert_agrees(*model, text, list(map(len, pieces)))


@pytest.mark.slow
@pytest.mark.parametrize("bos", ["auto", "never"])
@pytest.mark.parametrize("script", TEXTS)
def test_gemma3(script: str, bos: str) -> None:
    model = _loaded("gemma3-270m")
    text = TEXTS[script]
    pieces = model[0].tokenizer.convert_ids_to_tokens(model[0].tokenizer(text, add_special_tokens=False)["input_ids"])
    assert_agrees(*model, text, list(map(bytes_of_piece, pieces)), bos=bos)


_MODELS: dict[str, tuple[LoadedModel, Any]] = {}


def _loaded(name: str) -> tuple[LoadedModel, Any]:
    if name not in _MODELS:
        _MODELS.clear()
        model = load_model(name)
        _MODELS[name] = model, AutoModelForCausalLM.from_pretrained(model.resolved.folder).eval()
    return _MODELS[name]


def test_the_numbers_do_not_depend_on_how_texts_are_taken_together(small: LoadedModel) -> None:
    texts = [tv.score(small, text) for text in TEXTS.values()]
    whole = tv.score(small, corpus(list(TEXTS.values()), name="all"))
    bits = -np.nansum([table.logprob[table.counted].sum() for table in texts]) / math.log(2)
    n_bytes = sum(table.summary().n_bytes for table in texts)
    assert whole.summary().n_bytes == n_bytes
    assert whole.summary().bits_per_byte == pytest.approx(bits / n_bytes, rel=1e-5)
    for found in (tv.information(whole), tv.information(texts)):
        assert found.estimates["bits_per_byte"].value == pytest.approx(bits / n_bytes, rel=1e-5)
