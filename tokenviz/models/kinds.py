"""Kinds of models that can be scored, told from their configs before any weights are read.

A score is the probability of a token given those before it. Models that see later tokens, or another text, have no such number.
A trial on a few tokens (scoring/kernel.py) would detect most of them. They are recognised here by name, so that the message
says what they are, and because some of them pass that trial.
"""

import json
from pathlib import Path
from typing import Any

from tokenviz.errors import ModelError

_ONLY = "only causal language models can be scored"
# Sizes and counts that transformers does not check: with -1 layers it builds a model without layers, which predicts too.
_COUNTS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "hidden_size", "n_embd", "d_model",
    "intermediate_size", "num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads", "head_dim",
    "vocab_size",
)  # fmt: skip
_TOO_MANY = 2**63
LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
"""The settings by which architectures say how many tokens they read at once."""


def check_values(folder: Path, label: str) -> None:
    """Refuse sizes and counts in a model's config that no model can have.

    Raises:
        ModelError: A size or count is not a whole number from 1 on.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return  # loading raises a better error
    if not isinstance(config, dict):
        return
    for settings in (one for one in (config, config.get("text_config")) if isinstance(one, dict)):
        for name in (*_COUNTS, *LIMITS):
            value = settings.get(name)
            # Some settings have one number per layer, and 0 where a layer has none.
            is_right = all(map(_is_count, value)) if isinstance(value, list) else value is None or (_is_count(value) and value)
            if not is_right:
                shown = json.dumps(value)[:60]
                raise ModelError(
                    f"cannot load {label!r}: its config.json has {name} {shown}, which must be a whole number from 1 on"
                )


def _is_count(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < _TOO_MANY and value == int(value)  # type: ignore[operator, call-overload]


def check_kind(config: Any, label: str) -> None:
    """Refuse models that are not causal, by their kind.

    Args:
        config: A config of transformers.
        label: The model's label, for messages.

    Raises:
        ModelError: The model reads another text, sees both sides of a token, or has no causal form in transformers.
    """
    from transformers import AutoModelForCausalLM

    kind, named = config.model_type, [name for name in config.architectures or [] if isinstance(name, str)]
    masked = [name for name in named if name.endswith(("ForMaskedLM", "ForPreTraining"))]
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{label!r} is an encoder-decoder model ({kind}), which predicts a text from another one: {_ONLY}")
    if masked and not getattr(config, "is_decoder", False) and (hasattr(config, "is_decoder") or not _has_causal_form(config)):
        raise ModelError(
            f"{label!r} is a masked language model ({masked[0]}), which sees both sides of the token that it predicts: {_ONLY}"
        )
    if type(config) not in AutoModelForCausalLM._model_mapping:
        what = f"{kind}, {named[0]}" if named else kind
        raise ModelError(f"{label!r} is a model ({what}) that transformers has no causal form of: {_ONLY}")
    _check_hidden_sight(config, label)


def _has_causal_form(config: Any) -> bool:
    from transformers import AutoModelForCausalLM

    return type(config) in AutoModelForCausalLM._model_mapping


def _check_hidden_sight(config: Any, label: str) -> None:
    """Refuse families that see later tokens only in long texts, which a trial on a few tokens does not show."""
    layers = getattr(config, "attn_layers", None)
    if config.model_type == "reformer" and "lsh" in (layers or ()):
        # Which tokens share a bucket depends on all of them: log-probs differ by 0.28 nats from a loop over prefixes. Without a
        # hash_seed the buckets are random as well.
        raise ModelError(
            f"{label!r} is a Reformer with LSH attention, whose predictions depend on the tokens after them in texts longer "
            f"than a chunk: {_ONLY}"
        )
    if config.model_type == "big_bird" and getattr(config, "attention_type", None) == "block_sparse":
        # From 705 tokens on, at its defaults. After a first shorter text it uses full causal attention instead.
        raise ModelError(
            f"{label!r} is a BigBird with block-sparse attention, which sees later tokens in long texts: {_ONLY}; with "
            "attention_type original_full in its config.json it is one"
        )
