"""Sums of token log-probs over units that cut a passage without gaps: regions, words of a user's table, whole items.

A token belongs to the unit of its last character. So a token that crosses a border belongs to the later unit, no token is lost,
and the sums of a passage's units add up to the passage's sum. Crossings are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenviz.scores import UNREAD, TokenScores
from tokenviz.units.word_scores import end_logprobs
from tokenviz.units.words import Ending


@dataclass(frozen=True, eq=False)
class UnitSums:
    """One row per unit, in reading order; all columns have length n.

    Attributes:
        passage: Number of the passage, from 0. int64.
        start: First character in the passage. int64.
        end: One past the last character. int64.
        first_row: Row of the unit's first token in the token table, or of the next token where the unit has none. int64.
        n_tokens: Tokens that belong to the unit; 0 where all its characters are in a token of the next unit. int64.
        n_scored: Tokens of the unit that have a prediction. int64.
        crossings: Tokens of the unit that begin in an earlier unit: 0 or 1. int64.
        logprob: Sum of the log-probs of the unit's scored tokens, in nats; NaN where there is none, and where the model did not
            read all of its characters.
        corrected_logprob: `logprob` with the correction for ends of words, as in `words`, in nats; NaN where one of the tokens
            is not scored, or where what follows does not show that a word has ended.
        entropy: Entropy of the prediction of the unit's first token, in nats; NaN where that is unscored.
        rank: Rank of the unit's first token, 1 for the model's first choice; NaN where that is unscored.
    """

    passage: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    first_row: NDArray[np.int64]
    n_tokens: NDArray[np.int64]
    n_scored: NDArray[np.int64]
    crossings: NDArray[np.int64]
    logprob: NDArray[np.float64]
    corrected_logprob: NDArray[np.float64]
    entropy: NDArray[np.float64]
    rank: NDArray[np.float64]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether each unit has at least one token and a prediction for each of its tokens."""
        return np.asarray((self.n_tokens > 0) & (self.n_scored == self.n_tokens))


def sum_units(scores: TokenScores, passages: Sequence[str], ends: Sequence[Sequence[int]]) -> UnitSums:
    """Sum a token table over the units of its passages.

    Args:
        scores: Scores of the text by one model.
        passages: The text's passages.
        ends: For each passage, the ends of its units in characters: ascending, the last one is the passage's length. A passage
            without characters has none.

    Returns:
        One row per unit.

    Raises:
        ValueError: The ends do not cut a passage.
    """
    for number, (whole, own) in enumerate(zip(passages, ends, strict=True)):
        if list(own) != sorted(set(own)) or (own[-1] if own else 0) != len(whole) or (own and own[0] <= 0):
            raise ValueError(f"the ends {list(own)} do not cut passage {number}, which has {len(whole)} characters")
    counts = np.array([len(own) for own in ends], np.int64)
    passage = np.repeat(np.arange(len(ends)), counts)
    end = np.array([one for own in ends for one in own], np.int64)
    opens_passage = np.append(True, passage[1:] != passage[:-1])[: len(end)]
    start = np.where(opens_passage, 0, np.roll(end, 1))

    # Number the characters of the whole text: units and tokens are both in reading order there.
    offset = np.cumsum([0, *map(len, passages)])
    last_character = offset[scores.passage] + np.maximum(scores.end - 1, 0)
    unit = np.searchsorted(offset[passage] + end, last_character, side="right")
    is_token = scores.token_id >= 0  # the model did not read the characters of other rows
    n_tokens = np.bincount(unit[is_token], minlength=len(end))
    first_row = np.searchsorted(unit, np.arange(len(end)))
    scored = scores.scored
    n_scored = np.bincount(unit[scored], minlength=len(end))
    # A token may hold the last bytes of a character that belongs to the token before it: it begins there.
    crosses = is_token & (scores.first_character < start[unit]) & (scores.end > scores.start)
    logprob = np.bincount(unit[scored], weights=scores.logprob[scored], minlength=len(end)).astype(np.float64)
    logprob[n_scored == 0] = np.nan
    # A unit that was not read completely has no sum.
    unread = np.flatnonzero(scores.token_id == UNREAD)
    first_character = offset[scores.passage[unread]] + scores.start[unread]
    touched = np.searchsorted(offset[passage] + end, first_character, side="right")
    for begin, last in zip(touched.tolist(), unit[unread].tolist(), strict=True):
        logprob[begin : last + 1] = np.nan

    there = n_tokens > 0
    first = np.minimum(first_row, len(scores) - 1)
    sums = UnitSums(
        passage=passage,
        start=start,
        end=end,
        first_row=first_row,
        n_tokens=n_tokens,
        n_scored=n_scored,
        crossings=np.bincount(unit[crosses], minlength=len(end)),
        logprob=logprob,
        corrected_logprob=np.full(len(end), np.nan),
        entropy=np.where(there, scores.entropy[first], np.nan),
        rank=np.where(there, scores.rank[first], np.nan),
    )
    sums.corrected_logprob[:] = _corrected(scores, passages, sums, opens_passage)
    return sums


def _corrected(
    scores: TokenScores, passages: Sequence[str], sums: UnitSums, opens_passage: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return each unit's log-prob with the correction for ends of words."""
    if not len(sums.end):
        return np.empty(0)
    ends_passage = np.append(opens_passage[1:], True)
    next_row = np.append(sums.first_row[1:], len(scores))  # the row of what follows
    begins_there = np.append(scores.start, -1)[next_row] == sums.end  # otherwise a token crosses the end
    endings = [
        _ending(passages[passage], int(end)) if ends or begins else "unknown"
        for passage, end, ends, begins in zip(sums.passage, sums.end, ends_passage, begins_there, strict=True)
    ]
    opens_next = np.append(scores.opens, 0)[next_row]
    end_logprob = end_logprobs(scores, next_row - 1, opens_next, ends_passage, endings)
    before = np.where(opens_passage, 0.0, np.roll(end_logprob, 1))
    return np.where(sums.complete, sums.logprob + end_logprob - before, np.nan)


def _ending(passage: str, end: int) -> Ending:
    """Return what must follow a place for a word to have ended there."""
    if passage[end - 1].isspace():
        return "anything" if end == len(passage) else "unknown"
    return "space" if end == len(passage) or passage[end].isspace() else "unknown"
