"""How well a model predicts texts, in numbers that are comparable across tokenizers: bits per byte and per character.

Use: `tv.information(scores).estimates["bits_per_byte"]`.
"""

import math
from collections.abc import Sequence

import numpy as np

from tokenviz.errors import ComparisonError
from tokenviz.scores import TokenScores
from tokenviz.stats.estimate import LEVEL
from tokenviz.stats.intervals import PLAIN
from tokenviz.stats.resampling import SEED
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
    numbers = {
        "bits_per_byte": Ratio("bits per byte", "bits", PLAIN, bits, n_bytes),
        "bits_per_character": Ratio("bits per character", "bits", PLAIN, bits, n_characters),
        "mean_logprob": Ratio("mean log-prob of a token", "nats", PLAIN, logprob, np.ones(len(logprob))),
    }
    passages = [one.passage for one in tables]
    return summarise(numbers, scored=~np.isnan(logprob), passages=passages, resamples=resamples, seed=seed, level=level)
