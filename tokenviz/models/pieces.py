"""Tokenizers that are a sentencepiece model alone: transformers rebuilds them, and what it builds is held against the original.

transformers 5.23 gives a tokenizer without the space before the first word where no tokenizer_class is named, and merges the
pieces of a unigram model as if they were BPE's where a wrong one is. Both score other tokens than the model was trained on.
"""

from pathlib import Path
from typing import Any

from tokenviz.errors import ModelError

FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_SAMPLES = ("the cat sat on the mat", "The first of two, and 1999 more.", "one\ntwo", "hello")


def check_pieces(tokenizer: Any, folder: Path, label: str) -> None:
    """Refuse a tokenizer that was rebuilt from a sentencepiece model and cuts otherwise.

    Args:
        tokenizer: As transformers made it.
        folder: That holds it.
        label: The model's.

    Raises:
        ModelError: It cuts a sample sentence into other pieces.
    """
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if not found or (folder / "tokenizer.json").is_file():
        return
    from sentencepiece import SentencePieceProcessor

    try:
        original = SentencePieceProcessor(model_file=str(found[0]))
    except RuntimeError:  # another format by the same name, such as tiktoken's
        return
    for sample in _SAMPLES:
        if original.unk_id() in original.encode(sample):
            continue  # of which families make different things
        expected = original.encode(sample, out_type=str)
        pieces = tokenizer.convert_ids_to_tokens(tokenizer(sample, add_special_tokens=False)["input_ids"])
        if pieces != expected:
            raise ModelError(
                f"{label!r} has its tokenizer in {found[0].name} alone, and transformers cuts {sample!r} into {_shown(pieces)} "
                f"where the original cuts it into {_shown(expected)}: name the right tokenizer_class in tokenizer_config.json, "
                "or add the model's tokenizer.json"
            )


def _shown(pieces: list[str]) -> str:
    return " ".join(pieces[:4]) + (" ..." if len(pieces) > 4 else "")
