"""Several models on the same texts: the scores of each, their comparisons, and divergences of two with one vocabulary.

`compare_two` and `compare_three` are what `tokenviz compare` prints: model specs and texts in, comparisons out.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypedDict

from tokenviz.base.errors import ComparisonError
from tokenviz.comparing.alignment import Alignment
from tokenviz.comparing.comparison import Comparison, PooledComparison, compare, pool
from tokenviz.comparing.distances import Closer, closest, summarise_divergences
from tokenviz.data.scores import BosMode, TokenScores
from tokenviz.data.texts import Text
from tokenviz.models.loading import LoadedModel, ResolvedModel, load, resolve
from tokenviz.scoring.divergence import Divergences, check_vocabularies, divergences
from tokenviz.scoring.predictions import KeptPredictions, keep_predictions
from tokenviz.scoring.scorer import score
from tokenviz.stats.estimate import LEVEL
from tokenviz.stats.intervals import adjusted_level
from tokenviz.stats.resampling import SEED, check_resampling
from tokenviz.stats.summaries import Summary

How = Literal["memory", "disk", "none"]


class Windows(TypedDict):
    """The settings of scoring: bos, context and stride, as in `score`."""

    bos: BosMode
    context: int | None
    stride: int | None


@dataclass(frozen=True, eq=False)
class TwoModels:
    """Two models' comparisons over some texts.

    Attributes:
        comparisons: One comparison per text.
        together: All texts together; None for a single text.
        divergences: The divergences of each text and, where there are several, of all together; empty where there are none.
        no_divergences: Why there are none.
    """

    comparisons: list[Comparison]
    together: PooledComparison | None
    divergences: list[Summary]
    no_divergences: str

    @property
    def results(self) -> list[tuple[Comparison | PooledComparison, Summary | None]]:
        """Return each comparison with its divergences, the pooled one last."""
        everything: list[Comparison | PooledComparison] = [*self.comparisons, *([self.together] if self.together else [])]
        return [(one, self.divergences[i] if self.divergences else None) for i, one in enumerate(everything)]

    def to_json(self, *, differences: int = 10) -> dict[str, Any]:
        """Return plain values for a program.

        Args:
            differences: Number of the largest differences of each text.
        """
        documents: list[dict[str, Any]] = [
            (one.to_json(differences=differences) if isinstance(one, Comparison) else one.to_json())
            | {"divergences": found.to_json() if found else None}
            for one, found in self.results
        ]
        return {
            "model_a": asdict(self.comparisons[0].a.spec),
            "model_b": asdict(self.comparisons[0].b.spec),
            "comparisons": documents[: len(self.comparisons)],
            "together": documents[-1] if self.together else None,
            "no_divergences": self.no_divergences,
        }


@dataclass(frozen=True, eq=False)
class ThreeModels:
    """Three models' comparisons over all of some texts.

    Attributes:
        tables: The scores of the texts by the models "a", "b" and "c".
        pairs: The comparisons of "ab", "ac" and "bc".
        closer: For each model, whether it is closer to one of the others than to the other.
    """

    tables: Mapping[str, list[TokenScores]]
    pairs: Mapping[str, Comparison | PooledComparison]
    closer: list[Closer]

    @property
    def questions(self) -> list[str]:
        """Return the differences of `closer` in words, in its order: a with b minus a with c, and so on."""
        return [
            f"{one} with {first}, less {one} with {second}"
            for one in self.tables
            for first, second in combinations([other for other in self.tables if other != one], 2)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a program."""
        models = {f"model_{letter}": asdict(own[0].spec) for letter, own in self.tables.items()}
        compared = {
            names: {"by": one.unit, "n": one.n, "statistics": one.statistics_json()}
            | {"sign_flips": one.sign_flips.to_json() if one.sign_flips else None}
            for names, one in self.pairs.items()
        }
        closer = [
            {"by": one.by, "question": question, "statistics": one.summary.to_json()}
            for question, one in zip(self.questions, self.closer, strict=True)
        ]
        return {**models, "texts": [own.text_name for own in self.tables["a"]], "pairs": compared, "closer": closer}


def compare_two(
    models: tuple[str, str],
    texts: Sequence[Text],
    windows: Windows,
    how: Alignment,
    *,
    predictions: How = "memory",
    resamples: int | None = None,
    seed: int = SEED,
) -> TwoModels:
    """Score texts with two models and compare them, text by text and all together.

    Args:
        models: The specs of models a and b.
        texts: The texts that both read.
        windows: The settings of scoring, as in `score`.
        how: The units to compare over, as in `compare`.
        predictions: "memory" keeps both models in memory; "disk" loads one after the other and keeps the predictions of the
            first on disk; "none" loads one after the other, without divergences.
        resamples: Number of resamples, as in `compare`.
        seed: Seed of the random numbers.

    Raises:
        TokenvizError: A model cannot be had, or a text cannot be read or compared.
    """
    check_resampling(resamples, seed)
    a, b = map(resolve, models)
    scores_a, scores_b, found, reason = _read_by_both(a, b, texts, windows, predictions)
    drawn: dict[str, Any] = {"resamples": resamples, "seed": seed}
    compared = [compare(*pair, **how, **drawn) for pair in zip(scores_a, scores_b, strict=True)]
    together = pool(compared, **drawn) if len(compared) > 1 else None
    summaries = [summarise_divergences(one, **drawn) for one in found]
    if together and summaries:
        summaries.append(summarise_divergences(found, **drawn))
    return TwoModels(compared, together, summaries, reason)


def compare_three(
    models: Sequence[str],
    texts: Sequence[Text],
    windows: Windows,
    how: Alignment,
    *,
    resamples: int | None = None,
    seed: int = SEED,
    simultaneous: bool = False,
) -> ThreeModels:
    """Score texts with three models, one after the other, and compare every two over all texts together.

    Args:
        models: The three specs.
        texts: The texts that all read.
        windows: The settings of scoring, as in `score`.
        how: The units to compare over, as in `compare`.
        resamples: Number of resamples, as in `compare`.
        seed: Seed of the random numbers.
        simultaneous: Whether the intervals of one number must hold at once in 95 of 100 studies.

    Raises:
        TokenvizError: A model cannot be had, or a text cannot be read or compared.
    """
    check_resampling(resamples, seed)
    level = adjusted_level(len(models)) if simultaneous else LEVEL
    resolved = list(map(resolve, models))
    tables = dict(zip("abc", [_scores_of(load(one), texts, windows) for one in resolved], strict=True))
    pairs: dict[str, Comparison | PooledComparison] = {}
    for first, second in combinations(tables, 2):
        both = zip(tables[first], tables[second], strict=True)
        found = [compare(*pair, **how, resamples=resamples, seed=seed, level=level) for pair in both]
        pairs[first + second] = found[0] if len(found) == 1 else pool(found, resamples=resamples, seed=seed, level=level)
    closer = closest(tables, **how, resamples=resamples, seed=seed, simultaneous=simultaneous)
    return ThreeModels(tables, pairs, closer)


_Both = tuple[list[TokenScores], list[TokenScores], list[Divergences], str]


def _read_by_both(first: ResolvedModel, second: ResolvedModel, texts: Sequence[Text], windows: Windows, how: How) -> _Both:
    """Return both models' scores and their divergences, one per text, or why there are none."""
    with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder:
        a = load(first)
        kept: list[LoadedModel | KeptPredictions] = [a] * len(texts)
        scores_a = _scores_of(a, texts, windows)
        if how == "disk":
            kept = [keep_predictions(a, text, Path(folder, str(i)), **windows) for i, text in enumerate(texts)]
        if how != "memory":
            del a
        if how == "none":
            kept = []
        b = load(second)
        scores_b = _scores_of(b, texts, windows)
        if how == "none":
            return scores_a, scores_b, [], "they were not asked for"
        try:
            check_vocabularies(kept[0], b)
        except ComparisonError as error:
            return scores_a, scores_b, [], str(error)
        found = [divergences(one, b, text, **windows) for one, text in zip(kept, texts, strict=True)]
        return scores_a, scores_b, found, ""


def _scores_of(model: LoadedModel, texts: Sequence[Text], windows: Windows) -> list[TokenScores]:
    """Score texts with a model; one alternative is kept, the first choice."""
    return [score(model, text, **windows, top_k=1) for text in texts]
