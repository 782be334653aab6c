"""Which of two models is closer to a third, by correlations over the units that all three have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tokenviz.comparing.alignment import By, same_tokens
from tokenviz.errors import ComparisonError
from tokenviz.scores import TokenScores
from tokenviz.stats.dependent import correlation_difference
from tokenviz.stats.estimate import LEVEL
from tokenviz.stats.intervals import adjusted_level
from tokenviz.stats.resampling import SEED
from tokenviz.stats.summaries import Summary
from tokenviz.units.common import common_spans
from tokenviz.units.words import Punctuation, words_of


@dataclass(frozen=True)
class Closer:
    """Whether model a is closer to b than to c.

    Attributes:
        models: The specs of a, b and c.
        by: The kind of unit: "token", "segment" or "word".
        summary: The correlations and their difference, as in `tokenviz.stats.correlation_difference`.
    """

    models: tuple[str, str, str]
    by: By
    summary: Summary


def closer(
    a: TokenScores | Sequence[TokenScores],
    b: TokenScores | Sequence[TokenScores],
    c: TokenScores | Sequence[TokenScores],
    *,
    by: By | None = None,
    punctuation: Punctuation = "attached",
    resamples: int | None = None,
    seed: int = SEED,
    level: float = LEVEL,
) -> Closer:
    """Test whether the log-probs of model a correlate more with those of b than with those of c.

    Units are tokens where all three tokenizers cut the texts alike, else the finest segments at whose ends all three have a
    token boundary. So r(a, b) may differ from that of `compare(a, b)`, which needs no boundary of c. Whole texts are resampled
    where there are several, as in `pool`.

    Args:
        a: Scores of a text by model a, or of several texts, which are pooled.
        b: Scores of the same texts by model b.
        c: Scores of the same texts by model c.
        by: The units, as in `compare`.
        punctuation: For words: "attached" (the default) or "apart".
        resamples: Number of resamples, as in `compare`.
        seed: Seed of the random numbers.
        level: Level of the intervals, as in `compare`.

    Returns:
        The difference r(a, b) - r(a, c) with its interval, and both correlations.

    Raises:
        ComparisonError: The scores are of different texts, tokens were asked for and differ, or `resamples` or `seed` is not
            possible.
    """
    tables = [[one] if isinstance(one, TokenScores) else list(one) for one in (a, b, c)]
    texts = [tuple(table.text_sha256 for table in own) for own in tables]
    if not texts[0] or len(set(texts)) > 1:
        raise ComparisonError("the scores of the three models are not of the same texts: score the same texts with all three")
    same = all(same_tokens(first, other) for first, *others in zip(*tables, strict=True) for other in others)
    if by == "token" and not same:
        raise ComparisonError("the three models cut the texts into different tokens: take 'segment' or 'word'")
    by = by or ("token" if same else "segment")
    rows, passages, labels = [], [], []
    for number, of_text in enumerate(zip(*tables, strict=True)):
        found, passage = _aligned(of_text, by, punctuation)
        rows.append(found)
        passages.append(passage)
        labels.append(np.full(len(passage), number))
    summary = correlation_difference(
        *np.concatenate(rows, axis=1),
        passages=np.concatenate(passages),
        texts=np.concatenate(labels),
        unit=by,
        resamples=resamples,
        seed=seed,
        level=level,
    )
    specs = [own[0].spec.model for own in tables]
    return Closer((specs[0], specs[1], specs[2]), by, summary)


def closest(
    tables: Mapping[str, Sequence[TokenScores]],
    *,
    by: By | None = None,
    punctuation: Punctuation = "attached",
    resamples: int | None = None,
    seed: int = SEED,
    simultaneous: bool = False,
) -> list[Closer]:
    """Apply `closer` to every model and every two of the others; the result is empty for fewer than three models.

    Args:
        tables: The scores of each model, by its label, of the same texts in the same order.
        by: The units, as in `compare`.
        punctuation: For words: "attached" (the default) or "apart".
        resamples: Number of resamples, as in `compare`.
        seed: Seed of the random numbers.
        simultaneous: Whether the intervals of all differences must hold at once in 95 of 100 studies; by default each holds by
            itself.
    """
    triples = [(a, b, c) for a in tables for b, c in combinations([other for other in tables if other != a], 2)]
    level = adjusted_level(len(triples)) if simultaneous else LEVEL
    return [
        closer(*(tables[name] for name in triple), by=by, punctuation=punctuation, resamples=resamples, seed=seed, level=level)
        for triple in triples
    ]


def _aligned(tables: Sequence[TokenScores], by: By, punctuation: Punctuation) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the log-probs of the units of one text, (models, n), and the passage of each."""
    if by == "token":
        return np.stack([table.logprob for table in tables]), tables[0].passage
    words = (lambda passage: words_of(passage, punctuation=punctuation)) if by == "word" else None
    spans = common_spans(tables, words)
    sums = [np.add.reduceat(table.logprob, first) for table, first in zip(tables, spans.first_rows, strict=True)]
    return np.stack(sums), spans.passage
