"""tokenviz on a GPU, next to a plain loop, padded batches that give the same statistics, minicons, lm-eval and vLLM.

    python -m benchmarks.gpu                         both catalogue models, float32 and bfloat16, every set of texts
    python -m benchmarks.gpu gpt2 owner/model        other models
    python -m benchmarks.gpu --vllm PYTHON           with the vLLM that this interpreter's environment has
    python -m benchmarks.gpu --device cpu            the same on the processor, to try the script

The plain loop, padded batches and tokenviz share one process and one loaded model, tokenviz last, since it lays the layers out
again. What is timed ends with the statistics on the processor; tokenviz begins with the strings, the other two with token ids.
The tools have a process each, in the environment that `make bench` makes; they begin with the strings, and give log-probs
alone. One that is not installed, or fails, has a row that says so. The first pass warms up, the best of three counts.
`make bench` is about processors.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import tokenviz as tv
from benchmarks.contenders import Job
from benchmarks.contenders.products import Contender as Products
from benchmarks.lineup import GPU_LINEUP, Entry
from benchmarks.machine import Workload, workload
from benchmarks.measuring import errors_of
from benchmarks.processes import ContenderFailed, WorkerProcess
from benchmarks.samples import TEXT_SETS, folder_of
from tokenviz.base.errors import ExperimentError, TokenvizError
from tokenviz.base.hardware import cores
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel

_PASSES = 3
_TOKENS = 8192  # of a padded batch
_TOP_K = 10
PLAIN = "plain loop"

LogProbs = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Measured:
    """One contender on one set of texts.

    Attributes:
        label: Its name, with the version of a tool.
        seconds: The best of three passes; NaN where it failed.
        megabytes: That tokenviz had allocated beyond the weights at most; NaN for the others, and on a processor.
        difference: The largest from the plain loop's log-probs, in nats per token, or of lm-eval's sums per text.
        failed: Why it could not run.
    """

    label: str
    seconds: float = math.nan
    megabytes: float = math.nan
    difference: float = math.nan
    failed: str = ""


@dataclass(frozen=True)
class Case:
    """All contenders on one set of texts.

    Attributes:
        lengths: Scored tokens of each text.
        useful_flops: Operations that scoring these texts needs.
        peak_flops: Operations a second of the device's products of the model's shapes, in the model's own type.
        rows: The contenders, the plain loop first.
    """

    lengths: tuple[int, ...]
    useful_flops: float
    peak_flops: float
    rows: tuple[Measured, ...]

    def table_rows(self) -> list[tuple[str, ...]]:
        """The rows as strings: tokens a second, multiple of the plain loop's, share of the peak, megabytes, difference."""
        tokens, plain = sum(self.lengths), self.rows[0].seconds
        found = []
        for row in self.rows:
            if row.failed:
                found.append((row.label, f"could not run: {row.failed}", "", "", "", ""))
                continue
            memory = "–" if math.isnan(row.megabytes) else f"{row.megabytes:,.0f}"
            share = self.useful_flops / row.seconds / self.peak_flops
            speed = f"{tokens / row.seconds:,.0f}", f"{plain / row.seconds:.2f}", f"{share:.1%}"
            found.append((row.label, *speed, memory, f"{row.difference:.1e}"))
        return found


def measure(
    model: str, dtype: str, device: str, sets: Mapping[str, list[str]], others: Sequence[Entry] = GPU_LINEUP
) -> dict[str, Case]:
    """Score sets of texts in three ways and with other tools.

    Args:
        model: A model spec without dtype and device.
        dtype: "float32" or "bfloat16".
        device: "cuda" or "cpu".
        sets: Texts, each of at least two tokens, and none longer than the model reads.
        others: The tools.

    Raises:
        ExperimentError: The model reads fewer tokens at once than a text has.
    """
    folder = folder_of(model)
    load = workload(folder)
    own = _measured_here(f"{model},dtype={dtype},device={device}", sets)
    if device == "cuda":
        torch.cuda.empty_cache()  # for the tools
    expected = {name: logprobs for name, (_, logprobs) in own.items()}
    options = {"dtype": dtype, "device": device}
    theirs = [_measured_apart(replace(entry, options=options), model, folder, sets, expected) for entry in others]
    products = Products(_job(model, folder, {"shapes": load.shapes_written, "device": device}))
    return {name: _case(load, products.peak_flops(dtype), own[name], [tool[name] for tool in theirs]) for name in sets}


def _case(load: Workload, peak: float, own: tuple[list[Measured], LogProbs], theirs: list[Measured]) -> Case:
    rows, logprobs = own
    lengths = tuple(map(len, logprobs))
    return Case(lengths, load.useful_flops(lengths), peak, (*rows, *theirs))


def _job(model: str, folder: Path, options: dict[str, str]) -> Job:
    return Job(model, folder, Path(tempfile.gettempdir()), cores(), options)


def _measured_apart(
    entry: Entry, model: str, folder: Path, sets: Mapping[str, list[str]], expected: Mapping[str, LogProbs]
) -> dict[str, Measured]:
    """A tool in a process of its own; what fails once is not asked again."""
    found: dict[str, Measured] = {}
    try:
        process = WorkerProcess(entry)
    except ContenderFailed as error:
        return {name: Measured(entry.label, failed=str(error)) for name in sets}
    job = vars(_job(model, folder, entry.options)) | {"folder": str(folder), "work": ""}
    try:
        label = entry.with_version(process.ask("load", job=job, distribution=entry.distribution)["version"])
        for name, texts in sets.items():
            rows = process.ask("warm_up", texts=texts)["rows"]
            seconds = min(process.ask("round")["seconds"] for _ in range(_PASSES))
            difference, _ = errors_of(rows, [row.tolist() for row in expected[name]], gives=entry.gives)
            found[name] = Measured(label, seconds, difference=difference)
    except ContenderFailed as error:
        found |= {name: Measured(entry.label, failed=str(error)) for name in sets if name not in found}
    finally:
        process.close()
    return found


def _measured_here(model: str, sets: Mapping[str, list[str]]) -> dict[str, tuple[list[Measured], LogProbs]]:
    """The plain loop, padded batches and tokenviz, and the plain loop's log-probs."""
    loaded = tv.load_model(model)
    ids = {name: [torch.tensor(loaded.tokenizer(text)["input_ids"]) for text in texts] for name, texts in sets.items()}
    for name, rows in ids.items():
        if (longest := max(map(len, rows))) > loaded.context:
            raise ExperimentError(
                f"{model} reads {loaded.context:,} tokens at once, a text of the set {name} has {longest:,}: give a model that "
                "reads more"
            )
    bare = {}
    for name, rows in ids.items():
        plain, expected = _timed(lambda rows=rows: [_plain(loaded, row) for row in rows])
        padded, found = _timed(lambda rows=rows: _padded(loaded, rows))
        bare[name] = plain, padded, found, expected
    done = {}
    for name, (plain, padded, found, expected) in bare.items():
        text = corpus(sets[name], name="texts")
        before = _allocated(loaded)
        seconds, scores = _timed(lambda text=text: tv.score(loaded, text, top_k=_TOP_K))
        own = [scores.logprob[scores.passage == number][-len(row) :] for number, row in enumerate(expected)]
        done[name] = (
            [
                Measured(PLAIN, plain, difference=0.0),
                Measured("padded batches", padded, difference=_difference(found, expected)),
                Measured("tokenviz", seconds, _allocated(loaded, most=True) - before, _difference(own, expected)),
            ],
            expected,
        )
    return done


def _allocated(model: LoadedModel, *, most: bool = False) -> float:
    """Megabytes on the GPU now, or the most since this was last asked for; NaN on a processor."""
    if model.device != "cuda":
        return math.nan
    if most:
        return torch.cuda.max_memory_allocated() / 1e6
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated() / 1e6


def _difference(found: LogProbs, expected: LogProbs) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    result = function()
    best = np.inf
    for _ in range(_PASSES):
        began = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - began)
    return best, result


def _statistics(logits: torch.Tensor, targets: torch.Tensor) -> NDArray[np.float64]:
    """Log-prob, entropy, rank and alternatives as one writes them down; what they say of the targets comes back."""
    logprobs = logits.float().log_softmax(-1)  # (m, vocabulary)
    own = logprobs.gather(-1, targets[:, None])
    others = -(logprobs.exp() * logprobs).sum(-1), (logprobs > own).sum(-1) + 1, *logprobs.topk(_TOP_K)
    for statistic in others:
        statistic.cpu()
    return own[:, 0].cpu().numpy().astype(np.float64)


@torch.inference_mode()
def _plain(model: LoadedModel, row: torch.Tensor) -> NDArray[np.float64]:
    row = row.to(model.device)
    return _statistics(model.network(row[None], use_cache=False).logits[0, :-1], row[1:])


@torch.inference_mode()
def _padded(model: LoadedModel, rows: list[torch.Tensor]) -> LogProbs:
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    found = {}
    while order:
        count = max(1, _TOKENS // len(rows[order[0]]))
        some, order = order[:count], order[count:]
        ids = torch.nn.utils.rnn.pad_sequence([rows[i] for i in some], batch_first=True).to(model.device)
        states = model.network.base_model(ids, use_cache=False).last_hidden_state  # causal: what is padded follows
        head = model.network.get_output_embeddings()
        for place, i in enumerate(some):
            found[i] = _statistics(head(states[place, : len(rows[i]) - 1]), ids[place, 1 : len(rows[i])])
    return [found[i] for i in range(len(rows))]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=["smollm2-135m", "gemma3-270m"])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--vllm", type=Path, metavar="PYTHON", help="an interpreter whose environment has vLLM")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: torch finds no GPU on this machine; make bench measures its processor")
    others = [replace(entry, interpreter=asked.vllm) if entry.name == "vllm" else entry for entry in GPU_LINEUP]
    where = torch.cuda.get_device_name() if asked.device == "cuda" else f"processor, {cores()} cores"
    table = Table(title=f"{where}, torch {torch.__version__}")
    columns = (
        "model",
        "texts",
        "contender",
        "tokens/s",
        "× plain loop",
        "share of peak",
        "beyond weights (MB)",
        "difference (nats)",
    )
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 3 else "right")
    for model in asked.models:
        for dtype in ("float32", "bfloat16"):
            try:
                found = measure(model, dtype, asked.device, {name: texts() for name, texts in TEXT_SETS.items()}, others)
            except TokenvizError as error:
                sys.exit(f"error: {error}")
            for name, case in found.items():
                titles = f"{model}, {dtype}\npeak {case.peak_flops / 1e9:,.0f} Gflop/s", f"{name}\n{sum(case.lengths):,} tokens"
                for number, row in enumerate(case.table_rows()):
                    table.add_row(*(titles if number == 0 else ("", "")), *map(escape, row))
                table.add_section()
    Console(width=None if Console().is_terminal else 160).print(table)


if __name__ == "__main__":
    main()
