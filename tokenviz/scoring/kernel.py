"""From token ids to log-prob, entropy, rank and top-k, a few hundred positions at a time.

The transformer runs once over a batch and gives hidden states; the output head then turns them into logits chunk by
chunk, so that the [positions, vocabulary] matrix never exists as a whole. The head is the model's own forward
pass with the transformer replaced by the stored hidden states: soft-capping, scaling and biases are applied as the
model applies them. Where an architecture does not allow that, each window's logits are made at once
instead ("whole"), and the spec says so.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.errors import ModelError, ScoringError
from tokenviz.models.loading import LoadedModel

Head = Literal["streamed", "whole"]

# Logits that are in memory at once: 128 MB in float32. With fewer rows a large vocabulary's head is read too often.
_HEAD_ELEMENTS = 1 << 25
# Logits that the statistics go over at once: 2 MB, which stay in the processor's cache; four times as fast as all at once.
_STATISTICS_ELEMENTS = 1 << 19
_PROBE_LENGTH = 8


@dataclass(frozen=True)
class PositionStatistics:
    """What the logits at m positions say of the m tokens that follow; see `TokenScores` for the definitions.

    Attributes:
        logprob: (m,) nats.
        entropy: (m,) nats.
        rank: (m,) 1 for the likeliest.
        top_ids: (m, k).
        top_logprobs: (m, k) nats.
    """

    logprob: NDArray[np.float64]
    entropy: NDArray[np.float64]
    rank: NDArray[np.float64]
    top_ids: NDArray[np.int64]
    top_logprobs: NDArray[np.float64]


def statistics_of(logits: torch.Tensor, targets: torch.Tensor, top_k: int) -> PositionStatistics:
    """Read the statistics off logits.

    Args:
        logits: (m, vocabulary), any floating dtype; the softmax is float32, or float64 for float64 logits.
        targets: (m,) ids below the vocabulary's size.
        top_k: Alternatives to keep.

    Returns:
        The statistics; NaN or infinite where the logits are not all finite.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    # Shifted by the maximum before anything is subtracted: a logit of -100 has an error of 4e-6 of its own.
    shifted = logits - logits.amax(dim=-1, keepdim=True)  # (m, vocabulary)
    work = shifted.exp()
    total = work.sum(dim=-1)  # (m,)
    log_total = total.log()
    target = shifted.gather(-1, targets[:, None])  # (m, 1)
    weighted = work.mul_(shifted).sum(dim=-1)  # (m,)
    # Counted in floats, which is exact below 2 ** 24 and five times as fast as a sum of booleans.
    rank = 1 + torch.gt(shifted, target, out=work).sum(dim=-1)
    top = shifted.topk(top_k, dim=-1) if top_k else None
    return PositionStatistics(
        logprob=_float64(target[:, 0] - log_total),
        entropy=_float64(log_total - weighted / total),
        rank=rank.cpu().numpy().astype(np.float64),
        top_ids=top.indices.cpu().numpy() if top else np.empty((len(targets), 0), np.int64),
        top_logprobs=_float64(top.values - log_total[:, None]) if top else np.empty((len(targets), 0)),
    )


def _float64(values: torch.Tensor) -> NDArray[np.float64]:
    return values.cpu().numpy().astype(np.float64)


class Kernel:
    """A loaded model's two halves: ids to hidden states, hidden states to logits."""

    def __init__(self, model: LoadedModel) -> None:
        """Check once, on a few tokens, how this architecture can be run.

        Raises:
            ModelError: The model lets a position see tokens after it: it is not causal.
        """
        # Not the model itself, which remembers its kernel: two objects that hold each other are freed late.
        self._network, self._device, self._label = model.network, model.device, model.label
        self._vocabulary = model.vocabulary
        self._output: Any = None  # the transformer's last output
        self.head: Head = "whole"
        probe = torch.arange(_PROBE_LENGTH, device=model.device)[None] % model.vocabulary
        reference = self._whole_logits(probe, None)
        self._check_causal(probe, reference)
        if self._streams(probe, reference):
            self.head = "streamed"

    @classmethod
    def of(cls, model: LoadedModel) -> "Kernel":
        """The model's kernel, made on first use.

        Raises:
            ModelError: See `__init__`.
        """
        kernel: Kernel | None = model.memo.get("kernel")
        if kernel is None or kernel._network is not model.network:
            kernel = model.memo["kernel"] = cls(model)
        return kernel

    def batch_statistics(
        self, rows: list[NDArray[np.int64]], wanted: list[NDArray[np.int64]], top_k: int
    ) -> list[PositionStatistics]:
        """Score some positions of some sequences in one padded batch.

        Args:
            rows: Token ids of each sequence.
            wanted: For each, the positions (from 1) of the tokens to score; the logits before them are read.
            top_k: Alternatives to keep.

        Returns:
            One result a sequence, its rows in the order of `wanted`.

        Raises:
            ScoringError: An id lies beyond the logits.
        """
        longest = max(len(row) for row in rows)
        ids = torch.zeros((len(rows), longest), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.from_numpy(row)
            mask[i, : len(row)] = 1
        padded = not bool(mask.all())
        ids, attention = ids.to(self._device), mask.to(self._device) if padded else None
        states = self._hidden(ids, attention) if self.head == "streamed" else self._whole_logits(ids, attention)
        flat = np.concatenate([i * longest + positions for i, positions in enumerate(wanted)])
        where = torch.from_numpy(flat).to(self._device)
        before = states.reshape(-1, states.shape[-1])[where - 1]  # (m, hidden) or (m, vocabulary)
        targets = ids.reshape(-1)[where]
        parts = [
            statistics_of(logits, target, top_k)
            for chunk, chunk_targets in self._split(before, targets, _HEAD_ELEMENTS)
            for logits, target in self._split(self._logits(chunk), chunk_targets, _STATISTICS_ELEMENTS)
        ]
        whole = _concatenate(parts)
        cuts = np.cumsum([0, *(len(positions) for positions in wanted)])
        return [_slice(whole, begin, end) for begin, end in pairwise(cuts)]

    def _split(self, rows: torch.Tensor, targets: torch.Tensor, elements: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Rows and their targets in pieces whose logits have about so many elements."""
        size = max(1, elements // self._vocabulary)
        yield from zip(torch.split(rows, size), torch.split(targets, size), strict=True)

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        if self.head == "whole":
            return states
        return self._apply_head(states[None])[0]

    @torch.inference_mode()
    def _whole_logits(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        logits: torch.Tensor = self._network(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits

    @torch.inference_mode()
    def _hidden(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        self._output = self._network.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        states: torch.Tensor = self._output.last_hidden_state
        return states

    @torch.inference_mode()
    def _apply_head(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states (1, m, hidden), by the model's own forward pass around a transformer that returns them."""
        ids = torch.zeros(states.shape[:2], dtype=torch.int64, device=states.device)
        with self._returning(states):
            logits: torch.Tensor = self._network(input_ids=ids, use_cache=False).logits
        return logits

    @contextmanager
    def _returning(self, states: torch.Tensor) -> Iterator[None]:
        base = self._network.base_model
        output = copy.copy(self._output)  # of the class that this architecture's head expects
        output["last_hidden_state"] = states
        base.forward = lambda *args, **kwargs: output
        try:
            yield
        finally:
            del base.forward  # the class's own shows again

    def _streams(self, probe: torch.Tensor, reference: torch.Tensor) -> bool:
        """Whether hidden states and head, run apart, give the logits of the whole."""
        if self._network.base_model is self._network:
            return False
        try:
            logits = self._apply_head(self._hidden(probe, None))
        except (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError):
            return False
        return logits.shape == reference.shape and torch.equal(logits, reference)

    def _check_causal(self, probe: torch.Tensor, reference: torch.Tensor) -> None:
        changed = probe.clone()
        changed[0, -1] = (changed[0, -1] + 1) % self._vocabulary
        logits = self._whole_logits(changed, None)
        before, after = reference[:, :-1].float(), logits[:, :-1].float()
        if not torch.allclose(before, after, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise ModelError(
                f"{self._label!r} is not a causal language model: its predictions change with the tokens after them"
            )


def check_finite(statistics: PositionStatistics, where: str, positions: NDArray[np.int64]) -> None:
    """Refuse statistics of logits that were NaN or infinite.

    Args:
        statistics: Of m positions.
        where: The model and text, for the message.
        positions: (m,) of the tokens in the passage.

    Raises:
        ScoringError: One is not finite; the first is named.
    """
    finite = np.isfinite(statistics.logprob) & np.isfinite(statistics.entropy)
    if not finite.all():
        position = int(positions[~finite][0])
        raise ScoringError(
            f"{where}, token {position}: the model's logits are NaN or infinite; nothing was recorded. "
            "Try dtype=float32, or check the weights"
        )


def _concatenate(parts: list[PositionStatistics]) -> PositionStatistics:
    return PositionStatistics(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def _slice(whole: PositionStatistics, begin: int, end: int) -> PositionStatistics:
    return PositionStatistics(**{name: value[begin:end] for name, value in vars(whole).items()})
