"""The small NumPy model of the glassllm package, converted into a Hugging Face Llama folder.

It is a Llama except for three points. Its rotary embedding rotates adjacent coordinates, where Hugging Face rotates the two
halves of a head. Its matrices are stored transposed. Its tokenizer is a plain character BPE. After the conversion the log-probs
agree with the package's own forward pass to about 2e-6 nats.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenviz.models.quiet import quiet_transformers

_SPECIALS = ["<pad>", "<unk>", "<bos>", "<eos>"]
_SPACE = "▁"
_CHUNKS = r"\n|▁*[^▁\n]+|▁+"


def convert_glass(weights: Path, tokenizer: Path, target: Path) -> None:
    """Write a Hugging Face folder from glassllm's files.

    Args:
        weights: The `.npz` file: float16 arrays and a JSON configuration.
        tokenizer: The `.tokenizer.json` file: alphabet and merges.
        target: The folder to make.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    quiet_transformers()
    with np.load(weights) as arrays:
        settings = json.loads(str(arrays["__config__"]))
        source = {name: arrays[name].astype(np.float32) for name in arrays.files if name != "__config__"}
    config = LlamaConfig(
        vocab_size=settings["vocab_size"],
        hidden_size=settings["d_model"],
        num_hidden_layers=settings["n_layers"],
        num_attention_heads=settings["n_heads"],
        num_key_value_heads=settings["n_kv_heads"],
        intermediate_size=source["blocks.0.ffn.W1"].shape[1],
        max_position_embeddings=settings["max_len"],
        rope_parameters={"rope_type": "default", "rope_theta": settings["rope_base"]},
        rms_norm_eps=settings["eps"],
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    state = {name: torch.from_numpy(array) for name, array in _llama_names(source, settings).items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    model.save_pretrained(target)
    _fast_tokenizer(tokenizer, settings["max_len"]).save_pretrained(target)


def _llama_names(source: dict[str, NDArray[np.float32]], settings: dict[str, int]) -> dict[str, NDArray[np.float32]]:
    head = settings["d_model"] // settings["n_heads"]
    arrays = {"model.embed_tokens.weight": source["E"], "model.norm.weight": source["norm_f.gamma"]}
    for layer in range(settings["n_layers"]):
        old, new = f"blocks.{layer}.", f"model.layers.{layer}."
        arrays[new + "input_layernorm.weight"] = source[old + "norm1.gamma"]
        arrays[new + "post_attention_layernorm.weight"] = source[old + "norm2.gamma"]
        arrays[new + "self_attn.q_proj.weight"] = _halves(source[old + "attn.W_Q"].T, head)
        arrays[new + "self_attn.k_proj.weight"] = _halves(source[old + "attn.W_K"].T, head)
        arrays[new + "self_attn.v_proj.weight"] = source[old + "attn.W_V"].T
        arrays[new + "self_attn.o_proj.weight"] = source[old + "attn.W_O"].T
        arrays[new + "mlp.gate_proj.weight"] = source[old + "ffn.W1"].T
        arrays[new + "mlp.up_proj.weight"] = source[old + "ffn.W3"].T
        arrays[new + "mlp.down_proj.weight"] = source[old + "ffn.W2"].T
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _halves(weight: NDArray[np.float32], head: int) -> NDArray[np.float32]:
    """Reorder each head's rows from adjacent rotary pairs (0 1)(2 3).. to halves 0 2 .. 1 3 .."""
    pairs = weight.reshape(-1, head // 2, 2, weight.shape[1])  # (heads, pairs, 2, d_model)
    return pairs.transpose(0, 2, 1, 3).reshape(weight.shape)


def _fast_tokenizer(path: Path, max_len: int):  # type: ignore[no-untyped-def]  # transformers has no types
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    stored = json.loads(path.read_text(encoding="utf-8"))
    merges = [tuple(pair) for pair in stored["merges"]]
    tokens = [*_SPECIALS, *stored["alphabet"], *(left + right for left, right in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", _SPACE)])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_CHUNKS), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.Fuse()])
    # The package's tokenizer knows no special strings in a text, and its model was trained without a BOS.
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", model_max_length=max_len, split_special_tokens=True
    )
