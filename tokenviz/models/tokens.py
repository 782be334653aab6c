"""From a passage to token ids, each with the slice of the original text that it stands for."""

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.errors import ModelError, ScoringError
from tokenviz.scores import BosMode


@dataclass(frozen=True)
class EncodedPassage:
    """Token ids and spans; the spans cover every character once, in order, without gaps.

    Attributes:
        ids: (n,) int64.
        starts: (n,) int64, in characters of the passage.
        ends: (n,) int64, exclusive. Where several tokens share a character, the first has it and the others
            have an empty span; characters that the tokenizer drops belong to the token after them (combining
            marks to the one before), at the end of the passage to the last token.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def encode(tokenizer: Any, passage: str) -> EncodedPassage:
    """Tokenize a passage exactly as it stands, without special tokens of the tokenizer's own.

    A special token's string that occurs in the passage is read as the tokenizer reads it: most turn "<bos>"
    into the BOS id.

    Raises:
        ScoringError: The tokenizer fails, or makes no token of a passage that has characters.
    """
    if not passage:
        nothing = np.empty(0, np.int64)
        return EncodedPassage(nothing, nothing, nothing)
    try:
        encoded = tokenizer(passage, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    except Exception as error:  # tokenizers raise just that
        raise ScoringError(f"the tokenizer cannot read {passage[:40]!r}: {error}") from error
    ids = np.array(encoded["input_ids"], dtype=np.int64)
    if not len(ids):
        raise ScoringError(f"the tokenizer makes no token of {passage[:40]!r}: there is nothing to score")
    starts, ends = _tile(passage, encoded["offset_mapping"])
    return EncodedPassage(ids, starts, ends)


def _tile(passage: str, offsets: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Spans that join up to the passage, from offsets that may overlap or leave gaps."""
    ends: list[int] = []
    reached = 0
    for start, end in offsets:
        # A normaliser to NFC reports "e" + U+0301 as "e" alone: the mark is not the next token's.
        if ends and start > reached:
            while reached < start and unicodedata.combining(passage[reached]):
                reached += 1
            ends[-1] = reached
        reached = max(reached, end)
        ends.append(reached)
    ends[-1] = len(passage)
    return np.array([0, *ends[:-1]], dtype=np.int64), np.array(ends, dtype=np.int64)


def bos_prefix(tokenizer: Any, mode: BosMode, model_name: str) -> tuple[int, ...]:
    """The ids that open every window.

    Args:
        tokenizer: The model's tokenizer.
        mode: "auto": what the tokenizer itself puts before a text; "always": its BOS; "never": nothing.
        model_name: For the message.

    Raises:
        ScoringError: "always" was asked of a tokenizer without a BOS.
    """
    if mode == "never":
        return ()
    own = _own_prefix(tokenizer)
    if mode == "auto":
        return own
    if tokenizer.bos_token_id is None:
        raise ScoringError(f"bos 'always': the tokenizer of {model_name!r} has no BOS token; use 'auto' or 'never'")
    return own if tokenizer.bos_token_id in own else (int(tokenizer.bos_token_id),)


def _own_prefix(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that the tokenizer's post-processor puts before a text.

    The post-processor is given a token that no vocabulary has, so that the answer does not depend on what the tokenizer makes
    of any letter: a vocabulary of DNA or proteins knows few.
    """
    processor = tokenizer.backend_tokenizer.post_processor
    if processor is None:
        return ()
    ids = processor.process(_any_text(), None, True).ids
    return tuple(ids[: ids.index(_ANY_ID)]) if _ANY_ID in ids else ()


_ANY_ID = 2**32 - 1  # the largest that the library has room for


@cache
def _any_text() -> Any:
    """Return the encoding of a text of one token, `_ANY_ID`."""
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"any": _ANY_ID}, unk_token="any")).encode("any")


def fingerprint(tokenizer: Any) -> str:
    """sha256 of the vocabulary, token and id: equal for the fast and slow variants of one tokenizer."""
    vocabulary = sorted(tokenizer.get_vocab().items())
    return sha256(json.dumps(vocabulary, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def readable(tokenizer: Any, token_id: int) -> str:
    """One id as a string for a reader; bytes that are no whole character are written <0xF0><0x9F>."""
    text = tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
    if text and "�" not in text:
        return str(text)
    piece = tokenizer.convert_ids_to_tokens(token_id)
    if piece is None:  # logits are often wider than the vocabulary
        return f"<id {token_id}>"
    if BYTE_PIECE.fullmatch(piece):  # SentencePiece vocabularies write a byte so themselves
        return str(piece)
    if all(sign in BYTE_OF for sign in piece):
        return "".join(f"<0x{BYTE_OF[sign]:02X}>" for sign in piece)
    return str(piece)


BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")


def _byte_alphabet() -> dict[str, int]:
    """The printable signs by which byte-level BPE vocabularies write the 256 bytes."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in kept]
    return {chr(byte): byte for byte in kept} | {chr(256 + i): byte for i, byte in enumerate(moved)}


BYTE_OF = _byte_alphabet()


def require_fast(tokenizer: Any, model_name: str) -> None:
    """Refuse a tokenizer that cannot say which characters a token stands for.

    Raises:
        ModelError: It has no offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer of {model_name!r} ({type(tokenizer).__name__}) reports no character offsets; "
            "save it as a fast tokenizer (a tokenizer.json) beside the weights"
        )


def forget_sources(tokenizer: Any) -> None:
    """Let go of what a causal model's fast tokenizer was built from and does not read again: 136 MB for Gemma 3."""
    for name in ("_vocab", "_merges"):
        vars(tokenizer).pop(name, None)
