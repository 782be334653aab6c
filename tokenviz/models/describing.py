"""Descriptions of models for readers: whose weights they are, and through which formats the weights went.

A model spec is short and does not describe the weights: `smollm2-135m` is SmolLM2-135M-Instruct with weights from Q4_1.
Wherever a model is named for a reader, its description is next to its name. Descriptions are recorded with every run. For runs
that were made before, they come from the catalogue, where it has the identity of the weights.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenviz.base.errors import ModelError
from tokenviz.data.scores import ScoreSpec
from tokenviz.models.catalogue import CATALOGUE, CatalogueModel
from tokenviz.models.spec import ModelSpec

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8", "F8_E5M2": "float8"}
_FLOATS = ("float64", "float32", "float16", "bfloat16")
_LONGEST = 80  # characters of a file's own description


def describe(spec: ModelSpec, name: str, weights: str) -> str:
    """Describe a model and the options of its spec.

    Args:
        spec: The model spec that was asked for.
        name: Name of the weights; it is turned into one line.
        weights: The format that the weights were stored in, such as "Q4_1" or "bfloat16"; empty where it is not known.

    Example:
        >>> describe(ModelSpec.parse("smollm2-135m,quantize=q4_0"), "SmolLM2-135M-Instruct", "Q4_1")
        'SmolLM2-135M-Instruct, weights from Q4_1, rounded once more to Q4_0'
    """
    parts = [one_line(name)]
    if weights:
        parts.append(f"weights {'in' if weights == spec.dtype else 'from'} {weights}")
    if spec.quantize:
        again = weights != "" and weights not in _FLOATS
        parts.append(f"rounded{' once more' * again} to {spec.quantize.upper()}")
    if spec.dtype not in ("float32", weights):
        parts.append(f"in {spec.dtype}")
    return ", ".join(parts)


def describe_catalogue(spec: ModelSpec, model: CatalogueModel) -> str:
    """Describe a model of the catalogue."""
    return describe(spec, model.title, model.weights)


def describe_folder(spec: ModelSpec, folder: Path, name: str, weights: Sequence[Path]) -> str:
    """Describe a Hugging Face folder by its quantisation, or else by the dtype of most of its weights.

    Args:
        spec: The model spec that was asked for.
        folder: The folder.
        name: Name of the weights.
        weights: The folder's files of weights.
    """
    config = _config(folder)
    return describe(spec, name, _quantization(config.get("quantization_config")) or _stored_dtype(weights))


def description_of(spec: ScoreSpec) -> str:
    """Return the description of a token table's model; empty where neither the table nor the catalogue has one."""
    return spec.model_description or _of_catalogue(spec.model, spec.identity)


def description_in(params: Mapping[str, object], model: str = "model") -> str:
    """Return the description of a run's model from its parameters, as `description_of` does.

    Args:
        params: The run's parameters.
        model: The name of the parameter that names the model: "model", "model_a" or "model_b".
    """
    recorded = params.get(f"{model}_description")
    return str(recorded or _of_catalogue(str(params.get(model, "")), str(params.get("identity", ""))))


def full_name(label: str, description: str) -> str:
    """Return a model's name with its description, for headings and captions."""
    return f"{label} ({description})" if description and description != label else label


def full_name_of(spec: ScoreSpec) -> str:
    """Return the name of a token table's model with its description."""
    return full_name(spec.model, description_of(spec))


def model_sentence(labels: Sequence[str], descriptions: Mapping[str, str]) -> str:
    """Return a sentence that describes the models of a table; empty where their names say everything."""
    known = [f"{label} is {descriptions[label]}" for label in labels if full_name(label, descriptions.get(label, "")) != label]
    return f"{'; '.join(known)}." if known else ""


def _of_catalogue(label: str, identity: str) -> str:
    """Return the catalogue's description of weights by their SHA-256, whatever name they were scored under."""
    model = next((model for model in CATALOGUE.values() if identity.startswith(f"sha256:{model.sha256}")), None)
    if model is None or not label:
        return ""
    try:
        return describe_catalogue(ModelSpec.parse(label), model)
    except ModelError:  # an option of another version
        return describe(ModelSpec(model.name), model.title, model.weights)


def _config(folder: Path) -> dict[str, Any]:
    """Return a folder's config; empty where it cannot be read, since loading then raises a better error."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _quantization(config: object) -> str:
    """Return the words for a `quantization_config`: the method, and the bits per weight where they are given."""
    if not isinstance(config, Mapping) or not config:
        return ""
    method = str(config.get("quant_method", ""))
    bits = next(_bits(config), None)
    if bits is None and (config.get("load_in_4bit") or config.get("_load_in_4bit")):
        bits = 4
    elif bits is None and (config.get("load_in_8bit") or config.get("_load_in_8bit")):
        bits = 8
    name = {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "compressed-tensors": "compressed tensors"}.get(
        method, method.upper()
    )
    return one_line(f"{name or 'a quantisation'}{f' with {bits} bits' if bits else ''}")


def _bits(config: Mapping[str, Any]) -> Iterator[int]:
    """Yield every number of bits that a configuration gives for weights, including those of groups."""
    for key, value in config.items():
        if key in ("bits", "num_bits", "w_bit", "wbits", "nbits") and isinstance(value, int):
            yield value
        elif isinstance(value, Mapping) and "activation" not in key:
            yield from _bits(value)


def _stored_dtype(files: Sequence[Path]) -> str:
    """Return the dtype of most of a model's weights, from the headers of its files; empty where they cannot be read."""
    from safetensors import SafetensorError, safe_open

    counts: dict[str, int] = {}
    for path in files:
        try:
            with safe_open(path, "np") as file:
                for key in file.keys():  # noqa: SIM118  it is no dictionary
                    stored = file.get_slice(key)
                    size = 1
                    for length in stored.get_shape():
                        size *= length
                    counts[stored.get_dtype()] = counts.get(stored.get_dtype(), 0) + size
        except (SafetensorError, OSError):
            continue
    most = max(counts, key=lambda dtype: counts[dtype], default="")
    return _DTYPES.get(most, most)


def one_line(text: str) -> str:
    """Return a file's words as one line that can break neither a terminal nor a figure."""
    line = " ".join("".join(sign for sign in word if sign.isprintable()) for word in text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
