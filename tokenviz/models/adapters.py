"""Adapters: small weights that change a model (LoRA and similar), in their own folder or next to the whole model.

The peft package merges them into the model. Where it is not installed, adapters are refused. They are never ignored: the
numbers would be those of the model before its fine-tuning.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

from tokenviz.errors import ModelError
from tokenviz.models.folders import ADAPTER


def has_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter."""
    return (folder / ADAPTER).is_file()


def require_peft(folder: Path, name: str) -> None:
    """Refuse an adapter that cannot be merged here.

    Args:
        folder: The folder that holds the adapter.
        name: The model's name as the user gave it, for messages.

    Raises:
        ModelError: The package peft is not installed, or the adapter's config is damaged.
    """
    settings = _settings(folder, name)
    if find_spec("peft") is None:
        kind = settings.get("peft_type")
        raise ModelError(
            f"{name!r} holds an adapter ({kind if isinstance(kind, str) else 'of no known kind'}): install the package peft to "
            "have it merged into its model, or merge it yourself and give the whole model"
        )


def base_of(folder: Path, name: str) -> tuple[str, str | None]:
    """Return the name and revision of the model that an adapter changes, from the adapter's config.

    Raises:
        ModelError: The config names no model.
    """
    settings = _settings(folder, name)
    base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(base, str) or not base or not (revision is None or isinstance(revision, str)):
        raise ModelError(
            f"{name!r} is an adapter, and its {ADAPTER} does not name the model that it changes: set base_model_name_or_path"
        )
    return base, revision or None


def merge_adapter(network: Any, folder: Path, label: str) -> Any:
    """Merge an adapter into a model.

    Args:
        network: A transformers model, with weights of the precision to merge in.
        folder: The folder that holds the adapter.
        label: The model's label, for messages.

    Returns:
        The model with changed weights; its class is the same.

    Raises:
        ModelError: The adapter does not fit the model, or is of a kind that cannot be merged into weights.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")  # peft asks transformers for a name that has since changed
            return _merged(network, folder, label)
    except ModelError:
        raise
    except Exception as error:  # peft reads files of any origin, and may raise anything
        reason = re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__
        raise ModelError(f"cannot merge the adapter in {label!r}: {reason}") from error


def _merged(network: Any, folder: Path, label: str) -> Any:
    from peft import PeftConfig, PeftModel

    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise ModelError(
            f"{label!r} holds an adapter of the kind {config.peft_type.value}, which adds to the text and cannot be merged "
            "into weights: only the like of LoRA can be scored"
        )
    adapted = PeftModel(network, config, adapter_name="default")
    found = adapted.load_adapter(str(folder), "default")
    # The model's own weights are "missing" from an adapter's file. Weights with the adapter's name must not be.
    absent = [key for key in found.missing_keys if ".default." in key]
    if absent or found.unexpected_keys:
        what, key = ("lacks", absent[0]) if absent else ("holds, without use,", found.unexpected_keys[0])
        raise ModelError(
            f"the adapter in {label!r} does not fit its model: it {what} {key}; give the model that it was made for"
        )
    return adapted.merge_and_unload(safe_merge=True)


def _settings(folder: Path, name: str) -> dict[str, Any]:
    try:
        settings = json.loads((folder / ADAPTER).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{name!r} holds an adapter whose {ADAPTER} is damaged: {str(error)[:200]}") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{name!r} holds an adapter whose {ADAPTER} is damaged: it is no object")
    return settings
