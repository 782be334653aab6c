"""Adapters: small weights that change a model (LoRA and its kin), in a folder of their own or next to the whole model.

They are merged into the model by the peft package, where it is installed; without it they are refused. Never are they left out:
the numbers would be those of the model before its fine-tuning.
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
    """Whether a folder holds an adapter."""
    return (folder / ADAPTER).is_file()


def require_peft(folder: Path, name: str) -> None:
    """Refuse an adapter that cannot be merged here.

    Args:
        folder: That holds the adapter.
        name: As the user calls it.

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
    """Name and revision of the model that an adapter changes, as its config has them.

    Raises:
        ModelError: The config names none.
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
        folder: That holds the adapter.
        label: The model's, for messages.

    Returns:
        The model with other weights, of its own class.

    Raises:
        ModelError: The adapter does not fit the model, or is of a kind that cannot be merged into weights.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")  # peft asks transformers for what the latter calls by another name now
            return _merged(network, folder, label)
    except ModelError:
        raise
    except Exception as error:  # peft reads files that anybody may have written
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
    # The model's own weights are "missing" from an adapter's file; those with the adapter's name should not be.
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
