"""Openings: the tokens of a vocabulary that begin with whitespace, and those that begin with punctuation.

They are found from the vocabulary itself. The token for a lone space shows how the vocabulary writes a space (its space mark).
Tokens with this mark before a letter show that the tokenizer leaves spaces at the front of words, as those of GPT-2, Llama and
Gemma do.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.characters import in_word
from tokenviz.models.vocabulary import BYTE_OF, BYTE_PIECE
from tokenviz.scores import Spaces

INSIDE, SPACE, PUNCTUATION = 0, 1, 2

# Between letters or digits these characters do not end a word: don't, e.g, 3.14, 1,000 (UAX #29: MidLetter, MidNumLet, MidNum,
# Single_Quote).
_JOINERS = frozenset("'.,:;·\u2018\u2019\u2024\u2027")


@dataclass(frozen=True, eq=False)
class Openings:
    """How the tokens of a vocabulary begin.

    Attributes:
        spaces: Where the tokenizer leaves spaces, as in `ScoreSpec.spaces`.
        kinds: (vocabulary,) int8: INSIDE, SPACE or PUNCTUATION for each id, as in `TokenScores.opens`; INSIDE for all where
            spaces are not at the front.
    """

    spaces: Spaces
    kinds: NDArray[np.int8]


def openings_of(tokenizer: Any, vocabulary: int) -> Openings:
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
        return Openings("none", kinds)
    pieces = tokenizer.get_vocab()
    if not any(piece[0] == mark and in_word(piece[1]) for piece in pieces if len(piece) > 1):
        return Openings("apart", kinds)
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
    return Openings("front", kinds)


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
