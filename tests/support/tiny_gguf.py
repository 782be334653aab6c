"""A GGUF file of a few hundred bytes of weights, written with the gguf package: a real Llama that is a bigram model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

TOKENS = ["a", "b", "c", "d", "ab", "cd"]
WEIGHTS = np.arange(1.0, 37.0).reshape(6, 6)  # row = the token read, column = the token predicted


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    weights: np.ndarray = WEIGHTS,
    tensors: bool = True,
    says: Mapping[str, str | int] | None = None,
    half: bool = False,
    more: Mapping[str, np.ndarray] | None = None,
    without: str = "",
) -> Path:
    """A model with P(next | token) = weights[token] normalised, and a byte-level BPE of two merges.

    `says` are fields of its header, such as "general.name"; with `half` its matrices are float16; `more` are tensors
    besides its own, and `without` is one that it lacks.
    """
    size = len(weights)
    writer = GGUFWriter(path, architecture)
    for key, value in (says or {}).items():
        if isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_uint32(key, value)
    writer.add_context_length(64)
    writer.add_embedding_length(size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(size)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-12)
    writer.add_rope_dimension_count(size)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([1] * len(TOKENS))
    writer.add_token_merges(["a b", "c d"])
    ones, zeros = np.ones(size, np.float32), np.zeros((size, size), np.float32)
    arrays = {
        "token_embd.weight": np.eye(size, dtype=np.float32),
        "blk.0.attn_norm.weight": ones,
        "blk.0.ffn_norm.weight": ones,
        **{f"blk.0.{name}.weight": zeros for name in ("attn_q", "attn_k", "attn_v", "attn_output")},
        **{f"blk.0.{name}.weight": zeros for name in ("ffn_gate", "ffn_up", "ffn_down")},
        "output_norm.weight": ones,
        "output.weight": np.ascontiguousarray((np.log(weights).T / np.sqrt(size)).astype(np.float32)),
    }
    arrays = {name: array for name, array in {**arrays, **(more or {})}.items() if name != without}
    for name, array in arrays.items() if tensors else ():
        writer.add_tensor(name, array.astype(np.float16) if half and array.ndim > 1 else array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
