"""Checks that the conversion of a GGUF file is complete: incomplete ones are refused, since their numbers would be wrong.

transformers 5.23 silently leaves out tensors that it does not know (biases of a Llama, layers beyond the count in the header)
and settings of rotary positions (except gpt-oss's), and initialises what is missing.
"""

from pathlib import Path
from typing import Any

import numpy as np

from tokenviz.errors import ModelError
from tokenviz.models.unused import shapes_of

_MOST_NAMED = 3
_SCALES = "rope_freqs.weight"  # the factors by which Llama 3.1 divides rotary frequencies


def refuse_lossy(source: Path) -> None:
    """Refuse a GGUF file whose scaling of rotary positions would be lost in the conversion.

    Raises:
        ModelError: The file scales rotary positions in such a way.
    """
    from gguf import GGUFReader

    reader = GGUFReader(source)
    scales = {tensor.name: tensor for tensor in reader.tensors if tensor.name.startswith("rope_f")}
    lost = [name for name, tensor in scales.items() if name != _SCALES or not np.all(np.asarray(tensor.data) == 1)]
    architecture = _value(reader, "general.architecture")
    kind = _value(reader, f"{architecture}.rope.scaling.type")
    factor = _value(reader, f"{architecture}.rope.scaling.factor")
    if kind not in (None, "none") and factor not in (None, 1) and architecture != "gpt-oss":
        lost.append(f"{architecture}.rope.scaling.type {kind}")
    if lost:
        raise ModelError(
            f"the GGUF file {str(source)!r} scales its positions ({', '.join(lost)}), and transformers leaves that out: the "
            "numbers would be another model's. Take the model's safetensors instead"
        )


def check_whole(source: Path, folder: Path) -> None:
    """Refuse a conversion that has more or fewer numbers than the GGUF file.

    Args:
        source: The GGUF file.
        folder: The converted folder.

    Raises:
        ModelError: Something was left out, or made up.
    """
    from gguf import GGUFReader

    tensors = {tensor.name: tensor for tensor in GGUFReader(source).tensors if tensor.name != _SCALES}
    head, embedding = tensors.get("output.weight"), tensors.get("token_embd.weight")
    shapes = shapes_of(tuple(sorted(folder.glob("*.safetensors"))))
    # Files of BLOOM and Falcon may hold the embedding a second time, as an identical head.
    if (
        head is not None
        and embedding is not None
        and "lm_head.weight" not in shapes
        and np.array_equal(head.data, embedding.data)
    ):
        del tensors["output.weight"]
    held = sum(int(tensor.n_elements) for tensor in tensors.values())
    taken = sum(int(np.prod(shape)) for shape in shapes.values())
    if held < taken:
        raise ModelError(
            f"the GGUF file {str(source)!r} lacks weights: it holds {held:,} numbers, and its model has {taken:,}; the others "
            "would be random. Where it is one of several parts, join them first"
        )
    if held > taken:
        names = _left_out(list(tensors), folder)
        shown = f" ({', '.join(names[:_MOST_NAMED])}{', ...' if len(names) > _MOST_NAMED else ''})" if names else ""
        raise ModelError(
            f"the GGUF file {str(source)!r} holds {held:,} numbers, of which transformers takes {taken:,}{shown}: without the "
            "others the scores would be another model's. Take the model's safetensors instead"
        )


def _left_out(names: list[str], folder: Path) -> list[str]:
    """Return the tensors that have no place in a model, as far as transformers reports them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import TensorProcessor, get_gguf_hf_weights_map

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    known = get_gguf_hf_weights_map(network, TensorProcessor(config=config.to_dict()))
    return [name for name in names if name not in known and "_exps." not in name]


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()
