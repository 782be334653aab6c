"""GGUF files, de-quantised once into an ordinary Hugging Face folder.

transformers reads GGUF itself, but takes 15 to 45 s each time; the converted folder loads in about a second.
"""

import io
import re
import struct
from collections import Counter
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenviz.errors import ModelError
from tokenviz.models.quiet import quiet_transformers

if TYPE_CHECKING:
    from gguf import GGUFReader

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
