"""Token ids of a passage, each with its slice of the original text; the ids that open a window; and reading tokenizers."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tokenviz.base.errors import ModelError, ScoringError, did_you_mean, is_of, listed
from tokenviz.data.scores import BosMode
from tokenviz.models.offsets import EncodedPassage, place
from tokenviz.models.vocabulary import BYTE_OF, BYTE_PIECE

_NAMED = 8  # the most special tokens that a message names


def encode(tokenizer: Any, passage: str) -> EncodedPassage:
    """Tokenize a passage literally, without the special tokens that the tokenizer adds.

    The string of a special token in the passage is read as the tokenizer reads it: most turn "<bos>" into the BOS id.

    Characters that no token covers have their own rows (`EncodedPassage`). Whitespace that the tokenizer drops belongs to the
    token after it, or at the end of the passage to the last one.

    Raises:
        ScoringError: The tokenizer fails, or makes no token of a passage that has characters, or the characters that its tokens
            cover cannot be determined.
    """
    if not passage:
        nothing = np.empty(0, np.int64)
        return EncodedPassage(nothing, nothing, nothing, nothing, nothing, np.empty(0, np.bool_))
    try:
        encoded = tokenizer(passage, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    except Exception as error:  # tokenizers raises bare Exceptions
        raise ScoringError(f"the tokenizer cannot read {passage[:40]!r}: {error}") from error
    if not encoded["input_ids"]:
        raise ScoringError(f"the tokenizer makes no token of {passage[:40]!r}: there is nothing to score")
    placed = place(tokenizer, passage, encoded["input_ids"], encoded["offset_mapping"])
    if placed is None:
        raise ScoringError(
            f"the tokenizer leaves out characters of {passage[:40]!r}, and which ones cannot be told: its offsets are those of "
            "other characters. Give it a token for what is unknown, or the bytes as its initial alphabet"
        )
    return placed


def bos_prefix(tokenizer: Any, mode: BosMode, model_name: str) -> tuple[int, ...]:
    """Return the ids that open every window.

    Args:
        tokenizer: The model's tokenizer.
        mode: "auto": what the tokenizer itself puts before a text; "always": its BOS; "never": nothing. Any other string names
            a token of its vocabulary: that token alone.
        model_name: The model's name, for messages.

    Raises:
        ScoringError: The mode is no string; "always" was asked of a tokenizer without a BOS; or the vocabulary has no such
            token.
    """
    if mode == "never":
        return ()
    if not is_of(mode, str):
        raise ScoringError(f"bos {mode!r} is not possible: take 'auto', 'always', 'never' or a token by its string")
    if mode not in ("auto", "always"):
        return (_named_token(tokenizer, mode, model_name),)
    own = _own_prefix(tokenizer)
    if mode == "auto":
        return own
    if tokenizer.bos_token_id is None:
        raise ScoringError(
            f"bos 'always': the tokenizer of {model_name!r} has no BOS token; use 'auto' or 'never', or name a token of its "
            "vocabulary"
        )
    return own if tokenizer.bos_token_id in own else (int(tokenizer.bos_token_id),)


def _named_token(tokenizer: Any, token: str, model_name: str) -> int:
    """Return the id of a token by its string.

    `convert_tokens_to_ids` would return the id of the unknown token where there is no such token.
    """
    vocabulary = tokenizer.get_vocab()
    if token in vocabulary:
        return int(vocabulary[token])
    special = list(dict.fromkeys([*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())]))
    near = did_you_mean(token, special)
    there = near or (f"; its special tokens are {listed(list(map(repr, special)), _NAMED)}" if special else "")
    raise ScoringError(
        f"bos {token!r}: the tokenizer of {model_name!r} has no such token; use 'auto', 'always', 'never' or the string of a "
        f"token of its vocabulary{there}"
    )


def _own_prefix(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that the tokenizer's post-processor puts before a text.

    The post-processor is given a token that no vocabulary has. So the result does not depend on how the tokenizer reads any
    letter: a vocabulary of DNA or proteins knows few.
    """
    processor = tokenizer.backend_tokenizer.post_processor
    if processor is None:
        return ()
    ids = processor.process(_any_text(), None, True).ids
    return tuple(ids[: ids.index(_ANY_ID)]) if _ANY_ID in ids else ()


_ANY_ID = 2**32 - 1  # the largest id that the library can hold


@cache
def _any_text() -> Any:
    """Return the encoding of a text of one token, `_ANY_ID`."""
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"any": _ANY_ID}, unk_token="any")).encode("any")


def fingerprint(tokenizer: Any) -> str:
    """Return the SHA-256 of the vocabulary, tokens and ids: equal for the fast and slow variants of one tokenizer."""
    vocabulary = sorted(tokenizer.get_vocab().items())
    return sha256(json.dumps(vocabulary, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def readable(tokenizer: Any, token_id: int) -> str:
    """Return one id as a string for a reader; bytes that are no whole character are written <0xF0><0x9F>."""
    text = tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
    if text and "�" not in text:
        return str(text)
    piece = tokenizer.convert_ids_to_tokens(token_id)
    if piece is None:  # logits are often wider than the vocabulary
        return f"<id {token_id}>"
    if BYTE_PIECE.fullmatch(piece):  # SentencePiece vocabularies write a byte in this form
        return str(piece)
    if all(sign in BYTE_OF for sign in piece):
        return "".join(f"<0x{BYTE_OF[sign]:02X}>" for sign in piece)
    return str(piece)


def require_fast(tokenizer: Any, model_name: str) -> None:
    """Refuse a tokenizer that does not report which characters a token covers.

    Raises:
        ModelError: The tokenizer has no offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer of {model_name!r} ({type(tokenizer).__name__}) reports no character offsets; "
            "save it as a fast tokenizer (a tokenizer.json) next to the weights"
        )


def forget_sources(tokenizer: Any) -> None:
    """Free what a causal model's fast tokenizer was built from and does not read again: 136 MB for Gemma 3."""
    for name in ("_vocab", "_merges"):
        vars(tokenizer).pop(name, None)


# Checks of tokenizers that are only a sentencepiece model: what transformers builds from it is compared with the original.
#
# Without a tokenizer_class, transformers 5.23 builds a tokenizer that puts no space before the first word. With a wrong one, it
# merges the pieces of a unigram model as if they were those of a BPE. Both give other tokens than the model was trained on.

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


# Reading a tokenizer from a folder, and errors about damaged files as one line.


def read_tokenizer(folder: Path, label: str) -> Any:
    """Read the tokenizer of a folder; no code that comes with it is run.

    Args:
        folder: The folder that holds the tokenizer.
        label: The model's label, for messages.

    Raises:
        ModelError: The tokenizer was built from a sentencepiece model and tokenizes differently.
        Exception: Whatever the libraries raise; `readable` turns it into one line.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    tokenizer("a")  # some invalid settings are detected only here
    check_pieces(tokenizer, folder, label)
    return tokenizer


@contextmanager
def in_one_line(label: str) -> Iterator[None]:
    """Turn whatever libraries raise for damaged files into one line."""
    try:
        yield
    except ModelError:
        raise
    except BaseException as error:  # tokenizers raises bare exceptions, and Rust panics, which are not Exceptions
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"cannot load {label!r}: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__
