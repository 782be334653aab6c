"""What a heatmap can show of a token. A new measure is one definition here; drawers, captions and the command line follow.

Dark is always the predictable end, so that the same text looks alike by every measure. Missing values stay NaN.
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
    """What every measure says of itself.

    Attributes:
        name: What users write.
        label: In headings and legends, a singular noun.
        unit: Of its numbers; empty where they have none.
        colours: The colour map where none is asked for.
    """

    name: str
    label: str
    unit: str
    colours: str

    @property
    def axis(self) -> str:
        """Label and unit, as a legend prints them."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def printed(self, value: float) -> str:
        """A value as legends and captions print it: two decimals, or one digit of a share that is too small for them."""
        if not self.unit and 0 < value < 0.005:
            return f"{value:.0e}".replace("e-0", "e-").replace("-", "−")
        return printed(value)


@dataclass(frozen=True, kw_only=True)
class TokenMeasure(Measure):
    """A measure of one model's tokens.

    Attributes:
        take: The values of a table's tokens, (n,); NaN where unscored.
        dark: Which values are dark: the "high" or the "low" ones.
        ends: What the light and the dark end mean, in a word each.
        buckets: For a measure of a few classes, their names from 0 up; its values are their numbers.
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
        take: The values of the units, (n,), above 0 in favour of the second model; NaN where a model did not score the
            whole unit.
    """

    take: Callable[[Units], Values]
    colours: str = "rdbu"


BUCKET_TOPS = (1, 10, 100, 1000)
"""The greatest rank of each bucket but the last, after GLTR (Gehrmann, Strobelt and Rush 2019), with the first choice
apart."""


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
    """A measure by its name.

    Raises:
        FigureError: There is none of that name.
    """
    if name not in MEASURES:
        raise FigureError(f"no measure {name!r}: there are {', '.join(MEASURES)}{did_you_mean(name, MEASURES)}")
    return MEASURES[name]
