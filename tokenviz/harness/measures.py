"""What an experiment measures of models in memory, besides what is scored and what is compared of the tables.

`Grid.measure(context_effect([1, 2, 4]))` takes a measure of each model on each text; each is a run. `Grid.compare(measures=
[DIVERGENCES])` takes one of each pair of models on each text, and keeps it in the comparison's run: the table as a file,
the metrics beside the correlations. `position_measure` makes a measure of a function of one position's logits.
"""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from tokenviz.errors import ExperimentError
from tokenviz.figures.measures import MEASURES, TokenMeasure
from tokenviz.models.loading import LoadedModel
from tokenviz.scores import BosMode, TokenScores
from tokenviz.texts import Text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from tokenviz.scoring.positions import PositionFunction


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
        shown: Of one model: given the table, what a text heatmap of its tokens shows; None for no heatmap.
        source: Where the measure comes from, such as a paper, for the run's description.
    """

    name: str
    version: int
    take: Callable[..., Measured]
    settings: Mapping[str, object] = field(default_factory=dict)
    of_one_vocabulary: bool = False
    shown: "Callable[[pd.DataFrame], TokenMeasure] | None" = None
    source: str = ""

    @property
    def identity(self) -> dict[str, object]:
        """For a fingerprint."""
        return {"version": self.version, **self.settings}


def context_effect(seen: Sequence[int]) -> Measure:
    """The log-probs of `context_logprobs`: one column for each number of tokens that may be read before a token.

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


def candidates(watched: Sequence[str], *, at: Literal["every", "end"] = "every") -> Measure:
    """What a model gives to named candidates: the log-probs and ranks of `tokenviz.watch`.

    The numbers are of each candidate by its number, from 1, over the positions: `mean_first_logprob_1` and
    `mean_whole_logprob_1` in nats (missing where it is not known at every position), and `share_rank_1_of_1`, how often its
    first token is the model's first choice.

    Args:
        watched: The candidates, each with the space that it begins with.
        at: "every" position or the "end" of each passage.

    Raises:
        ScoringError: One is empty or given twice, or `at` is not known.
    """
    from tokenviz.scoring.watching import check_watched

    check_watched(watched, at)

    def take(model: LoadedModel, text: Text, settings: Settings) -> Measured:
        from tokenviz.scoring.watching import watch

        windows = {"context": settings.context, "stride": settings.stride}
        found = watch(model, text, watched, at=at, bos=settings.bos, **windows)
        metrics = {"n": float(len(found.position))}
        curves = {}
        for number in range(len(watched)):
            first, whole = found.first_logprob[:, number], found.whole_logprob[:, number]
            metrics |= {
                f"mean_first_logprob_{number + 1}": _mean(first),
                f"mean_whole_logprob_{number + 1}": float(whole.mean()) if len(whole) else math.nan,  # NaN where one is missing
                f"share_rank_1_of_{number + 1}": _mean((found.first_rank[:, number] == 1).astype(float)),
            }
            curves[f"position/candidate_{number + 1}"] = [(row, float(value)) for row, value in enumerate(first)]
        return Measured(found.to_frame(), metrics, curves)

    return Measure("candidates", 1, take, {"watched": list(watched), "at": at})


def position_measure(
    name: str,
    function: "PositionFunction",
    *,
    unit: str = "",
    source: str = "",
    label: str | None = None,
    dark: Literal["high", "low"] = "high",
    ends: tuple[str, str] = ("low", "high"),
    version: int = 1,
) -> Measure:
    """A measure of somebody's own: a number for every token, from the logits that predicted it.

    Each model and text becomes a run with a table (one row a token: the log-prob and, in a column of the measure's name, the
    number), a text heatmap, a curve, the mean, and the correlations with the log-prob.

        def margin(logits, ids):
            first, second = logits.topk(2, dim=-1).values.T
            return first - second

        Grid(["glass-en"], ["correlation"]).measure(position_measure("margin", margin, unit="nats"))

    Args:
        name: Of the column, the table and the runs' kind: a Python name.
        function: Given logits (m, vocabulary) in float32, before the softmax, and the ids (m,) of the tokens that followed,
            it gives m numbers, NaN where there is none. It looks at each position by itself, and its source is part of
            what makes a run: once changed, runs are made anew.
        unit: Of the numbers, such as "nats" or "bits"; empty where they have none.
        source: Where the measure comes from, such as a paper, for the run's description.
        label: In headings and legends, a singular noun; by default the name.
        dark: Which values are dark in a heatmap: the "high" or the "low" ones.
        ends: What the light and the dark end mean, in a word each.
        version: Raise it when something that the function calls has changed.

    Raises:
        ExperimentError: The name is taken or no Python name, or the function's source cannot be read.
    """
    from tokenviz.harness.kinds import kinds

    taken = {*MEASURES, *_OWN_COLUMNS, *kinds()}
    if not name.isidentifier() or name in taken:
        raise ExperimentError(
            f"a measure cannot be called {name!r}: take letters, digits and _, and none of {', '.join(sorted(taken))}"
        )
    try:
        written = inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise ExperimentError(
            f"the source of the measure {name!r} cannot be read, and runs could not say what they hold: define the function "
            "with def, in a file or a notebook"
        ) from error

    def take(model: LoadedModel, text: Text, settings: Settings) -> Measured:
        from tokenviz.comparing.agreement import correlate
        from tokenviz.scoring.positions import position_values

        found = position_values(model, text, function, bos=settings.bos, context=settings.context, stride=settings.stride)
        metrics = {"n": float((found.values == found.values).sum()), f"mean_{name}": _mean(found.values)}
        together = correlate(found.values, found.logprob, passages=found.passage)
        for key, estimate in together.estimates.items():
            metrics |= {
                f"{key}_with_logprob": estimate.value,
                f"{key}_with_logprob_low": estimate.low,
                f"{key}_with_logprob_high": estimate.high,
            }
        metrics |= together.resampling.numbers if together.resampling else {}
        curve = [(row, float(value)) for row, value in enumerate(found.values) if value == value]
        return Measured(found.to_frame(name), metrics, {f"token/{name}": curve})

    heading = label or name.replace("_", " ")
    settings: dict[str, object] = {"function": hashlib.sha256(written.encode()).hexdigest(), "source": source}
    settings |= {"unit": unit, "label": heading, "dark": dark, "ends": list(ends)}
    shown = partial(_shown, name, heading, unit, dark, ends)
    return Measure(name, version, take, settings, shown=shown, source=source)


def _shown(
    name: str, label: str, unit: str, dark: Literal["high", "low"], ends: tuple[str, str], table: "pd.DataFrame"
) -> TokenMeasure:
    take = partial(_given, table[name].to_numpy())
    return TokenMeasure(name=name, label=label, unit=unit, dark=dark, ends=ends, take=take)


def shown_by(params: Mapping[str, str]) -> "Callable[[pd.DataFrame], TokenMeasure] | None":
    """Return what draws the table of a measure run on its tokens: what `position_measure` was told of its looks.

    Args:
        params: The run's, as MLflow keeps them.

    Returns:
        None where the run does not say it.
    """
    try:
        low, high = json.loads(params["ends"])
        dark: Literal["high", "low"] = "high" if params["dark"] == "high" else "low"
        return partial(_shown, params["measure"], params["label"], params.get("unit", ""), dark, (str(low), str(high)))
    except (KeyError, ValueError, TypeError):
        return None


_OWN_COLUMNS = ("passage", "position", "token")


def _given(values: "NDArray[np.float64]", _: TokenScores) -> "NDArray[np.float64]":
    return values


def _mean(values: "NDArray[np.float64]") -> float:
    known = values[values == values]
    return float(known.mean()) if len(known) else float("nan")


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
    if summary.resampling:
        metrics |= {f"divergences_{name}": value for name, value in summary.resampling.numbers.items()}
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
    if params.get("measure") == "candidates" and {"watched", "at"} <= params.keys():
        return candidates(json.loads(params["watched"]), at=params["at"])  # type: ignore[arg-type]  # it was checked then
    return None
