"""Spans of a text that are whole for every model: both ends are token boundaries of all of them, and of words on request.

A token may reach over the end of a word: one that holds several signs of punctuation, two words of Chinese, a full stop
and the line ends after it. Its probability is not divided. The words that it touches are joined until every model has a
token boundary at both ends, and the span says how many words it holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from tokenviz.scores import TokenScores
from tokenviz.units.words import Word


@dataclass(frozen=True, eq=False)
class Spans:
    """Spans in reading order, which cover a text; all columns have the length n.

    Attributes:
        passage: Which passage, from 0.
        start: First character in the passage.
        end: One past the last character.
        text: The slice of the passage.
        last_words: The word that ends where the span ends; empty where no words were asked for.
        n_words: Words in the span; 0 where none were asked for.
        first_rows: For each table, the row of the token that opens the span.
        n_tokens: For each table, the tokens of the span.
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
    """The finest spans at whose ends all tables have a token boundary, and a word ends where words are asked for.

    Args:
        tables: Of one text, at least one.
        words: Cuts a passage into words.
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
    """Of one passage, whose tokens stand in each table in the given rows."""
    whole = "".join(tables[0].token[row] for row in rows[0])
    cuts = reduce(np.intersect1d, map(_boundaries, tables, rows))
    n_words, last_words = np.zeros(len(cuts) - 1, np.int64), []
    if words is not None:
        found = words(whole)
        ends = np.array([0, *(word.end for word in found)])
        cuts = np.intersect1d(cuts, ends)  # 0 and the passage's length are among both
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
    """Characters where a token that has characters begins, and the end. A token without belongs to the one before."""
    has_characters = scores.end[rows] > scores.start[rows]
    return np.append(scores.start[rows][has_characters], scores.end[rows[-1]])


def _first_rows(scores: TokenScores, rows: NDArray[np.intp], cuts: NDArray[np.int64]) -> NDArray[np.intp]:
    """The row of the token that opens each span."""
    with_characters = rows[scores.end[rows] > scores.start[rows]]
    first = with_characters[np.searchsorted(scores.start[with_characters], cuts)]
    first[0] = rows[0]  # tokens without characters before the first that has some open the passage
    return first
