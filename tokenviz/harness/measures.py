"""What an experiment measures of models in memory, besides what is scored and what is compared of the tables.

`Grid.measure(context_effect([1, 2, 4]))` takes a measure of each model on each text; each is a run. `Grid.compare(measures=
[DIVERGENCES])` takes one of each pair of models on each text, and keeps it in the comparison's run: the table as a file,
the metrics beside the correlations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    """

    table: "pd.DataFrame"
    metrics: Mapping[str, float]
    curves: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """Something to measure of one model, or of two.

    Attributes:
        name: Of its table, and of the runs' kind.
        version: Raise it when the same settings would give other numbers.
        take: Given the loaded models, a text, and the grid's settings.
        settings: The measure's own, as far as they move its numbers.
    """

    name: str
    version: int
    take: Callable[..., Measured]
    settings: Mapping[str, object] = field(default_factory=dict)

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
    from tokenviz.scoring.divergence import divergences

    frame = divergences(a, b, text, **vars(settings)).to_frame()
    metrics: dict[str, Any] = {
        "mean_kl_ab": frame["kl_ab"].mean(),
        "median_kl_ab": frame["kl_ab"].median(),
        "p95_kl_ab": frame["kl_ab"].quantile(0.95),
        "mean_kl_ba": frame["kl_ba"].mean(),
        "mean_js": frame["js"].mean(),
        "mean_total_variation": frame["total_variation"].mean(),
        "mean_top_overlap": frame["top_overlap"].mean(),
        "share_same_first": frame["same_first"].mean(),
    }
    return Measured(frame, {name: float(value) for name, value in metrics.items()})


DIVERGENCES = Measure("divergences", 1, _take_divergences)
"""The divergences of `tokenviz.divergences`, in nats; the models must have one vocabulary."""
