"""No tool, but the machine's peak: float32 matrix products of a model's shapes, each at its best of many repetitions."""

import time
from collections.abc import Callable

import torch

from benchmarks.contenders import Job

_ROWS = (256, 2048)
_MOST = 2e11  # operations of one product: a large head is measured with the fewer rows alone
_SECONDS = 0.1  # of every round, for each shape and way, and longer where that is too little for
_FEWEST = 2  # repetitions


class Contender:
    """The products of one model, which are measured among the rounds of the tools."""

    def __init__(self, job: Job) -> None:
        self._shapes = [tuple(map(int, shape.split("x"))) for shape in job.options["shapes"].split()]

    def peak_flops(self) -> float:
        """Floating-point operations a second of all the products that a token needs."""
        operations = sum(2.0 * outputs * inputs * count for outputs, inputs, count in self._shapes)
        return operations / sum(count * _seconds_a_row(outputs, inputs) for outputs, inputs, count in self._shapes)


def _seconds_a_row(outputs: int, inputs: int) -> float:
    """The best time of a row of a product, by torch's own linear layer or by oneDNN with weights laid out for it."""
    torch.manual_seed(0)
    weight = torch.randn(outputs, inputs)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight) if torch.backends.mkldnn.is_available() else None
    found = []
    with torch.inference_mode():
        for count in [count for count in _ROWS if count == min(_ROWS) or 2.0 * count * outputs * inputs <= _MOST]:
            rows = torch.randn(count, inputs)
            ways: list[Callable[[], object]] = [lambda rows=rows: torch.nn.functional.linear(rows, weight)]
            if packed is not None:
                ways.append(lambda rows=rows: torch.ops.mkldnn._linear_pointwise(rows, packed, None, "none", [], ""))
            found += [_best_seconds(way) / count for way in ways]
    return min(found)


def _best_seconds(way: Callable[[], object]) -> float:
    way()
    found: list[float] = []
    while sum(found) < _SECONDS or len(found) < _FEWEST:
        begin = time.perf_counter()
        way()
        found.append(time.perf_counter() - begin)
    return min(found)
