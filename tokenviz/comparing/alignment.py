"""Alignment: units over which two models' log-probs can be compared.

With one tokenizer the units are the tokens. With two they are segments: the finest division of the text at characters where
both have a token boundary. On request they are words, with any tokenizers, or the spans of the text, where a token belongs to
the span of its last character (units/sums.py). The log-prob of a unit is the sum of its tokens' log-probs, by the chain rule.

Where a token crosses the end of a word, the words are joined (units/words.py), and the unit counts them.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError
from tokenviz.data.scores import TokenScores
from tokenviz.units.sums import UnitSums, span_sums
from tokenviz.units.words import Punctuation, Spans, check_punctuation, common_spans, words_of

if TYPE_CHECKING:
    import pandas as pd

By = Literal["token", "segment", "word", "span"]


class Alignment(TypedDict):
    """The units to compare over, as arguments of `align`."""

    by: By | None
    punctuation: Punctuation


@dataclass(frozen=True, eq=False)
class Units:
    """Aligned units in reading order; all arrays have length n.

    Attributes:
        by: The kind of unit.
        passage: Number of the passage, from 0.
        start: First character in the passage.
        end: One past the last character.
        text: The slice of the passage; the concatenated slices of a passage are the passage.
        logprob_a: Log-prob by the first model, in nats; NaN where it did not score every token of the unit.
        logprob_b: Log-prob by the second model, likewise.
        n_tokens_a: Tokens of the first model in the unit.
        n_tokens_b: Tokens of the second model in the unit.
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
        n_words: Words in the unit: more than one where a token of either model crosses the end of a word.
    """

    n_words: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SpanUnits(Units):
    """The spans of the text as units, and the ranges between them.

    Attributes:
        span: The name of each span; empty for a range between spans.
        crossings_a: Tokens of the first model in the unit that begin before it.
        crossings_b: Tokens of the second model in the unit that begin before it.
    """

    span: NDArray[np.object_]
    crossings_a: NDArray[np.int64]
    crossings_b: NDArray[np.int64]


class OtherTokensError(ComparisonError):
    """Two tables of one text are of different tokens."""


def units_of(frame: "pd.DataFrame", by: By) -> Units:
    """Read the units from a table of `Comparison.to_frame`.

    Args:
        frame: The table.
        by: The kind of unit.
    """
    kind = WordUnits if "n_words" in frame.columns else SpanUnits if by == "span" else Units
    columns = {field.name: frame[field.name].to_numpy() for field in fields(kind) if field.name not in ("by", "text")}
    return kind(by=by, text=tuple(frame["text"]), **columns)


def check_units(by: str | None, punctuation: str) -> None:
    """Refuse units that there are not, before anything is scored.

    Raises:
        ComparisonError: There are no such units, or punctuation is neither attached nor apart.
    """
    if by is not None and by not in get_args(By):
        raise ComparisonError(f"by {by!r} is not possible: take 'token', 'segment', 'word' or 'span'")
    check_punctuation(punctuation)


def same_tokens(a: TokenScores, b: TokenScores) -> bool:
    """Return whether two tables have one tokenizer: the same vocabulary, and the same tokens of this text."""
    return (
        a.spec.tokenizer == b.spec.tokenizer
        and np.array_equal(a.token_id, b.token_id)
        and np.array_equal(a.passage, b.passage)
        and np.array_equal(a.end, b.end)
    )


def align(a: TokenScores, b: TokenScores, *, by: By | None = None, punctuation: Punctuation = "attached") -> Units:
    """Align two tables of one text.

    Args:
        a: Scores of the text by one model.
        b: Scores of the same text by another.
        by: The units: "token", which must be the same; "segment"; "word"; or "span", the text's spans. By default tokens where
            they are the same, else segments.
        punctuation: For words: "attached" or "apart", as in `words_of`.

    Returns:
        The units; `WordUnits` for "word", `SpanUnits` for "span".

    Raises:
        ComparisonError: The tables are of different texts; tokens were asked for and differ; or spans were asked for, and the
            text has none or the tables have different ones.
    """
    check_units(by, punctuation)
    if a.text_sha256 != b.text_sha256:
        raise ComparisonError(
            f"the scores are of two texts, {a.text_name!r} and {b.text_name!r}: score one text with both models"
        )
    if by == "word":
        spans = common_spans([a, b], lambda passage: words_of(passage, punctuation=punctuation))
        return WordUnits(**vars(_units("word", spans, a, b)), n_words=spans.n_words)
    if by == "span":
        return _span_units(a, b)
    same = same_tokens(a, b)
    if by == "token" and not same:
        raise OtherTokensError(
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


def _span_units(a: TokenScores, b: TokenScores) -> SpanUnits:
    if a.spans != b.spans:
        raise ComparisonError(
            f"the scores of {a.text_name!r} by {a.spec.model!r} and by {b.spec.model!r} have different spans: score one text "
            "with both models"
        )
    if not a.spans:
        raise ComparisonError(
            f"{a.text_name!r} has no spans to compare over: give it some with with_spans, or name the column that holds them "
            "(--spans)"
        )
    (sums_a, spans, texts), (sums_b, _, _) = span_sums(a), span_sums(b)
    (logprob_a, counts_a), (logprob_b, counts_b) = _of_rows(a, sums_a), _of_rows(b, sums_b)
    return SpanUnits(
        by="span",
        passage=sums_a.passage,
        start=sums_a.start,
        end=sums_a.end,
        text=tuple(texts),
        logprob_a=logprob_a,
        logprob_b=logprob_b,
        n_tokens_a=counts_a,
        n_tokens_b=counts_b,
        span=np.array([span.name for span in spans], object),
        crossings_a=sums_a.crossings,
        crossings_b=sums_b.crossings,
    )


def _of_rows(scores: TokenScores, sums: UnitSums) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each unit's log-prob, NaN where a row is not scored or there is none, and its number of rows."""
    counts = np.diff(sums.first_row, append=len(scores))
    logprob = np.full(len(counts), np.nan)
    logprob[counts > 0] = np.add.reduceat(scores.logprob, sums.first_row[counts > 0])
    return logprob, counts
