"""Measures: quantities that an experiment computes with models in memory, in addition to scores and comparisons.

`Grid.measure(context_effect([1, 2, 4]))` takes a measure of each model on each text; each is a run.
`Grid.compare(measures=[DIVERGENCES])` takes one of each pair of models on each text, and keeps it in the comparison's run: the
table as a file, the metrics next to the correlations. `position_measure` makes a measure from a function of one position's
logits.
"""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from tokenviz.base.errors import ExperimentError
from tokenviz.data.scores import BosMode, TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.heatmap.measures import MEASURES, TokenMeasure
from tokenviz.models.loading import LoadedModel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from tokenviz.scoring.divergence import Divergences
    from tokenviz.scoring.positions import PositionFunction
    from tokenviz.stats.summaries import Summary


@dataclass(frozen=True)
class Settings:
    """The settings with which a grid scores, as in `score`."""

    bos: BosMode
    context: int | None
    stride: int | None
    top_k: int


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of a measure on one text.

    Attributes:
        table: One row per token.
        metrics: Numbers by name; NaN where the text does not determine one.
        curves: By name, pairs of step and value, for a chart on the run's page.
        statistics: For two models: rows for the comparison's table of statistics, by name.
    """

    table: "pd.DataFrame"
    metrics: Mapping[str, float]
    curves: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """A quantity to measure for one model, or for a pair of models.

    Attributes:
        name: Name of its table, and kind of its runs.
        version: Version; raise it when the same settings would give other numbers.
        take: Function of the loaded models, a text, and the grid's settings. After a ComparisonError a pair of models has no
            such measure.
        settings: The measure's settings that its numbers depend on.
        take_by_parts: `take` for a text whose tables are too large for memory, of which it keeps a part at a time; its table
            may be of a sample. None where `take` is used for such texts as well.
        of_one_vocabulary: Whether two models must have one tokenizer; other pairs are compared without it.
        shown: For one model: a function of the table that returns what a text heatmap of its tokens shows; None for no heatmap.
        source: The source of the measure, such as a paper, for the run's description.
    """

    name: str
    version: int
    take: Callable[..., Measured]
    settings: Mapping[str, object] = field(default_factory=dict)
    take_by_parts: Callable[..., Measured] | None = None
    of_one_vocabulary: bool = False
    shown: "Callable[[pd.DataFrame], TokenMeasure] | None" = None
    source: str = ""

    @property
    def identity(self) -> dict[str, object]:
        """Return the version and settings, for a fingerprint."""
        return {"version": self.version, **self.settings}


def context_effect(seen: Sequence[int]) -> Measure:
    """Return a measure of the log-probs of `context_logprobs`: one column per number of tokens that may be read before a token.

    The curve `mean_logprob_by_context` is over the tokens that have at least the greatest number of tokens before them: the
    same tokens at every step.

    Args:
        seen: The numbers of tokens, ascending.
    """

    def take(model: LoadedModel, text: Text, settings: Settings) -> Measured:
        from tokenviz.scoring.positions import context_logprobs

        found = context_logprobs(model, text, seen, bos=settings.bos)
        logprob = found.logprob[found.position >= max(seen)]
        means = [float(column.mean()) if len(column) else float("nan") for column in logprob.T]
        metrics = {"n": float(len(logprob))} | {f"mean_logprob_{count}": mean for count, mean in zip(seen, means, strict=True)}
        return Measured(found.to_frame(), metrics, {"mean_logprob_by_context": list(zip(seen, means, strict=True))})

    return Measure("context_effect", 1, take, {"seen": list(seen)})


def candidates(watched: Sequence[str], *, at: Literal["every", "end"] = "every") -> Measure:
    """Return a measure of the log-probs and ranks of named candidates, as in `tokenviz.watch`.

    Numbers are over the positions, and named by the candidate's number, from 1: `mean_first_logprob_1` and
    `mean_whole_logprob_1` in nats (missing where a position has none), and `share_rank_1_of_1`, the share of positions where
    the candidate's first token is the model's first choice.

    Args:
        watched: The candidates, each with the space that it begins with.
        at: "every" position (the default) or the "end" of each passage.

    Raises:
        ScoringError: A candidate is empty or given twice, or `at` is not known.
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
    """Make a user-defined measure: a number for every token, computed from the logits that predicted it.

    Each model and text becomes a run with a table (one row per token: the log-prob and, in a column named after the measure,
    the number), a text heatmap, a curve, the mean, and the correlations with the log-prob.

        def margin(logits, ids):
            first, second = logits.topk(2, dim=-1).values.T
            return first - second

        Grid(["glass-en"], ["correlation"]).measure(position_measure("margin", margin, unit="nats"))

    Args:
        name: Name of the column, the table and the runs' kind: a Python name.
        function: Function of logits (m, vocabulary) in float32, before the softmax, and the ids (m,) of the tokens that
            followed. It returns m numbers, NaN where there is none. Each number must depend on its own position alone. The
            source of the function is part of the fingerprint: when it changes, runs are computed again.
        unit: Unit of the numbers, such as "nats" or "bits"; empty (the default) for none.
        source: The source of the measure, such as a paper, for the run's description.
        label: A singular noun for headings and legends; by default the name.
        dark: The values that are dark in a heatmap: "high" (the default) or "low" ones.
        ends: One word each for the light and the dark end of the scale; by default "low" and "high".
        version: Version; raise it when something that the function calls has changed.

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
    """Return the function that turns the table of a measure run into what a heatmap shows, from the run's parameters.

    Args:
        params: The run's parameters, as the strings that MLflow stores.

    Returns:
        The function; None where the parameters do not describe it.
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
    from tokenviz.comparing.distances import summarise_divergences
    from tokenviz.scoring.divergence import divergences

    found = divergences(a, b, text, **vars(settings))
    return _with_numbers(found, summarise_divergences(found))


def _take_divergences_by_parts(a: LoadedModel, b: LoadedModel, text: Text, settings: Settings) -> Measured:
    from tokenviz.comparing.distances import summarise_divergences_by_parts
    from tokenviz.scoring.divergence import divergences_by_parts

    summary, sample = summarise_divergences_by_parts(divergences_by_parts(a, b, text, **vars(settings)), text.sha256)
    return _with_numbers(sample, summary)


def _with_numbers(found: "Divergences", summary: "Summary") -> Measured:
    metrics: dict[str, float] = {}
    for name in _DIVERGENCE_METRICS:
        estimate = summary.estimates.get(name)
        if estimate is not None:
            metrics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    if summary.resampling:
        metrics |= {f"divergences_{name}": value for name, value in summary.resampling.numbers.items()}
    return Measured(found.to_frame(), metrics, statistics=summary.to_json())


_DIVERGENCE_METRICS = ("mean_kl_ab", "mean_kl_ba", "mean_js", "mean_total_variation", "mean_top_overlap", "kl_ab_p95")

DIVERGENCES = Measure("divergences", 2, _take_divergences, take_by_parts=_take_divergences_by_parts, of_one_vocabulary=True)
"""The divergences of `tokenviz.divergences`, in nats; pairs of models with two tokenizers are compared without them."""


def known_measure(params: Mapping[str, str]) -> Measure | None:
    """Return the measure of one model that a run's parameters describe.

    Args:
        params: The run's parameters, as the strings that MLflow stores.

    Returns:
        The measure; None for a user-defined measure, and for a run that does not record enough.
    """
    if params.get("measure") == "context_effect" and "seen" in params:
        return context_effect(json.loads(params["seen"]))
    if params.get("measure") == "candidates" and {"watched", "at"} <= params.keys():
        return candidates(json.loads(params["watched"]), at=params["at"])  # type: ignore[arg-type]  # checked when it was made
    return None
