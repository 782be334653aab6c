"""`Agreement`: numbers with intervals that describe the agreement of two series of log-probs."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenviz.base import display
from tokenviz.stats import definitions, intervals
from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import LEVEL, Estimate, Unit, estimates_table, percent, rounded, rounded_interval
from tokenviz.stats.intervals import Kind, fisher
from tokenviz.stats.replicates import PartSums, part_replicates, rank_replicates, unit_replicates
from tokenviz.stats.resampling import (
    SEED,
    Groups,
    Labels,
    Resampling,
    check_resampling,
    decide,
    default_resamples,
    left_out,
    plan_parts,
    weights,
)
from tokenviz.stats.summaries import Summary, cited, cited_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
    """The agreement of two models a and b over units, such as tokens.

    The definitions of the numbers are the functions of `tokenviz.stats.definitions`.

    Attributes:
        pearson_r: Linear correlation of the two log-probs of a unit.
        pearson_r_fisher: The same correlation with Fisher's interval, which is too narrow for units of a text.
        spearman_rho: Rank correlation of the two log-probs.
        kendall_tau: Tau-b of the two log-probs: how much more often two units are in the same order than not.
        concordance: Lin's concordance: agreement with the unity line, which correlation does not measure.
        mean_difference: Mean of log-prob b minus log-prob a, in nats per unit.
        median_difference: Median of log-prob b minus log-prob a, in nats per unit.
        rms_difference: Root mean square of log-prob b minus log-prob a, in nats per unit.
        share_a_more_confident: Share of the units to which a gives the greater probability, 0 to 1.
        share_b_more_confident: Share of the units to which b gives the greater probability, 0 to 1.
        share_same_first: Share of the positions where both models have the same first choice, 0 to 1; over tokens only.
        concordance_accuracy: C_b, the concordance divided by `pearson_r`: how near means and standard deviations are.
        location_shift: Mean of b minus mean of a, divided by the geometric mean of their standard deviations.
        scale_shift: Standard deviation of b divided by that of a.
        deming_slope: Slope of Deming's line, b over a.
        deming_intercept: Value of Deming's line where log-prob a is 0, in nats.
        d_z: Mean difference divided by the standard deviation of the differences.
        d_av: Mean difference divided by the mean of the two standard deviations.
        resampling: How the intervals were computed; None where there are none.
    """

    pearson_r: Estimate
    pearson_r_fisher: Estimate
    spearman_rho: Estimate
    kendall_tau: Estimate
    concordance: Estimate
    mean_difference: Estimate
    median_difference: Estimate
    rms_difference: Estimate
    share_a_more_confident: Estimate
    share_b_more_confident: Estimate
    share_same_first: Estimate
    concordance_accuracy: Estimate
    location_shift: Estimate
    scale_shift: Estimate
    deming_slope: Estimate
    deming_intercept: Estimate
    d_z: Estimate
    d_av: Estimate
    resampling: Resampling | None

    @property
    def n(self) -> int:
        """Number of units that both models scored, on which every number is based."""
        return self.pearson_r.n

    def estimates(self) -> dict[str, Estimate]:
        """Return the numbers by name; differences are in nats and, with the suffix `_bits`, in bits."""
        found = {}
        for name, value in vars(self).items():
            if isinstance(value, Estimate):
                found[name] = value
                if value.unit == "nats":
                    found[f"{name}_bits"] = value.in_bits()
        return found

    def undetermined(self) -> dict[str, list[str]]:
        """Return the reasons why numbers are NaN, each with the definitions of these numbers."""
        reasons: dict[str, list[str]] = {}
        for name in _DEFINITIONS:
            estimate: Estimate = getattr(self, name)
            if not estimate.determined:
                reasons.setdefault(estimate.reason, []).append(estimate.definition)
        return reasons

    @property
    def intervals_from(self) -> str:
        """A line that says how the intervals were computed, or why there are none."""
        if self.resampling is None:
            return self.mean_difference.reason
        return f"{percent(self.mean_difference.level)} intervals from {self.resampling.described}"

    def _described(self, unit: str, units: int) -> str:
        """Return a line for a terminal: how much was compared, and the first numbers."""
        r = self.pearson_r
        interval = f" ({rounded_interval(r, ' to ')})" if r.has_interval else ""
        return (
            f"{self.n} of {units} {unit}s, Pearson's r {rounded(r)}{interval}, concordance {rounded(self.concordance)}, "
            f"mean difference {rounded(self.mean_difference)} nats"
        )

    def _statistics_html(self) -> str:
        """Return HTML for a notebook: every number with its interval, and why some are missing."""
        missing = [f"not determined: {', '.join(names)} ({reason})" for reason, names in self.undetermined().items()]
        determined = [one for one in (getattr(self, name) for name in _DEFINITIONS) if one.determined]
        return "".join([estimates_table(determined), display.line(self.intervals_from), *map(display.line, missing)])

    def statistics_json(self) -> dict[str, dict[str, Any]]:
        """Return the numbers by name as plain values, each with all that is needed to cite it."""
        return cited(self.estimates(), self.resampling)

    def statistics_frame(self) -> "pd.DataFrame":
        """Return the numbers as a pandas data frame with one row per number."""
        return cited_frame(self.statistics_json())


@dataclass(frozen=True)
class _Definition:
    name: str
    unit: Unit
    kind: Kind


_DEFINITIONS = {
    "pearson_r": _Definition("Pearson's r", "coefficient", intervals.FISHER_Z),
    "spearman_rho": _Definition("Spearman's ρ", "coefficient", intervals.FISHER_Z),
    "kendall_tau": _Definition("Kendall's τ-b", "coefficient", intervals.FISHER_Z),
    "concordance": _Definition("Lin's concordance", "coefficient", intervals.FISHER_Z),
    "mean_difference": _Definition("mean difference b − a", "nats", intervals.PLAIN),
    "median_difference": _Definition("median difference b − a", "nats", intervals.PLAIN),
    "rms_difference": _Definition("root mean square difference", "nats", intervals.LOGARITHM),
    "share_a_more_confident": _Definition("share a more confident", "share", intervals.WILSON),
    "share_b_more_confident": _Definition("share b more confident", "share", intervals.WILSON),
    "share_same_first": _Definition("share of equal first choices", "share", intervals.WILSON),
    "concordance_accuracy": _Definition("accuracy C_b of the concordance", "share", intervals.LOGIT),
    "location_shift": _Definition("location shift", "standard deviations", intervals.PLAIN),
    "scale_shift": _Definition("scale shift s_b / s_a", "ratio", intervals.LOGARITHM),
    "deming_slope": _Definition("Deming slope", "ratio", intervals.ANGLE),
    "deming_intercept": _Definition("Deming intercept", "nats", intervals.PLAIN),
    "d_z": _Definition("standardised difference d_z", "standard deviations", intervals.PLAIN),
    "d_av": _Definition("standardised difference d_av", "standard deviations", intervals.PLAIN),
}
FURTHER = tuple(_DEFINITIONS)[10:]  # in tables and JSON only; a run's page shows the others
_OF_RANKS = ("spearman_rho", "kendall_tau", "median_difference")


def agreement_of(
    x: Values,
    y: Values,
    same: Values,
    *,
    passages: Labels,
    texts: Labels,
    not_same: str = "",
    unit: str = "unit",
    resamples: int | None,
    seed: int,
    level: float = LEVEL,
    wanted: Collection[str] = (),
) -> dict[str, Any]:
    """Return the fields of an `Agreement` from aligned rows of n units in reading order.

    Args:
        x: Log-probs by model a, in nats; NaN where unscored.
        y: Log-probs by model b.
        same: 1 where the first choices of a and b are one token, 0 where not, NaN where it is not known.
        passages: For each unit, the passage of its text.
        texts: For each unit, its text.
        not_same: Why `same` is not known anywhere, if so; by default empty.
        unit: The noun for a unit, such as "token".
        resamples: Number of resamples; None for `default_resamples`, 0 for no intervals.
        seed: Seed of the random numbers.
        level: Level of the intervals.
        wanted: Names of the numbers to compute, for a run that lacks some; by default all.

    Raises:
        ComparisonError: `resamples`, `seed` or `level` is not possible.
    """
    check_resampling(resamples, seed, level)
    both = ~(np.isnan(x) | np.isnan(y))
    x, y, same = x[both], y[both], same[both]
    values = {
        "pearson_r": definitions.pearson_r(x, y),
        "spearman_rho": definitions.spearman_rho(x, y),
        "kendall_tau": definitions.kendall_tau(x, y),
        "concordance": definitions.concordance(x, y),
        "mean_difference": definitions.mean_difference(x, y),
        "median_difference": definitions.median_difference(x, y),
        "rms_difference": definitions.rms_difference(x, y),
        "share_a_more_confident": definitions.share_greater(y, x),
        "share_b_more_confident": definitions.share_greater(x, y),
        "share_same_first": Estimate(math.nan, 0, reason=not_same) if not_same else definitions.share_same(same),
        "concordance_accuracy": definitions.concordance_accuracy(x, y),
        "location_shift": definitions.location_shift(x, y),
        "scale_shift": definitions.scale_shift(x, y),
        "deming_slope": definitions.deming_slope(x, y),
        "deming_intercept": definitions.deming_intercept(x, y),
        "d_z": definitions.d_z(x, y),
        "d_av": definitions.d_av(x, y),
    }
    for name, definition in _DEFINITIONS.items():
        values[name] = replace(values[name], definition=definition.name, unit=definition.unit)
    values["pearson_r_fisher"] = fisher(values["pearson_r"])

    def series() -> list[Values]:
        # A block must be long enough for the dependence in the parts of the statistics: of a correlation, and of a mean.
        constant = definitions.flat(x) or definitions.flat(y)
        return [y - x] if constant else [y - x, definitions.influence_on_r(x, y)]

    groups: dict[Groups, Labels] = {"passages": passages[both], "texts": texts[both]}
    drawn, reason = decide(len(x), series, groups, resamples, seed, counted="units are scored by both", unit=unit)
    ranks = not wanted or any(name in wanted for name in _OF_RANKS)
    every = chain(weights(drawn, len(x)), left_out(drawn, len(x))) if drawn else ()
    found = unit_replicates(x, y, same, every, ranks=ranks) if drawn else {}
    for name, definition in _DEFINITIONS.items():
        value = values[name]
        if not value.determined:
            continue
        if drawn is None:
            values[name] = replace(value, reason=f"no interval: {reason}")
        elif name in found:
            resampled, without = np.split(found[name], [drawn.resamples])
            values[name] = intervals.interval(
                value, resampled, kind=definition.kind, drawn=drawn, left_out=without, level=level
            )
    return {**values, "resampling": drawn}


def agreement_of_parts(
    parts: Sequence[PartSums],
    sample: tuple[Values, Values, Labels],
    *,
    not_same: str = "",
    unit: str = "unit",
    seed: int = SEED,
    level: float = LEVEL,
) -> dict[str, Any]:
    """Return what `agreement_of` does, of a text that is read part by part.

    What follows from sums is that of the whole text. What follows from the order of the units, `spearman_rho`, `kendall_tau`
    and `median_difference`, is that of a sample of them, and its n says of how many. Intervals come from resampled parts.

    Args:
        parts: The sums of each part that has a pair.
        sample: Log-probs by a and b of some units, and which of the parts each is of.
        not_same: Why the first choices cannot be compared; empty where they can.
        unit: Kind of unit, for the definitions.
        seed: Seed of the resamples.
        level: Level of the intervals, 0 to 1.
    """
    x, y, labels = sample
    unknown = np.full(len(x), np.nan)
    nothing = np.zeros(len(x), np.int64)
    # Of the sample: the numbers of ranks, and of the others the reason where there is none, such as a row that is constant.
    values = agreement_of(
        x, y, unknown, passages=nothing, texts=nothing, not_same=not_same, unit=unit, resamples=0, seed=seed, level=level
    )
    n, whole = sum(part.n for part in parts), np.ones((len(parts), 1), np.int64)
    every, found = [], {}
    exact = part_replicates(parts, [whole]) if parts else {}
    for name, value in exact.items():
        if not math.isnan(number := float(value[0])) and not (name == "share_same_first" and not_same):
            known = sum(part.known for part in parts) if name == "share_same_first" else n
            values[name] = replace(values[name], value=number, n=known, reason="")
        else:
            values[name] = replace(values[name], value=math.nan, n=0 if name == "share_same_first" else n)
    values["pearson_r_fisher"] = fisher(replace(values["pearson_r"], low=math.nan, high=math.nan, method=""))
    drawn, reason = plan_parts([part.n for part in parts], default_resamples(len(x)), seed, unit=unit)
    if drawn:
        every = [*weights(drawn, len(parts)), *left_out(drawn, len(parts))]
        found = part_replicates(parts, every)
        # As many at once as keep the ranks of the sample in some megabytes.
        pieces = (some[:, begin : begin + 16] for some in every for begin in range(0, some.shape[1], 16))
        found |= rank_replicates(x, y, (piece.astype(np.int32)[labels] for piece in pieces))
    for name, definition in _DEFINITIONS.items():
        if not values[name].determined:
            continue
        if drawn is None:
            values[name] = replace(values[name], reason=f"no interval: {reason}")
            continue
        resampled, without = np.split(found[name], [drawn.resamples])
        values[name] = intervals.interval(
            replace(values[name], reason=""), resampled, kind=definition.kind, drawn=drawn, left_out=without, level=level
        )
    return {**values, "resampling": drawn}


def correlate(x: Values, y: Values, *, passages: Labels, resamples: int | None = None, seed: int = SEED) -> Summary:
    """Correlate two series of numbers of one text's tokens, in any units.

    Args:
        x: (n,) in reading order; NaN where missing.
        y: (n,) for the same tokens.
        passages: (n,) the passage of each token.
        resamples: Number of resamples for the intervals; None for `default_resamples`, 0 for no intervals.
        seed: Seed of the random numbers.

    Returns:
        `pearson_r` and `spearman_rho` in `estimates`, with intervals as in `Agreement`.

    Raises:
        ComparisonError: `resamples` or `seed` is not possible.
    """
    unknown = np.full(len(x), np.nan)
    found = agreement_of(
        x, y, unknown, passages=passages, texts=np.zeros_like(passages), not_same="only a model has first choices",
        unit="token", resamples=resamples, seed=seed,
    )  # fmt: skip
    return Summary({name: found[name] for name in ("pearson_r", "spearman_rho")}, found["resampling"])
