"""The files of a model folder, and adapters in it or next to it."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from warnings import catch_warnings, simplefilter

from tokenviz.base.errors import ModelError
from tokenviz.models.cache import feed, files_sha256

# The files of a model folder: which of them are loaded, and the hash that pins them.
#
# Other files name the files that transformers loads: an index of weights, a config, a tokenizer's config. They may name a file
# in a sub-folder, which belongs to the model, or a file outside the folder, which is refused.

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_DESCRIBED = (".json", ".model", ".txt", ".jinja")
# Vocabularies with less common names: those of PhoBERT, ProphetNet, the first Qwen, and Mistral's "tokenizer.model.v3".
_VOCABULARIES = ("*.codes", "*.tokenizer", "*.tiktoken", "*.spm", "tokenizer.model.*")
_TEMPLATES = "additional_chat_templates/*.jinja"
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model in a folder.

    Attributes:
        folder: The folder.
        usual: Descriptions, vocabularies and weights at the top of the folder, in a fixed order.
        more: All other files that are loaded: those in sub-folders or with less common names.
        weights: The files of weights among both.
    """

    folder: Path
    usual: tuple[Path, ...]
    more: tuple[Path, ...]
    weights: tuple[Path, ...]

    def sha256(self) -> str:
        """Return the SHA-256 of all that is loaded, in hexadecimal; links are followed.

        The usual files contribute their bytes alone. The others contribute name and length as well, since one could take the
        place of another.
        """
        digest = sha256()
        for path in self.usual:
            feed(digest, path)
        for path in self.more:
            name = path.relative_to(self.folder).as_posix()
            digest.update(f"\0{name}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            feed(digest, path)
        return digest.hexdigest()


def model_files(folder: Path, name: str) -> ModelFiles:
    """Find the files that are loaded for a model.

    Args:
        folder: The model's folder.
        name: The model's name as the user gave it, for messages.

    Raises:
        ModelError: A file is missing, is a pickle, or is outside the folder.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"the folder {name!r} holds no model: it has no config.json")
    weights = _loaded_weights(folder, name)
    at_top = sorted(folder.glob("*.safetensors"))
    if not weights and not [path for path in at_top if path.name != _ADAPTER_WEIGHTS]:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
        if pickled:
            raise ModelError(pickled_message(name, pickled[0]))
        raise ModelError(f"the folder {name!r} holds no weights: it has no .safetensors file")
    if not has_tokenizer(folder):
        raise ModelError(f"the folder {name!r} has no tokenizer: one of {', '.join(_TOKENIZER_FILES)} is needed")
    usual = [*_described(folder), *at_top]
    more = {*weights, *_more_described(folder, name)} - set(usual)
    return ModelFiles(folder, tuple(usual), tuple(sorted(more)), weights)


def adapter_files(folder: Path, name: str) -> ModelFiles:
    """Find the files of an adapter that has its own folder.

    Raises:
        ModelError: The adapter's weights are missing or a pickle.
    """
    weights = folder / _ADAPTER_WEIGHTS
    if not weights.is_file():
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
        if pickled:
            raise ModelError(pickled_message(name, pickled[0]))
        raise ModelError(f"the adapter in {name!r} holds no weights: it has no {_ADAPTER_WEIGHTS}")
    more = tuple(sorted(set(_more_described(folder, name))))
    return ModelFiles(folder, (*_described(folder), weights), more, (weights,))


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder holds a tokenizer."""
    return any((folder / file).is_file() for file in _TOKENIZER_FILES)


def is_pickled(path: Path) -> bool:
    """Return whether a file is a pickle, by its name."""
    return path.suffix in _PICKLED


def pickled_message(name: str, file: str) -> str:
    """Return the message that refuses weights in a pickle."""
    return (
        f"{name!r} has its weights in {file}, a pickle, which can run any code when it is read: it is refused. "
        "Convert it to safetensors where you trust it, or choose another revision"
    )


def weights_sha256(files: ModelFiles) -> str:
    """Return the SHA-256 of the weights that are loaded, in hexadecimal, whatever else is in the folder.

    For one file it is the file's own, as model hubs show it. For several it is that of the lines which `sha256sum NAME...`
    prints for them, sorted by name.

    The cache of a model hub stores large files under their SHA-256 and links to them; then that name is taken.
    """
    digests = {path.relative_to(files.folder).as_posix(): _blob_sha256(path) or files_sha256([path]) for path in files.weights}
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _blob_sha256(path: Path) -> str | None:
    """Return the name of the blob that a link in huggingface_hub's cache points to, if it is a SHA-256, else None."""
    blob = path.resolve()
    is_sha256 = len(blob.name) == 64 and set(blob.name) <= set("0123456789abcdef")
    return blob.name if path.is_symlink() and blob.parent.name == "blobs" and is_sha256 else None


def bytes_in_memory(weights: Iterable[Path], itemsize: int | None) -> int:
    """Return the bytes that weights take once they are loaded; only the heads of the files are read.

    Args:
        weights: Files of safetensors.
        itemsize: Bytes of a number in the dtype that is computed in; None where the weights are kept as they are, as
            quantised ones are.
    """
    total = 0
    for path in weights:
        try:
            with path.open("rb") as file:
                about = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            for name, one in about.items():
                if name != "__metadata__":
                    begin, end = one["data_offsets"]
                    floats = one["dtype"].startswith(("F", "BF"))
                    total += math.prod(one["shape"]) * itemsize if floats and itemsize else end - begin
        except (OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError):  # loading refuses it in its own words
            total += path.stat().st_size
    return total


def shards_in_folders(folder: Path, name: str) -> list[str]:
    """Return the weights in sub-folders that the index at the top of a folder names.

    Raises:
        ModelError: The index names a file outside the folder, or is no index.
    """
    if (folder / _WHOLE).is_file() or not (folder / _INDEX).is_file():
        return []
    return [file for file in _indexed(folder, _INDEX, name) if "/" in file]


def _described(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _DESCRIBED and path.is_file())


def _more_described(folder: Path, name: str) -> list[Path]:
    """Return vocabularies with less common names, templates in their sub-folder, and files that configs name."""
    found = [path for pattern in (*_VOCABULARIES, _TEMPLATES) for path in folder.glob(pattern) if path.is_file()]
    for file, setting in (("config.json", "configuration_files"), ("tokenizer_config.json", "fast_tokenizer_files")):
        named = _read(folder / file).get(setting)
        for one in named if isinstance(named, list) else []:
            if isinstance(one, str) and _inside(folder, one, file, name).is_file():
                found.append(folder / one)
    return found


def _loaded_weights(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the files that transformers reads weights from, in its order of preference; empty where there are none."""
    chosen = _read(folder / "config.json").get("transformers_weights")
    if isinstance(chosen, str) and chosen:
        _inside(folder, chosen, "config.json", name)
    else:
        chosen = next((file for file in (_WHOLE, _INDEX) if (folder / file).is_file()), None)
    if chosen is None or not (folder / chosen).is_file():
        return ()
    if not chosen.endswith(".json"):
        return (folder / chosen,)
    files = _indexed(folder, chosen, name)
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise ModelError(
            f"{name!r} is not complete: {chosen} names {len(missing)} of {len(files)} files that are not there, {missing[0]} "
            "among them; fetch them"
        )
    return tuple(folder / file for file in files)


def _indexed(folder: Path, index: str, name: str) -> list[str]:
    """Return the files that an index of weights names, each once, in order."""
    content = _read(folder / index)
    names = content.get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(file, str) and file for file in names.values()):
        raise ModelError(f"{name!r} has an index of weights that is damaged: {index} has no weight_map of names and files")
    if not isinstance(content.get("metadata"), dict):
        raise ModelError(f"{name!r} has an index of weights that is damaged: {index} has no metadata")
    files = sorted(set(names.values()))
    for file in files:
        _inside(folder, file, index, name)
    return files


def _inside(folder: Path, file: str, where: str, name: str) -> Path:
    """Return the path of a named file; refuse names that leave the folder. Links may leave it: they are the user's own."""
    paths = (PurePosixPath(file), PureWindowsPath(file))  # both kinds, since a folder may be copied to another system
    if any(".." in path.parts or path.is_absolute() or path.drive for path in paths) or "\0" in file:
        raise ModelError(
            f"{name!r} is refused: its {where} names {file!r}, which leads out of the folder; "
            "a model's files must be in its folder"
        )
    return folder / file


def _read(path: Path) -> dict[str, Any]:
    """Return an object from a JSON file; empty where there is none, since loading then raises a better error."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


# Adapters: small weights that change a model (LoRA and similar), in their own folder or next to the whole model.
#
# The peft package merges them into the model. Where it is not installed, adapters are refused. They are never ignored: the
# numbers would be those of the model before its fine-tuning.


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
