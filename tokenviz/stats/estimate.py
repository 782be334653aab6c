"""`Estimate`: one number with its uncertainty, and how it is printed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from tokenviz.base import display

LEVEL = 0.95  # level of every interval that is not adjusted

Unit = Literal["coefficient", "nats", "bits", "share", "ratio", "standard deviations"]
PLAIN_UNITS = ("coefficient", "share", "ratio")  # units that need not be printed, since the number's name implies them


@dataclass(frozen=True)
class Estimate:
    """One number with its interval.

    Attributes:
        value: The number; NaN where the data do not determine it.
        n: Number of pairs that it is computed from.
        definition: The name of its definition.
        unit: "coefficient" (-1 to 1; a difference of two, -2 to 2), "nats", "bits", "share" (0 to 1), "ratio", or "standard
            deviations".
        low: Lower end of the interval; NaN where there is none. The interval always contains the value.
        high: Upper end of the interval; NaN where there is none.
        method: Name of the interval's method; empty where there is none.
        drawn_from: What was resampled, and how many there were, such as "5 texts" or "41 blocks of 9 tokens"; empty where there
            is no interval, or one from a formula alone.
        reason: Why the value, or else the interval, is NaN; empty where neither is.
        level: Level of the interval: 0.95, or more where several must hold at once (`adjusted_level`).
    """

    value: float
    n: int
    definition: str = ""
    unit: Unit = "coefficient"
    low: float = math.nan
    high: float = math.nan
    method: str = ""
    reason: str = ""
    drawn_from: str = ""
    level: float = LEVEL

    @property
    def determined(self) -> bool:
        """Whether the value is not NaN."""
        return not math.isnan(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    def in_bits(self) -> "Estimate":
        """Return the estimate in bits: nats / ln 2."""
        value, low, high = (number / math.log(2) for number in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high, unit="bits")

    def to_json(self) -> dict[str, Any]:
        """Return plain values; None for NaN."""
        return {
            "definition": self.definition.replace("−", "-"),  # one minus sign in all that programs read
            "value": _or_none(self.value),
            "unit": self.unit,
            "n": self.n,
            "low": _or_none(self.low),
            "high": _or_none(self.high),
            "level": self.level,
            "method": self.method,
            "reason": self.reason,
            "drawn_from": self.drawn_from,
        }


def _or_none(value: float) -> float | None:
    """Return None for a number that JSON cannot write."""
    return value if math.isfinite(value) else None


def percent(level: float) -> str:
    """Return a level in per cent, "95 %" or "99.58 %"; it is never rounded up to 100 %."""
    decimals = 0 if round(level * 100, 9).is_integer() else max(2, 1 - math.floor(math.log10(100 * (1 - level)) + 1e-9))
    return f"{100 * level:.{decimals}f} %"


def level_of(estimates: Iterable[Estimate]) -> float:
    """Return the level of the intervals from resampling: estimates that were made together share it."""
    return next((one.level for one in estimates if one.drawn_from), LEVEL)


def rounded(estimate: Estimate) -> str:
    """Return the value for figures and tables: three decimals, more where the interval is narrow, a dash for NaN."""
    return printed(estimate.value, _decimals(estimate))


def rounded_interval(estimate: Estimate, between: str = ", ") -> str:
    """Return the interval's ends with as many decimals as the value; a dash where there is none."""
    if not estimate.has_interval:
        return "–"
    return between.join(printed(end, _decimals(estimate)) for end in (estimate.low, estimate.high))


def interval_source(estimate: Estimate) -> str:
    """Return what was resampled for the interval, for a table: "5 texts"; a dash where there is no interval."""
    return estimate.drawn_from or ("formula" if estimate.has_interval else "–")


def estimates_table(estimates: Iterable[Estimate]) -> str:
    """Return estimates as a table for a notebook."""
    estimates = list(estimates)
    interval = f"{percent(level_of(estimates))} interval"
    rows = [
        [one.definition, rounded(one), rounded_interval(one, " to "), interval_source(one), one.unit, f"{one.n:,}"]
        for one in estimates
    ]
    return display.table(["", "value", interval, "resampled", "unit", "n"], rows, left=["", "resampled", "unit"])


def _decimals(estimate: Estimate) -> int:
    """Return the number of decimals: three, and up to six so that an interval's width shows two digits."""
    width = estimate.high - estimate.low
    return min(6, max(3, 1 - math.floor(math.log10(width)))) if width > 0 else 3


def printed(value: float, decimals: int = 2) -> str:
    """Return a number for figures and tables: a minus sign, no minus before zero; a dash for NaN."""
    if math.isnan(value):
        return "–"
    text = f"{value:.{decimals}f}"
    return text.replace("-", "" if float(text) == 0 else "−")
