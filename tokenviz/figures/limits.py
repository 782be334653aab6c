"""The ends of a colour scale: of one text, of a set of texts, or fixed beforehand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tokenviz.errors import FigureError
from tokenviz.figures.measures import PairMeasure, TokenMeasure, Values


@dataclass(frozen=True)
class Limits:
    """The values at the two ends of a colour scale, and where they come from.

    Attributes:
        low: NaN where nothing is scored.
        high: The same.
        origin: The least and greatest value of the "text", or of a "set" of texts; or "fixed" beforehand.
    """

    low: float
    high: float
    origin: Literal["text", "set", "fixed"]


def checked_limits(limits: Limits | tuple[float, float], measure: TokenMeasure | PairMeasure) -> Limits:
    """Limits that were given, if a scale of the measure can have them.

    Raises:
        FigureError: It cannot.
    """
    if isinstance(limits, Limits):
        return limits
    if isinstance(measure, TokenMeasure) and measure.buckets:
        raise FigureError(f"the measure {measure.name!r} has fixed classes ({', '.join(measure.buckets)}) and takes no limits")
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


def limits_of(values: Sequence[Values], measure: TokenMeasure | PairMeasure, origin: Literal["text", "set"]) -> Limits:
    """The limits of values: the least and the greatest, or for a difference the greatest on both sides of 0."""
    found = np.concatenate(values)
    found = found[~np.isnan(found)]
    if not len(found):
        return Limits(math.nan, math.nan, origin)
    if isinstance(measure, PairMeasure):
        far = float(np.abs(found).max())
        return Limits(-far, far, origin)
    if measure.buckets:
        return Limits(0.0, len(measure.buckets) - 1.0, origin)
    return Limits(float(found.min()), float(found.max()), origin)
