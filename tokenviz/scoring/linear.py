"""Linear layers in the layout that oneDNN multiplies fastest.

On processors PyTorch sends float32 products to a library that reaches half to nine tenths of the machine's peak. oneDNN, which
PyTorch includes as well, reaches 0.9 to 0.98 of it when the weights are laid out in its blocks.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tokenviz.scoring.memory import forget_pages

# oneDNN adds up the products of a row sequentially, which loses digits in long sums: a few tokens in ten thousand changed by
# 4e-4 nats. Sums of at most this many products are as exact as those of other libraries, and take 3 % longer.
_LONGEST_SUM = 768
_HEAD_BLOCK = 8192  # rows; the logits of a block are still in the processor's cache when they are copied to their place


def onednn_multiplies(dtype: torch.dtype, device: str) -> bool:
    """Return whether weights of a dtype can be laid out for oneDNN on this machine."""
    available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]  # as torch has it
    if device != "cpu" or not available:
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def multiply(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return `x @ weight.T` for (m, k) and (n, k), computed by oneDNN where possible."""
    if onednn_multiplies(x.dtype, x.device.type):
        if not (weight.is_contiguous() or weight.T.is_contiguous()):
            weight = weight.contiguous()  # with non-contiguous rows oneDNN takes 400 times as long
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return product
    return x @ weight.T


@contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Compute in the dtype of the weights inside the block, without gradients, whatever the caller has set for the process.

    PyTorch can be told to round the factors of float32 products to TF32 or bfloat16, or to cast automatically; a float32
    model's log-probs would change by up to 0.1 nats. On a GPU it rounds the factors of convolutions, which Mamba has, unless
    told not to.
    """
    processor, gpu = torch.backends.mkldnn, torch.backends.cudnn
    backends = processor.matmul, processor.conv, torch.backends.cuda.matmul, gpu.conv  # type: ignore[attr-defined]  # made as torch is imported
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        with torch.inference_mode(), torch.autocast(device, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


class PackedLinear(nn.Module):
    """A linear layer whose weights are laid out in oneDNN's blocks; it replaces the layer it was made from."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Lay out a weight (n, k) and its bias (n,)."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        count = -(-self.in_features // _LONGEST_SUM)
        self._packed = [torch.ops.mkldnn._reorder_linear_weight(part.contiguous()) for part in weight.chunk(count, dim=1)]
        self._bias: Any = bias  # a plain attribute, like the weights: neither is a parameter to be trained or saved

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *others = zip(x.chunk(len(self._packed), dim=-1), self._packed, strict=True)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(*first, self._bias, "none", [], "")
        for part, packed in others:
            product.add_(torch.ops.mkldnn._linear_pointwise(part, packed, None, "none", [], ""))
        return product

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self._bias is not None}"


class PackedHead(nn.Module):
    """An output head whose weights are split into blocks of the vocabulary."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Lay out a weight (vocabulary, hidden) block by block, so that it is never in memory twice."""
        super().__init__()
        self._blocks: list[PackedLinear] = []
        for begin in range(0, len(weight), _HEAD_BLOCK):
            rows = slice(begin, begin + _HEAD_BLOCK)
            self._blocks.append(PackedLinear(weight[rows], None if bias is None else bias[rows]))
            forget_pages(weight[rows])
        self._vocabulary = len(weight)
        self._kept = weight.new_empty(0)
        self._logits: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (*x.shape[:-1], self._vocabulary)
        logits = x.new_empty(shape) if self._logits is None else self._reused(x, shape)
        begin = 0
        for block in self._blocks:
            logits[..., begin : begin + block.out_features] = block(x)
            begin += block.out_features
        return logits

    @contextmanager
    def reusing(self) -> Iterator[None]:
        """Reuse one piece of memory for the logits of all calls in the block: each call overwrites the earlier logits.

        New memory for every product would be faulted in page by page, which takes a tenth of the head's time.
        """
        self._logits = self._kept
        try:
            yield
        finally:
            self._kept, self._logits = self._logits, None

    def forget(self) -> None:
        """Free the memory that is kept for the next block."""
        self._kept = self._kept.new_empty(0)

    def _reused(self, x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        assert self._logits is not None
        if self._logits.numel() < math.prod(shape):
            self._logits = x.new_empty(math.prod(shape))
        return self._logits[: math.prod(shape)].view(shape)


def is_linear(module: nn.Module) -> bool:
    """Return whether a module is a plain linear layer, in either of the two forms that transformers uses."""
    from transformers.pytorch_utils import Conv1D

    return type(module) in (nn.Linear, Conv1D)


def weight_and_bias(layer: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return a linear layer's weight (n, k), and its bias (n,) or None."""
    weight = layer.weight if isinstance(layer, nn.Linear) else layer.weight.T  # GPT-2's Conv1D stores (k, n)
    return weight.detach(), None if layer.bias is None else layer.bias.detach()


def pack_linears(module: nn.Module) -> dict[str, nn.Module]:
    """Replace all linear layers inside a module by packed ones.

    Returns:
        The original layers, by name, for `unpack_linears`.
    """
    before = {name: layer for name, layer in module.named_modules() if name and is_linear(layer)}
    for name, layer in before.items():
        module.set_submodule(name, PackedLinear(*weight_and_bias(layer)))
    return before


def unpack_linears(module: nn.Module, before: dict[str, nn.Module]) -> None:
    """Put back the layers that `pack_linears` replaced."""
    for name, layer in before.items():
        module.set_submodule(name, layer)
