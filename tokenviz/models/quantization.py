"""Quantised weights: rounding through GGUF's block formats, and folders that are quantised already.

With `quantize=`, the weights of the linear layers are quantised and de-quantised block by block (32 neighbours along the input
dimension share a scale). So the model computes in its own dtype, with exactly the weights that a quantised file would hold.
Embeddings, norms, biases and the output head keep their precision: a tied head is the embedding, and tied and untied models
should be treated equally.

A folder whose config.json has a `quantization_config` is read as that says, by transformers and the package of the method.
`dtype=` says what is computed in.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tokenviz.errors import ModelError
from tokenviz.progress import task

# What transformers imports for a method, by the name under which it is installed.
_PACKAGES = {
    "awq": {"gptqmodel": "gptqmodel"},
    "bitsandbytes": {"bitsandbytes": "bitsandbytes"},
    "compressed-tensors": {"compressed_tensors": "compressed-tensors"},
    "gptq": {"optimum": "optimum", "gptqmodel": "gptqmodel"},
    "torchao": {"torchao": "torchao"},
}


def round_linear_layers(model: Any, form: str) -> int:
    """Round the weights of every linear layer but the output head, in place.

    Args:
        model: A transformers model.
        form: A block format of the gguf package, such as "q8_0" or "q4_0".

    Returns:
        The number of layers that were rounded.

    Raises:
        ModelError: The model has no linear layer, or one whose rows are not a whole number of blocks.
    """
    import torch
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
    from transformers.pytorch_utils import Conv1D

    kind = GGMLQuantizationType[form.upper()]
    block = GGML_QUANT_SIZES[kind][0]
    head = model.get_output_embeddings()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    }
    if not layers:
        raise ModelError(f"quantize={form}: the model has no linear layers to round")
    with task(f"rounding weights to {form}", len(layers), "layers") as advance, torch.no_grad():
        for name, module in layers.items():
            transposed = isinstance(module, Conv1D)  # GPT-2 stores (in, out)
            weight = (module.weight.T if transposed else module.weight).float().cpu().numpy()
            if weight.shape[1] % block:
                raise ModelError(
                    f"quantize={form}: the rows of {name} have {weight.shape[1]} weights, not a multiple of {block}"
                )
            rounded = quants.dequantize(quants.quantize(np.ascontiguousarray(weight), kind), kind)
            tensor = torch.from_numpy(rounded)
            module.weight.copy_(tensor.T if transposed else tensor)
            advance(1)
    return len(layers)


def own_quantization(folder: Path) -> str:
    """Return the method by which a folder's weights are quantised, such as "gptq"; empty where they are not."""
    try:
        found = json.loads((folder / "config.json").read_bytes())["quantization_config"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # of a damaged config, loading says more
        return ""
    if not isinstance(found, dict):
        return ""
    method = found.get("quant_method")
    # Early files of bitsandbytes do not name it.
    is_old = method is None and any(found.get(f"load_in_{bits}bit") for bits in (4, 8))
    return "bitsandbytes" if is_old else str(method or "an unnamed method")


def check_quantized(method: str, label: str, *, quantize: str | None, has_adapter: bool) -> None:
    """Refuse what cannot be done with a folder that is quantised already.

    Args:
        method: From `own_quantization`.
        label: The model's, for messages.
        quantize: The block format that is asked for.
        has_adapter: Whether an adapter is to be merged into the weights.

    Raises:
        ModelError: The method is not known, a package is missing, or the weights are to be changed.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    if method not in AUTO_QUANTIZATION_CONFIG_MAPPING and method not in _PACKAGES:  # transformers would read them as they are
        raise ModelError(
            f"the weights of {label!r} are quantised by a method that transformers does not know ({method}): take them in "
            "another form, or remove quantization_config from config.json if they are not quantised"
        )
    if quantize or has_adapter:
        what = f"quantize={quantize} cannot round them again" if quantize else "an adapter cannot be merged into them"
        raise ModelError(f"the weights of {label!r} are quantised already ({method}), and {what}: take the model before that")
    missing = [name for module, name in _PACKAGES.get(method, {}).items() if find_spec(module) is None]
    if missing:
        raise ModelError(
            f"the weights of {label!r} are quantised ({method}), which needs the package{'s' * (len(missing) > 1)} "
            f"{' and '.join(missing)}: pip install {' '.join(missing)}"
        )
