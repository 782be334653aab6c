"""Tokens of a vocabulary: what each stands for, and which open a word."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.characters import in_word
from tokenviz.data.scores import Spaces

# Vocabularies: the bytes that each token covers, and the characters that no token can cover.
#
# The tokenizers library decodes ids to a string, in which spaces and broken characters are changed; it does not report the
# bytes of a single token. So pieces are decoded here, by the definitions of the three ways to write them: in the alphabet of
# byte-level BPE, with SentencePiece's marks, or literally.

BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")
_SPACE_MARK = "\u2581"  # SentencePiece's character for a space


def _byte_alphabet() -> dict[str, int]:
    """Return the printable characters that stand for the 256 bytes in byte-level BPE vocabularies."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in kept]
    return {chr(byte): byte for byte in kept} | {chr(256 + i): byte for i, byte in enumerate(moved)}


BYTE_OF = _byte_alphabet()
_LETTER_OF = {byte: letter for letter, byte in BYTE_OF.items()}


class Vocabulary:
    """The bytes of a tokenizer's tokens.

    Attributes:
        by_bytes: Whether the pieces are written in the alphabet of byte-level BPE.
        added: The ids of tokens that are found in a text before it is normalised and split: special ones and others.
        unknown: The id of the unknown token; None where there is none.
        drops: Whether the model silently drops unknown characters. BPE without an unknown token does, and then counts the
            offsets of later tokens in the same word from the wrong character
            (https://github.com/huggingface/tokenizers/issues/813).
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        model = backend.model
        parts = (backend.pre_tokenizer, backend.decoder, backend.normalizer)
        self.by_bytes = any(part is not None and b'"ByteLevel"' in part.__getstate__() for part in parts)
        added = backend.get_added_tokens_decoder()
        self.added = frozenset(added)
        self._added = {number: str(token.content).encode() for number, token in added.items()}
        kind = type(model).__name__
        piece = getattr(model, "unk_token", None)
        # The library does not report the unknown token of a Unigram model.
        self.unknown = backend.token_to_id(piece) if piece else tokenizer.unk_token_id if kind == "Unigram" else None
        # It does not report whether a Unigram model falls back to bytes either
        self._fallback = getattr(model, "byte_fallback", kind == "Unigram")
        self.drops = kind == "BPE" and not piece
        self._prefix = getattr(model, "continuing_subword_prefix", None) or ""
        self._suffix = getattr(model, "end_of_word_suffix", None) or ""
        self._backend = backend
        self._contents: dict[int, bytes] = {}
        self._known: dict[str, bool] = {}

    @classmethod
    def of(cls, tokenizer: Any) -> "Vocabulary":
        """Return a tokenizer's vocabulary, which is read once."""
        size = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=True)
        known_size, known = _KNOWN.get(tokenizer, (None, None))
        if known is None or known_size != size:
            known = cls(tokenizer)
            _KNOWN[tokenizer] = size, known
        return known

    def content(self, number: int) -> bytes:
        """Return the bytes of a token, in UTF-8; SentencePiece's mark for a space becomes a space."""
        found = self._contents.get(number)
        if found is None:
            found = self._contents[number] = self._content(number)
        return found

    def _content(self, number: int) -> bytes:
        piece = self._backend.id_to_token(number) or ""
        if self._fallback and BYTE_PIECE.fullmatch(piece):
            return bytes([int(piece[3:5], 16)])
        if number in self._added:
            return self._added[number]
        if self._suffix:
            piece = piece.removesuffix(self._suffix)
        if self._prefix:
            piece = piece.removeprefix(self._prefix)
        if self.by_bytes and all(letter in BYTE_OF for letter in piece):
            return bytes(map(BYTE_OF.__getitem__, piece))
        return in_spaces(piece).encode()

    def knows(self, character: str) -> bool:
        """Return whether a token can cover a normalised character, or several tokens its bytes."""
        found = self._known.get(character)
        if found is None:
            found = self._known[character] = self._is_known(character)
        return found

    def knows_byte(self, value: int) -> bool:
        """Return whether a token of byte-level BPE can cover a byte."""
        return self.knows(_LETTER_OF[value])

    def _is_known(self, character: str) -> bool:
        to_id = self._backend.token_to_id
        ways = {f"{prefix}{character}{suffix}" for prefix in ("", self._prefix) for suffix in ("", self._suffix)}
        if any(to_id(way) is not None for way in ways):
            return True
        return self._fallback and all(to_id(f"<0x{value:02X}>") is not None for value in character.encode())


_KNOWN: "WeakKeyDictionary[Any, tuple[int, Vocabulary]]" = WeakKeyDictionary()


def in_spaces(text: str) -> str:
    """Return a text with SentencePiece's marks replaced by spaces."""
    return text.replace(_SPACE_MARK, " ")


# Word starts: the tokens of a vocabulary that begin with whitespace, and those that begin with punctuation.
#
# They are found from the vocabulary itself. The token for a lone space shows how the vocabulary writes a space (its space
# mark). Tokens with this mark before a letter show that the tokenizer leaves spaces at the front of words, as those of GPT-2,
# Llama and Gemma do.

INSIDE, SPACE, PUNCTUATION = 0, 1, 2

# Between letters or digits these characters do not end a word: don't, e.g, 3.14, 1,000 (UAX #29: MidLetter, MidNumLet, MidNum,
# Single_Quote).
_JOINERS = frozenset("'.,:;·\u2018\u2019\u2024\u2027")


@dataclass(frozen=True, eq=False)
class WordStarts:
    """How the tokens of a vocabulary begin.

    Attributes:
        spaces: Where the tokenizer leaves spaces, as in `ScoreSpec.spaces`.
        kinds: (vocabulary,) int8: INSIDE, SPACE or PUNCTUATION for each id, as in `TokenScores.opens`; INSIDE for all where
            spaces are not at the front.
    """

    spaces: Spaces
    kinds: NDArray[np.int8]


def word_starts_of(tokenizer: Any, vocabulary: int) -> WordStarts:
    """Classify the tokens of a vocabulary by how they begin.

    A token's class depends on its first character. A token that begins with "'" or another character that joins letters
    continues the word if the next character in the token is a letter or digit. A token that holds only a part of a character is
    punctuation if no completion of it is a letter, mark or digit. The unknown token, and ids without a token, open nothing.
    Other special tokens end the text, and the word with it.

    Args:
        tokenizer: A fast tokenizer.
        vocabulary: The number of ids that have logits.
    """
    kinds = np.full(vocabulary, INSIDE, np.int8)
    mark = _space_mark(tokenizer)
    if mark is None:
        return WordStarts("none", kinds)
    pieces = tokenizer.get_vocab()
    if not any(piece[0] == mark and in_word(piece[1]) for piece in pieces if len(piece) > 1):
        return WordStarts("apart", kinds)
    added = tokenizer.added_tokens_decoder
    special = {number for number, token in added.items() if token.special} | set(tokenizer.all_special_ids)
    in_bytes = BYTE_OF.get(mark) == 0x20
    unknown = None if in_bytes else tokenizer.unk_token_id  # with bytes nothing is unknown
    for piece, number in pieces.items():
        if number >= vocabulary or number == unknown or not piece:
            continue
        first = piece[0]
        if number in special or first == mark:
            kinds[number] = SPACE
        elif first.isascii() and first.isalnum():
            kinds[number] = INSIDE  # true for most of a vocabulary, so that the token's other characters need not be read
        elif in_bytes and number not in added and all(sign in BYTE_OF for sign in piece[:5]):
            kinds[number] = _kind(_from_bytes([BYTE_OF[sign] for sign in piece[:5]]))
        elif piece.startswith("<0x") and BYTE_PIECE.fullmatch(piece):
            kinds[number] = _kind(_from_bytes([int(piece[3:5], 16)]))
        else:
            kinds[number] = _kind(piece[:2].replace(mark, " "))
    return WordStarts("front", kinds)


def _space_mark(tokenizer: Any) -> str | None:
    """Return the character for a space in the tokenizer's vocabulary; None where it drops spaces or does not know them."""
    ids = tokenizer(" ", add_special_tokens=False)["input_ids"]
    signs = set("".join(tokenizer.convert_ids_to_tokens(ids)))
    # Twice, because some decoders remove a space at the beginning.
    known = tokenizer.decode(ids * 2, clean_up_tokenization_spaces=False).isspace()
    return signs.pop() if known and len(signs) == 1 else None


def _from_bytes(values: list[int]) -> str:
    """Decode bytes as UTF-8; a byte that forms no character with its neighbours becomes a lone surrogate."""
    return bytes(values).decode("utf-8", "surrogateescape")


@cache
def _kind(text: str) -> int:
    """Return the class of a token that begins with a text."""
    first = text[0]
    if first.isspace():
        return SPACE
    if "\udc80" <= first <= "\udcff":
        return _kind_of_part([ord(sign) - 0xDC00 for sign in text if "\udc80" <= sign <= "\udcff"])
    # A joiner or another format character belongs to the character before it.
    if in_word(first) or unicodedata.category(first) == "Cf":
        return INSIDE
    return INSIDE if first in _JOINERS and in_word(text[1:2] or " ") else PUNCTUATION


def _kind_of_part(values: list[int]) -> int:
    """Return the class of a token that begins with a part of a character in UTF-8, from all possible completions."""
    length = 2 if 0xC2 <= values[0] <= 0xDF else 3 if 0xE0 <= values[0] <= 0xEF else 4 if 0xF0 <= values[0] <= 0xF4 else 0
    missing = length - len(values)
    if not 1 <= missing <= 2:
        return INSIDE  # a later part of a character, or the first of a quarter of a million characters
    number = values[0] & (0x7F >> length)
    for value in values[1:]:
        number = number << 6 | value & 0x3F
    possible = range(number << 6 * missing, (number + 1) << 6 * missing)
    return INSIDE if any(unicodedata.category(chr(one))[0] in "LMN" for one in possible) else PUNCTUATION
