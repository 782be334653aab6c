"""GGUF files, de-quantised once into an ordinary Hugging Face folder.

transformers reads GGUF itself, but takes 15 to 45 s each time; the folder written here loads in about a second.
"""

import io
import re
import struct
from contextlib import redirect_stderr
from pathlib import Path

from tokenviz.errors import ModelError
from tokenviz.models.quiet import quiet_transformers

_MAGIC = b"GGUF"


def check_gguf(path: Path) -> None:
    """Refuse what is no whole GGUF file, before minutes are spent on it.

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
        with redirect_stderr(io.StringIO()):  # a bar of its own that no setting of transformers silences
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32, trust_remote_code=False)
    except (ValueError, KeyError, NotImplementedError, RuntimeError, TypeError) as error:
        reason = re.sub(r"\s+", " ", str(error))[:300]
        raise ModelError(f"transformers cannot read the GGUF file {str(source)!r}: {reason}") from error
    # The weights are plain float32 now; with these marks left, transformers refuses to save them.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.config.name_or_path = ""  # GGUF puts a display name there
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
