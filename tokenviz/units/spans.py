"""Token log-probs summed over the spans of a text: a prompt and its continuation, the turns of a chat, the regions of an item.

A token that crosses a border belongs to the later span, and is counted, by the rule of `tokenviz.units.sums`.
"""

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenviz.errors import TextError
from tokenviz.scores import TokenScores, nan_to_none
from tokenviz.spans import Span, pieces_of_spans
from tokenviz.units.sums import UnitSums, sum_units

if TYPE_CHECKING:
    import pandas as pd


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
