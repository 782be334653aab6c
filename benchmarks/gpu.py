"""tokenviz on a GPU, beside a plain loop and padded batches that give the same statistics.

    python -m benchmarks.gpu                      both catalogue models, float32 and bfloat16, every set of texts
    python -m benchmarks.gpu gpt2 owner/model     other models

All three share one process and one loaded model, tokenviz last, since it lays the layers out anew. What is timed ends with
the statistics on the processor; tokenviz begins with the strings, the others with token ids. The first pass warms up, the
best of three counts. `make bench` is about processors.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import tokenviz as tv
from benchmarks.samples import TEXT_SETS
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel

_PASSES = 3
_TOKENS = 8192  # of a padded batch
_TOP_K = 10

LogProbs = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Measured:
    """One model on one set of texts.

    Attributes:
        tokens: Scored.
        seconds: Of the plain loop, padded batches and tokenviz, the best of three passes.
        megabytes: That tokenviz had allocated beyond the weights at most; NaN on a processor.
        difference: The largest between log-probs of tokenviz and of the plain loop, in nats.
    """

    tokens: int
    seconds: dict[str, float]
    megabytes: float
    difference: float


def measure(model: str, texts: list[str]) -> Measured:
    """Score texts in three ways.

    Args:
        model: A model spec that names its device, or leaves it to `auto`.
        texts: Each of at least two tokens, and none longer than the model reads.
    """
    loaded = tv.load_model(model)
    ids = [torch.tensor(loaded.tokenizer(text)["input_ids"]) for text in texts]
    seconds = {}
    seconds["plain loop"], expected = _timed(lambda: [_plain(loaded, row) for row in ids])
    seconds["padded batches"], _ = _timed(lambda: _padded(loaded, ids))
    text = corpus(texts, name="texts")
    on_gpu = loaded.device == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    seconds["tokenviz"], scores = _timed(lambda: tv.score(loaded, text, top_k=_TOP_K))
    megabytes = (torch.cuda.max_memory_allocated() - before) / 1e6 if on_gpu else np.nan
    found = [scores.logprob[scores.passage == number][-len(row) :] for number, row in enumerate(expected)]
    difference = max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))
    return Measured(sum(map(len, expected)), seconds, megabytes, difference)


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
    models = parser.parse_args().models
    if not torch.cuda.is_available():
        sys.exit("error: torch finds no GPU on this machine; make bench measures its processor")
    table = Table(title=f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for column in (
        "model",
        "texts",
        "tokens",
        "plain loop, tokens/s",
        "padded",
        "tokenviz",
        "beyond weights, MB",
        "difference",
    ):
        table.add_column(column, justify="left" if column in ("model", "texts") else "right")
    for model in models:
        for dtype in ("float32", "bfloat16"):
            for text_set, texts in TEXT_SETS.items():
                one = measure(f"{model},dtype={dtype}", texts())
                plain, padded, ours = one.seconds.values()
                memory = "–" if np.isnan(one.megabytes) else f"{one.megabytes:,.0f}"
                table.add_row(
                    f"{model}, {dtype}", text_set, f"{one.tokens:,}", f"{one.tokens / plain:,.0f}", f"× {plain / padded:.2f}",
                    f"× {plain / ours:.2f}", memory, f"{one.difference:.1e}",
                )  # fmt: skip
    Console(width=None if Console().is_terminal else 140).print(table)


if __name__ == "__main__":
    main()
