"""Two models on the same texts: the scores of both, and their divergences if they have one vocabulary."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from tokenviz.models.loading import LoadedModel, ResolvedModel
    from tokenviz.scores import BosMode, TokenScores
    from tokenviz.scoring.divergence import Divergences
    from tokenviz.scoring.predictions import KeptPredictions
    from tokenviz.texts import Text

How = Literal["memory", "disk", "none"]


class Windows(TypedDict):
    """The settings of scoring, as in `score`."""

    bos: "BosMode"
    context: int | None
    stride: int | None


@dataclass(frozen=True)
class Reading:
    """Two models' results for some texts.

    Attributes:
        a: The first model's scores, one table per text.
        b: The second model's scores, one table per text.
        divergences: Divergences per text; empty where there are none.
        no_divergences: Why there are none.
    """

    a: "list[TokenScores]"
    b: "list[TokenScores]"
    divergences: "list[Divergences]"
    no_divergences: str = ""


def read_by_both(
    first: "ResolvedModel", second: "ResolvedModel", texts: "Sequence[Text]", windows: Windows, how: How
) -> Reading:
    """Score texts with two models and measure their divergences.

    Args:
        first: Model a.
        second: Model b.
        texts: The texts.
        windows: The settings of scoring.
        how: "memory" keeps both models in memory; "disk" loads one after the other and keeps the first one's predictions on
            disk; "none" loads one after the other, without divergences.

    Raises:
        TokenvizError: A text cannot be scored, or models of one vocabulary cannot be compared token by token.
    """
    from tokenviz.models.loading import load

    with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder:
        a = load(first)
        kept: list[LoadedModel | KeptPredictions] = [a] * len(texts)
        scores_a = scores_of(a, texts, windows)
        if how == "disk":
            from tokenviz.scoring.predictions import keep_predictions

            kept = [keep_predictions(a, text, Path(folder, str(i)), **windows) for i, text in enumerate(texts)]
        if how != "memory":
            del a
        if how == "none":
            kept = []
        b = load(second)
        scores_b = scores_of(b, texts, windows)
        if how == "none":
            return Reading(scores_a, scores_b, [], "they were not asked for")
        return _with_divergences(scores_a, scores_b, kept, b, texts, windows)


def scores_of(model: "LoadedModel", texts: "Sequence[Text]", windows: Windows) -> "list[TokenScores]":
    """Score texts with a model; one alternative is kept, the first choice."""
    from tokenviz.scoring.scorer import score

    return [score(model, text, **windows, top_k=1) for text in texts]


def _with_divergences(
    scores_a: "list[TokenScores]",
    scores_b: "list[TokenScores]",
    kept: "Sequence[LoadedModel | KeptPredictions]",
    b: "LoadedModel",
    texts: "Sequence[Text]",
    windows: Windows,
) -> Reading:
    from tokenviz.errors import ComparisonError
    from tokenviz.scoring.divergence import check_vocabularies, divergences

    try:
        check_vocabularies(kept[0], b)
    except ComparisonError as error:
        return Reading(scores_a, scores_b, [], str(error))
    found = [divergences(one, b, text, **windows) for one, text in zip(kept, texts, strict=True)]
    return Reading(scores_a, scores_b, found)
