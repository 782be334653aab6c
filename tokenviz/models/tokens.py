"""Token ids of a passage, each with the slice of the original text that it covers; and the ids that open a window."""

import json
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np

from tokenviz.checks import listed
from tokenviz.errors import ModelError, ScoringError, did_you_mean
from tokenviz.models.spans import EncodedPassage, place
from tokenviz.models.vocabulary import BYTE_OF, BYTE_PIECE
from tokenviz.scores import BosMode

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
        ScoringError: "always" was asked of a tokenizer without a BOS, or the vocabulary has no such token.
    """
    if mode == "never":
        return ()
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
