"""Running a decoder layer in steps, and fast forms of its parts.

A step has some thousand tokens at most, so that memory does not grow with the length of a text. `install` replaces each decoder
layer by a `SteppedLayer`. On its first pass a `SteppedLayer` runs in its fast form with packed weights. Where that gives other
numbers than the layer gave in the model's own pass, it tries each separately, and keeps what gives the same numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from tokenviz.scoring.attention import AttentionRule, PackedPass, Recording, packed_pass
from tokenviz.scoring.linear import onednn_multiplies, pack_linears, unpack_linears
from tokenviz.scoring.memory import forget_pages

# Relative to the largest value. Float32 layers agree to 1e-6; a missing part (a bias, a norm) gives more than 1e-2.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.02}

Forward = Callable[..., Any]


class SteppedLayer(nn.Module):
    """A decoder layer that runs in steps during a packed pass, and as the model has it otherwise."""

    def __init__(self, layer: nn.Module, rules: dict[nn.Module, AttentionRule], expected: torch.Tensor | None = None) -> None:
        """Wrap a layer.

        Args:
            layer: The model's layer.
            rules: What each attention module does, as `record` finds it.
            expected: What the layer gave in the model's own pass for the tokens of the first packed pass, (1, n, width); None
                where that is not known, and the layer is run as the model has it to find out.
        """
        super().__init__()
        self.layer = layer
        self._rules = rules
        self._expected = expected
        self._settled = False
        self._quick: Forward | None = None

    @property
    def form(self) -> Literal["quick", "own"]:
        """Whether the layer runs in its fast form ("quick") or as the model has it ("own")."""
        return "own" if self._quick is None else "quick"

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)  # models read attributes of their layers, such as layer_type

    def forward(self, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        running = packed_pass()
        if running is None:
            return self.layer(hidden, *args, **kwargs)
        if not self._settled:
            return self._settle(running, hidden, args, kwargs)
        return self._run(self._quick or self.layer, running, hidden, args, kwargs)

    def _run(self, forward: Forward, running: PackedPass, hidden: torch.Tensor, args: Any, kwargs: Any) -> torch.Tensor:
        """Run the layer on every step in turn; `hidden` (1, n, width) is overwritten."""
        n = hidden.shape[1]
        for step in running.pack.steps:
            running.step, begin, end = step, step.begin, step.end
            part = hidden[:, begin:end]
            output = forward(
                part,
                *(_part(value, begin, end, n) for value in args),
                **{name: _part(value, begin, end, n) for name, value in kwargs.items()},
            )
            output = output[0] if isinstance(output, tuple) else output
            if output is not part:
                part.copy_(output)
        return hidden

    def _settle(self, running: PackedPass, hidden: torch.Tensor, args: Any, kwargs: Any) -> torch.Tensor:
        """Find out which form gives the layer's own numbers; return what it gives."""

        def equal_to(expected: torch.Tensor, forward: Forward | None) -> torch.Tensor | None:
            return None if forward is None else self._if_equal(forward, expected, running, hidden.clone(), args, kwargs)

        quick = quick_form(self.layer, self._rules)
        lays_out = onednn_multiplies(hidden.dtype, hidden.device.type)
        output, expected, self._expected, self._settled = None, self._expected, None, True
        # Both at once first, since nearly every layer passes: each try reads all weights, which is most of the cost of opening
        # a model.
        before = pack_linears(self.layer) if lays_out else {}
        if expected is not None:
            output = equal_to(expected, quick)
            self._quick = None if output is None else quick
            output = equal_to(expected, self.layer) if output is None else output
        if output is None:
            unpack_linears(self.layer, before)
            output = self._run(self.layer, running, hidden.clone(), args, kwargs)
            before = pack_linears(self.layer) if lays_out else {}
            self._quick = None if equal_to(output, quick) is None else quick
            if lays_out and self._quick is None and equal_to(output, self.layer) is None:
                unpack_linears(self.layer, before)
                before, self._quick = {}, None if equal_to(output, quick) is None else quick
        for linear in before.values():
            forget_pages(linear.weight)  # type: ignore[arg-type]  # which is no module
        return output

    def _if_equal(
        self, forward: Forward, expected: torch.Tensor, running: PackedPass, given: torch.Tensor, args: Any, kwargs: Any
    ) -> torch.Tensor | None:
        """Return what a form gives if it is what was expected, else None."""
        try:
            output = self._run(forward, running, given, args, kwargs)
        except (AttributeError, TypeError, ValueError, KeyError, IndexError, RuntimeError):
            return None
        if output.shape != expected.shape:
            return None
        off = (output.float() - expected.float()).abs().max()
        return output if off <= _TOLERANCE[expected.dtype] * expected.float().abs().max() else None


def _part(value: Any, begin: int, end: int, n: int) -> Any:
    """Return a step's part of a layer's argument: of positions and rotary factors; anything else is returned unchanged."""
    if isinstance(value, tuple):
        return tuple(_part(one, begin, end, n) for one in value)
    if isinstance(value, torch.Tensor) and value.ndim == 1 and value.shape[0] == n:
        return value[begin:end]
    if isinstance(value, torch.Tensor) and value.ndim > 1 and value.shape[1] == n:
        return value[:, begin:end]
    return value


def quick_form(layer: Any, rules: dict[nn.Module, AttentionRule]) -> Forward | None:
    """Return a fast forward pass for a layer like those of Llama and Gemma, with as much as possible computed in place.

    Outside of products and attention it takes a third of the time of the layer's own forward pass: it saves 3 to 6 % of the
    whole.

    Returns:
        None where the layer is built otherwise. The caller must check that the results are the same.
    """
    attention: Any = getattr(layer, "self_attn", None)
    mlp: Any = getattr(layer, "mlp", None)
    parts = [(attention, ("q_proj", "k_proj", "v_proj", "o_proj", "head_dim")), (mlp, ("gate_proj", "up_proj", "down_proj"))]
    norms = [(layer, ("input_layernorm", "post_attention_layernorm")), (mlp, ("act_fn",))]
    if any(not hasattr(part, name) for part, names in parts + norms for name in names) or attention not in rules:
        return None
    rule = rules[attention]
    sandwich = hasattr(layer, "pre_feedforward_layernorm")  # Gemma: a norm before and after each half
    query_norm, key_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)

    def forward(hidden: torch.Tensor, *, position_embeddings: tuple[torch.Tensor, torch.Tensor], **kwargs: Any) -> torch.Tensor:
        running = packed_pass()
        assert running is not None
        cos, sin = position_embeddings
        normed = layer.input_layernorm(hidden)
        query, key, value = (
            project(normed).unflatten(-1, (-1, attention.head_dim))
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )  # (1, m, heads, d)
        query = query_norm(query) if query_norm is not None else query
        key = key_norm(key) if key_norm is not None else key
        _rotate(query, cos, sin)
        _rotate(key, cos, sin)
        seen = running.attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), rule)
        output = attention.o_proj(seen.flatten(2))
        hidden.add_(layer.post_attention_layernorm(output) if sandwich else output)
        normed = (layer.pre_feedforward_layernorm if sandwich else layer.post_attention_layernorm)(hidden)
        output = mlp.down_proj(mlp.act_fn(mlp.gate_proj(normed)).mul_(mlp.up_proj(normed)))
        hidden.add_(layer.post_feedforward_layernorm(output) if sandwich else output)
        return hidden

    return forward


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Apply rotary positions in place: x (1, m, heads, d), cos and sin (1, m, d) with equal halves."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    cos, sin = cos[..., None, :half], sin[..., None, :half]
    across = first * sin
    first.mul_(cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).add_(across)


def install(network: Any, recording: Recording, expected: Sequence[torch.Tensor] = ()) -> None:
    """Replace each decoder layer by a stepped layer.

    Args:
        network: The model.
        recording: What is known of its attention.
        expected: What each layer gave in the model's own pass for the tokens of the first packed pass, (1, n, width); empty
            where that is not known.

    Raises:
        LookupError: The model has no list of decoder layers.
    """
    layers = decoder_layers(network)
    known = list(expected) if len(expected) == len(layers) else [None] * len(layers)
    for i, layer in enumerate(layers):
        layers[i] = SteppedLayer(layer.layer if isinstance(layer, SteppedLayer) else layer, recording.rules, known[i])


def uninstall(network: Any) -> None:
    """Put the original decoder layers back, whether some, all or none were replaced."""
    for module in list(network.modules()):
        if isinstance(module, nn.ModuleList):
            for i, layer in enumerate(module):
                if isinstance(layer, SteppedLayer):
                    module[i] = layer.layer


def decoder_layers(network: Any) -> nn.ModuleList:
    """Return the list of a model's decoder layers.

    Raises:
        LookupError: There is no such list, or more than one candidate.
    """
    count = network.config.get_text_config().num_hidden_layers
    found = [module for module in network.base_model.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    # StableLM's layers contain lists of norms, one per head. With as many heads as layers these would be candidates as well.
    inner = {id(module) for outer in found for module in outer.modules() if module is not outer}
    lists = [module for module in found if id(module) not in inner]
    if len(lists) != 1:
        raise LookupError(f"{len(lists)} lists of {count} layers")
    return lists[0]
