"""Units over which two models' log-probs can be laid side by side.

With one tokenizer the units are the tokens. With two they are segments: the finest cut of the text at character
positions where both have a token boundary. On request they are words, with any tokenizers. The log-prob of a unit is the
sum of its tokens' log-probs, by the chain rule.

A token may reach over the end of a word: one that holds several signs of punctuation, two words of Chinese, a full stop
and the line ends after it. Its probability is not divided. The words that it touches are joined until every model has a
token boundary at both ends, and the unit says how many words it holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tokenviz.comparing.words import Punctuation, Word, words_of
from tokenviz.errors import ComparisonError
from tokenviz.scores import TokenScores

By = Literal["token", "segment", "word"]


@dataclass(frozen=True, eq=False)
class Units:
    """Aligned units in reading order; all arrays have the length n.

    Attributes:
        by: What the units are.
        passage: Which passage, from 0.
        start: First character in the passage.
        end: One past the last character.
        text: The slice of the passage; all slices of a passage, joined, are the passage.
        logprob_a: Of the first model, in nats; NaN where it did not score every token of the unit.
        logprob_b: Of the second.
        n_tokens_a: Tokens of the first model in the unit.
        n_tokens_b: Of the second.
    """

    by: By
    passage: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    text: tuple[str, ...]
    logprob_a: NDArray[np.float64]
    logprob_b: NDArray[np.float64]
    n_tokens_a: NDArray[np.int64]
    n_tokens_b: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, eq=False)
class WordUnits(Units):
    """Words as units.

    Attributes:
        n_words: Words in the unit: more than one where a token of either model reaches over the end of a word.
    """

    n_words: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Spans:
    """Spans of a text in reading order, at whose ends every one of some tables has a token boundary; arrays of length n.

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


def same_tokens(a: TokenScores, b: TokenScores) -> bool:
    """Whether two tables stand on one tokenizer: the same vocabulary, and the same tokens of this text."""
    return (
        a.spec.tokenizer == b.spec.tokenizer
        and np.array_equal(a.token_id, b.token_id)
        and np.array_equal(a.passage, b.passage)
        and np.array_equal(a.end, b.end)
    )


def align(a: TokenScores, b: TokenScores, *, by: By | None = None, punctuation: Punctuation = "attached") -> Units:
    """Lay two tables of one text side by side.

    Args:
        a: Scores of the text by one model.
        b: Scores of the same text by another.
        by: The units: "token", which must be the same; "segment"; or "word". By default tokens where they are the same,
            else segments.
        punctuation: Of words, see `words_of`.

    Returns:
        The units; with "word" they are `WordUnits`.

    Raises:
        ComparisonError: The tables are of different texts, or their tokens differ and tokens were asked for.
    """
    if by is not None and by not in get_args(By):
        raise ComparisonError(f"by {by!r} is not possible: take 'token', 'segment' or 'word'")
    if a.text_sha256 != b.text_sha256:
        raise ComparisonError(
            f"the scores are of two texts, {a.text_name!r} and {b.text_name!r}: score one text with both models"
        )
    if by == "word":
        spans = common_spans([a, b], lambda passage: words_of(passage, punctuation=punctuation))
        return WordUnits(**vars(_units("word", spans, a, b)), n_words=spans.n_words)
    same = same_tokens(a, b)
    if by == "token" and not same:
        raise ComparisonError(
            f"{a.spec.model!r} and {b.spec.model!r} cut {a.text_name!r} into different tokens, which cannot be compared one by "
            "one: take 'segment' or 'word'"
        )
    if same and by != "segment":
        ones = np.ones(len(a), np.int64)
        return Units("token", a.passage, a.start, a.end, a.token, a.logprob, b.logprob, ones, ones)
    return _units("segment", common_spans([a, b]), a, b)


def _units(by: By, spans: Spans, a: TokenScores, b: TokenScores) -> Units:
    first_a, first_b = spans.first_rows
    return Units(
        by=by,
        passage=spans.passage,
        start=spans.start,
        end=spans.end,
        text=spans.text,
        logprob_a=np.add.reduceat(a.logprob, first_a),
        logprob_b=np.add.reduceat(b.logprob, first_b),
        n_tokens_a=spans.n_tokens[0],
        n_tokens_b=spans.n_tokens[1],
    )


def common_spans(tables: Sequence[TokenScores], words: Callable[[str], list[Word]] | None = None) -> Spans:
    """The finest spans at whose ends all tables have a token boundary, and a word ends where words are given.

    Args:
        tables: Of one text, at least one.
        words: Cuts a passage into words.
    """
    passages = np.unique(np.concatenate([table.passage for table in tables]))
    bounds = [np.searchsorted(table.passage, [*passages, passages[-1] + 1]) for table in tables]
    numbers: list[NDArray[np.int64]] = []
    edges: list[NDArray[np.int64]] = []
    first_rows: list[list[NDArray[np.intp]]] = [[] for _ in tables]
    counts: list[NDArray[np.int64]] = []
    last_words: list[Word] = []
    texts: list[str] = []
    for i, passage in enumerate(passages):
        rows = [np.arange(*bound[i : i + 2]) for bound in bounds]
        whole = "".join(tables[0].token[row] for row in rows[0])
        cuts = _boundaries(tables[0], rows[0])  # 0 and the passage's length among them
        for table, own in zip(tables[1:], rows[1:], strict=True):
            cuts = np.intersect1d(cuts, _boundaries(table, own))
        if words is not None:
            own_words = words(whole)
            ends = np.array([0, *(word.end for word in own_words)])
            cuts = np.intersect1d(cuts, ends)
            places = np.searchsorted(ends, cuts)
            counts.append(np.diff(places))
            last_words += [own_words[place - 1] for place in places[1:]]
        else:
            counts.append(np.zeros(len(cuts) - 1, np.int64))
        for table, own, found in zip(tables, rows, first_rows, strict=True):
            found.append(_first_rows(table, own, cuts[:-1]))
        numbers.append(np.full(len(cuts) - 1, passage))
        edges.append(cuts)
        texts += [whole[start:end] for start, end in pairwise(cuts)]
    firsts = tuple(np.concatenate(found) for found in first_rows)
    return Spans(
        passage=np.concatenate(numbers),
        start=np.concatenate([cuts[:-1] for cuts in edges]),
        end=np.concatenate([cuts[1:] for cuts in edges]),
        text=tuple(texts),
        last_words=tuple(last_words),
        n_words=np.concatenate(counts),
        first_rows=firsts,
        n_tokens=tuple(np.diff([*first, len(table)]) for first, table in zip(firsts, tables, strict=True)),
    )


def _boundaries(scores: TokenScores, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Characters where a token that has characters begins, and the end. A token without belongs to the one before."""
    has_characters = scores.end[rows] > scores.start[rows]
    return np.append(scores.start[rows][has_characters], scores.end[rows[-1]])


def _first_rows(scores: TokenScores, rows: NDArray[np.intp], cuts: NDArray[np.int64]) -> NDArray[np.intp]:
    """The row of the token that opens each segment."""
    with_characters = rows[scores.end[rows] > scores.start[rows]]
    first = with_characters[np.searchsorted(scores.start[with_characters], cuts)]
    first[0] = rows[0]  # tokens without characters before the first that has some open the passage
    return first
