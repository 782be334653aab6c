"""Where tokenviz's own time and memory go in a case: what stands between it and the machine's limits.

`python -m benchmarks.anatomy CASE` prints one JSON object.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.lineup import ROOT
from benchmarks.samples import Case, parse_case
from benchmarks.watching import watch
from benchmarks.worker import peak_bytes

_TURNS = 3  # after one to warm up; the median counts

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
        seconds: Of one scoring, by part; "rest" are norms, activations, residuals, rotary positions, tokenizer and table.
        peak_bytes: The most memory the process had had after each stage, in their order.
    """

    case: str
    seconds: dict[str, float]
    peak_bytes: dict[str, int]


def take_apart(case: Case) -> Anatomy:
    """Score a case's texts in a process of its own, its parts timed one by one."""
    command = [sys.executable, "-m", "benchmarks.anatomy", case.name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return Anatomy(**json.loads(done.stdout))


def _taken_apart(case: Case) -> dict[str, Any]:
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
    turns = []
    for _ in range(1 + _TURNS):
        parts = dict.fromkeys(_PARTS, 0.0)
        undo = [watch(part, *place, parts) for part, place in _PARTS.items()]
        begin = time.perf_counter()
        tv.score(model, texts, top_k=10)
        parts["rest"] = time.perf_counter() - begin - sum(parts.values())
        for restore in undo:
            restore()
        turns.append(parts)
    peaks["texts scored"] = peak_bytes()
    median = sorted(turns[1:], key=lambda parts: sum(parts.values()))[_TURNS // 2]
    return {"case": case.name, "seconds": median, "peak_bytes": peaks}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_taken_apart(parse_case(sys.argv[1]))) + "\n")
