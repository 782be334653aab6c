"""Models whose log-probs are arithmetic: next-token weights by hand, in a real Llama."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

# Unnormalised next-token weights by hand: row = the token read, column = the token predicted.
BIGRAM_TOKENS = ["a", "b", "c", "d"]
BIGRAM_WEIGHTS = np.array([[1, 2, 4, 8], [8, 4, 2, 1], [1, 1, 1, 1], [1, 3, 9, 27]], dtype=float)


# The same for words: a tokenizer that leaves spaces at the front, and a token that ends the text.
SPACED_TOKENS = ["<eos>", "a", "b", " a", " b", ".", " ", "\n"]
SPACED_WEIGHTS = np.array(
    [
        [1, 9, 4, 2, 1, 1, 1, 1], [2, 3, 5, 7, 1, 4, 1, 1], [1, 2, 1, 3, 9, 6, 2, 1], [1, 6, 4, 5, 2, 3, 1, 2],
        [3, 1, 8, 2, 6, 5, 1, 1], [4, 1, 1, 9, 3, 2, 2, 3], [1, 5, 3, 4, 4, 1, 7, 1], [2, 8, 3, 1, 1, 1, 2, 4],
    ],
    dtype=float,
)  # fmt: skip


def make_bigram_folder(
    folder: Path, weights: np.ndarray, *, bos: bool = False, tokens: list[str] = BIGRAM_TOKENS, pattern: str = "."
) -> Path:
    """A real Llama whose logits at a position are log(weights[token]): attention and MLP add nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _bigram_files(np.asarray(weights, float).tobytes(), len(weights), bos, tuple(tokens), pattern).items():
        (folder / name).write_bytes(content)
    return folder


@cache
def _bigram_files(weights: bytes, size: int, bos: bool, tokens: tuple[str, ...], pattern: str) -> dict[str, bytes]:
    """The files of such a model, made once in a process: dozens of tests want the same, each in a folder of its own."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    config = LlamaConfig(
        vocab_size=size, hidden_size=size, intermediate_size=size, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=64, tie_word_embeddings=False, rms_norm_eps=0.0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.model.norm.weight.fill_(1)
        model.model.layers[0].input_layernorm.weight.fill_(1)
        model.model.layers[0].post_attention_layernorm.weight.fill_(1)
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        # RMS normalisation makes sqrt(size) of the one in a one-hot vector.
        rows = np.frombuffer(weights).reshape(size, size)
        model.lm_head.weight.copy_(torch.from_numpy(np.log(rows).T / np.sqrt(size)))
    vocabulary = {token: number for number, token in enumerate(tokens[:size])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="d $A", special_tokens=[("d", 3)])
    eos = "<eos>" if "<eos>" in tokens else None
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="d" if bos else eos, eos_token=eos)
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        fast.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def make_two_models(project: Path) -> list[str]:
    """Two bigram models of one tokenizer, as folders of a project; returns their specs."""
    make_bigram_folder(project / "first", BIGRAM_WEIGHTS)
    make_bigram_folder(project / "second", BIGRAM_WEIGHTS[::-1].copy())
    return ["first", "second"]
