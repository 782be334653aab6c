"""Causal attention over packed sequences, registered with transformers under its own name.

For the time of a pass, models that ask transformers for their attention function are given this one; the models are not
changed. Which tokens a token may see follows from the arguments that the layer passes (scaling, sliding window, soft cap).
These are checked once against the mask that transformers would have made for the layer.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.backends.cuda import SDPAParams, can_use_efficient_attention
from torch.nn import functional

from tokenviz.scoring.linear import multiply
from tokenviz.scoring.windows import Pack, Step

_NAME = "tokenviz_packed"
_SCORES_ELEMENTS = 1 << 20  # attention scores in memory at once: 4 MB, which fit in the processor's cache
_SCORES_ELEMENTS_ON_GPU = 1 << 25
_MOST_QUERIES = 128  # on a processor; with more queries at once, too many scores are of later tokens and are thrown away
# The number of keys that a piece sees is rounded up to this step. oneDNN prepares each size of a product once, which takes a
# quarter of the time.
_KEYS_STEP = 256
_LAST_SEES_ALL = 2  # causal; the last query is aligned with the last key, even where there are more keys than queries


class UnsupportedAttentionError(Exception):
    """Internal: a model's attention is of a kind that is not computed here. The model is then run on the padded path."""


@dataclass(frozen=True)
class AttentionRule:
    """The attention settings of one layer.

    Attributes:
        scaling: Factor of the products of queries and keys.
        window: The most tokens that a token sees, itself included; None for no limit.
        softcap: Bound of the soft cap, which makes a score s into softcap * tanh(s / softcap); None for no cap.
    """

    scaling: float
    window: int | None
    softcap: float | None


class PackedPass:
    """The state of one pack inside the layers: the current step, and the path's keys and values in this layer."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.step: Step = pack.steps[0]
        self._keys: torch.Tensor | None = None
        self._values: torch.Tensor | None = None
        self._masks: dict[tuple[int, int, int], torch.Tensor] = {}
        # Where sequences begin and end, among the queries and among the keys
        self._borders: dict[Step, list[torch.Tensor]] = {}

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: AttentionRule) -> torch.Tensor:
        """Compute the attention of one step.

        Args:
            query: (1, heads, m, d) for the m tokens of the step.
            key: (1, key heads, m, d).
            value: (1, key heads, m, d).
            rule: The layer's attention settings.

        Returns:
            (1, m, heads, d).
        """
        past = self.step.past
        if past is not None:
            key, value = self._on_path(key, value, past)
        if rule.softcap is None and _one_kernel_fits(query, key, value):
            return self._in_one_kernel(query, key, value, rule)
        if past is None:
            return (self._whole if rule.softcap is None else self._whole_softly)(query, key, value, rule)
        out = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
        self._attend_piece(query[0], key[0], value[0], past, rule, out[0].transpose(0, 1))
        return out

    def _in_one_kernel(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: AttentionRule) -> torch.Tensor:
        """Attend over all sequences of a step at once, with the kernel that PyTorch uses for nested tensors.

        On an H100, sixty texts one after the other take 4 to 90 times as long in float32 and 18 to 48 times in bfloat16.
        PyTorch's public function is no alternative: where queries share keys, it puts all float32 scores of a long text in
        memory.
        """
        group = query.shape[1] // key.shape[1]
        keys, values = (t.transpose(1, 2).repeat_interleave(group, dim=2) for t in (key, value))  # (1, seen, heads, d)
        if self.step not in self._borders:
            lengths = self.step.lengths or (query.shape[2],), self.step.lengths or (key.shape[2],)
            self._borders[self.step] = [
                torch.from_numpy(np.cumsum([0, *some], dtype=np.int32)).to(query.device) for some in lengths
            ]
        longest = (max(self.step.lengths),) * 2 if self.step.lengths else (query.shape[2], key.shape[2])
        out: torch.Tensor = torch.ops.aten._efficient_attention_forward(
            query.transpose(1, 2),
            keys,
            values,
            None,
            *self._borders[self.step],
            *longest,
            0.0,
            _LAST_SEES_ALL,
            scale=rule.scaling,
            window_size=rule.window,
        )[0]
        return out

    def _whole(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: AttentionRule) -> torch.Tensor:
        out = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
        at = 0
        for length, count in _runs(self.step.lengths):
            end = at + length * count
            # Sequences of equal length are one batch, viewed without a copy: (count, heads, length, d).
            q, k, v = (t[0, :, at:end].view(len(t[0]), count, length, -1).transpose(0, 1) for t in (query, key, value))
            seen = functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=rule.scaling, enable_gqa=q.shape[1] != k.shape[1]
            )
            out[0, at:end].view(count, length, *out.shape[2:]).copy_(seen.transpose(1, 2))
            at = end
        return out

    def _whole_softly(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: AttentionRule) -> torch.Tensor:
        out = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
        at = 0
        for length in self.step.lengths:
            q, k, v = (t[0, :, at : at + length] for t in (query, key, value))
            self._attend_piece(q, k, v, 0, rule, out[0, at : at + length].transpose(0, 1))
            at += length
        return out

    def _on_path(self, key: torch.Tensor, value: torch.Tensor, past: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Append a step's keys and values to those of the path; return all of them, each (1, key heads, past + m, d)."""
        if self._keys is None or self._values is None or self._keys.shape[1::2] != key.shape[1::2]:
            self._keys = key.new_empty(1, key.shape[1], self.pack.path, key.shape[3])
            self._values = value.new_empty(1, value.shape[1], self.pack.path, value.shape[3])
        end = past + key.shape[2]
        self._keys[:, :, past:end] = key
        self._values[:, :, past:end] = value
        return self._keys[:, :, :end], self._values[:, :, :end]

    def _attend_piece(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, past: int, rule: AttentionRule, out: torch.Tensor
    ) -> None:
        """Fill `out`: attention of queries (heads, m, d) at `past` and later over keys and values (key heads, past + m, d)."""
        group = query.shape[0] // keys.shape[0]
        elements = (_SCORES_ELEMENTS_ON_GPU if query.is_cuda else _SCORES_ELEMENTS) // group
        begin, m_all = 0, query.shape[1]
        most = m_all if query.is_cuda else _MOST_QUERIES
        while begin < m_all:
            behind = past + begin if rule.window is None else min(past + begin, rule.window - 1)
            # Take as many queries as m * (behind + m) scores allow, rounded down to a multiple of 16.
            m = max(16, min(most, int((math.sqrt(behind**2 + 4 * elements) - behind) / 2) // 16 * 16))
            end = min(begin + m, m_all)
            first, last = past + begin - behind, past + end
            if rule.window is None:
                last = min(-(-last // _KEYS_STEP) * _KEYS_STEP, keys.shape[1])
            for head in range(keys.shape[0]):
                heads = slice(head * group, (head + 1) * group)
                rows = (query[heads, begin:end] * rule.scaling).reshape(-1, query.shape[2])
                scores = multiply(rows, keys[head, first:last])  # (group * rows, seen)
                if rule.softcap is not None:
                    scores.div_(rule.softcap).tanh_().mul_(rule.softcap)
                self._hide(scores.view(group, end - begin, last - first), past + begin, first, rule.window)
                weights = torch.softmax(scores, -1, dtype=torch.promote_types(query.dtype, torch.float32)).to(query.dtype)
                out[heads, begin:end] = multiply(weights, values[head, first:last].T).view(group, end - begin, -1)
            begin = end

    def _hide(self, scores: torch.Tensor, position: int, first: int, window: int | None) -> None:
        """Hide later tokens, and those before the window, from queries at `position` and later; keys begin at `first`."""
        _, m, seen = scores.shape
        later = position - first
        scores[..., later:].masked_fill_(self._mask(m, seen - later, 1, scores.device), float("-inf"))
        if window is not None and position + m - 1 - window >= first:
            # Key first + j is too far back for query position + i where j <= i + position - window - first.
            width = position + m - window - first
            too_far = ~self._mask(m, width, position - window - first + 1, scores.device)
            scores[..., :width].masked_fill_(too_far, float("-inf"))

    def _mask(self, m: int, width: int, diagonal: int, device: torch.device) -> torch.Tensor:
        """Return a mask (m, width) that is true on and above a diagonal."""
        key = (m, width, diagonal)
        if key not in self._masks:
            self._masks[key] = torch.ones(m, width, dtype=torch.bool, device=device).triu(diagonal)
        return self._masks[key]


def _one_kernel_fits(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    if not query.is_cuda:
        return False
    one_head = SDPAParams(query[:, :1], key[:, :1], value[:, :1], None, 0.0, False, False)
    return bool(can_use_efficient_attention(one_head))


def _runs(lengths: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield each run of equal lengths as (length, number of sequences)."""
    begin = 0
    for i in range(1, len(lengths) + 1):
        if i == len(lengths) or lengths[i] != lengths[begin]:
            yield lengths[begin], i - begin
            begin = i


class Recording:
    """The attention settings of all layers, each checked against the mask that transformers would make for the layer."""

    def __init__(self, context: int) -> None:
        self._context = context
        self.rules: dict[torch.nn.Module, AttentionRule] = {}

    @property
    def shortest_window(self) -> int | None:
        """The shortest of the layers' windows; None where no layer has one."""
        return min((rule.window for rule in self.rules.values() if rule.window is not None), default=None)

    def mask(self, mask_function: Any) -> torch.Tensor:
        """Return, in the place of a mask, how many tokens the mask lets the last token of a full context see."""
        return torch.tensor(_tokens_seen(mask_function, self._context))

    def note(self, module: torch.nn.Module, mask: torch.Tensor | None, rule: AttentionRule) -> None:
        """Keep the attention settings of a layer.

        Raises:
            UnsupportedAttentionError: The settings contradict the layer's mask.
        """
        seen = self._context if rule.window is None else min(rule.window, self._context)
        if mask is None or mask.ndim or int(mask) != seen:
            raise UnsupportedAttentionError("the layer's mask is not the one that its sliding window says")
        self.rules[module] = rule


def _tokens_seen(mask_function: Any, context: int) -> int:
    zero, keys = torch.tensor(0), torch.arange(context)
    width = 0
    for query in (context - 1, context - 2, context // 2, 0):
        seen = torch.as_tensor(mask_function(zero, zero, torch.tensor(query), keys)).expand(context)
        width = width or int(seen.sum())
        if not torch.equal(seen, (keys <= query) & (keys > query - width)):
            raise UnsupportedAttentionError("the mask is neither causal nor a causal sliding window")
    return width


_state: PackedPass | Recording | None = None


@contextmanager
def attending(network: Any, state: PackedPass | Recording) -> Iterator[None]:
    """Let a model use the attention of this module inside the block."""
    global _state
    before = network.config._attn_implementation
    network.config._attn_implementation = _NAME
    _state = state
    try:
        yield
    finally:
        _state = None
        network.config._attn_implementation = before


def packed_pass() -> PackedPass | None:
    """Return the packed pass that is running, or None."""
    return _state if isinstance(_state, PackedPass) else None


def record(network: Any, context: int) -> Recording:
    """Run a model once on a few tokens and keep the attention settings of its layers.

    Args:
        network: A transformers model.
        context: The most tokens that the model reads at once.

    Raises:
        UnsupportedAttentionError: The model's attention is of a kind that is not computed here.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, _mask)
    recording = Recording(context)
    ids = torch.zeros((1, 4), dtype=torch.int64, device=network.device)
    try:
        with attending(network, recording), torch.inference_mode():
            network.base_model(input_ids=ids, use_cache=False)
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise UnsupportedAttentionError(str(error)) from error
    if not recording.rules:
        raise UnsupportedAttentionError("the model does not ask transformers for its attention function")
    return recording


def depends_on_length(network: Any) -> bool:
    """Return whether a model's rotary positions depend on the longest sequence in a pass: texts must then run alone."""
    kinds = [getattr(module, "rope_type", None) for module in network.modules()]
    named = [name for kind in kinds for name in (kind.values() if isinstance(kind, dict) else [kind])]
    return any(name in ("dynamic", "longrope") for name in named)


_UNDERSTOOD = {"position_ids", "use_cache", "output_attentions", "cache_position"}


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend for one layer; transformers calls this as a `transformers.AttentionInterface`."""
    rule = AttentionRule(query.shape[-1] ** -0.5 if scaling is None else float(scaling), sliding_window, softcap)
    if isinstance(_state, Recording):
        unknown = sorted(name for name, value in others.items() if value is not None and name not in _UNDERSTOOD)
        if unknown or dropout or is_causal is False:
            raise UnsupportedAttentionError(f"the layer's attention wants {', '.join(unknown) or 'dropout or no causality'}")
        _state.note(module, attention_mask, rule)
        return query.new_zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[3]), None
    if _state is None:
        raise RuntimeError("no pass is open for the packed attention")
    return _state.attend(query, key, value, rule), None


def _mask(**asked: Any) -> torch.Tensor | None:
    """Return the mask of one kind; transformers calls this as a `transformers.AttentionMaskInterface`."""
    return _state.mask(asked["mask_function"]) if isinstance(_state, Recording) else None
