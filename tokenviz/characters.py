"""What a character is to a word: a part of it, an opening bracket or quote, or of a script that writes words without spaces."""

import unicodedata
from functools import lru_cache

# Beginnings of Unicode names. Scripts that are written without spaces between words; Tibetan has a point between syllables.
_UNSPACED = (
    "CJK ", "IDEOGRAPHIC ", "BOPOMOFO ", "HIRAGANA ", "KATAKANA", "HALFWIDTH KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ",
    "TIBETAN ", "TAI LE ", "NEW TAI LUE ", "TAI THAM ", "TAI VIET ", "AHOM ",
)  # fmt: skip


@lru_cache(maxsize=1 << 16)
def in_word(character: str) -> bool:
    """Whether it is a letter, mark or digit, or joins such (an underscore)."""
    category = unicodedata.category(character)
    return category[0] in "LMN" or category == "Pc"


@lru_cache(maxsize=1 << 16)
def in_unspaced_word(character: str) -> bool:
    """Whether it is a letter, mark or digit of a script without spaces between words: Chinese, Japanese, Thai and others."""
    return in_word(character) and unicodedata.name(character, "").startswith(_UNSPACED)


def opens_bracket(character: str) -> bool:
    """Whether it is a bracket or quote that opens: it belongs to what follows."""
    return unicodedata.category(character) in ("Ps", "Pi")
