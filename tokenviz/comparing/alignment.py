"""Units over which two models' log-probs can be laid side by side.

With one tokenizer the units are the tokens. With two they are segments: the finest cut of the text at character
positions where both have a token boundary. The log-prob of a unit is the sum of its tokens' log-probs, by the chain rule.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokenviz.errors import ComparisonError
from tokenviz.scores import TokenScores

By = Literal["token", "segment"]


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


def same_tokens(a: TokenScores, b: TokenScores) -> bool:
    """Whether two tables stand on one tokenizer: the same vocabulary, and the same tokens of this text."""
    return (
        a.spec.tokenizer == b.spec.tokenizer
        and np.array_equal(a.token_id, b.token_id)
        and np.array_equal(a.passage, b.passage)
        and np.array_equal(a.end, b.end)
    )


def align(a: TokenScores, b: TokenScores) -> Units:
    """Lay two tables of one text side by side: over tokens where they have the same, else over segments.

    Raises:
        ComparisonError: They are of different texts.
    """
    if a.text_sha256 != b.text_sha256:
        raise ComparisonError(
            f"the scores are of two texts, {a.text_name!r} and {b.text_name!r}: score one text with both models"
        )
    if same_tokens(a, b):
        ones = np.ones(len(a), np.int64)
        return Units("token", a.passage, a.start, a.end, a.token, a.logprob, b.logprob, ones, ones)
    return _segments(a, b)


def _segments(a: TokenScores, b: TokenScores) -> Units:
    passages = []
    starts, ends = [], []
    rows_a, rows_b = [], []
    texts: list[str] = []
    for passage in np.union1d(a.passage, b.passage):
        in_a, in_b = np.flatnonzero(a.passage == passage), np.flatnonzero(b.passage == passage)
        cuts = np.intersect1d(_boundaries(a, in_a), _boundaries(b, in_b))  # 0 and the passage's length among them
        rows_a.append(_first_rows(a, in_a, cuts[:-1]))
        rows_b.append(_first_rows(b, in_b, cuts[:-1]))
        passages.append(np.full(len(cuts) - 1, passage))
        starts.append(cuts[:-1])
        ends.append(cuts[1:])
        whole = "".join(a.token[i] for i in in_a)
        texts += [whole[start:end] for start, end in pairwise(cuts)]
    first_a, first_b = np.concatenate(rows_a), np.concatenate(rows_b)
    return Units(
        by="segment",
        passage=np.concatenate(passages),
        start=np.concatenate(starts),
        end=np.concatenate(ends),
        text=tuple(texts),
        logprob_a=np.add.reduceat(a.logprob, first_a),
        logprob_b=np.add.reduceat(b.logprob, first_b),
        n_tokens_a=np.diff([*first_a, len(a)]),
        n_tokens_b=np.diff([*first_b, len(b)]),
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
