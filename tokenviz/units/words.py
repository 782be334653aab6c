"""Words, whatever the script; which kind of string each is; and spans that are whole for every model."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import accumulate, chain, groupby, pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.characters import cluster_ends, in_unspaced_word, in_word, opens_bracket
from tokenviz.base.errors import ComparisonError
from tokenviz.data.scores import TokenScores

# Words of writing: where words begin and end, in any script.
#
# The rule is Unicode's default word segmentation (UAX #29) as ICU computes it, with its dictionaries for scripts without
# spaces: Chinese, Japanese, Thai, Lao, Khmer, Burmese. It finds words of *writing*. In Vietnamese, which puts spaces between
# syllables, a word here is a syllable (Việt | Nam); in Korean it is an eojeol, particles included.
#
# Every character is in one word, and no grapheme cluster (an emoji sequence, a letter and its marks, CR LF) is cut. Whitespace
# belongs to the word after it, as in the tokens of most models; whitespace that ends a passage is a word by itself.

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


def check_punctuation(punctuation: str) -> None:
    """Refuse an unknown way with punctuation, before the work.

    Raises:
        ComparisonError: It is neither "attached" nor "apart".
    """
    if punctuation not in get_args(Punctuation):
        raise ComparisonError(f"punctuation {punctuation!r} is not possible: take 'attached' or 'apart'")


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
    check_punctuation(punctuation)
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


# Kinds of strings: each unit of a text is letters, digits, punctuation, spaces, a URL, or letters of another script.
#
# Every unit (token, segment or word) has exactly one kind, the first of these that applies:
#
# 1. it has a character of a URL: "URL";
# 2. it has a letter of another script than most letters of the text: "other script";
# 3. it has a letter: "first piece of a word" where the word of its first letter begins in it, else "later piece of a word";
# 4. it has a digit: "digits";
# 5. it has a character other than whitespace: "punctuation and symbols";
# 6. it has only whitespace: "spaces and line ends";
# 7. it has no character of its own, since several tokens share one: "rest of a character".
#
# So " word" is a first piece of a word, "1990s" is letters, and a full stop with the line end after it is punctuation. Scripts
# are determined from the names of characters in the standard library. fontTools has a table of scripts, but is loaded only to
# draw.

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
        found.append(_string_kind(passage, start, end, in_url, begins, main))
        start = end
    return found


def _string_kind(passage: str, start: int, end: int, in_url: bytearray, begins: Sequence[int], main: str) -> str:
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


# Spans of a text whose ends are token boundaries of every model, and on request also ends of words.
#
# A token may cross the end of a word: one that holds several punctuation marks, two words of Chinese, or a full stop and the
# line ends after it. Its probability is not divided. The words that it touches are joined until every model has a token
# boundary at both ends, and the span counts its words.


@dataclass(frozen=True, eq=False)
class Spans:
    """Spans in reading order that cover a text; all columns have length n.

    Attributes:
        passage: Number of the passage, from 0.
        start: First character in the passage.
        end: One past the last character.
        text: The slice of the passage.
        last_words: The word that ends where the span ends; empty where no words were asked for.
        n_words: Words in the span; 0 where no words were asked for.
        first_rows: For each table, the row of the token that opens the span.
        n_tokens: For each table, the number of tokens in the span.
    """

    passage: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    text: tuple[str, ...]
    last_words: tuple[Word, ...]
    n_words: NDArray[np.int64]
    first_rows: tuple[NDArray[np.intp], ...]
    n_tokens: tuple[NDArray[np.int64], ...]


def common_spans(tables: Sequence[TokenScores], words: Callable[[str], list[Word]] | None = None) -> Spans:
    """Return the finest spans at whose ends all tables have a token boundary, and a word ends if words are asked for.

    Args:
        tables: Tables of one text, at least one.
        words: Cuts a passage into words; by default none are asked for.
    """
    passages = np.unique(np.concatenate([table.passage for table in tables]))
    bounds = [np.searchsorted(table.passage, [*passages, passages[-1] + 1]) for table in tables]
    parts = [
        _in_passage(int(passage), tables, [np.arange(*bound[i : i + 2]) for bound in bounds], words)
        for i, passage in enumerate(passages)
    ]
    return Spans(
        passage=np.concatenate([part.passage for part in parts]),
        start=np.concatenate([part.start for part in parts]),
        end=np.concatenate([part.end for part in parts]),
        text=tuple(chain.from_iterable(part.text for part in parts)),
        last_words=tuple(chain.from_iterable(part.last_words for part in parts)),
        n_words=np.concatenate([part.n_words for part in parts]),
        first_rows=tuple(map(np.concatenate, zip(*(part.first_rows for part in parts), strict=True))),
        n_tokens=tuple(map(np.concatenate, zip(*(part.n_tokens for part in parts), strict=True))),
    )


def _in_passage(
    passage: int,
    tables: Sequence[TokenScores],
    rows: list[NDArray[np.intp]],
    words: Callable[[str], list[Word]] | None,
) -> Spans:
    """Return the spans of one passage; `rows` are the rows of its tokens in each table."""
    whole = "".join(tables[0].token[row] for row in rows[0])
    cuts = reduce(np.intersect1d, map(_boundaries, tables, rows))
    n_words, last_words = np.zeros(len(cuts) - 1, np.int64), []
    if words is not None:
        found = words(whole)
        ends = np.array([0, *(word.end for word in found)])
        cuts = np.intersect1d(cuts, ends)  # both contain 0 and the passage's length
        places = np.searchsorted(ends, cuts)
        n_words, last_words = np.diff(places), [found[place - 1] for place in places[1:]]
    first_rows = tuple(_first_rows(table, own, cuts[:-1]) for table, own in zip(tables, rows, strict=True))
    return Spans(
        passage=np.full(len(cuts) - 1, passage),
        start=cuts[:-1],
        end=cuts[1:],
        text=tuple(whole[start:end] for start, end in pairwise(cuts)),
        last_words=tuple(last_words),
        n_words=n_words,
        first_rows=first_rows,
        n_tokens=tuple(np.diff(first, append=own[-1] + 1) for first, own in zip(first_rows, rows, strict=True)),
    )


def _boundaries(scores: TokenScores, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the first character of each token that has characters, and the end; a token without belongs to the one before."""
    has_characters = scores.end[rows] > scores.start[rows]
    return np.append(scores.start[rows][has_characters], scores.end[rows[-1]])


def _first_rows(scores: TokenScores, rows: NDArray[np.intp], cuts: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the row of the token that opens each span."""
    with_characters = rows[scores.end[rows] > scores.start[rows]]
    first = with_characters[np.searchsorted(scores.start[with_characters], cuts)]
    first[0] = rows[0]  # leading tokens without characters belong to the first span
    return first
