"""The pieces in which a text is drawn: tokens, characters that several tokens share, and the places where a line may end.

Every format draws these pieces and breaks its lines at these places, so that a text looks the same in all of them. A character
of a reader is a grapheme cluster (UAX 29): a letter with its marks, a syllable, an emoji of several code points. Where several
tokens contain a part of one, it is a separate piece with all of these tokens. Lines end where the Unicode line breaking
algorithm allows it (UAX 14), with ICU's dictionaries for scripts without spaces.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokenviz.units.breaks import clusters, line_ends

_STOPS = set(",.;:!?%…、。，．；：！？।॥،؛؟")
Break = Literal["word", "token", "none"]
"""The kind of place before a piece: "word", where a line may end; "token", where only a word longer than the line is cut;
or "none", within a token that is cut for another reason, and before closing punctuation."""


LONGEST_WORD = 24
"""Characters: where a format cannot measure lengths, a longer word may be broken anywhere."""


@dataclass(frozen=True)
class Piece:
    """A range of a text that is drawn at once.

    Attributes:
        rows: The numbers of its tokens: one; or several, each with a part of its only character.
        text: Its characters; empty where a token has none and shares none.
        before: Whether a line may end before it.
    """

    rows: tuple[int, ...]
    text: str
    before: Break = "token"


def pieces(tokens: Sequence[str], first: int = 0) -> list[Piece]:
    """Cut a passage into its pieces.

    Args:
        tokens: The slices of the passage that its tokens cover, in reading order. A token without characters shares the
            character before it.
        first: The number of the first token; by default 0.

    Returns:
        The pieces; concatenated they are the passage, and every token is in at least one.
    """
    text = "".join(tokens)
    places = line_ends(text)
    parts = _shared(tokens, text)
    edges = list(accumulate(map(len, (part for _, part in parts)), initial=0))
    cuts = {_before_spaces(text, place, edges) for place in places} - {0}
    in_order = sorted(cuts)
    found: list[Piece] = []
    before: tuple[int, ...] = ()
    for (rows, part), (begin, end) in zip(parts, pairwise(edges), strict=True):
        inner = [begin, *in_order[bisect_right(in_order, begin) : bisect_left(in_order, end)], end]
        numbers = tuple(first + row for row in rows)
        for start, stop in pairwise(inner) if part else [(begin, end)]:
            stays = set(before) & set(rows) or _closes(text[start:stop])
            kind: Break = "word" if start in cuts else "none" if stays else "token"
            found.append(Piece(numbers, text[start:stop], kind))
            before = rows
    return found


@dataclass(frozen=True)
class Box:
    """Consecutive pieces of one token, or a character of several, for formats that break lines by themselves.

    Attributes:
        rows: The rows of its pieces.
        parts: The texts of its pieces.
        may_end: Whether a line may end before each piece.
    """

    rows: tuple[int, ...]
    parts: tuple[str, ...]
    may_end: tuple[bool, ...]

    @property
    def text(self) -> str:
        """Its characters."""
        return "".join(self.parts)


def boxes(passage: Sequence[Piece]) -> list[Box]:
    """Group the pieces of a passage into boxes; lines may end inside words that are too long for most lines."""
    parts: list[tuple[tuple[int, ...], str, bool]] = []
    for word in _words(passage):
        long = sum(len(piece.text) for piece in word) > LONGEST_WORD
        for piece in word:
            for number, text in enumerate(shortened(piece.text) if long else [piece.text]):
                parts.append((piece.rows, text, long or (piece.before == "word" and not number)))
    found = []
    for rows, group in groupby(parts, key=lambda part: part[0]):
        _, texts, may_end = zip(*group, strict=True)
        found.append(Box(rows, texts, may_end))
    return found


def _words(passage: Sequence[Piece]) -> list[list[Piece]]:
    """Group pieces between which no line ends, unless they are longer than a line."""
    found: list[list[Piece]] = []
    for piece in passage:
        if not found or piece.before == "word":
            found.append([])
        found[-1].append(piece)
    return found


def shortened(text: str) -> list[str]:
    """Cut a token of a long word into parts of at most 8 characters, between which lines may end if necessary."""
    signs = clusters(text)
    return ["".join(signs[begin : begin + 8]) for begin in range(0, len(signs), 8)] or [text]


def passages_of(tokens: Sequence[str], passage: Sequence[int] | NDArray[np.int64]) -> list[tuple[Piece, ...]]:
    """Cut each passage of a table into its pieces.

    Args:
        tokens: The slices of all passages, in reading order.
        passage: Number of the passage of each slice.
    """
    numbers = [int(number) for number in passage]
    groups = [list(rows) for _, rows in groupby(range(len(tokens)), key=numbers.__getitem__)]
    return [tuple(pieces(tokens[rows[0] : rows[-1] + 1], rows[0])) for rows in groups]


def _shared(tokens: Sequence[str], text: str) -> list[tuple[tuple[int, ...], str]]:
    """Return the tokens' numbers and texts, with characters of several tokens separate."""
    if text.isascii() and all(tokens):
        return [((row,), token) for row, token in enumerate(tokens)]
    edges = list(accumulate(map(len, clusters(text)), initial=0))
    owners: list[list[int]] = [[] for _ in edges[:-1]]
    alone: list[tuple[tuple[int, ...], str]] = []
    reached = 0
    for row, token in enumerate(tokens):
        begin, end = (reached, reached + len(token)) if token else (reached - 1, reached)
        reached += len(token)
        if end <= 0:
            alone.append(((row,), ""))
            continue
        k = bisect_left(edges, begin + 1) - 1
        while k < len(owners) and edges[k] < end:
            owners[k].append(row)
            k += 1
    found: list[tuple[tuple[int, ...], str]] = []
    for own, (begin, end) in zip(owners, pairwise(edges), strict=True):
        if found and len(own) == 1 and found[-1][0] == tuple(own):
            found[-1] = (found[-1][0], found[-1][1] + text[begin:end])
        else:
            found.append((tuple(own), text[begin:end]))
    return alone + found


def _closes(text: str) -> bool:
    """Return whether a piece begins with a character that no line begins with."""
    return text[:1] in _STOPS or unicodedata.category(text[:1] or " ") in ("Pe", "Pf")


def _before_spaces(text: str, place: int, edges: list[int]) -> int:
    """Return a place where a line may end, moved from after spaces to before those that belong to the next token."""
    begin = place
    while begin and text[begin - 1] == " ":
        begin -= 1
    edge = edges[bisect_right(edges, place) - 1]
    return max(edge, begin)
