"""Sums of token log-probs: over units and spans of a text (regions, prompts, turns of a chat), per byte and per character."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError, TextError, check_kind
from tokenviz.base.progress import warn
from tokenviz.data.scores import UNREAD, TokenScores, nan_to_none, tables_in
from tokenviz.data.spans import Span, pieces_of_spans
from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import LEVEL, Estimate
from tokenviz.stats.intervals import PLAIN, interval
from tokenviz.stats.resampling import SEED, default_resamples, left_out, plan_parts, weights
from tokenviz.stats.summaries import Ratio, Summary, summarise
from tokenviz.units.word_scores import end_logprobs
from tokenviz.units.words import Ending

if TYPE_CHECKING:
    import pandas as pd

RULES = ("sum", "per_token", "per_byte")
"""Rules for the better of two strings: the greater sum of log-probs, the greater mean per token, the greater mean per byte."""


# Sums of token log-probs over units that cut a passage without gaps: regions, words of a user's table, whole items.
#
# A token belongs to the unit of its last character. So a token that crosses a border belongs to the later unit, no token is
# lost, and the sums of a passage's units add up to the passage's sum. Crossings are counted.


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


def note_unscored(table: "pd.DataFrame", name: str, row: str) -> None:
    """Print a warning with the number of rows of a study that have no number, and the reason.

    Args:
        table: A table of such sums, with the column `logprob`.
        name: The text's name.
        row: The noun for a row, such as "region".
    """
    count = int(table["logprob"].isna().sum())
    if count:
        warn(
            f"{count} of {len(table)} {row}s of {name} have no number: without a BOS the first token of a text has no "
            "prediction, and theirs begins in it; --bos always gives it one"
        )


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


# Token log-probs summed over the spans of a text: a prompt and its continuation, the turns of a chat, the regions of an item.
#
# A token that crosses a border belongs to the later span, and is counted, by the rule of `tokenviz.units.sums`.


def span_table(scores: TokenScores) -> "pd.DataFrame":
    """Sum one model's log-probs over the spans of a text.

    A token that crosses the border of two spans belongs to the later one: the span of its last character. Characters outside
    all spans are rows without a name, so that the sums of a passage's rows add up to the sum of its tokens.

    Args:
        scores: Scores of a text with spans (`Text.with_spans`).

    Returns:
        One row per span, in reading order: `passage`, `span` (its name), `start` and `end` (half-open, in characters of the
        passage), `text`; `n_tokens`, `n_scored` (tokens with a prediction: without a BOS the first of a passage has none),
        `crossings` (tokens of the span that begin before it), `n_bytes` (UTF-8, of the span's own characters); `logprob`, the
        sum in nats over the scored tokens, NaN where there is none; `mean_logprob` per scored token; `logprob_per_byte`;
        `surprisal_bits`; `entropy_before` in nats and `rank`, from the prediction of the span's first token.

    Raises:
        TextError: The text has no spans.

    Example:
        >>> text = tv.literal("Alice was very tired.").with_spans([[("subject", 0, 5), ("rest", 5, 21)]])
        >>> table = tv.span_table(tv.score(tv.load_model("glass-en"), text))
        >>> table[["span", "text", "n_tokens", "n_scored", "logprob"]].round(1)
              span              text  n_tokens  n_scored  logprob
        0  subject             Alice         1         0      NaN
        1     rest   was very tired.         5         5    -20.2
    """
    import pandas as pd

    check_kind(scores, TokenScores, TextError, "scores: give what score returns")
    sums, spans, texts = span_sums(scores)
    n_bytes = np.array([len(text.encode()) for text in texts], np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.logprob / sums.n_scored
    return pd.DataFrame(
        {
            "passage": sums.passage,
            "span": [span.name for span in spans],
            "start": sums.start,
            "end": sums.end,
            "text": texts,
            "n_tokens": sums.n_tokens,
            "n_scored": sums.n_scored,
            "crossings": sums.crossings,
            "n_bytes": n_bytes,
            "logprob": sums.logprob,
            "mean_logprob": mean,
            "logprob_per_byte": sums.logprob / n_bytes,
            "surprisal_bits": -sums.logprob / math.log(2) + 0.0,  # 0 bits, not -0
            "entropy_before": sums.entropy,
            "rank": pd.array(sums.rank, dtype="Float64").astype("Int64"),
        }
    )


@dataclass(frozen=True, eq=False)
class SpanScores:
    """The table of `span_table` with its text's name, for output.

    Attributes:
        text_name: The text's name.
        table: The table, with one row per span.
    """

    text_name: str
    table: "pd.DataFrame"

    @classmethod
    def of(cls, scores: TokenScores) -> "SpanScores":
        """Sum a token table over its spans."""
        return cls(scores.text_name, span_table(scores))

    def to_frame(self) -> "pd.DataFrame":
        """Return a copy of the table."""
        return self.table.copy()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rows as plain values, None where a value is missing."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict(orient="records")
        return [{str(name): nan_to_none(value) for name, value in row.items()} for row in rows]


def span_sums(scores: TokenScores) -> tuple[UnitSums, list[Span], list[str]]:
    """Sum a token table over the spans of its text and the ranges between them.

    Returns:
        The sums, the span of each row, and its slice of the passage.

    Raises:
        TextError: The text has no spans.
    """
    if not scores.spans:
        raise TextError(
            f"{scores.text_name!r} has no spans: give it some with with_spans, or name the column that holds them (--spans)"
        )
    passages = whole_passages(scores)
    pieces = [pieces_of_spans(spans, len(passage)) for spans, passage in zip(scores.spans, passages, strict=True)]
    sums = sum_units(scores, passages, [[span.end for span in own] for own in pieces])
    flat = [span for own in pieces for span in own]
    texts = [passages[passage][span.start : span.end] for passage, span in zip(sums.passage, flat, strict=True)]
    return sums, flat, texts


def whole_passages(scores: TokenScores) -> list[str]:
    """Return the passages of a text with spans, put together from their tokens."""
    passages = [""] * len(scores.spans)
    for number, rows in groupby(range(len(scores)), key=lambda row: int(scores.passage[row])):
        passages[number] = "".join(scores.token[row] for row in rows)
    return passages


# How well a model predicts texts, in numbers that are comparable across tokenizers: bits per byte and per character.
#
# Use: `tv.information(scores).estimates["bits_per_byte"]`.


def information(
    scores: TokenScores | Sequence[TokenScores], *, resamples: int | None = None, seed: int = SEED, level: float = LEVEL
) -> Summary:
    """Measure how well a model predicts texts, by two numbers that are comparable across tokenizers and one that is not.

    `bits_per_byte` and `bits_per_character` are the surprisal of the scored tokens in bits, divided by the UTF-8 bytes and by
    the characters (Unicode code points) that they cover. `mean_logprob` is in nats per token, and tokens differ between
    tokenizers. Tokens without a prediction (a text's first token, where there is no BOS) count in neither sum. Where several
    tokens share a character, each one's own bytes count with its own surprisal; `TokenScores.counted` defines the rule for
    tokens whose own bytes cannot be determined.

    Args:
        scores: Scores of one text by one model, or of several texts, which are pooled.
        resamples: Number of resamples, as in `tokenviz.compare`.
        seed: Seed of the random numbers.
        level: Level of the intervals, as in `tokenviz.compare`.

    Returns:
        The three numbers by name in `estimates`, each with n and a 95 % interval.

    Raises:
        ComparisonError: The scores are by different models, or `resamples`, `seed` or `level` is not possible.

    Example:
        >>> found = tv.information(tv.score(tv.load_model("glass-en"), "Alice was very tired."))
        >>> round(found.estimates["bits_per_byte"].value, 1)
        1.8
    """
    tables = tables_in(scores, ComparisonError)
    if not tables:
        raise ComparisonError("no scores were given: there is nothing to summarise")
    models = sorted({one.spec.model for one in tables})
    if len(models) > 1:
        raise ComparisonError(f"scores by {models[0]!r} and {models[1]!r} are not one model's: summarise each by itself")
    logprob = np.concatenate([one.logprob for one in tables])
    counted = np.concatenate([one.counted for one in tables])
    bits = np.where(counted, -logprob / math.log(2), 0.0)
    n_bytes = np.where(counted, np.concatenate([one.n_bytes for one in tables]), 0.0)
    n_characters = np.where(counted, np.concatenate([one.n_characters for one in tables]), 0.0)
    numbers = _ratios(bits, n_bytes, n_characters, logprob, np.ones(len(logprob)))
    passages = [one.passage for one in tables]
    return summarise(numbers, scored=~np.isnan(logprob), passages=passages, resamples=resamples, seed=seed, level=level)


@dataclass(frozen=True)
class InformationSums:
    """One part of a table in as many numbers as `information` follows from.

    Attributes:
        n_scored: Tokens with a prediction.
        logprob: The sum of theirs, in nats.
        bits: Surprisal of the counted tokens; see `TokenScores.counted`.
        n_bytes: That these stand for.
        n_characters: Likewise.
    """

    n_scored: int
    logprob: float
    bits: float
    n_bytes: int
    n_characters: float

    @classmethod
    def of(cls, part: TokenScores) -> "InformationSums":
        """Sum up a part of whole passages."""
        scored, counted = part.scored, part.counted
        return cls(
            n_scored=int(scored.sum()),
            logprob=float(part.logprob[scored].sum()),
            bits=float((-part.logprob[counted] / math.log(2)).sum()),
            n_bytes=int(part.n_bytes[counted].sum()),
            n_characters=float(part.n_characters[counted].sum()),
        )


def information_of_parts(parts: Sequence[InformationSums], *, seed: int = SEED, level: float = LEVEL) -> Summary:
    """Return what `information` does, of a text that is read part by part: intervals come from resampled parts.

    Args:
        parts: Sums of the parts of one text by one model.
        seed: Seed of the random numbers.
        level: Level of the intervals, 0 to 1.
    """
    some = [part for part in parts if part.n_scored]
    columns = ("bits", "n_bytes", "n_characters", "logprob", "n_scored")
    numbers = _ratios(*(np.array([getattr(part, name) for part in some], np.float64) for name in columns))
    n = [part.n_scored for part in some]
    drawn, reason = plan_parts(n, default_resamples(len(n)), seed)
    every = [*weights(drawn, len(n)), *left_out(drawn, len(n))] if drawn else []
    estimates = {}
    for name, number in numbers.items():
        estimate = Estimate(number.value, sum(n), definition=number.definition, unit=number.unit)
        if drawn is None:
            estimate = replace(estimate, reason=f"no interval: {reason}" if some else "no token has a prediction")
        else:
            found, without = np.split(np.concatenate([number.of(some) for some in every]), [drawn.resamples])
            estimate = interval(estimate, found, kind=number.kind, drawn=drawn, left_out=without, level=level)
        estimates[name] = estimate
    return Summary(estimates, drawn)


def _ratios(bits: Values, n_bytes: Values, n_characters: Values, logprob: Values, n: Values) -> dict[str, Ratio]:
    """Return the three numbers, each a sum over a sum: of tokens, or of the sums of parts."""
    return {
        "bits_per_byte": Ratio("bits per byte", "bits", PLAIN, bits, n_bytes),
        "bits_per_character": Ratio("bits per character", "bits", PLAIN, bits, n_characters),
        "mean_logprob": Ratio("mean log-prob of a token", "nats", PLAIN, logprob, n),
    }
