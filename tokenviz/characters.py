"""Classes of characters for readers and for words.

For a reader a character is a grapheme cluster. For a word a character is a part of it, an opening bracket or quote, or a
character of a script that is written without spaces between words.
"""

import unicodedata
from functools import lru_cache
from itertools import accumulate

# Beginnings of Unicode names, for scripts that are written without spaces between words. Tibetan is not among them: it has a
# mark between syllables.
_UNSPACED = (
    "CJK ", "IDEOGRAPHIC ", "BOPOMOFO ", "HIRAGANA ", "KATAKANA", "HALFWIDTH KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ",
    "TIBETAN ", "TAI LE ", "NEW TAI LUE ", "TAI THAM ", "TAI VIET ", "AHOM ",
)  # fmt: skip


@lru_cache(maxsize=1 << 16)
def in_word(character: str) -> bool:
    """Return whether a character is a letter, mark or digit, or joins such characters (an underscore)."""
    category = unicodedata.category(character)
    return category[0] in "LMN" or category == "Pc"


@lru_cache(maxsize=1 << 16)
def in_unspaced_word(character: str) -> bool:
    """Return whether a character is a letter, mark or digit of a script without spaces: Chinese, Japanese, Thai and others."""
    return in_word(character) and unicodedata.name(character, "").startswith(_UNSPACED)


def opens_bracket(character: str) -> bool:
    """Return whether a character is an opening bracket or quote, which belongs to what follows."""
    return unicodedata.category(character) in ("Ps", "Pi")


def cluster_ends(text: str) -> list[int]:
    """Return the end of each grapheme cluster of a text: a letter and its marks, a Korean syllable, an emoji, CR LF."""
    from icu4py.breakers import CharacterBreaker

    # ICU's own offsets count UTF-16 units, so the lengths of the pieces are added up instead.
    return list(accumulate(map(len, CharacterBreaker(text, "und"))))
