"""The network as one graph from ids to log-probs, for runtimes that take graphs.

Texts are padded on the right, where a causal model does not see the padding, so ids are the only input. The masks are
written out: what transformers does to find packed sequences has no counterpart in these runtimes.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM


class TokenLogProbs(torch.nn.Module):
    """(batch, position) ids -> (batch, position - 1) log-probs of the second and later ids."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        config = self.network.config
        self.window = config.sliding_window if "sliding_attention" in (getattr(config, "layer_types", None) or ()) else None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        place = torch.arange(ids.shape[1])
        back = (place[:, None] - place[None, :])[None, None]
        mask = back >= 0
        masks = mask if self.window is None else {"full_attention": mask, "sliding_attention": mask & (back < self.window)}
        inner = self.network.model(input_ids=ids, attention_mask=masks, use_cache=False)
        logits = self.network.lm_head(inner.last_hidden_state[:, :-1])  # (batch, position - 1, vocab)
        logprobs: torch.Tensor = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
        return logprobs


def example() -> torch.Tensor:
    """Ids to trace the graph with; any batch and length may follow."""
    return torch.arange(2 * 40).reshape(2, 40) + 5


def padded(rows: list[list[int]]) -> NDArray[np.int64]:
    """Ids as one array, padded on the right."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    return ids
