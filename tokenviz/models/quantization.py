"""Quantisation: the weights of the linear layers, rounded through GGUF's block formats.

The weights are quantised and de-quantised block by block (32 neighbours along the input dimension share a scale). So the model
computes in its own dtype, with exactly the weights that a quantised file would hold. Embeddings, norms, biases and the output
head keep their precision: a tied head is the embedding, and tied and untied models should be treated equally.
"""

from typing import Any

import numpy as np

from tokenviz.errors import ModelError
from tokenviz.progress import task


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
