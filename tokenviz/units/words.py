"""Words of writing: where words begin and end, in any script.

The rule is Unicode's default word segmentation (UAX #29) as ICU computes it, with its dictionaries for scripts without spaces:
Chinese, Japanese, Thai, Lao, Khmer, Burmese. It finds words of *writing*. In Vietnamese, which puts spaces between syllables, a
word here is a syllable (Việt | Nam); in Korean it is an eojeol, particles included.

Every character is in one word, and no grapheme cluster (an emoji sequence, a letter and its marks, CR LF) is cut. Whitespace
belongs to the word after it, as in the tokens of most models; whitespace that ends a passage is a word by itself.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Literal, get_args

from tokenviz.characters import cluster_ends, in_unspaced_word, in_word, opens_bracket
from tokenviz.errors import ComparisonError

Punctuation = Literal["attached", "apart"]

# What must follow a word to show that it has ended.
Ending = Literal["space", "space or punctuation", "anything", "unknown"]

_Kind = Literal["blank", "sign", "spaced", "unspaced"]


@dataclass(frozen=True)
class Word:
    """One word of a passage.

    Attributes:
        end: One past its last character; it begins where the word before it ends.
        ending: What must follow for the word to have ended there: "space" after a word with its punctuation, "space or
            punctuation" after a word without, "anything" after punctuation that is kept apart, and "unknown" after a word of a
            script without spaces, where the same letters may continue it or begin the next word.
    """

    end: int
    ending: Ending


def words_of(passage: str, *, punctuation: Punctuation) -> list[Word]:
    """Cut a passage into words.

    Args:
        passage: Any text; an empty one has no words.
        punctuation: "attached": everything between two whitespaces is one word, punctuation and symbols included (well-known,
            "can't!", https://example.com); scripts without spaces are cut further, with closing punctuation in the word before
            it and opening brackets in the word after them. "apart": the words of UAX #29 (well | - | known, can't | !), with
            each punctuation mark, symbol and emoji by itself.

    Raises:
        ComparisonError: `punctuation` is neither.
    """
    if punctuation not in get_args(Punctuation):
        raise ComparisonError(f"punctuation {punctuation!r} is not possible: take 'attached' or 'apart'")
    return list((_attached if punctuation == "attached" else _apart)(passage))


def _apart(passage: str) -> Iterator[Word]:
    endings: dict[_Kind, Ending] = {"sign": "anything", "spaced": "space or punctuation", "unspaced": "unknown"}
    last: _Kind = "sign"
    for _, end, last in _pieces(passage):
        if last != "blank":
            yield Word(end, endings[last])
    if last == "blank":
        yield Word(len(passage), "anything")


def _attached(passage: str) -> Iterator[Word]:
    """Yield words between whitespaces, cut further where a word of a script without spaces touches another word."""
    ending: Ending | None = None  # ending of the current word; None while it has only whitespace
    before: _Kind | None = None  # the previous word between these whitespaces
    bracket: int | None = None  # place of a pending opening bracket
    for start, _, kind in _pieces(passage):
        if kind == "blank":
            if ending is not None:
                yield Word(start, ending)
            ending = before = bracket = None
            continue
        if kind == "sign":
            if bracket is None and before is not None and opens_bracket(passage[start]):
                bracket = start
            ending = ending or "space"
            continue
        if before is not None and "unspaced" in (before, kind):
            yield Word(start if bracket is None else bracket, ending or "space")
            ending = None
        ending = "unknown" if kind == "unspaced" else ending or "space"
        before, bracket = kind, None
    if passage:
        yield Word(len(passage), ending or "anything")


def _pieces(passage: str) -> Iterator[tuple[int, int, _Kind]]:
    """Yield start, end and kind of the pieces of UAX #29, whitespace included."""
    from icu4py.breakers import WordBreaker

    clusters = set(cluster_ends(passage))
    start = 0
    for end in accumulate(map(len, WordBreaker(passage, "und"))):
        if end not in clusters:
            continue  # for example in old Korean syllables
        if passage[start:end].isspace() or not any(map(str.isspace, passage[start:end])):
            yield start, end, _kind(passage[start:end])
        else:
            yield from _split(passage, start, end, clusters)
        start = end


def _split(passage: str, start: int, end: int, clusters: set[int]) -> Iterator[tuple[int, int, _Kind]]:
    """Split a piece at whitespace that opens a cluster: an accent, a joiner or a mark stays with a space before it."""
    blank: list[bool] = []
    for stop in (place for place in range(start + 1, end + 1) if place in clusters):
        cluster = passage[start + len(blank) : stop]
        content = len(cluster.lstrip())
        blank += [True] * (len(cluster) - content) + [False] * content
    for is_blank, run in groupby(blank):
        stop = start + len(list(run))
        yield start, stop, "blank" if is_blank else _kind(passage[start:stop])
        start = stop


def _kind(piece: str) -> _Kind:
    if piece.isspace():
        return "blank"
    if any(map(in_unspaced_word, piece)):
        return "unspaced"
    # A mark alone does not make a symbol a word: many emoji end with one.
    return "spaced" if any(in_word(sign) and unicodedata.category(sign)[0] != "M" for sign in piece) else "sign"
