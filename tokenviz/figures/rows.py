"""Several models' log-probs of one text, unit by unit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenviz.comparing.alignment import By, Units, same_tokens
from tokenviz.errors import ComparisonError
from tokenviz.figures.measures import Values
from tokenviz.scores import TokenScores
from tokenviz.units.common import Spans, common_spans


@dataclass(frozen=True, eq=False)
class Rows:
    """The units over which several models can be compared, in reading order; all columns have length n.

    Attributes:
        by: The kind of unit.
        spans: The units' places in the text, and each model's tokens in them.
        logprobs: One array per model, in nats per unit; NaN where it did not score every token of the unit.
    """

    by: By
    spans: Spans
    logprobs: tuple[Values, ...]

    def __len__(self) -> int:
        return len(self.spans.start)

    @property
    def passage(self) -> NDArray[np.int64]:
        """Number of the passage of each unit."""
        return self.spans.passage

    def pair(self, a: int, b: int) -> Units:
        """Return the units of two of the models, by the models' numbers."""
        spans = self.spans
        return Units(
            by=self.by,
            passage=spans.passage,
            start=spans.start,
            end=spans.end,
            text=spans.text,
            logprob_a=self.logprobs[a],
            logprob_b=self.logprobs[b],
            n_tokens_a=spans.n_tokens[a],
            n_tokens_b=spans.n_tokens[b],
        )


def common_rows(tables: Sequence[TokenScores]) -> Rows:
    """Return the tokens, where one tokenizer made all of them, else the segments that all models share.

    Args:
        tables: Tables of one text, at least one.

    Raises:
        ComparisonError: The tables are of different texts.
    """
    first, *others = tables
    for other in others:
        if other.text_sha256 != first.text_sha256:
            raise ComparisonError(
                f"the scores are of two texts, {first.text_name!r} and {other.text_name!r}: give scores of one text"
            )
    if all(same_tokens(first, other) for other in others):
        return Rows("token", _tokens(first, len(tables)), tuple(table.logprob for table in tables))
    spans = common_spans(tables)
    sums = [np.add.reduceat(table.logprob, rows) for table, rows in zip(tables, spans.first_rows, strict=True)]
    return Rows("segment", spans, tuple(sums))


def _tokens(table: TokenScores, models: int) -> Spans:
    """Return each token as a span that several models share."""
    n = len(table)
    return Spans(
        passage=table.passage,
        start=table.start,
        end=table.end,
        text=table.token,
        last_words=(),
        n_words=np.zeros(n, np.int64),
        first_rows=(np.arange(n),) * models,
        n_tokens=(np.ones(n, np.int64),) * models,
    )
