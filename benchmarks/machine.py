"""The machine: what it is, how fast it multiplies float32 matrices of a model's shapes, and what of that is useful work.

`python -m benchmarks.machine FOLDER` prints one JSON object; it runs in a process of its own, so that whoever asks
has no torch in memory.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.lineup import ROOT
from tokenviz.base.hardware import cores, processor

_ROWS = (256, 2048)
_SECONDS = 0.5  # for each shape and way, and longer where that is too little for
_FEWEST = 5  # repetitions: a busy machine must not pass for a slow one


@dataclass(frozen=True)
class Workload:
    """What a model has to multiply for every token, and how fast this machine could.

    Attributes:
        weights_bytes: Of the parameters in float32, shared ones once.
        linear_weights: In the linear layers and the head.
        attention: One (width, window) a layer: heads times their dimension, and how far it looks back; None for all.
        peak_flops: Of the matrix products above, in floating-point operations a second.
    """

    weights_bytes: int
    linear_weights: int
    attention: tuple[tuple[int, int | None], ...]
    peak_flops: float

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
    """The machine, as far as numbers depend on it."""
    return {"processor": processor(), "cores": cores(), "torch": version("torch")}


def workload(folder: Path) -> Workload:
    """Measure a model's workload in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.machine", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    return Workload(**{**found, "attention": tuple((width, window) for width, window in found["attention"])})


def _measure(folder: Path) -> Workload:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):  # shapes only
        network = AutoModelForCausalLM.from_config(config)
    linear = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    shapes = Counter((module.out_features, module.in_features) for module in linear)
    flops = {shape: 2.0 * shape[0] * shape[1] * count for shape, count in shapes.items()}
    seconds = {shape: min(_seconds_a_row(*shape, rows) for rows in _ROWS) * count for shape, count in shapes.items()}
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    width = config.num_attention_heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    network.tie_weights()
    return Workload(
        weights_bytes=4 * sum(weight.numel() for weight in network.parameters()),
        linear_weights=sum(module.in_features * module.out_features for module in linear),
        attention=tuple((width, config.sliding_window if kind == "sliding_attention" else None) for kind in kinds),
        peak_flops=sum(flops.values()) / sum(seconds.values()),
    )


def _seconds_a_row(out_features: int, in_features: int, count: int) -> float:
    """The best time of one product with so many rows, by torch's own linear layer or by oneDNN with weights laid out for it."""
    import torch

    torch.manual_seed(0)
    rows, weight = torch.randn(count, in_features), torch.randn(out_features, in_features)
    ways: list[Callable[[], object]] = [lambda: torch.nn.functional.linear(rows, weight)]
    if torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        ways.append(lambda: torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], ""))
    with torch.inference_mode():
        return min(_best_seconds(way) for way in ways) / count


def _best_seconds(way: Callable[[], object]) -> float:
    way()
    found: list[float] = []
    while sum(found) < _SECONDS or len(found) < _FEWEST:
        begin = time.perf_counter()
        way()
        found.append(time.perf_counter() - begin)
    return min(found)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vars(_measure(Path(sys.argv[1])))) + "\n")
