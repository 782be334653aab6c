"""Measures of tokens that a heatmap can show. Each is one definition here; drawers, captions and the command line use it.

Dark is always the predictable end, so that a text looks similar with every measure. Missing values stay NaN.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokenviz.comparing.alignment import Units
from tokenviz.errors import FigureError, did_you_mean
from tokenviz.scores import TokenScores
from tokenviz.stats.estimate import printed

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The properties that all measures share.

    Attributes:
        name: The name that users write.
        label: A singular noun for headings and legends.
        unit: Unit of its numbers; empty where they have none.
        colours: The default colour map.
    """

    name: str
    label: str
    unit: str
    colours: str

    @property
    def axis(self) -> str:
        """Return label and unit, as a legend prints them."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def printed(self, value: float) -> str:
        """Return a value for legends and captions: two decimals, or one digit for a share that is too small for them."""
        if not self.unit and 0 < value < 0.005:
            return f"{value:.0e}".replace("e-0", "e-").replace("-", "−")
        return printed(value)


@dataclass(frozen=True, kw_only=True)
class TokenMeasure(Measure):
    """A measure of one model's tokens.

    Attributes:
        take: Returns the values of a table's tokens, (n,); NaN where unscored.
        dark: The values that are dark: "high" or "low" ones.
        ends: One word each for the light and the dark end.
        buckets: For a measure with classes, their names from 0 up; its values are their numbers. Else empty.
    """

    take: Callable[[TokenScores], Values]
    dark: Literal["high", "low"]
    ends: tuple[str, str] = ("surprising", "predictable")
    buckets: tuple[str, ...] = ()
    colours: str = "viridis"


@dataclass(frozen=True, kw_only=True)
class PairMeasure(Measure):
    """A measure of two models on the units of a comparison: signed, and 0 where they agree.

    Attributes:
        take: Returns the values of the units, (n,), above 0 in favour of the second model; NaN where a model did not score the
            whole unit.
    """

    take: Callable[[Units], Values]
    colours: str = "rdbu"


BUCKET_TOPS = (1, 10, 100, 1000)
"""The greatest rank of each bucket except the last, as in GLTR (Gehrmann, Strobelt and Rush 2019), with an additional bucket
for the first
choice."""


def _bucket(scores: TokenScores) -> Values:
    numbers = np.searchsorted(BUCKET_TOPS, scores.rank).astype(np.float64)
    return np.where(np.isnan(scores.rank), np.nan, numbers)


MEASURES: dict[str, TokenMeasure | PairMeasure] = {
    measure.name: measure
    for measure in (
        TokenMeasure(name="logprob", label="log-prob", unit="nats", dark="high", take=lambda scores: scores.logprob),
        TokenMeasure(
            name="surprisal_bits", label="surprisal", unit="bits", dark="low", take=lambda scores: -scores.logprob / math.log(2)
        ),
        TokenMeasure(name="probability", label="probability", unit="", dark="high", take=lambda scores: np.exp(scores.logprob)),
        TokenMeasure(
            name="rank_bucket", label="rank", unit="", dark="low", take=_bucket,
            buckets=("1", "2–10", "11–100", "101–1000", "above 1000"),
        ),
        TokenMeasure(
            name="entropy", label="entropy", unit="nats", dark="low", ends=("uncertain", "certain"),
            take=lambda scores: scores.entropy,
        ),
        PairMeasure(
            name="difference", label="difference in log-prob", unit="nats", take=lambda units: units.logprob_b - units.logprob_a
        ),
    )
}  # fmt: skip


def measure_named(name: str) -> TokenMeasure | PairMeasure:
    """Return a measure by its name.

    Raises:
        FigureError: There is no measure of that name.
    """
    if name not in MEASURES:
        raise FigureError(f"no measure {name!r}: there are {', '.join(MEASURES)}{did_you_mean(name, MEASURES)}")
    return MEASURES[name]
