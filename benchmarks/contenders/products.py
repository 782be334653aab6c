"""No tool, but the machine's peak: matrix products of a model's shapes, each at its best of many repetitions."""

import time
from collections.abc import Callable

import torch

from benchmarks.contenders import Job

_ROWS = {"cpu": (256, 2048), "cuda": (2048, 8192)}
_MOST = {"cpu": 2e11, "cuda": 2e13}  # operations of one product: a large head is measured with the fewer rows alone
_SECONDS = 0.05  # of every round, for each shape and way, and longer where that is too little for
_FEWEST = 2  # repetitions


class Contender:
    """The products of one model, which are measured among the rounds of the tools."""

    def __init__(self, job: Job) -> None:
        self._shapes = [tuple(map(int, shape.split("x"))) for shape in job.options["shapes"].split()]
        self._device = job.options.get("device", "cpu")

    def peak_flops(self, dtype: str) -> float:
        """Floating-point operations a second of all the products that a token needs, in "float32" or "bfloat16"."""
        number = getattr(torch, dtype)
        operations = sum(2.0 * outputs * inputs * count for outputs, inputs, count in self._shapes)
        seconds = (count * _seconds_a_row(outputs, inputs, number, self._device) for outputs, inputs, count in self._shapes)
        return operations / sum(seconds)


def _seconds_a_row(outputs: int, inputs: int, dtype: torch.dtype, device: str) -> float:
    """The best time of a row of a product, by torch's own linear layer or by oneDNN with weights laid out for it."""
    torch.manual_seed(0)
    weight = torch.randn(outputs, inputs).to(device, dtype)
    packs = device == "cpu" and torch.backends.mkldnn.is_available()
    packed = torch.ops.mkldnn._reorder_linear_weight(weight) if packs else None
    fewest, most = _ROWS[device]
    found = []
    with torch.inference_mode():
        for count in (fewest, most) if 2.0 * most * outputs * inputs <= _MOST[device] else (fewest,):
            rows = torch.randn(count, inputs).to(device, dtype)
            ways: list[Callable[[], object]] = [lambda rows=rows: torch.nn.functional.linear(rows, weight)]
            if packed is not None:
                ways.append(lambda rows=rows: torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], ""))
            found += [_best_seconds(way, device) / count for way in ways]
    return min(found)


def _best_seconds(way: Callable[[], object], device: str) -> float:
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    way()
    finish()
    found: list[float] = []
    while sum(found) < _SECONDS or len(found) < _FEWEST:
        begin = time.perf_counter()
        way()
        finish()
        found.append(time.perf_counter() - begin)
    return min(found)
