"""The models that can be scored, told from their configs, and from weights that a config does not use."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenviz.base.errors import ModelError

# Weights that a file holds and its config does not use: refused, except those known to have no effect.
#
# transformers silently leaves them out. A file of four layers under a config of two scored with a mean of -5.770 nats per
# token, where the correct value is -6.161. Biases under `attention_bias: false` and an un-merged LoRA are left out in the same
# way (LlamaFactory #3721, axolotl #1558, unsloth #2142).

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Known:
    """Weights that may be left out.

    Attributes:
        pattern: Regular expression that is found in their names.
        reason: Why nothing is lost.
        families: Model types whose files hold them; empty for all.
        ndims: Numbers of dimensions they may have; empty for any.
    """

    pattern: str
    reason: str
    families: tuple[str, ...] = ()
    ndims: tuple[int, ...] = ()


_BERTS = (
    "bert", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert", "rembert", "roberta",
    "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip

KNOWN = (
    Known(r"(^|\.)(original_)?inv_freq$", "rotary frequencies, which are computed from the config", ndims=(1,)),
    Known(r"(^|\.)position_ids$", "the numbers 0, 1, 2 ...", ndims=(1, 2)),
    # A bias of a linear layer has one dimension; a causal mask (called "bias") has four; masked_bias is a number.
    Known(
        r"(^|\.)(attn|attention|attn\.attention)\.(bias|masked_bias|causal_mask)$",
        "causal masks, which older versions of transformers wrote into files",
        ("codegen", "gpt-sw3", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_neox_japanese", "gptj", "openai-gpt"),
        (0, 4),
    ),
    Known(r"(^|\.)embed_positions\.weights$", "sines and cosines, which are computed", ("xglm",), (2,)),
    Known(r"(^|\.)decoder\.version$", "a mark of fairseq's format", ("biogpt", "opt", "xglm"), (0, 1)),
    Known(r"(^|\.)pooler\.", "a classifier's view of the whole text", _BERTS),
    Known(r"^cls\.seq_relationship\.", "a classifier of pairs of sentences", _BERTS),
    Known(r"(^|\.)mtp(_layers)?\.", "layers that predict later tokens, after the prediction of the next"),
    Known(
        r"(^|\.)self_attn\.(k_proj|v_proj|k_norm|v_norm)\.",
        "keys and values of layers that share those of another",
        ("gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text"),
    ),
)  # fmt: skip
"""Weights that may be left out of any file; `_is_extra_layer` and `_is_of_other_senses` find two more kinds."""

_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks)\.(\d+)\.")
_SENSES = re.compile(
    r"(^|\.)(visual|vision_tower|vision_model|vision_embed_tokens|embed_vision|multi_modal_projector|mm_projector|image_newline|"
    r"audio_tower|embed_audio|audio_model|talker|token2wav|code2wav)(\.|$)"
)
_OF_ADAPTER = re.compile(r"(^|\.)(lora_|base_layer\.)")
_MOST_NAMED = 3


def refuse_unused(network: Any, unexpected: set[str], files: tuple[Path, ...], label: str) -> None:
    """Refuse weights that are in a model's files but not in the model.

    Args:
        network: The transformers model.
        unexpected: Names of unexpected weights that transformers reports.
        files: The files of the model's weights.
        label: The model's label, for messages.

    Raises:
        ModelError: A weight is not known to have no effect.
    """
    shapes = shapes_of(files)
    left_out = sorted(unexpected | _hushed_up(network, shapes), key=_in_reading_order)
    unused = [name for name in left_out if not _says_nothing(name, shapes, network.config)]
    if not unused:
        return
    more = "" if len(unused) <= _MOST_NAMED else ", ..."
    raise ModelError(
        f"{label!r} has {len(unused)} weights that its config.json does not use ({', '.join(unused[:_MOST_NAMED])}{more}): "
        f"without them the numbers would be another model's; {_what_to_do(unused, network.config)}"
    )


def _what_to_do(unused: list[str], config: Any) -> str:
    if any(map(_OF_ADAPTER.search, unused)):
        return "they are of an adapter that was not merged: merge it into its model"
    most = max((int(found[1]) + 1 for found in map(_LAYER.search, unused) if found), default=0)
    if most > _layers(config):
        return f"num_hidden_layers is {_layers(config)}, and the file has {most} layers"
    if all(name.endswith(".bias") for name in unused):
        return "turn on what this kind of config has for biases, such as attention_bias"
    return "give the config that belongs to the weights"


def shapes_of(files: tuple[Path, ...]) -> Shapes:
    """Return the shape of every tensor in some safetensors files, by its name."""
    from safetensors import safe_open

    shapes: Shapes = {}
    for path in files:
        with safe_open(path, framework="numpy") as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no dictionary
    return shapes


def _hushed_up(network: Any, shapes: Shapes) -> set[str]:
    """Return unexpected names that the model's class tells transformers to ignore; some classes ignore too much."""
    patterns = sorted(getattr(network, "_keys_to_ignore_on_load_unexpected", None) or ())
    base = f"{network.base_model_prefix}."
    own = {name.removeprefix(base) for name in network.state_dict()}
    return {
        name
        for name in shapes
        if name.removeprefix(base) not in own and any(_hushes(pattern, name, network.config) for pattern in patterns)
    }


def _hushes(pattern: str, name: str, config: Any) -> bool:
    """Return whether a pattern hides a weight that no model of this config uses.

    Experts are stored one by one and joined when they are read, so that their names are not those of the model. In a layer that
    the model has, they are used.
    """
    found = _LAYER.search(name)
    is_joined = "layers" in pattern and ".experts." in name and found is not None and int(found[1]) < _layers(config)
    return re.search(pattern, name) is not None and not is_joined


def _says_nothing(name: str, shapes: Shapes, config: Any) -> bool:
    kinds = {config.model_type, config.get_text_config().model_type}
    ndim = len(shapes[name]) if name in shapes else None
    for known in KNOWN:
        fits = (not known.families or kinds & {*known.families}) and (not known.ndims or ndim is None or ndim in known.ndims)
        if fits and re.search(known.pattern, name):
            return True
    return _is_extra_layer(name, shapes, config) or _is_of_other_senses(name, config)


def _layers(config: Any) -> int:
    return int(getattr(config.get_text_config(), "num_hidden_layers", 0) or 0)


def _is_extra_layer(name: str, shapes: Shapes, config: Any) -> bool:
    """Return whether a weight belongs to a layer after the last, with which DeepSeek models predict the token after the next.

    Such a layer joins its input and the next token's embedding by a product that no other layer has.
    """
    found = _LAYER.search(name)
    if found is None or int(found[1]) < _layers(config):
        return False
    return any(other.endswith((f".{found[1]}.eh_proj.weight", f".{found[1]}.enorm.weight")) for other in shapes)


def _is_of_other_senses(name: str, config: Any) -> bool:
    """Return whether a weight of a multimodal model belongs to the part that reads pictures or sounds: a text has none."""
    has_others = any(getattr(config, part, None) is not None for part in ("vision_config", "audio_config"))
    return has_others and _SENSES.search(name) is not None


def _in_reading_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts layer 2 before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


# Kinds of models that can be scored, told from their configs before any weights are read.
#
# A score is the probability of a token given those before it. Models that see later tokens, or another text, have no such
# number. A trial on a few tokens (scoring/kernel.py) would detect most of them. They are recognised here by name, so that the
# message says what they are, and because some of them pass that trial.

_ONLY = "only causal language models can be scored"
# Sizes and counts that transformers does not check: with -1 layers it builds a model without layers, which predicts too.
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
_MOST_LAYERS = 10_000  # ten times DeepNet's (Wang and others 2022), the deepest; Transformers would build them all
_COUNTS = (
    *_LAYERS, "hidden_size", "n_embd", "d_model",
    "intermediate_size", "num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads", "head_dim",
    "vocab_size",
)  # fmt: skip
_TOO_MANY = 2**63
LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
"""The settings by which architectures say how many tokens they read at once."""


def check_values(folder: Path, label: str) -> None:
    """Refuse sizes and counts in a model's config that no model can have.

    Raises:
        ModelError: A size or count is not a whole number from 1 on, or there are too many layers to build.
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
            if name in _LAYERS and isinstance(value, int | float) and value > _MOST_LAYERS:
                raise ModelError(
                    f"cannot load {label!r}: its config.json has {name} {value:,}, and no model has more than "
                    f"{_MOST_LAYERS:,} layers"
                )


def _is_count(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value < _TOO_MANY and value == int(value)


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
