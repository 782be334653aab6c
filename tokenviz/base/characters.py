"""Characters: which a terminal must not obey, what they are to a reader, and where a text may be cut."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate, pairwise

# Classes of characters for readers and for words.
#
# For a reader a character is a grapheme cluster. For a word a character is a part of it, an opening bracket or quote, or a
# character of a script that is written without spaces between words.

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


# Control characters, which a terminal must not obey.

_VISIBLE = {chr(code): chr(0x2400 + code) for code in [*range(0x20)] if chr(code) not in "\n\t"}
_VISIBLE |= {chr(code): f"<{code:02X}>" for code in range(0x7F, 0xA0)}
# Overrides of the writing direction would show words in another order than the text's.
_VISIBLE |= {chr(code): f"<{code:X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_ESCAPED = str.maketrans(_VISIBLE)


def visible(text: str) -> str:
    """Return a text with its control characters made visible, except newline and tab."""
    return text.translate(_ESCAPED)


_REACH = 64  # characters around a place that decide whether a cluster contains it; the longest emoji sequences have about ten

# Possible breaks of a text, by ICU for every script: between grapheme clusters, and where a line may end.


def clusters(text: str) -> list[str]:
    """Cut a text into grapheme clusters (UAX 29), the characters of a reader.

    A carriage return and a newline are two clusters, since each is drawn.
    """
    if text.isascii():
        return list(text)
    found = (text[start:end] for start, end in pairwise([0, *cluster_ends(text)]))
    return [part for cluster in found for part in (cluster if cluster == "\r\n" else [cluster])]


def is_inside(text: str, place: int) -> bool:
    """Return whether a place in a text is inside a grapheme cluster, such as between a letter and its mark."""
    start = max(0, place - _REACH)
    return place - start not in accumulate(map(len, clusters(text[start : place + _REACH])), initial=0)


def line_ends(text: str) -> Iterator[int]:
    """Yield the places in a text where a line may end (UAX 14), with ICU's dictionaries for scripts without spaces."""
    from icu4py.breakers import LineBreaker

    # ICU's own offsets count UTF-16 units, so the lengths of the parts are added up instead.
    return accumulate(len(str(part)) for part in LineBreaker(text, "und"))
