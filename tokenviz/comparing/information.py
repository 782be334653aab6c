"""How well a model predicts texts, in numbers that are comparable across tokenizers: bits per byte and per character.

Use: `tv.information(scores).estimates["bits_per_byte"]`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokenviz.errors import ComparisonError
from tokenviz.scores import TokenScores
from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import LEVEL, Estimate
from tokenviz.stats.intervals import PLAIN, interval
from tokenviz.stats.resampling import SEED, default_resamples, left_out, plan_parts, weights
from tokenviz.stats.summaries import Ratio, Summary, summarise


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
        ComparisonError: The scores are by different models, or `resamples` or `seed` is not possible.

    Example:
        >>> found = tv.information(tv.score(tv.load_model("glass-en"), "Alice was very tired."))
        >>> round(found.estimates["bits_per_byte"].value, 1)
        1.8
    """
    tables = [scores] if isinstance(scores, TokenScores) else list(scores)
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
