"""The ends of a colour scale: of one text, of a set of texts, between two percentiles, or fixed numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tokenviz.errors import FigureError
from tokenviz.figures.measures import MEASURES, PairMeasure, TokenMeasure, Values

_NUMBER = r"\s*([-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
_PAIR = re.compile(f"{_NUMBER},{_NUMBER}")
_BETWEEN = re.compile(r"(\d+\.?\d*)(?:st|nd|rd|th) to (\d+\.?\d*)(?:st|nd|rd|th) percentile")  # what `Percentiles` prints
_SET = "shared:"  # comes before the limits of a set, in the command that draws one of its figures again
_PERCENTILES = re.compile(r"\s*p(\d+\.?\d*|\.\d+)\s*(?:,\s*p(\d+\.?\d*|\.\d+)\s*)?")


@dataclass(frozen=True)
class Percentiles:
    """Two percentiles of a text's values: values beyond them have the colour of the end.

    Attributes:
        low: Percentile, 0 to 100.
        high: Percentile, 0 to 100, above `low`.
    """

    low: float
    high: float

    def __str__(self) -> str:
        return f"{_ordinal(self.low)} to {_ordinal(self.high)} percentile"


@dataclass(frozen=True)
class Limits:
    """The values at the two ends of a colour scale, and their origin.

    Attributes:
        low: The lower end; NaN where nothing is scored.
        high: The upper end; NaN where nothing is scored.
        origin: The least and greatest value of the "text", or of a "set" of texts; "percentiles" of the text; or "fixed"
            numbers.
        percentiles: The percentiles; None for other origins.
    """

    low: float
    high: float
    origin: Literal["text", "set", "percentiles", "fixed"]
    percentiles: Percentiles | None = None


Chosen = Literal["text", "shared"] | tuple[float, float] | Percentiles | Limits
"""Requested limits: of the text, of the texts that are shown together, between percentiles, or two numbers."""


def chosen_limits(given: str | Chosen) -> Chosen:
    """Parse limits as a user writes them; refuse anything else.

    Args:
        given: "text", "shared", a percentile such as "p1" (from the 1st to the 99th) or two such as "p5,p100", two numbers such
            as "-12,0"; or limits that are parsed already.

    Raises:
        FigureError: It is none of these.
    """
    if not isinstance(given, str):
        return given
    if given == "text":
        return "text"
    if given == "shared":
        return "shared"
    if pair := _PAIR.fullmatch(given.removeprefix(_SET)):
        low, high = (float(number.replace("−", "-")) for number in pair.groups())
        return Limits(low, high, "set") if given.startswith(_SET) else (low, high)
    if found := _PERCENTILES.fullmatch(given):
        least = float(found[1])
        greatest = 100 - least if found[2] is None else float(found[2])
        if 0 <= least < greatest <= 100:
            return Percentiles(least, greatest)
    raise FigureError(
        f"no limits {given!r}: give two numbers, the lower one first, such as -12,0; or text, shared, or a percentile below "
        "p50 such as p1 (from the 1st to the 99th)"
    )


def run_limits(limits: str | Chosen | None) -> Chosen:
    """Return the limits of the figures of runs, each of which is drawn before the scores of the next one are known.

    Raises:
        FigureError: The limits are not possible.
    """
    chosen = chosen_limits("text" if limits is None else limits)
    if chosen == "shared":
        raise FigureError(
            "limits cannot be shared among runs, each of which is drawn before the next is scored: give two numbers, or take "
            "'tokenviz pull EXPERIMENT --limits shared --to FOLDER'"
        )
    return checked_limits(chosen, MEASURES["logprob"]) if isinstance(chosen, tuple) else chosen


def limits_fit(chosen: Chosen, measure: TokenMeasure | PairMeasure) -> bool:
    """Return whether limits that are given for several figures apply to one: numbers are log-probs."""
    if isinstance(chosen, Percentiles):
        return not (isinstance(measure, TokenMeasure) and measure.buckets)
    return not isinstance(chosen, Limits | tuple) or measure.name == "logprob"


def written_limits(chosen: str | Chosen) -> str:
    """Return limits in the form that `chosen_limits` parses."""
    if isinstance(chosen, str):
        return chosen
    if isinstance(chosen, Percentiles):
        return f"p{chosen.low:g},p{chosen.high:g}"
    low, high = (chosen.low, chosen.high) if isinstance(chosen, Limits) else chosen
    return f"{_SET if isinstance(chosen, Limits) and chosen.origin == 'set' else ''}{low!r},{high!r}"


def said_limits(about: Mapping[str, Any]) -> Chosen:
    """Return the limits that a heatmap's file says in its metadata."""
    origin = str(about["limits_of"])
    if between := _BETWEEN.fullmatch(origin):
        return Percentiles(float(between[1]), float(between[2]))
    low, high = about["limits"]
    return "text" if origin == "text" else Limits(low, high, "set") if origin == "set" else (low, high)


def checked_limits(limits: Limits | tuple[float, float], measure: TokenMeasure | PairMeasure) -> Limits:
    """Return limits that were given as numbers, if they are possible for a measure.

    Raises:
        FigureError: They are not possible.
    """
    if isinstance(limits, Limits):
        return limits
    _refuse_classes(measure)
    low, high = limits
    given = f"limits {low:g} to {high:g}"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise FigureError(f"{given} are not possible: give two numbers, the lower one first")
    if low >= high:
        wrong = "hold no range" if low == high else "are the wrong way round"
        raise FigureError(f"{given} {wrong}: give the lower one first")
    if isinstance(measure, PairMeasure) and -low != high:
        far = max(abs(low), abs(high))
        raise FigureError(f"{given} do not have 0 in the middle, as those of a {measure.label} must: give {-far:g} and {far:g}")
    return Limits(low, high, "fixed")


def limits_of(
    values: Sequence[Values],
    measure: TokenMeasure | PairMeasure,
    origin: Literal["text", "set"],
    between: Percentiles | None = None,
) -> Limits:
    """Return the limits of values: the least and the greatest, or two percentiles; for a difference symmetric around 0.

    Args:
        values: Values of all panels or texts that share the scale.
        measure: The measure of the values.
        origin: Whether the values are of one text or of a set.
        between: Percentiles to take instead of the least and the greatest; by default none.

    Raises:
        FigureError: The measure has classes, which have no percentiles.
    """
    if between is not None:
        _refuse_classes(measure)
    found = np.concatenate(values)
    found = found[~np.isnan(found)]
    kind = "percentiles" if between is not None else origin
    if not len(found):
        return Limits(math.nan, math.nan, kind, between)
    if isinstance(measure, TokenMeasure) and measure.buckets:
        return Limits(0.0, len(measure.buckets) - 1.0, origin)
    ends = (0.0, 100.0) if between is None else (between.low, between.high)
    low, high = (float(end) for end in np.percentile(found, ends))
    if isinstance(measure, PairMeasure):
        far = max(abs(low), abs(high))
        return Limits(-far, far, kind, between)
    return Limits(low, high, kind, between)


def _refuse_classes(measure: TokenMeasure | PairMeasure) -> None:
    if isinstance(measure, TokenMeasure) and measure.buckets:
        raise FigureError(f"the measure {measure.name!r} has fixed classes ({', '.join(measure.buckets)}) and takes no limits")


def _ordinal(number: float) -> str:
    whole = int(number) if number == int(number) else None
    if whole is None:
        return f"{number:g}th"
    suffix = "th" if whole % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{suffix}"
