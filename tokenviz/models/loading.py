"""Loading: from a model spec to a folder on disk, and from the folder to a model in memory.

`resolve` finds or fetches the files and returns what pins them; it needs no torch. `load` reads them. Only safetensors and GGUF
weights are read, and no code that comes with a model is run.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from os.path import expanduser  # Path.expanduser raises an error where there is no such user
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tokenviz.base.errors import ModelError, did_you_mean
from tokenviz.base.hardware import spread_over
from tokenviz.base.progress import note
from tokenviz.models import folders, runtime, supported, tokens
from tokenviz.models.cache import build_once, cache_folder, files_sha256
from tokenviz.models.catalogue import CATALOGUE, CONVERSION_VERSION, CatalogueModel, pull
from tokenviz.models.conversion import check_quantized, own_quantization, round_linear_layers
from tokenviz.models.describing import describe, describe_catalogue, describe_folder, one_line
from tokenviz.models.family import CHECKPOINT
from tokenviz.models.folders import base_of, has_adapter, merge_adapter, require_peft
from tokenviz.models.runtime import imports_put_off, quiet_transformers, warm_up_vector_math
from tokenviz.models.spec import SIZES, ModelSpec, is_hub_id
from tokenviz.models.supported import refuse_unused
from tokenviz.models.tokens import in_one_line, read_tokenizer

Source = Literal["catalogue", "folder", "gguf", "hub"]

_HUB_PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt", "*.jinja"]
_TOKENIZER_PATTERNS = ["*.json", "*.model", "*.txt"]
_NO_LIMIT_CONTEXT = 2048  # for architectures that state no limit, such as ALiBi models


@dataclass(frozen=True)
class ResolvedModel:
    """A model on disk.

    Attributes:
        spec: The model spec that was asked for.
        source: The kind of place it came from.
        folder: A Hugging Face folder with safetensors and a tokenizer.
        identity: The hash that pins its content: `sha256:...` or `commit:...`. For an adapter in its own folder it is the
            adapter's SHA-256, "+", and the identity of the model that it changes.
        weights_sha256: SHA-256 of the weights alone (`folders.weights_sha256`) for a model from a hub, which shows that two
            revisions have the same weights. Empty for others, whose identity is a SHA-256 already.
        adapter: The folder of an adapter to merge into the model; None for none.
        description: The model's description for readers (`tokenviz.models.describing`).
    """

    spec: ModelSpec
    source: Source
    folder: Path
    identity: str
    weights_sha256: str = ""
    adapter: Path | None = None
    description: str = ""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory, ready to score.

    Attributes:
        resolved: The model on disk that was loaded.
        network: The transformers model, in evaluation mode. Scoring changes the layout of its weights in place: a layer
            that was used to score computes as before, but has no `weight` to read.
        tokenizer: The model's fast tokenizer.
        device: "cpu", "cuda" or "mps".
        context: The most tokens that it reads at once.
        vocabulary: The number of its logits; it may exceed the tokenizer's vocabulary.
        tokenizer_sha256: Fingerprint of the tokenizer's vocabulary.
        versions: Versions of the packages that compute.
        memo: Facts about the network that are found once and hold as long as it is loaded.
    """

    resolved: ResolvedModel
    network: Any
    tokenizer: Any
    device: str
    context: int
    vocabulary: int
    tokenizer_sha256: str
    versions: dict[str, str]
    memo: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"LoadedModel({self.label!r} on {self.device}: reads {self.context:,} tokens at once, "
            f"predicts over {self.vocabulary:,})"
        )

    @property
    def label(self) -> str:
        """The model spec as text."""
        return self.resolved.spec.label


def load_model(spec: str | ModelSpec) -> LoadedModel:
    """Find or fetch a model and read it into memory.

    Args:
        spec: A model spec: a hub id ("gpt2", "gpt2@revision"), a name from the catalogue ("smollm2-135m",
            "gemma3-270m", "glass-en"), a folder with safetensors, or a `.gguf` file; with options after commas: `dtype`
            (by default float32), `device` and `quantize`, as in "smollm2-135m,dtype=bfloat16".

    Returns:
        The model in memory, with its tokenizer.

    Raises:
        ModelError: The model is unknown, unreachable, damaged or not to be trusted.
        DiskError: There is no room to prepare it.

    Example:
        >>> tv.load_model("glass-en,device=cpu")
        LoadedModel('glass-en,device=cpu' on cpu: reads 128 tokens at once, predicts over 1,024)
    """
    return load(resolve(spec))


def as_loaded(model: LoadedModel | str) -> LoadedModel:
    """Load a model that is given by its spec; return a loaded one unchanged.

    Raises:
        ModelError: The model cannot be loaded, as in `load_model`; or the argument is neither a model nor a spec.
    """
    if isinstance(model, LoadedModel):
        return model
    if not isinstance(model, str):
        raise ModelError(f"a {type(model).__name__} is no model: give what load_model returns, or a model spec such as 'gpt2'")
    return load_model(model)


def resolve(spec: str | ModelSpec) -> ResolvedModel:
    """Find a model's files; fetch and convert what is missing.

    Who needs several models resolves all of them before the first is loaded: the last may not be there.

    Raises:
        ModelError: The model spec is not possible, or the model is unknown, unreachable, damaged or not to be trusted.
        DiskError: There is not enough room to prepare it.
    """
    spec = spec if isinstance(spec, ModelSpec) else ModelSpec.parse(spec)
    if spec.name in CATALOGUE:
        return _resolve_catalogue(spec, CATALOGUE[spec.name])
    path = Path(expanduser(spec.name))
    try:
        there = path.exists()
    except OSError as error:  # for example a name that is too long
        raise ModelError(f"no model at {spec.name[:40]!r}... ({error.strerror}): {_known(spec.name)}") from error
    if there and spec.revision is not None:
        raise ModelError(
            f"{spec.name!r} is a {'folder' if path.is_dir() else 'file'}, which has no revisions: leave out @{spec.revision}"
        )
    if there and path.is_dir():
        return _resolve_folder(spec, path)
    if there:
        return _resolve_gguf(spec, path)
    if not is_hub_id(spec.name):
        raise ModelError(f"no model at {spec.name!r}: {_known(spec.name)}")
    return _resolve_hub(spec)


def _resolve_catalogue(spec: ModelSpec, model: CatalogueModel) -> ResolvedModel:
    if spec.revision is not None and model.form != "family":
        raise ModelError(f"{spec.name!r} is a catalogue model, which has no revisions: leave out @{spec.revision}")
    folder, description = pull(model), describe_catalogue(spec, model)
    if model.form != "family":
        return ResolvedModel(spec, "catalogue", folder, model.identity, description=description)
    if spec.revision is not None:
        kept = sorted(int(path.name.removeprefix(CHECKPOINT)) for path in folder.glob(f"{CHECKPOINT}*"))
        if spec.revision not in (f"{CHECKPOINT}{step}" for step in kept):
            raise ModelError(
                f"{spec.name!r} has no checkpoint {spec.revision!r}: it has {CHECKPOINT}N for N = {', '.join(map(str, kept))}"
            )
        folder, description = folder / spec.revision, f"{description}, {spec.revision}"
    # Weights that were trained on two machines are two models: the hash of the files distinguishes them.
    identity = f"sha256:{folders.model_files(folder, spec.name).sha256()}"
    return ResolvedModel(spec, "catalogue", folder, identity, description=description)


def _known(name: str) -> str:
    return (
        f"give a catalogue name ({', '.join(CATALOGUE)}), a folder with safetensors, a .gguf file, or a hub id such as "
        f"'gpt2' or 'owner/model'{did_you_mean(name, CATALOGUE)}"
    )


def _resolve_folder(spec: ModelSpec, path: Path) -> ResolvedModel:
    own = path.resolve().name
    if not has_adapter(path):
        files = folders.model_files(path, spec.name)
        description = describe_folder(spec, path, own, files.weights)
        return ResolvedModel(spec, "folder", path, f"sha256:{files.sha256()}", description=description)
    require_peft(path, spec.name)
    adapter = folders.adapter_files(path, spec.name)
    if (path / "config.json").is_file():  # the adapter is next to its model
        files = folders.model_files(path, spec.name)
        description = f"{describe_folder(spec, path, own, files.weights)}, with its adapter merged"
        return ResolvedModel(spec, "folder", path, f"sha256:{files.sha256()}", adapter=path, description=description)
    name, revision = base_of(path, spec.name)
    base = resolve(
        replace(ModelSpec.parse(name), revision=revision, dtype=spec.dtype, quantize=spec.quantize, device=spec.device)
    )
    if base.adapter is not None:
        raise ModelError(f"{spec.name!r} is an adapter for {name!r}, which holds an adapter itself: merge that one first")
    identity = f"sha256:{adapter.sha256()}+{base.identity}"
    description = f"{one_line(own)} merged into {base.description}"
    return replace(base, spec=spec, identity=identity, adapter=path, description=description)


def _resolve_gguf(spec: ModelSpec, path: Path) -> ResolvedModel:
    from tokenviz.models.conversion import check_gguf, check_whole, convert_gguf, refuse_lossy

    def convert(scratch: Path) -> None:
        convert_gguf(path, scratch / "model")
        check_whole(path, scratch / "model")

    if folders.is_pickled(path):
        raise ModelError(folders.pickled_message(spec.name, path.name))
    said = check_gguf(path)
    refuse_lossy(path)
    digest = files_sha256([path])
    folder = cache_folder() / f"gguf-{digest[:12]}-v{CONVERSION_VERSION}"
    if not folder.is_dir():
        note(f"converting {path} once, into {folder}")
    # Four bits per weight become 32.
    build_once(folder, convert, needs_bytes=8 * path.stat().st_size)
    check_whole(path, folder)  # an earlier version may have converted it without this check
    description = describe(spec, said.name or path.stem, said.weights)
    return ResolvedModel(spec, "gguf", folder, f"sha256:{digest}/v{CONVERSION_VERSION}", description=description)


def _resolve_hub(spec: ModelSpec) -> ResolvedModel:
    folder = _fetch(spec, _HUB_PATTERNS)
    if has_adapter(folder):
        raise ModelError(
            f"{spec.name!r} holds an adapter: fetch it into a folder and give that, for it to be merged into its model"
        )
    files = folders.model_files(folder, spec.name)
    description = describe_folder(spec, folder, spec.name, files.weights)
    return ResolvedModel(spec, "hub", folder, f"commit:{folder.name}", folders.weights_sha256(files), description=description)


def _fetch(spec: ModelSpec, patterns: list[str]) -> Path:
    """Fetch the files of a model on a hub that match some patterns; return their folder, whose name is the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    note(f"looking up {spec.name} on the model hub")
    try:
        # Sub-folders hold exports for other programs, unless the index of the weights names them.
        folder = Path(snapshot_download(spec.name, revision=spec.revision, allow_patterns=patterns, ignore_patterns=["*/*"]))
        if patterns is _HUB_PATTERNS and (shards := folders.shards_in_folders(folder, spec.name)):
            snapshot_download(spec.name, revision=folder.name, allow_patterns=shards)
    except GatedRepoError as error:
        raise ModelError(f"{spec.name!r} asks for its licence to be accepted on the hub first, and for a login") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{spec.name!r} has no revision {spec.revision!r} on the hub") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(f"no model {spec.name!r} on the hub: {_known(spec.name)}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"no model hub can be reached for {spec.name!r}, and it is not on disk: {_known(spec.name)}"
        ) from error
    return folder


def load(resolved: ResolvedModel) -> LoadedModel:
    """Read a resolved model into memory.

    Raises:
        ModelError: The files are damaged, incomplete, or of an architecture that transformers does not know.
    """
    warm_up_vector_math()
    spec, folder = resolved.spec, str(resolved.folder)
    device = pick_device(spec.device)
    supported.check_values(resolved.folder, spec.label)
    with imports_put_off() if runtime.own_process else nullcontext():
        from transformers import AutoConfig

        quiet_transformers()
        with in_one_line(spec.label):
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            supported.check_kind(config, spec.label)
            places = [place for place in (resolved.adapter, resolved.folder) if place and folders.has_tokenizer(place)]
            tokenizer = read_tokenizer(places[0] if places else resolved.folder, spec.label)
            network = _read_network(resolved, device)
    tokens.require_fast(tokenizer, spec.label)
    tokens.forget_sources(tokenizer)
    if spec.quantize:
        round_linear_layers(network, spec.quantize)
    network.eval().requires_grad_(False)
    if not getattr(network, "hf_device_map", None):
        network.to(device)
    return LoadedModel(
        resolved=resolved,
        network=network,
        tokenizer=tokenizer,
        device=device,
        context=_context_limit(network),
        vocabulary=int(network.get_input_embeddings().weight.shape[0]),
        tokenizer_sha256=tokens.fingerprint(tokenizer),
        versions={name: version(name) for name in ("torch", "transformers", "tokenizers")},
    )


def memory_bytes(resolved: ResolvedModel) -> int:
    """Return the bytes that a model's weights take in memory, in the dtype that it computes in; no weight is read."""
    files = folders.model_files(resolved.folder, resolved.spec.label)
    return folders.bytes_in_memory(files.weights, None if own_quantization(resolved.folder) else SIZES[resolved.spec.dtype])


def gpu_memory() -> int:
    """Return the bytes of memory of the GPU that is computed on; 0 where there is none."""
    import torch

    return int(torch.cuda.mem_get_info()[1]) if torch.cuda.is_available() else 0


def _placement(resolved: ResolvedModel, device: str, method: str) -> Any:
    """Return where transformers puts the weights as it reads them; None to have them read on the processor, and moved."""
    import torch

    if device == "cuda":
        gc.collect()  # hooks of a model that was spread refer to each other
        torch.cuda.empty_cache()  # what earlier models of this process held is free as well
        free = [torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())]
        if spread_over(memory_bytes(resolved), free, resolved.spec.label):
            return "auto"
    return {"": device} if method else None


def _read_network(resolved: ResolvedModel, device: str) -> Any:
    """Return the model with all its weights; refuse files with missing or unused ones."""
    import torch
    from transformers import AutoModelForCausalLM

    label, dtype = resolved.spec.label, getattr(torch, resolved.spec.dtype)
    method = own_quantization(resolved.folder)
    if method:
        check_quantized(method, label, quantize=resolved.spec.quantize, has_adapter=resolved.adapter is not None)
    merged_in = torch.promote_types(dtype, torch.float32) if resolved.adapter else dtype
    with _without_adapter(resolved.folder) as folder:
        network, report = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=merged_in,
            device_map=_placement(resolved, device, method),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        raise ModelError(
            f"{label!r} lacks {len(missing)} of its weights, {missing[0]} among them: they would be random numbers"
        )
    refuse_unused(network, set(report["unexpected_keys"]), folders.model_files(resolved.folder, label).weights, label)
    return merge_adapter(network, resolved.adapter, label).to(dtype) if resolved.adapter else network


def weights_of(resolved: ResolvedModel) -> str:
    """Return the SHA-256 of a model's weights alone: two checkpoints may hold the same weights under different names."""
    if resolved.weights_sha256 or resolved.adapter:
        return resolved.weights_sha256 or resolved.identity
    return folders.weights_sha256(folders.model_files(resolved.folder, resolved.spec.label))


def load_tokenizer(spec: ModelSpec) -> Any:
    """Find or fetch a model's tokenizer alone, and read it; a folder need not hold anything else.

    Raises:
        ModelError: The tokenizer is missing or unreachable, or does not report which characters its tokens cover.
    """
    quiet_transformers()
    path = Path(expanduser(spec.name))
    if spec.name not in CATALOGUE and is_hub_id(spec.name) and not path.exists():
        folder = _fetch(spec, _TOKENIZER_PATTERNS)
    elif path.is_dir() and folders.has_tokenizer(path):
        folder = path
    else:
        folder = resolve(spec).folder
    with in_one_line(spec.label):
        tokenizer = read_tokenizer(folder, spec.label)
    tokens.require_fast(tokenizer, spec.label)
    return tokenizer


@contextmanager
def _without_adapter(folder: Path) -> Iterator[Path]:
    """Yield a folder with the same model and no adapter; transformers would attach an adapter without merging it."""
    if not has_adapter(folder):
        yield folder
        return
    with TemporaryDirectory(prefix="tokenviz-") as view:
        for path in folder.iterdir():
            if path.name != folders.ADAPTER:
                (Path(view) / path.name).symlink_to(path.resolve(), target_is_directory=path.is_dir())
        yield Path(view)


def _context_limit(network: Any) -> int:
    """Return the most tokens that a model reads at once."""
    settings = network.config.get_text_config().to_dict()
    stated = [settings[name] for name in supported.LIMITS if isinstance(settings.get(name), int) and settings[name] > 0]
    if not stated:
        return _NO_LIMIT_CONTEXT
    # RoBERTa and similar models count positions from one after that of padding: of 514 positions 512 can be used.
    tables = [module for name, module in network.named_modules() if name.endswith("position_embeddings")]
    unused = [table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None]
    return int(stated[0]) - max(unused, default=0)


def pick_device(asked: str) -> str:
    """Return the device to compute on; decide "auto".

    Raises:
        ModelError: This machine does not have the device.
    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available[asked]:
        have = ", ".join(device for device, there in available.items() if there)
        raise ModelError(f"device={asked}: torch finds none on this machine; it has {have}")
    return asked
