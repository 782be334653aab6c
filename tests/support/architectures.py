"""Small random models of many architectures over four letters, how each is expected to be run, and a noisy copy of any."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from tokenviz.models.loading import LoadedModel, load_model


@dataclass(frozen=True)
class Architecture:
    """A model type's settings and the way that it takes.

    Attributes:
        settings: For its configuration.
        way: "quick" and "own" are packed, with the layer's quick form and its own; "padded" is neither.
        head: See `Kernel`.
        model_type: By default the name.
    """

    settings: dict[str, Any]
    way: Literal["quick", "own", "padded"]
    head: Literal["streamed", "whole"] = "streamed"
    model_type: str | None = None


_ALL: dict[str, Any] = {"vocab_size": 5, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
_BASE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
_GROUPED = {**_BASE, "num_key_value_heads": 1}
_LONG = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4, "rope_theta": 100.0}

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(_GROUPED, "quick"),
    "mistral": Architecture({**_GROUPED, "sliding_window": 4}, "quick"),
    "qwen2": Architecture(_GROUPED, "quick"),  # biases on queries, keys and values
    "qwen3": Architecture({**_GROUPED, "head_dim": 8}, "quick"),  # norms on queries and keys
    "gemma2": Architecture(
        {
            **_GROUPED,
            "head_dim": 8,
            "sliding_window": 4,
            "attn_logit_softcapping": 1.5,
            "final_logit_softcapping": 2.0,
        },
        "quick",
    ),
    "gemma3": Architecture(
        {**_GROUPED, "head_dim": 8, "num_hidden_layers": 6, "sliding_window": 4}, "quick", model_type="gemma3_text"
    ),
    "granite": Architecture({**_BASE, "logits_scaling": 3.0}, "quick"),
    # The same layer, but for a factor that the quick form does not know.
    "granite-scaled": Architecture({**_BASE, "residual_multiplier": 0.5}, "own", model_type="granite"),
    "phi": Architecture(_BASE, "own"),  # a bias on the head
    "phi3": Architecture(_GROUPED, "own"),  # queries, keys and values in one layer
    "cohere": Architecture({**_BASE, "logit_scale": 0.25}, "own"),
    "olmo2": Architecture(_BASE, "own"),
    "gpt_neox": Architecture(_BASE, "own"),
    "gpt2": Architecture({"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}, "own"),  # learned positions
    "starcoder2": Architecture({**_GROUPED, "sliding_window": 4}, "own"),
    "deepseek_v3": Architecture(
        {
            **_BASE,
            "moe_intermediate_size": 16,
            "n_routed_experts": 4,
            "n_group": 2,
            "topk_group": 1,
            "num_experts_per_tok": 2,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 4,
            "v_head_dim": 6,
        },
        "own",
    ),  # experts; keys and values of different widths
    "longrope": Architecture(
        {**_GROUPED, "rope_parameters": _LONG, "original_max_position_embeddings": 16}, "own", model_type="phi3"
    ),
    # As many heads as layers, each head with norms of its own in a list as long as that of the layers.
    "stablelm": Architecture({**_BASE, "num_key_value_heads": 2, "qk_layernorm": True}, "own"),
    "longcat_flash": Architecture(
        {
            **_BASE,
            "num_layers": 2,
            "ffn_hidden_size": 32,
            "expert_ffn_hidden_size": 16,
            "n_routed_experts": 4,
            "zero_expert_num": 2,
            "moe_topk": 2,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 4,
            "v_head_dim": 6,
            "head_dim": 4,
        },
        "padded",
    ),  # half as many layers as its config says, each with two attentions
    "roberta": Architecture(
        {**_BASE, "is_decoder": True, "pad_token_id": 4, "max_position_embeddings": 69}, "padded"
    ),  # positions begin after that of padding
    "opt": Architecture({**_BASE, "ffn_dim": 32, "word_embed_proj_dim": 16}, "padded", "whole"),  # positions come from the mask
    "bloom": Architecture({"hidden_size": 16, "n_layer": 2, "n_head": 2}, "padded"),  # ALiBi: no positions at all
    "gpt_neo": Architecture(
        {
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 2,
            "window_size": 4,
            "max_position_embeddings": 64,
            "attention_types": [[["global", "local"], 1]],
        },
        "padded",
    ),
    "gptj": Architecture({"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "rotary_dim": 4}, "padded"),
    "llama4": Architecture(
        {
            **_GROUPED,
            "head_dim": 8,
            "num_local_experts": 2,
            "intermediate_size_mlp": 32,
            "attention_chunk_size": 8,
        },
        "padded",
        "whole",
        model_type="llama4_text",
    ),  # attention in chunks, which is no sliding window
    "mamba": Architecture({"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}, "padded"),  # no attention
}


def make_folder(name: str, tokenizer: Any, folder: Path, **others: Any) -> LoadedModel:
    """Save a random model of an architecture beside a tokenizer of four letters, and load it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    architecture = ARCHITECTURES[name]
    settings = {**_ALL, **architecture.settings, **others}
    config = AutoConfig.for_model(architecture.model_type or name, **settings)
    torch.manual_seed(3)
    network = AutoModelForCausalLM.from_config(config)
    for weight_name, weight in network.named_parameters():
        weight.data.add_(torch.randn_like(weight) * (0.3 if "norm" not in weight_name else 0.05))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_model(str(folder))


def bent_copy(model: LoadedModel, folder: Path, *, by: float = 0.2) -> LoadedModel:
    """A copy of a model, with noise on its weights."""
    folder.mkdir()
    for path in model.resolved.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    bent = {name: w + by * w.float().std() * torch.randn(w.shape, generator=generator) for name, w in weights.items()}
    save_file(bent, folder / "model.safetensors", metadata={"format": "pt"})
    return load_model(str(folder))
