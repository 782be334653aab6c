"""What an experiment measures of models in memory, besides what is scored and what is compared of the tables.

`Grid.measure(context_effect([1, 2, 4]))` takes a measure of each model on each text; each is a run. `Grid.compare(measures=
[DIVERGENCES])` takes one of each pair of models on each text, and keeps it in the comparison's run: the table as a file,
the metrics beside the correlations.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenviz.models.loading import LoadedModel
from tokenviz.scores import BosMode
from tokenviz.texts import Text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Settings:
    """How a grid scores; see `score`."""

    bos: BosMode
    context: int | None
    stride: int | None
    top_k: int


@dataclass(frozen=True, eq=False)
class Measured:
    """What a measure found on one text.

    Attributes:
        table: One row a token.
        metrics: Its numbers by name; NaN where the text does not determine one.
        curves: Values by step, for a chart in the run's page.
        statistics: Of two models: rows for the comparison's table of statistics, by name.
    """

    table: "pd.DataFrame"
    metrics: Mapping[str, float]
    curves: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """Something to measure of one model, or of two.

    Attributes:
        name: Of its table, and of the runs' kind.
        version: Raise it when the same settings would give other numbers.
        take: Given the loaded models, a text, and the grid's settings. A
            ComparisonError leaves a pair of models without it.
        settings: The measure's own, as far as they move its numbers.
        of_one_vocabulary: Whether two models must have one tokenizer; others are compared without it.
    """

    name: str
    version: int
    take: Callable[..., Measured]
    settings: Mapping[str, object] = field(default_factory=dict)
    of_one_vocabulary: bool = False

    @property
    def identity(self) -> dict[str, object]:
        """For a fingerprint."""
        return {"version": self.version, **self.settings}


def context_effect(seen: Sequence[int]) -> Measure:
    """The log-probs of `tokenviz.context_logprobs`: one column for each number of tokens that may be read before a token.

    The curve `mean_logprob_by_context` is over the tokens that have the greatest number of tokens before them, the same
    tokens at every step.

    Args:
        seen: The numbers, ascending.
    """

    def take(model: LoadedModel, text: Text, settings: Settings) -> Measured:
        from tokenviz.scoring.contexts import context_logprobs

        found = context_logprobs(model, text, seen, bos=settings.bos)
        logprob = found.logprob[found.position >= max(seen)]
        means = [float(column.mean()) if len(column) else float("nan") for column in logprob.T]
        metrics = {"n": float(len(logprob))} | {f"mean_logprob_{count}": mean for count, mean in zip(seen, means, strict=True)}
        return Measured(found.to_frame(), metrics, {"mean_logprob_by_context": list(zip(seen, means, strict=True))})

    return Measure("context_effect", 1, take, {"seen": list(seen)})


def _take_divergences(a: LoadedModel, b: LoadedModel, text: Text, settings: Settings) -> Measured:
    from tokenviz.comparing.divergences import summarise_divergences
    from tokenviz.scoring.divergence import divergences

    found = divergences(a, b, text, **vars(settings))
    summary = summarise_divergences(found)
    metrics: dict[str, float] = {}
    for name in _DIVERGENCE_METRICS:
        estimate = summary.estimates.get(name)
        if estimate is not None:
            metrics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return Measured(found.to_frame(), metrics, statistics=summary.to_json())


_DIVERGENCE_METRICS = ("mean_kl_ab", "mean_kl_ba", "mean_js", "mean_total_variation", "mean_top_overlap", "kl_ab_p95")

DIVERGENCES = Measure("divergences", 2, _take_divergences, of_one_vocabulary=True)
"""The divergences of `tokenviz.divergences`, in nats; pairs of models with two tokenizers are compared without them."""


def known_measure(params: Mapping[str, str]) -> Measure | None:
    """The measure of one model that a run's parameters describe.

    Args:
        params: As MLflow keeps them.

    Returns:
        None for a measure of somebody's own experiment, and for a run that does not say enough.
    """
    if params.get("measure") == "context_effect" and "seen" in params:
        return context_effect(json.loads(params["seen"]))
    return None
