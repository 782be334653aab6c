"""Numbers over the tokens of texts that are ratios of sums, or percentiles, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenviz.base import display
from tokenviz.stats import intervals
from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import LEVEL, Estimate, Unit, estimates_table, level_of, percent, rounded
from tokenviz.stats.intervals import Kind
from tokenviz.stats.resampling import (
    Groups,
    Labels,
    Resampling,
    Weights,
    check_resampling,
    decide,
    left_out,
    sums_before,
    weights,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Summary:
    """Some numbers, and how their intervals were computed.

    Attributes:
        estimates: The numbers by name.
        resampling: How the resamples were drawn; None where there are none.
    """

    estimates: Mapping[str, Estimate]
    resampling: Resampling | None = field(repr=False)

    def __repr__(self) -> str:
        return f"Summary({', '.join(f'{name} {rounded(one)}' for name, one in self.estimates.items())})"

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: every number with its interval."""
        return display.fragment(estimates_table(self.estimates.values()), display.line(self.intervals_from))

    @property
    def intervals_from(self) -> str:
        """A line that says how the intervals were computed, or why there are none."""
        if self.resampling is None:
            return next((one.reason for one in self.estimates.values() if one.determined), "")
        return f"{percent(level_of(self.estimates.values()))} intervals from {self.resampling.described}"

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return the numbers by name as plain values, each with all that is needed to cite it."""
        return cited(self.estimates, self.resampling)

    def to_frame(self) -> "pd.DataFrame":
        """Return the numbers as a pandas data frame with one row per number."""
        return cited_frame(self.to_json())


def cited(estimates: Mapping[str, Estimate], drawn: Resampling | None) -> dict[str, dict[str, Any]]:
    """Return estimates by name as plain values, with the resampling of their intervals where there was one."""
    names = ("resampled", "n_resampled", "n_effective", "block_length", "resamples", "seed")
    nothing: dict[str, Any] = dict.fromkeys(names)
    about = nothing
    if drawn is not None:
        values = (drawn.of, drawn.count, drawn.pieces, drawn.block_length, drawn.resamples, drawn.seed)
        about = dict(zip(names, values, strict=True))
    return {name: estimate.to_json() | (about if estimate.drawn_from else nothing) for name, estimate in estimates.items()}


def cited_frame(statistics: Mapping[str, Mapping[str, Any]]) -> "pd.DataFrame":
    """Return the values of `cited` as a pandas data frame with one row per number, and columns of one type each."""
    import pandas as pd

    frame = pd.DataFrame([{"statistic": name, **about} for name, about in statistics.items()])
    for name in ("value", "low", "high", "n_effective"):
        frame[name] = frame[name].astype(float)
    for name in ("n_resampled", "block_length", "resamples", "seed"):
        frame[name] = frame[name].astype("Int64")
    frame["resampled"] = frame["resampled"].astype("string")
    return frame


def estimates_of(frame: "pd.DataFrame") -> dict[str, Estimate]:
    """Read the estimates from a table of `cited_frame`, by name."""
    known = [field.name for field in fields(Estimate) if field.name in frame.columns]
    found = {row["statistic"]: Estimate(**{name: row[name] for name in known}) for row in frame.to_dict("records")}
    # Programs read the ASCII minus that `Estimate.to_json` writes; readers see the minus sign.
    return {name: replace(one, definition=one.definition.replace(" - ", " − ")) for name, one in found.items()}


def resampling_of(frame: "pd.DataFrame", unit: str) -> Resampling | None:
    """Read the resampling from a table of `cited_frame`; None where there was none.

    Args:
        frame: The table. Tables of comparison version 2 do not record the number of pieces.
        unit: The noun for a unit, such as "token".
    """
    drawn = frame[frame["resampled"].notna()]
    if drawn.empty:
        return None
    row = drawn.iloc[0]
    length = int(row["block_length"]) if drawn["block_length"].notna().iloc[0] else None
    count, pieces = (row.get("n_resampled", 0), row.get("n_effective", math.nan))
    return Resampling(row["resampled"], length, int(count), float(pieces), int(row["resamples"]), int(row["seed"]), unit)


@dataclass(frozen=True, eq=False)
class Ratio:
    """The sum of one series divided by the sum of another.

    Attributes:
        definition: Name of the definition.
        unit: Unit of the number.
        kind: Kind of its interval.
        above: (n,) numerator, one value per token.
        below: (n,) denominator; ones give a mean.
    """

    definition: str
    unit: Unit
    kind: Kind
    above: Values
    below: Values

    def only(self, rows: NDArray[np.bool_]) -> "Ratio":
        """Return the ratio over some of the tokens."""
        return replace(self, above=self.above[rows], below=self.below[rows])

    @cached_property
    def value(self) -> float:
        """The number; NaN where the denominator is 0."""
        below = self.below.sum()
        return float(self.above.sum() / below) if below else math.nan

    @property
    def influence(self) -> Values:
        """Return each token's influence on the number, up to a factor, (n,): its dependence determines the length of blocks."""
        return self.above - self.value * self.below

    def of(self, drawn: Weights) -> Values:
        """Return the ratio of each of m resamples of weights (n, m)."""
        return np.asarray((self.above @ drawn) / (self.below @ drawn))


@dataclass(frozen=True, eq=False)
class Quantile:
    """The least value that at least a given share of the values does not exceed.

    Attributes:
        definition: Name of the definition.
        unit: Unit of the number.
        values: (n,) one value per token, none below 0.
        share: The share, between 0 and 1.
    """

    definition: str
    unit: Unit
    values: Values
    share: float
    kind: ClassVar[Kind] = intervals.LOGARITHM

    def only(self, rows: NDArray[np.bool_]) -> "Quantile":
        """Return the quantile over some of the tokens."""
        return replace(self, values=self.values[rows])

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self.values, kind="stable")

    @property
    def value(self) -> float:
        """The number; NaN for no values."""
        return float(self.of(np.ones((len(self.values), 1), np.int64))[0]) if len(self.values) else math.nan

    def of(self, drawn: Weights) -> Values:
        """Return the quantile of each of m resamples of weights (n, m)."""
        up_to = sums_before(drawn[self._order])[1:]
        least = np.maximum(np.ceil(self.share * up_to[-1] - 1e-9), 1)  # 0.95 x 20 is 19, without a rounding error above it
        return np.asarray(self.values[self._order][np.count_nonzero(up_to < least, axis=0)])


def summarise(
    numbers: Mapping[str, Ratio | Quantile],
    *,
    scored: NDArray[np.bool_],
    passages: Sequence[Labels],
    resamples: int | None,
    seed: int,
    level: float = LEVEL,
    of_prompts: bool = False,
) -> Summary:
    """Return numbers over the scored tokens of some texts, with intervals from one set of resamples.

    Args:
        numbers: Ratios and quantiles over all n tokens, by name.
        scored: (n,) whether each token counts.
        passages: For each text, the passage of each of its tokens.
        resamples: Number of resamples; None for `default_resamples`, 0 for no intervals.
        seed: Seed of the random numbers.
        level: Level of the intervals; by default 0.95.
        of_prompts: Whether the values are of continuations, and `passages` has the prompt of each; whole prompts are then
            drawn. By default they are of tokens.

    Raises:
        ComparisonError: `resamples`, `seed` or `level` is not possible.
    """
    check_resampling(resamples, seed, level)
    unit, have = ("continuation", "a number") if of_prompts else ("token", "a prediction")
    numbers = {name: number.only(scored) for name, number in numbers.items()}
    texts = np.repeat(np.arange(len(passages)), [len(own) for own in passages])[scored]
    labels = np.concatenate(passages)[scored]
    groups: dict[Groups, Labels] = {"prompts": labels} if of_prompts else {"passages": labels, "texts": texts}

    def series() -> list[Values]:
        return [number.influence for number in numbers.values() if isinstance(number, Ratio)]

    n = len(texts)
    drawn, reason = decide(n, series, groups, resamples, seed, counted=f"{unit}s have {have}", unit=unit)
    every = chain(weights(drawn, n), left_out(drawn, n)) if drawn else ()
    parts = [{name: number.of(some) for name, number in numbers.items()} for some in every]
    estimates = {}
    for name, number in numbers.items():
        estimate = Estimate(number.value, n, definition=number.definition, unit=number.unit)
        if not estimate.determined:
            estimate = replace(estimate, reason=f"no {unit} has {have}")
        elif drawn is None:
            estimate = replace(estimate, reason=f"no interval: {reason}")
        else:
            found, without = np.split(np.concatenate([part[name] for part in parts]), [drawn.resamples])
            estimate = intervals.interval(estimate, found, kind=number.kind, drawn=drawn, left_out=without, level=level)
        estimates[name] = estimate
    return Summary(estimates, drawn)
