"""What characters are to a reader and to a word.

A reader's character is a grapheme cluster. To a word a character is a part of it, an opening bracket or quote, or of a script
that writes words without spaces.
"""

import unicodedata
from functools import lru_cache
from itertools import accumulate

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


def cluster_ends(text: str) -> list[int]:
    """Return where each grapheme cluster of a text ends: a letter and its marks, a Korean syllable, an emoji, CR LF."""
    from icu4py.breakers import CharacterBreaker

    # ICU's own offsets count UTF-16 units; the pieces themselves are asked for instead.
    return list(accumulate(map(len, CharacterBreaker(text, "und"))))
