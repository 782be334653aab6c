"""Checks of tokenizers that are only a sentencepiece model: what transformers builds from it is compared with the original.

Without a tokenizer_class, transformers 5.23 builds a tokenizer that puts no space before the first word. With a wrong one, it
merges the pieces of a unigram model as if they were those of a BPE. Both give other tokens than the model was trained on.
"""

from pathlib import Path
from typing import Any

from tokenviz.errors import ModelError

FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_SAMPLES = ("the cat sat on the mat", "The first of two, and 1999 more.", "one\ntwo", "hello")


def check_pieces(tokenizer: Any, folder: Path, label: str) -> None:
    """Refuse a tokenizer that was built from a sentencepiece model and tokenizes differently.

    Args:
        tokenizer: The tokenizer that transformers built.
        folder: The folder that holds the sentencepiece model.
        label: The model's label, for messages.

    Raises:
        ModelError: The tokenizer cuts a sample sentence into other pieces.
    """
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if not found or (folder / "tokenizer.json").is_file():
        return
    from sentencepiece import SentencePieceProcessor

    try:
        original = SentencePieceProcessor(model_file=str(found[0]))
    except RuntimeError:  # another format with the same name, such as tiktoken's
        return
    for sample in _SAMPLES:
        if original.unk_id() in original.encode(sample):
            continue  # model families treat this one differently
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
