"""An independent reference: float64, one prefix at a time, nothing shared with the package."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# float32 weights and activations against float64: a logit of about 30 is off by some 1e-5, a few layers add up to
# less than 1e-4. A shift, a padding or a context error is off by whole nats.
FLOAT32 = 2e-4


@dataclass(frozen=True)
class Reference:
    """Log-probs of the whole vocabulary before every token, NaN where nothing stands before it; (n, vocabulary)."""

    ids: list[int]
    logprobs: NDArray[np.float64]

    @property
    def logprob(self) -> NDArray[np.float64]:
        return self.logprobs[np.arange(len(self.ids)), self.ids]

    @property
    def entropy(self) -> NDArray[np.float64]:
        return -(np.exp(self.logprobs) * self.logprobs).sum(axis=1)


def exact(folder: Path | str, ids: list[int], *, prefix: tuple[int, ...] = (), context: int | None = None) -> Reference:
    """Run a Hugging Face folder on every prefix of some ids by itself, the last `context - 1` ids of it at most."""
    network = _float64(str(folder))
    rows = []
    for i in range(len(ids)):
        first = 0 if context is None else max(0, i - (context - 1 - len(prefix)))
        before = [*prefix, *ids[first:i]]
        if not before:
            rows.append(np.full(network.config.get_text_config().vocab_size, np.nan))
            continue
        with torch.inference_mode():
            logits = network(torch.tensor([before]), use_cache=False).logits[0, -1].numpy()
        rows.append(logits - logits.max() - np.log(np.exp(logits - logits.max()).sum()))
    return Reference(list(ids), np.array(rows))


@lru_cache(maxsize=1)  # the largest takes 2 GB
def _float64(folder: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()


def assert_agrees(scores, reference: Reference, *, rows: slice = slice(None), atol: float = FLOAT32) -> None:
    """Log-prob, entropy, rank and alternatives of a token table, or of some of its rows, are those of the reference."""
    n = len(reference.ids)
    names = ("token_id", "logprob", "entropy", "rank", "top_ids", "top_logprobs")
    token_id, logprob, entropy, rank, top_ids, top_logprobs = (getattr(scores, name)[rows] for name in names)
    assert list(token_id) == reference.ids
    np.testing.assert_array_equal(np.isnan(logprob), np.isnan(reference.logprob))
    np.testing.assert_allclose(logprob, reference.logprob, rtol=0, atol=atol)
    np.testing.assert_allclose(entropy, reference.entropy, rtol=0, atol=atol)
    checked = 0
    for i in range(n):
        row, own = reference.logprobs[i], reference.logprob[i]
        if np.isnan(own):
            assert np.isnan(rank[i])
            continue
        # Two tokens closer than the tolerance may change places, no others.
        surely_better, perhaps_better = (row > own + 2 * atol).sum(), (row > own - 2 * atol).sum()
        assert 1 + surely_better <= rank[i] <= max(perhaps_better, 1)
        best = np.sort(row)[::-1][: scores.spec.top_k]
        np.testing.assert_allclose(top_logprobs[i], best, rtol=0, atol=atol)
        np.testing.assert_allclose(top_logprobs[i], row[top_ids[i]], rtol=0, atol=atol)
        checked += 1
    assert checked >= n - 1
    assert checked > 0
