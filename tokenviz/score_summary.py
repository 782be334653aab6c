"""`ScoreSummary`: one model's scores of one text, or of several, in a few numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreSummary:
    """One text's scores in a few numbers.

    Attributes:
        n_tokens: Tokens in the text.
        n_scored: Tokens that have a prediction; the means are over these.
        n_bytes: UTF-8 bytes of the characters of the scored tokens.
        mean_logprob: In nats; NaN where nothing is scored, as are the others.
        perplexity_per_token: exp(-mean_logprob).
        bits_per_byte: Surprisal of the scored tokens in bits, over `n_bytes`.
        mean_entropy: Of the predicted distributions, in nats.
        share_rank_1: Of the scored tokens, those that were the model's first choice; between 0 and 1.
    """

    n_tokens: int
    n_scored: int
    n_bytes: int
    mean_logprob: float
    perplexity_per_token: float
    bits_per_byte: float
    mean_entropy: float
    share_rank_1: float

    @classmethod
    def of_means(
        cls, n_tokens: int, n_scored: int, n_bytes: int, mean_logprob: float, mean_entropy: float, share_rank_1: float
    ) -> "ScoreSummary":
        """With the numbers that follow from the others."""
        bits = -mean_logprob * n_scored / math.log(2)
        return cls(
            n_tokens=n_tokens,
            n_scored=n_scored,
            n_bytes=n_bytes,
            mean_logprob=mean_logprob,
            perplexity_per_token=_exp(-mean_logprob),
            bits_per_byte=bits / n_bytes if n_bytes else math.nan,
            mean_entropy=mean_entropy,
            share_rank_1=share_rank_1,
        )

    @classmethod
    def joined(cls, parts: "Sequence[ScoreSummary]") -> "ScoreSummary":
        """Of a whole, from those of its parts."""
        n_scored = sum(part.n_scored for part in parts)

        def mean(name: str) -> float:
            scored = [part for part in parts if part.n_scored]
            return math.fsum(getattr(part, name) * part.n_scored for part in scored) / n_scored if n_scored else math.nan

        return cls.of_means(
            sum(part.n_tokens for part in parts),
            n_scored,
            sum(part.n_bytes for part in parts),
            mean("mean_logprob"),
            mean("mean_entropy"),
            mean("share_rank_1"),
        )


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
