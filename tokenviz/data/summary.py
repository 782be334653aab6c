"""`ScoreSummary`: one model's scores of one or several texts, in a few numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tokenviz.base.display import counted


@dataclass(frozen=True)
class ScoreSummary:
    """The scores of a text in a few numbers.

    Attributes:
        n_tokens: Tokens in the text.
        n_scored: Tokens that have a prediction; the means are over these.
        n_bytes: UTF-8 bytes of the scored tokens (`TokenScores.counted`).
        n_unknown: Number of unknown tokens. With any of them the surprisal is not that of the text, and `bits_per_byte` cannot
            be compared with another tokenizer's.
        n_unread: Characters that no token covers: the model did not read them, and no number includes them.
        mean_logprob: Mean log-prob, in nats; NaN where nothing is scored, as are the other means.
        perplexity_per_token: exp(-mean_logprob).
        bits_per_byte: Surprisal, in bits, of the tokens that `n_bytes` counts, divided by `n_bytes`.
        mean_entropy: Mean entropy of the predicted distributions, in nats.
        share_rank_1: Share of the scored tokens that were the model's first choice; 0 to 1.
    """

    n_tokens: int
    n_scored: int
    n_bytes: int
    n_unknown: int
    n_unread: int
    mean_logprob: float
    perplexity_per_token: float
    bits_per_byte: float
    mean_entropy: float
    share_rank_1: float

    def caveats(self, unread: str = "") -> tuple[str, ...]:
        """Return the limitations of these numbers, one sentence each without its end; none where there are none.

        Args:
            unread: Names of the characters that were not read, where they are known.
        """
        unknown_tokens, characters = counted(self.n_unknown, "token"), counted(self.n_unread, "character")
        found = []
        if self.n_unread:
            were = "was" if self.n_unread == 1 else "were"
            names = f" ({unread})" if unread else ""
            found.append(f"{characters}{names} {were} not read, because no token stands for them, and are in no number")
        if self.n_unknown:
            stand = "stands" if self.n_unknown == 1 else "stand"
            found.append(
                f"{unknown_tokens} of {self.n_tokens:,} {stand} for something that the tokenizer does not know, so that bits "
                "per byte cannot be compared with those of another tokenizer"
            )
        return tuple(found)

    @classmethod
    def of_means(
        cls,
        *,
        n_tokens: int,
        n_scored: int,
        n_bytes: int,
        n_unknown: int,
        n_unread: int,
        bits: float,
        mean_logprob: float,
        mean_entropy: float,
        share_rank_1: float,
    ) -> "ScoreSummary":
        """Return a summary with the numbers that follow from these; `bits` is the surprisal of the tokens in `n_bytes`."""
        return cls(
            n_tokens=n_tokens,
            n_scored=n_scored,
            n_bytes=n_bytes,
            n_unknown=n_unknown,
            n_unread=n_unread,
            mean_logprob=mean_logprob,
            perplexity_per_token=_exp(-mean_logprob),
            bits_per_byte=bits / n_bytes if n_bytes else math.nan,
            mean_entropy=mean_entropy,
            share_rank_1=share_rank_1,
        )

    @classmethod
    def joined(cls, parts: "Sequence[ScoreSummary]") -> "ScoreSummary":
        """Return the summary of a whole text from those of its parts."""
        n_scored = sum(part.n_scored for part in parts)

        def mean(name: str) -> float:
            scored = [part for part in parts if part.n_scored]
            return math.fsum(getattr(part, name) * part.n_scored for part in scored) / n_scored if n_scored else math.nan

        return cls.of_means(
            n_tokens=sum(part.n_tokens for part in parts),
            n_scored=n_scored,
            n_bytes=sum(part.n_bytes for part in parts),
            n_unknown=sum(part.n_unknown for part in parts),
            n_unread=sum(part.n_unread for part in parts),
            bits=math.fsum(part.bits_per_byte * part.n_bytes for part in parts if part.n_bytes),
            mean_logprob=mean("mean_logprob"),
            mean_entropy=mean("mean_entropy"),
            share_rank_1=mean("share_rank_1"),
        )


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
