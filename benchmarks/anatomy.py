"""Where tokenviz's own time and memory go in a case: what stands between it and the machine's limits.

`python -m benchmarks.anatomy CASE` prints one JSON object.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.lineup import PRODUCTS as MACHINE
from benchmarks.lineup import ROOT
from benchmarks.machine import Workload
from benchmarks.processes import WorkerProcess
from benchmarks.samples import Case, parse_case
from benchmarks.watching import watch
from benchmarks.worker import peak_bytes
from tokenviz.base.errors import ExperimentError
from tokenviz.base.hardware import cores

_TURNS = 5  # after one to warm up; the median of each part counts

PRODUCTS = "products with weights"
_PARTS = {
    PRODUCTS: ("tokenviz.scoring.linear", "PackedLinear.forward"),
    "attention": ("tokenviz.scoring.attention", "PackedPass.attend"),
    "statistics": ("tokenviz.scoring.kernel", "statistics_of"),
}


@dataclass(frozen=True)
class Anatomy:
    """One case taken apart.

    Attributes:
        case: Its name.
        seconds: Of one scoring, by part, the median of several; "rest" are norms, activations, residuals, rotary positions,
            tokenizer and table.
        peak_bytes: The most memory the process had had after each stage, in their order.
        peaks: Floating-point operations a second of the machine's float32 products of the model's shapes, before each turn.
    """

    case: str
    seconds: dict[str, float]
    peak_bytes: dict[str, int]
    peaks: tuple[float, ...]


def take_apart(case: Case, workload: Workload) -> Anatomy:
    """Score a case's texts in a process of its own, its parts timed one by one, the machine's peak between its turns."""
    command = [sys.executable, "-m", "benchmarks.anatomy", case.name, workload.shapes_written]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise ExperimentError(f"{case.name} could not be taken apart: {said[0]}")
    found = json.loads(done.stdout)
    return Anatomy(**found | {"peaks": tuple(found["peaks"])})


def _taken_apart(case: Case, shapes: str) -> dict[str, Any]:
    peaks = {}
    import torch  # noqa: F401  for the memory that it takes

    peaks["torch imported"] = peak_bytes()
    from tokenviz.models import runtime

    runtime.own_process = True  # as in the command
    with runtime.imports_put_off():
        import transformers.modeling_utils  # noqa: F401  likewise

    peaks["transformers imported"] = peak_bytes()
    import tokenviz as tv
    from tokenviz.data.texts import corpus
    from tokenviz.scoring.kernel import Kernel

    model = tv.load_model(case.model)
    peaks["tokenizer loaded, weights mapped from their file"] = peak_bytes()
    Kernel.of(model)
    peaks["weights laid out and checked"] = peak_bytes()
    texts = corpus(list(case.texts), name="texts")
    products = WorkerProcess(MACHINE)
    job = {"model": case.model, "folder": "", "work": "", "threads": cores(), "options": {"shapes": shapes}}
    products.ask("load", job=job, distribution=MACHINE.distribution)
    turns, flops = [], []
    for turn in range(1 + _TURNS):
        if turn:
            flops.append(products.ask("peak", dtype="float32")["flops"])
        parts = dict.fromkeys(_PARTS, 0.0)
        undo = [watch(part, *place, parts) for part, place in _PARTS.items()]
        begin = time.perf_counter()
        tv.score(model, texts, top_k=10)
        parts["rest"] = time.perf_counter() - begin - sum(parts.values())
        for restore in undo:
            restore()
        turns.append(parts)
    products.close()
    peaks["texts scored"] = peak_bytes()
    seconds = {part: median(parts[part] for parts in turns[1:]) for part in turns[0]}
    return {"case": case.name, "seconds": seconds, "peak_bytes": peaks, "peaks": flops}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_taken_apart(parse_case(sys.argv[1]), sys.argv[2])) + "\n")
