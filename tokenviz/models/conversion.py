"""Other formats made into Hugging Face folders: GGUF files and glassllm's weights, what is refused of them, and rounding."""

import io
import json
import re
import struct
from collections import Counter
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ModelError
from tokenviz.base.progress import task
from tokenviz.models.runtime import quiet_transformers
from tokenviz.models.supported import shapes_of

if TYPE_CHECKING:
    from gguf import GGUFReader


# GGUF files, de-quantised once into an ordinary Hugging Face folder.
#
# transformers reads GGUF itself, but takes 15 to 45 s each time; the converted folder loads in about a second.

_MAGIC = b"GGUF"
_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class GgufSays:
    """The description that a GGUF file holds of itself.

    Attributes:
        name: `general.name`, or its parts joined; empty where it has none.
        weights: The format of its weights, such as "Q4_K_M" or "bfloat16".
    """

    name: str
    weights: str


def check_gguf(path: Path) -> GgufSays:
    """Refuse a damaged GGUF file before minutes are spent on it; return the description that a complete one holds.

    Raises:
        ModelError: The file is something else, or ends before its last tensor does.
    """
    from gguf import GGUFReader

    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise ModelError(f"{str(path)!r} is not a GGUF file: it does not begin with {_MAGIC.decode()!r}")
    try:
        reader = GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise ModelError(f"the GGUF file {str(path)!r} is cut short or damaged: {error}; fetch it again") from error
    end = max((int(tensor.data_offset) + int(tensor.n_bytes) for tensor in reader.tensors), default=0)
    size = path.stat().st_size
    if not end or end > size:
        raise ModelError(
            f"the GGUF file {str(path)!r} is cut short: its tensors end at byte {end:,}, the file at {size:,}; fetch it again"
        )
    return GgufSays(_name(reader), _weights(reader))


def _name(reader: "GGUFReader") -> str:
    if name := _text(reader, "general.name"):
        return name
    return " ".join(filter(None, (_text(reader, f"general.{part}") for part in ("basename", "size_label", "finetune"))))


def _text(reader: "GGUFReader", key: str) -> str:
    field = reader.get_field(key)
    value = field.contents() if field is not None else ""
    return " ".join(value.split()) if isinstance(value, str) else ""


def _weights(reader: "GGUFReader") -> str:
    """Return the mixture in the header, such as Q4_K_M, where most weights are quantised; else the type of most weights."""
    from gguf import GGMLQuantizationType, LlamaFileType

    counts: Counter[GGMLQuantizationType] = Counter()
    for tensor in reader.tensors:
        if len(tensor.shape) > 1:  # norms and biases are floats in every file
            counts[tensor.tensor_type] += int(tensor.n_elements)
    [(most, _)] = counts.most_common(1) or [(GGMLQuantizationType.F32, 0)]
    if most.name in _FLOATS:
        return _FLOATS[most.name]
    field = reader.get_field("general.file_type")
    try:
        said = LlamaFileType(int(field.contents())).name if field else ""
    except (ValueError, TypeError):  # a type of a newer llama.cpp
        said = ""
    mixture = said.removeprefix("MOSTLY_")
    return mixture if mixture != said and mixture not in _FLOATS else most.name


def convert_gguf(source: Path, target: Path) -> None:
    """Write the model and tokenizer of a GGUF file as a Hugging Face folder in float32.

    Args:
        source: The GGUF file.
        target: The folder to make.

    Raises:
        ModelError: The file is damaged, or of an architecture that transformers does not read from GGUF.
    """
    check_gguf(source)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet_transformers()
    folder, name = str(source.parent), source.name
    try:
        with redirect_stderr(io.StringIO()):  # hides a progress bar that no setting of transformers silences
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32, trust_remote_code=False)
    except (ValueError, KeyError, NotImplementedError, RuntimeError, TypeError) as error:
        reason = re.sub(r"\s+", " ", str(error))[:300]
        raise ModelError(f"transformers cannot read the GGUF file {str(source)!r}: {reason}") from error
    # The weights are plain float32 now. With these attributes set, transformers refuses to save them.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.config.name_or_path = ""  # GGUF puts a display name there
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


# Checks that the conversion of a GGUF file is complete: incomplete ones are refused, since their numbers would be wrong.
#
# transformers 5.23 silently leaves out tensors that it does not know (biases of a Llama, layers beyond the count in the header)
# and settings of rotary positions (except gpt-oss's), and initialises what is missing.

_MOST_NAMED = 3
_SCALES = "rope_freqs.weight"  # the factors by which Llama 3.1 divides rotary frequencies


def refuse_lossy(source: Path) -> None:
    """Refuse a GGUF file whose scaling of rotary positions would be lost in the conversion.

    Raises:
        ModelError: The file scales rotary positions in such a way.
    """
    from gguf import GGUFReader

    reader = GGUFReader(source)
    scales = {tensor.name: tensor for tensor in reader.tensors if tensor.name.startswith("rope_f")}
    lost = [name for name, tensor in scales.items() if name != _SCALES or not np.all(np.asarray(tensor.data) == 1)]
    architecture = _value(reader, "general.architecture")
    kind = _value(reader, f"{architecture}.rope.scaling.type")
    factor = _value(reader, f"{architecture}.rope.scaling.factor")
    if kind not in (None, "none") and factor not in (None, 1) and architecture != "gpt-oss":
        lost.append(f"{architecture}.rope.scaling.type {kind}")
    if lost:
        raise ModelError(
            f"the GGUF file {str(source)!r} scales its positions ({', '.join(lost)}), and transformers leaves that out: the "
            "numbers would be another model's. Take the model's safetensors instead"
        )


def check_whole(source: Path, folder: Path) -> None:
    """Refuse a conversion that has more or fewer numbers than the GGUF file.

    Args:
        source: The GGUF file.
        folder: The converted folder.

    Raises:
        ModelError: Something was left out, or made up.
    """
    from gguf import GGUFReader

    tensors = {tensor.name: tensor for tensor in GGUFReader(source).tensors if tensor.name != _SCALES}
    head, embedding = tensors.get("output.weight"), tensors.get("token_embd.weight")
    shapes = shapes_of(tuple(sorted(folder.glob("*.safetensors"))))
    # Files of BLOOM and Falcon may hold the embedding a second time, as an identical head.
    if (
        head is not None
        and embedding is not None
        and "lm_head.weight" not in shapes
        and np.array_equal(head.data, embedding.data)
    ):
        del tensors["output.weight"]
    held = sum(int(tensor.n_elements) for tensor in tensors.values())
    taken = sum(int(np.prod(shape)) for shape in shapes.values())
    if held < taken:
        raise ModelError(
            f"the GGUF file {str(source)!r} lacks weights: it holds {held:,} numbers, and its model has {taken:,}; the others "
            "would be random. Where it is one of several parts, join them first"
        )
    if held > taken:
        names = _left_out(list(tensors), folder)
        shown = f" ({', '.join(names[:_MOST_NAMED])}{', ...' if len(names) > _MOST_NAMED else ''})" if names else ""
        raise ModelError(
            f"the GGUF file {str(source)!r} holds {held:,} numbers, of which transformers takes {taken:,}{shown}: without the "
            "others the scores would be another model's. Take the model's safetensors instead"
        )


def _left_out(names: list[str], folder: Path) -> list[str]:
    """Return the tensors that have no place in a model, as far as transformers reports them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import TensorProcessor, get_gguf_hf_weights_map

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    known = get_gguf_hf_weights_map(network, TensorProcessor(config=config.to_dict()))
    return [name for name in names if name not in known and "_exps." not in name]


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


# Quantised weights: rounding through GGUF's block formats, and folders that are quantised already.
#
# With `quantize=`, the weights of the linear layers are quantised and de-quantised block by block (32 neighbours along the
# input dimension share a scale). So the model computes in its own dtype, with exactly the weights that a quantised file would
# hold. Embeddings, norms, biases and the output head keep their precision: a tied head is the embedding, and tied and untied
# models should be treated equally.
#
# A folder whose config.json has a `quantization_config` is read as that says, by transformers and the package of the method.
# `dtype=` says what is computed in.

# What transformers imports for a method, by the name under which it is installed.
_PACKAGES = {
    "awq": {"gptqmodel": "gptqmodel"},
    "bitsandbytes": {"bitsandbytes": "bitsandbytes"},
    "compressed-tensors": {"compressed_tensors": "compressed-tensors"},
    "gptq": {"optimum": "optimum", "gptqmodel": "gptqmodel"},
    "torchao": {"torchao": "torchao"},
}


def round_linear_layers(model: Any, form: str) -> int:
    """Round the weights of every linear layer but the output head, in place.

    Args:
        model: A transformers model.
        form: A block format of the gguf package, such as "q8_0" or "q4_0".

    Returns:
        The number of layers that were rounded.

    Raises:
        ModelError: The model has no linear layer, or one whose rows are not a whole number of blocks.
    """
    import torch
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
    from transformers.pytorch_utils import Conv1D

    kind = GGMLQuantizationType[form.upper()]
    block = GGML_QUANT_SIZES[kind][0]
    head = model.get_output_embeddings()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    }
    if not layers:
        raise ModelError(f"quantize={form}: the model has no linear layers to round")
    with task(f"rounding weights to {form}", len(layers), "layers") as advance, torch.no_grad():
        for name, module in layers.items():
            transposed = isinstance(module, Conv1D)  # GPT-2 stores (in, out)
            weight = (module.weight.T if transposed else module.weight).float().cpu().numpy()
            if weight.shape[1] % block:
                raise ModelError(
                    f"quantize={form}: the rows of {name} have {weight.shape[1]} weights, not a multiple of {block}"
                )
            rounded = quants.dequantize(quants.quantize(np.ascontiguousarray(weight), kind), kind)
            tensor = torch.from_numpy(rounded)
            module.weight.copy_(tensor.T if transposed else tensor)
            advance(1)
    return len(layers)


def own_quantization(folder: Path) -> str:
    """Return the method by which a folder's weights are quantised, such as "gptq"; empty where they are not."""
    try:
        found = json.loads((folder / "config.json").read_bytes())["quantization_config"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # of a damaged config, loading says more
        return ""
    if not isinstance(found, dict):
        return ""
    method = found.get("quant_method")
    # Early files of bitsandbytes do not name it.
    is_old = method is None and any(found.get(f"load_in_{bits}bit") for bits in (4, 8))
    return "bitsandbytes" if is_old else str(method or "an unnamed method")


def check_quantized(method: str, label: str, *, quantize: str | None, has_adapter: bool) -> None:
    """Refuse what cannot be done with a folder that is quantised already.

    Args:
        method: From `own_quantization`.
        label: The model's, for messages.
        quantize: The block format that is asked for.
        has_adapter: Whether an adapter is to be merged into the weights.

    Raises:
        ModelError: The method is not known, a package is missing, or the weights are to be changed.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    if method not in AUTO_QUANTIZATION_CONFIG_MAPPING and method not in _PACKAGES:  # transformers would read them as they are
        raise ModelError(
            f"the weights of {label!r} are quantised by a method that transformers does not know ({method}): take them in "
            "another form, or remove quantization_config from config.json if they are not quantised"
        )
    if quantize or has_adapter:
        what = f"quantize={quantize} cannot round them again" if quantize else "an adapter cannot be merged into them"
        raise ModelError(f"the weights of {label!r} are quantised already ({method}), and {what}: take the model before that")
    missing = [name for module, name in _PACKAGES.get(method, {}).items() if find_spec(module) is None]
    if missing:
        raise ModelError(
            f"the weights of {label!r} are quantised ({method}), which needs the package{'s' * (len(missing) > 1)} "
            f"{' and '.join(missing)}: pip install {' '.join(missing)}"
        )


# The small NumPy model of the glassllm package, converted into a Hugging Face Llama folder.
#
# It is a Llama except for three points. Its rotary embedding rotates adjacent coordinates, where Hugging Face rotates the two
# halves of a head. Its matrices are stored transposed. Its tokenizer is a plain character BPE. After the conversion the log-
# probs agree with the package's own forward pass to about 2e-6 nats.

_SPECIALS = ["<pad>", "<unk>", "<bos>", "<eos>"]
_SPACE = "▁"
_CHUNKS = r"\n|▁*[^▁\n]+|▁+"


def convert_glass(weights: Path, tokenizer: Path, target: Path) -> None:
    """Write a Hugging Face folder from glassllm's files.

    Args:
        weights: The `.npz` file: float16 arrays and a JSON configuration.
        tokenizer: The `.tokenizer.json` file: alphabet and merges.
        target: The folder to make.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    quiet_transformers()
    with np.load(weights) as arrays:
        settings = json.loads(str(arrays["__config__"]))
        source = {name: arrays[name].astype(np.float32) for name in arrays.files if name != "__config__"}
    config = LlamaConfig(
        vocab_size=settings["vocab_size"],
        hidden_size=settings["d_model"],
        num_hidden_layers=settings["n_layers"],
        num_attention_heads=settings["n_heads"],
        num_key_value_heads=settings["n_kv_heads"],
        intermediate_size=source["blocks.0.ffn.W1"].shape[1],
        max_position_embeddings=settings["max_len"],
        rope_parameters={"rope_type": "default", "rope_theta": settings["rope_base"]},
        rms_norm_eps=settings["eps"],
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    state = {name: torch.from_numpy(array) for name, array in _llama_names(source, settings).items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    model.save_pretrained(target)
    _fast_tokenizer(tokenizer, settings["max_len"]).save_pretrained(target)


def _llama_names(source: dict[str, NDArray[np.float32]], settings: dict[str, int]) -> dict[str, NDArray[np.float32]]:
    head = settings["d_model"] // settings["n_heads"]
    arrays = {"model.embed_tokens.weight": source["E"], "model.norm.weight": source["norm_f.gamma"]}
    for layer in range(settings["n_layers"]):
        old, new = f"blocks.{layer}.", f"model.layers.{layer}."
        arrays[new + "input_layernorm.weight"] = source[old + "norm1.gamma"]
        arrays[new + "post_attention_layernorm.weight"] = source[old + "norm2.gamma"]
        arrays[new + "self_attn.q_proj.weight"] = _halves(source[old + "attn.W_Q"].T, head)
        arrays[new + "self_attn.k_proj.weight"] = _halves(source[old + "attn.W_K"].T, head)
        arrays[new + "self_attn.v_proj.weight"] = source[old + "attn.W_V"].T
        arrays[new + "self_attn.o_proj.weight"] = source[old + "attn.W_O"].T
        arrays[new + "mlp.gate_proj.weight"] = source[old + "ffn.W1"].T
        arrays[new + "mlp.up_proj.weight"] = source[old + "ffn.W3"].T
        arrays[new + "mlp.down_proj.weight"] = source[old + "ffn.W2"].T
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _halves(weight: NDArray[np.float32], head: int) -> NDArray[np.float32]:
    """Reorder each head's rows from adjacent rotary pairs (0 1)(2 3).. to halves 0 2 .. 1 3 .."""
    pairs = weight.reshape(-1, head // 2, 2, weight.shape[1])  # (heads, pairs, 2, d_model)
    return pairs.transpose(0, 2, 1, 3).reshape(weight.shape)


def _fast_tokenizer(path: Path, max_len: int):  # type: ignore[no-untyped-def]  # transformers has no types
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    stored = json.loads(path.read_text(encoding="utf-8"))
    merges = [tuple(pair) for pair in stored["merges"]]
    tokens = [*_SPECIALS, *stored["alphabet"], *(left + right for left, right in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(" ", _SPACE)])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_CHUNKS), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.Fuse()])
    # The package's tokenizer knows no special strings in a text, and its model was trained without a BOS.
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", model_max_length=max_len, split_special_tokens=True
    )
