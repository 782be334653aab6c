"""Kinds of strings: each unit of a text is letters, digits, punctuation, spaces, a URL, or letters of another script.

Every unit (token, segment or word) has exactly one kind, the first of these that applies:

1. it has a character of a URL: "URL";
2. it has a letter of another script than most letters of the text: "other script";
3. it has a letter: "first piece of a word" where the word of its first letter begins in it, else "later piece of a word";
4. it has a digit: "digits";
5. it has a character other than whitespace: "punctuation and symbols";
6. it has only whitespace: "spaces and line ends";
7. it has no character of its own, since several tokens share one: "rest of a character".

So " word" is a first piece of a word, "1990s" is letters, and a full stop with the line end after it is punctuation. Scripts
are determined from the names of characters in the standard library. fontTools has a table of scripts, but is loaded only to
draw.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from tokenviz.units.words import words_of

URL, OTHER_SCRIPT, FIRST_PIECE, LATER_PIECE, DIGITS, PUNCTUATION, SPACES, REST = KINDS = (
    "URL",
    "other script",
    "first piece of a word",
    "later piece of a word",
    "digits",
    "punctuation and symbols",
    "spaces and line ends",
    "rest of a character",
)

# Only ASCII, so that a URL in a text without spaces ends before the next word. Punctuation at its end belongs to the sentence.
_URL = re.compile(r"(?:https?://|ftp://|www\.)[!#-;=?-~]+", re.IGNORECASE)
_SENTENCE = ".,;:!?)]}'"
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "IDEOGRAPHIC")
# Beginnings of names of letters that belong to every script, or to none.
_COMMON = frozenset(
    ("", "ANGSTROM", "BLACK-LETTER", "COMBINING", "DOUBLE-STRUCK", "FEMININE", "KELVIN", "MASCULINE", "MATHEMATICAL", "MICRO",
     "MODIFIER", "OHM", "SCRIPT", "VARIATION")
)  # fmt: skip


def kinds_of(units: Sequence[str], passages: Sequence[int]) -> list[str]:
    """Return the kind of each unit of a text.

    Args:
        units: The slices of the text, in reading order; the concatenated slices of a passage are the passage.
        passages: The passage of each unit.

    Returns:
        One of `KINDS` for each unit.
    """
    whole: dict[int, list[str]] = {}
    for unit, passage in zip(units, passages, strict=True):
        whole.setdefault(int(passage), []).append(unit)
    main = main_script("".join(unit for unit in units))
    return [kind for own in whole.values() for kind in _of_passage(own, main)]


def main_script(text: str) -> str:
    """Return the script of most letters of a text, by its name in Unicode; empty where there are no letters."""
    found = Counter(script for character in text if (script := _script(character)))
    return found.most_common(1)[0][0] if found else ""


def _of_passage(units: Sequence[str], main: str) -> list[str]:
    passage = "".join(units)
    in_url = bytearray(len(passage))
    for match in _URL.finditer(passage):
        end = match.start() + len(match[0].rstrip(_SENTENCE))
        in_url[match.start() : end] = b"\1" * (end - match.start())
    begins, before = [0] * len(passage), 0  # for each character, where its word begins; whitespace belongs to the word after it
    for word in words_of(passage, punctuation="apart"):
        first = before + len(passage[before : word.end]) - len(passage[before : word.end].lstrip())
        begins[before : word.end] = [first] * (word.end - before)
        before = word.end
    found, start = [], 0
    for unit in units:
        end = start + len(unit)
        found.append(_kind(passage, start, end, in_url, begins, main))
        start = end
    return found


def _kind(passage: str, start: int, end: int, in_url: bytearray, begins: Sequence[int], main: str) -> str:
    if start == end:
        return REST
    if any(in_url[start:end]):
        return URL
    letters = [place for place in range(start, end) if unicodedata.category(passage[place])[0] in "LM"]
    if letters:
        if any(_script(passage[place]) not in ("", main) for place in letters):
            return OTHER_SCRIPT
        return FIRST_PIECE if begins[letters[0]] >= start else LATER_PIECE
    if any(unicodedata.category(character)[0] == "N" for character in passage[start:end]):
        return DIGITS
    return SPACES if passage[start:end].isspace() else PUNCTUATION


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """Return the script of a letter, by its name; empty for other characters, and for a letter of every script."""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    first, *rest = unicodedata.name(character, "").split(" ") if character > "\x7f" else ["LATIN"]
    if first in ("FULLWIDTH", "HALFWIDTH") and rest:
        first = rest[0]
    if first.split("-")[0] in _EAST_ASIAN:  # for example KATAKANA-HIRAGANA PROLONGED SOUND MARK
        return "CJK"
    return "" if first in _COMMON else first
