"""`Estimate`: one number, how far it is to be trusted, and how it is printed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from tokenviz import display

LEVEL = 0.95  # of every interval that is not adjusted

Unit = Literal["coefficient", "nats", "bits", "share", "ratio", "standard deviations"]
PLAIN_UNITS = ("coefficient", "share", "ratio")  # what a reader knows from the number's name


@dataclass(frozen=True)
class Estimate:
    """One number of a comparison, with its interval.

    Attributes:
        value: NaN where the data do not determine it.
        n: The pairs it rests on.
        definition: What it is, by name.
        unit: "coefficient" (-1 to 1; a difference of two, -2 to 2), "nats", "bits", "share" (0 to 1), "ratio", or "standard
            deviations".
        low: Where the interval begins; NaN where there is none. The interval always holds the value.
        high: Where it ends.
        method: How the interval was found, by name; empty where there is none.
        drawn_from: What was resampled to find it, and how many there were, such as "5 texts" or "41 blocks of 9 tokens"; empty
            where there is no interval, or one from a formula alone.
        reason: Why the value, or else the interval, is NaN; empty where neither is.
        level: Of the interval: 0.95, or more where several are to hold at once (see `adjusted_level`).
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
        """Whether there is a value."""
        return not math.isnan(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    def in_bits(self) -> "Estimate":
        """The same in bits: nats / ln 2."""
        value, low, high = (number / math.log(2) for number in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high, unit="bits")

    def to_json(self) -> dict[str, Any]:
        """Plain values; None for what is NaN."""
        return {
            "definition": self.definition.replace("−", "-"),  # one minus in all that programs read
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
    """None for what JSON cannot write."""
    return value if math.isfinite(value) else None


def percent(level: float) -> str:
    """A level as a reader knows it, "95 %" or "99.58 %": never rounded up to 100 %."""
    decimals = 0 if round(level * 100, 9).is_integer() else max(2, 1 - math.floor(math.log10(100 * (1 - level)) + 1e-9))
    return f"{100 * level:.{decimals}f} %"


def level_of(estimates: Iterable[Estimate]) -> float:
    """Return the level of the intervals that were found by resampling: one and the same for what was made together."""
    return next((one.level for one in estimates if one.drawn_from), LEVEL)


def rounded(estimate: Estimate) -> str:
    """The value as figures and tables print it: three decimals, more where the interval is narrow, a dash for NaN."""
    return printed(estimate.value, _decimals(estimate))


def rounded_interval(estimate: Estimate, between: str = ", ") -> str:
    """The interval's ends with as many decimals as the value; a dash where there is none."""
    if not estimate.has_interval:
        return "–"
    return between.join(printed(end, _decimals(estimate)) for end in (estimate.low, estimate.high))


def interval_source(estimate: Estimate) -> str:
    """What was resampled to find the interval, for a table: "5 texts"; a dash where there is no interval."""
    return estimate.drawn_from or ("formula" if estimate.has_interval else "–")


def estimates_table(estimates: Iterable[Estimate]) -> str:
    """Estimates as a table of a notebook."""
    estimates = list(estimates)
    interval = f"{percent(level_of(estimates))} interval"
    rows = [
        [one.definition, rounded(one), rounded_interval(one, " to "), interval_source(one), one.unit, f"{one.n:,}"]
        for one in estimates
    ]
    return display.table(["", "value", interval, "resampled", "unit", "n"], rows, left=["", "resampled", "unit"])


def _decimals(estimate: Estimate) -> int:
    """Three, and up to six so that an interval's width shows in two digits."""
    width = estimate.high - estimate.low
    return min(6, max(3, 1 - math.floor(math.log10(width)))) if width > 0 else 3


def printed(value: float, decimals: int = 2) -> str:
    """A number as figures and tables print it: a minus sign, no minus before zero; a dash for NaN."""
    if math.isnan(value):
        return "–"
    text = f"{value:.{decimals}f}"
    return text.replace("-", "" if float(text) == 0 else "−")
