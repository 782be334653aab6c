"""How far apart models lie: their divergences, two engines on one model, and which of two is closer to a third."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError
from tokenviz.comparing.alignment import By, same_tokens
from tokenviz.comparing.comparison import Comparison
from tokenviz.comparing.large import Sampled
from tokenviz.data.scores import TokenScores
from tokenviz.scoring.divergence import Divergences
from tokenviz.scoring.statistics import PositionDivergences
from tokenviz.stats import intervals
from tokenviz.stats.definitions import Values
from tokenviz.stats.differences import correlation_difference
from tokenviz.stats.estimate import LEVEL, Estimate, Unit
from tokenviz.stats.intervals import LOGARITHM, Kind, adjusted_level
from tokenviz.stats.resampling import SEED, Weights, default_resamples, left_out, plan_parts, weights
from tokenviz.stats.summaries import Quantile, Ratio, Summary, summarise
from tokenviz.units.words import Punctuation, common_spans, words_of

# Which of two models is closer to a third, by correlations over the units that all three have in common.


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
        ComparisonError: The scores are of different texts, tokens were asked for and differ, or `resamples`, `seed` or
            `level` is not possible.
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


# Two models' divergences over the tokens of texts, as means and percentiles with intervals.
#
# Use: `summarise_divergences(tv.divergences(a, b, text)).to_frame()`.

PERCENTILES = (5, 50, 95, 99)

_DIVERGENCES: dict[str, tuple[str, Unit, Kind]] = {
    "kl_ab": ("KL divergence of b from a", "nats", intervals.LOGARITHM),
    "kl_ba": ("KL divergence of a from b", "nats", intervals.LOGARITHM),
    "js": ("Jensen-Shannon divergence", "nats", intervals.LOGARITHM),
    "total_variation": ("total variation", "share", intervals.WILSON),
    "top_overlap": ("overlap of the top", "share", intervals.WILSON),
}


def summarise_divergences(
    found: Divergences | Sequence[Divergences], *, resamples: int | None = None, seed: int = SEED, level: float = LEVEL
) -> Summary:
    """Summarise two models' divergences on a text, or on several texts pooled, as means and percentiles over the tokens.

    Means are called `mean_kl_ab`, ... and percentiles `kl_ab_p5`, `kl_ab_p50`, ... (inverses of the distribution function:
    values that occur). KL and JS are in nats.

    Args:
        found: The divergences of one or several texts.
        resamples: Number of resamples, as in `tokenviz.compare`.
        seed: Seed of the random numbers.
        level: Level of the intervals, as in `tokenviz.compare`.

    Raises:
        ComparisonError: The divergences are of different models, or `resamples`, `seed` or `level` is not possible.
    """
    texts = [found] if isinstance(found, Divergences) else list(found)
    if not texts:
        raise ComparisonError("no divergences were given: there is nothing to summarise")
    pairs = sorted({(one.model_a, one.model_b) for one in texts})
    if len(pairs) > 1:
        (a, b), (c, d) = pairs[:2]
        raise ComparisonError(
            f"{a!r} and {b!r} cannot be summarised together with {c!r} and {d!r}: take divergences of the same two models"
        )
    columns = {name: np.concatenate([getattr(one.values, name) for one in texts]) for name in _DIVERGENCES}
    scored = ~np.isnan(columns["kl_ab"])
    numbers = _numbers(columns, np.ones(len(scored)), columns, texts[0].top_k)
    return summarise(
        numbers, scored=scored, passages=[one.passage for one in texts], resamples=resamples, seed=seed, level=level
    )


def _numbers(
    above: Mapping[str, Values], below: Values, values: Mapping[str, Values], top_k: int
) -> dict[str, Ratio | Quantile]:
    """Return the means, of tokens or of the sums of parts, and the percentiles of values."""
    numbers: dict[str, Ratio | Quantile] = {}
    for name, (definition, unit, kind) in _DIVERGENCES.items():
        if name == "top_overlap":
            if not top_k:
                continue
            definition = f"{definition} {top_k}"
        numbers[f"mean_{name}"] = Ratio(f"mean {definition}", unit, kind, above[name], below)
        if unit == "nats":
            for percent in PERCENTILES:
                numbers[f"{name}_p{percent}"] = Quantile(
                    f"{definition}, percentile {percent}", unit, values[name], percent / 100
                )
    return numbers


def summarise_divergences_by_parts(
    parts: Iterable[Divergences], text_sha256: str, *, seed: int = SEED, level: float = LEVEL
) -> tuple[Summary, Divergences]:
    """Summarise two models' divergences on a text that is read part by part.

    Args:
        parts: The divergences of consecutive whole passages of the text; one at a time is in memory.
        text_sha256: The text's SHA-256, from which the sample follows.
        seed: Seed of the random numbers.
        level: Level of the intervals, 0 to 1.

    Returns:
        The numbers of `summarise_divergences`: means of all tokens, percentiles of a random sample, intervals from resampled
        parts; and the sample.

    Raises:
        ComparisonError: There are no parts.
    """
    names = list(PositionDivergences.__annotations__)
    sample, sums, n, last = Sampled(text_sha256, len(names)), list[list[float]](), list[int](), None
    for last in parts:
        columns = [getattr(last.values, name) for name in names]
        if (known := ~np.isnan(last.values.kl_ab)).any():
            sample.add(last.passage, known, columns, len(n))
            sums.append([float(column[known].sum()) for column in columns])
            n.append(int(known.sum()))
    if last is None:
        raise ComparisonError("no divergences were given: there is nothing to summarise")
    of_sample = dict(zip(names, sample.values, strict=True))
    of_parts = dict(zip(names, np.array(sums, np.float64).reshape(-1, len(names)).T, strict=True))
    labels = sample.part
    drawn, reason = plan_parts(n, default_resamples(len(labels)), seed)
    every = [*weights(drawn, len(n)), *left_out(drawn, len(n))] if drawn else []
    estimates = {}
    for name, number in _numbers(of_parts, np.array(n, np.float64), of_sample, last.top_k).items():
        n_of = sum(n) if isinstance(number, Ratio) else len(labels)
        estimate = Estimate(number.value, n_of, definition=number.definition, unit=number.unit)
        if not estimate.determined:
            estimate = replace(estimate, reason="no token has a prediction")
        elif drawn is None:
            estimate = replace(estimate, reason=f"no interval: {reason}")
        else:
            found = [number.of(some) for some in (every if isinstance(number, Ratio) else _of_units(every, labels))]
            resampled, without = np.split(np.concatenate(found), [drawn.resamples])
            estimate = intervals.interval(estimate, resampled, kind=number.kind, drawn=drawn, left_out=without, level=level)
        estimates[name] = estimate
    passage, position = sample.place
    return Summary(estimates, drawn), replace(last, passage=passage, position=position, values=PositionDivergences(**of_sample))


def _of_units(every: Sequence[Weights], labels: NDArray[np.int64]) -> Iterator[Weights]:
    """Yield the weights of units from those of their parts, as many at once as take some megabytes."""
    for some in every:
        for begin in range(0, some.shape[1], 16):
            yield some[labels, begin : begin + 16]


# Two engines on one model: the differences between the log-probs that they give to the same tokens.


def engine_differences(comparisons: Sequence[Comparison], *, resamples: int | None = None) -> pd.DataFrame:
    """Summarise the differences between two engines' log-probs, in nats.

    Two engines that run one model differ by rounding. r shows little there, since it is near 1 for any two; the mean difference
    shows less, since differences of both signs cancel. So the size of the differences is what to look at.

    Args:
        comparisons: Comparisons of two engines, for example a trainer (a) and a rollout engine (b).
        resamples: Number of resamples, as in `compare`.

    Returns:
        One row per comparison: `a`, `b`, `text`, `n` units scored by both, `pearson_r` and `mean_absolute_difference` with 95 %
        intervals (` low`, ` high`), `mean_difference` (b - a), `p99_absolute_difference` (at most one in a hundred is larger),
        and `largest_difference` with its unit.
    """
    rows = []
    for one in comparisons:
        units = one.units
        difference = units.logprob_b - units.logprob_a
        size, known = np.abs(difference), ~np.isnan(difference)
        mean = Ratio("mean absolute difference", "nats", LOGARITHM, size, np.ones(len(size)))
        found = summarise({"mean": mean}, scored=known, passages=[units.passage], resamples=resamples, seed=SEED)
        estimate, r = found.estimates["mean"], one.pearson_r
        furthest = int(np.nanargmax(size)) if known.any() else -1
        rows.append(
            {
                "a": one.models[0],
                "b": one.models[1],
                "text": one.text_name,
                "n": one.n,
                "pearson_r": r.value,
                "pearson_r low": r.low,
                "pearson_r high": r.high,
                "mean_absolute_difference": estimate.value,
                "mean_absolute_difference low": estimate.low,
                "mean_absolute_difference high": estimate.high,
                "mean_difference": one.mean_difference.value,
                "p99_absolute_difference": float(np.quantile(size[known], 0.99, method="higher")) if known.any() else np.nan,
                "largest_difference": float(difference[furthest]) if furthest >= 0 else np.nan,
                "largest_at": units.text[furthest] if furthest >= 0 else "",
            }
        )
    return pd.DataFrame(rows)
