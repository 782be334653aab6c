"""The machine: what it is, what a model has to multiply on it, and what of that is useful work.

`python -m benchmarks.machine FOLDER` prints one JSON object; it runs in a process of its own, so that whoever asks
has no torch in memory.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.lineup import ROOT
from tokenviz.base.hardware import cores, processor


@dataclass(frozen=True)
class Workload:
    """What a model has to multiply for every token.

    Attributes:
        weights_bytes: Of the parameters in float32, shared ones once.
        linear_weights: In the linear layers and the head.
        attention: One (width, window) a layer: heads times their dimension, and how far it looks back; None for all.
        shapes: (outputs, inputs, how many) of these linear layers.
    """

    weights_bytes: int
    linear_weights: int
    attention: tuple[tuple[int, int | None], ...]
    shapes: tuple[tuple[int, int, int], ...]

    @property
    def shapes_written(self) -> str:
        """The shapes as `contenders/products.py` reads them."""
        return " ".join("x".join(map(str, shape)) for shape in self.shapes)

    def useful_flops(self, lengths: Sequence[int]) -> float:
        """Of scoring texts: two a weight and token, and four times the causal products of attention.

        Args:
            lengths: Scored tokens of each text. Each needs one position: that of the token before it.
        """
        linear = 2.0 * self.linear_weights * sum(lengths)
        products = 0.0
        for width, window in self.attention:
            for n in lengths:
                near = n if window is None else min(n, window)
                products += width * (near * (near + 1) / 2 + (n - near) * near)
        return linear + 4.0 * products


def described() -> dict[str, str | int]:
    """The machine and its packages, as far as numbers depend on them."""
    return {
        "processor": processor(), "cores": cores(), "torch": version("torch"), "tokenviz": version("tokenviz-harness"),
    }  # fmt: skip


def workload(folder: Path) -> Workload:
    """Find a model's workload in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.machine", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return workload_of(json.loads(done.stdout))


def workload_of(found: dict[str, Any]) -> Workload:
    """A workload from its plain values."""
    tuples = {name: tuple(map(tuple, found[name])) for name in ("attention", "shapes")}
    return Workload(**{**found, **tuples})


def _found(folder: Path) -> Workload:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):  # shapes only
        network = AutoModelForCausalLM.from_config(config)
    linear = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    shapes = Counter((module.out_features, module.in_features) for module in linear)
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    width = config.num_attention_heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    network.tie_weights()
    return Workload(
        weights_bytes=4 * sum(weight.numel() for weight in network.parameters()),
        linear_weights=sum(module.in_features * module.out_features for module in linear),
        attention=tuple((width, config.sliding_window if kind == "sliding_attention" else None) for kind in kinds),
        shapes=tuple((*shape, count) for shape, count in shapes.items()),
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vars(_found(Path(sys.argv[1])))) + "\n")
