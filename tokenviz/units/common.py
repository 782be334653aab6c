"""Spans of a text whose ends are token boundaries of every model, and on request also ends of words.

A token may cross the end of a word: one that holds several punctuation marks, two words of Chinese, or a full stop and the line
ends after it. Its probability is not divided. The words that it touches are joined until every model has a token boundary at
both ends, and the span counts its words.
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
