"""`Agreement`: how far two rows of log-probs agree, as a handful of numbers with intervals."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenviz import display
from tokenviz.stats import definitions, intervals
from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import LEVEL, Estimate, Unit, estimates_table, percent, rounded, rounded_interval
from tokenviz.stats.formulas import fisher
from tokenviz.stats.intervals import Kind
from tokenviz.stats.replicates import replicates
from tokenviz.stats.resampling import SEED, Groups, Labels, Resampling, check_resampling, decide, left_out, weights
from tokenviz.stats.summaries import Summary, cited, cited_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement:
    """Numbers; their definitions are the functions of `tokenviz.stats.definitions`.

    a and b are the two models, and a unit is what they are compared over.

    Attributes:
        pearson_r: Linear correlation of the two log-probs of a unit.
        pearson_r_fisher: The same with Fisher's interval, which is too narrow for units of a text.
        spearman_rho: Rank correlation of the same.
        kendall_tau: Tau-b: how much likelier two units are ordered alike than not.
        concordance: Lin's concordance: agreement with the unity line, which correlation is not.
        mean_difference: Mean of log-prob b minus log-prob a, in nats per unit.
        median_difference: Median of the same.
        rms_difference: Root mean square of the same.
        share_a_more_confident: Share of the units to which a gives the greater probability, between 0 and 1.
        share_b_more_confident: Share to which b does.
        share_same_first: Share of the positions where both models' first choice is the same token; over tokens only.
        concordance_accuracy: C_b, the part of the concordance that is not `pearson_r`: how near means and spreads are.
        location_shift: Mean of b less mean of a, over the geometric mean of their standard deviations.
        scale_shift: Standard deviation of b over that of a.
        deming_slope: Slope of Deming's line, b over a.
        deming_intercept: Where that line meets a log-prob a of 0, in nats.
        d_z: Mean difference over the standard deviation of the differences.
        d_av: Mean difference over the mean of the two standard deviations.
        resampling: How the intervals were found; None where there are none.
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
        """Units that both models scored: what every number rests on."""
        return self.pearson_r.n

    def estimates(self) -> dict[str, Estimate]:
        """The numbers by name, differences in nats and, with the ending `_bits`, in bits."""
        found = {}
        for name, value in vars(self).items():
            if isinstance(value, Estimate):
                found[name] = value
                if value.unit == "nats":
                    found[f"{name}_bits"] = value.in_bits()
        return found

    def undetermined(self) -> dict[str, list[str]]:
        """Why numbers are NaN: for each reason the definitions of which it is true."""
        reasons: dict[str, list[str]] = {}
        for name in _DEFINITIONS:
            estimate: Estimate = getattr(self, name)
            if not estimate.determined:
                reasons.setdefault(estimate.reason, []).append(estimate.definition)
        return reasons

    @property
    def intervals_from(self) -> str:
        """In a line for a reader, where the intervals come from, or why there are none."""
        if self.resampling is None:
            return self.mean_difference.reason
        return f"{percent(self.mean_difference.level)} intervals from {self.resampling.described}"

    def _described(self, unit: str, units: int) -> str:
        """In a line for a terminal: how much was compared, and the first numbers."""
        r = self.pearson_r
        interval = f" ({rounded_interval(r, ' to ')})" if r.has_interval else ""
        return (
            f"{self.n} of {units} {unit}s, Pearson's r {rounded(r)}{interval}, concordance {rounded(self.concordance)}, "
            f"mean difference {rounded(self.mean_difference)} nats"
        )

    def _statistics_html(self) -> str:
        """For a notebook: every number with its interval, and why some are missing."""
        missing = [f"not determined: {', '.join(names)} ({reason})" for reason, names in self.undetermined().items()]
        determined = [one for one in (getattr(self, name) for name in _DEFINITIONS) if one.determined]
        return "".join([estimates_table(determined), display.line(self.intervals_from), *map(display.line, missing)])

    def statistics_json(self) -> dict[str, dict[str, Any]]:
        """The numbers by name as plain values, each with all that is needed to cite it."""
        return cited(self.estimates(), self.resampling)

    def statistics_frame(self) -> "pd.DataFrame":
        """The same as a pandas data frame, one row a number."""
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
FURTHER = tuple(_DEFINITIONS)[10:]  # what tables and JSON have; a run's page shows the others
_OF_RANKS = ("spearman_rho", "kendall_tau", "median_difference")


def agreement(
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
    """What an `Agreement` holds, from aligned rows of n units in reading order.

    Args:
        x: Log-probs by a, in nats; NaN where unscored.
        y: Log-probs by b.
        same: 1 where the first choices of a and b are one token, 0 where not, NaN where that is not known.
        passages: Which passage of its text each unit belongs to.
        texts: Which text.
        not_same: Why `same` is not known anywhere, if so.
        unit: What a unit is, such as "token", for a reader.
        resamples: How many to draw; None for `default_resamples`, 0 for no intervals.
        seed: From which seed.
        level: Of the intervals.
        wanted: Which numbers are needed, by name, for what is read from a run that lacks some; all where none are named.

    Raises:
        ComparisonError: `resamples` or `seed` is not possible.
    """
    check_resampling(resamples, seed)
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
        # A block must hold what the parts of the statistics depend on: those of a correlation, and those of a mean.
        constant = definitions.flat(x) or definitions.flat(y)
        return [y - x] if constant else [y - x, definitions.influence_on_r(x, y)]

    groups: dict[Groups, Labels] = {"passages": passages[both], "texts": texts[both]}
    drawn, reason = decide(len(x), series, groups, resamples, seed, counted="units are scored by both", unit=unit)
    ranks = not wanted or any(name in wanted for name in _OF_RANKS)
    every = chain(weights(drawn, len(x)), left_out(drawn, len(x))) if drawn else ()
    found = replicates(x, y, same, every, ranks=ranks) if drawn else {}
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


def correlate(x: Values, y: Values, *, passages: Labels, resamples: int | None = None, seed: int = SEED) -> Summary:
    """Correlate two rows of numbers of one text's tokens, whatever they are and in whichever units.

    Args:
        x: (n,) in reading order; NaN where missing.
        y: (n,) of the same tokens.
        passages: (n,) which passage each belongs to.
        resamples: How many the intervals rest on; None for `default_resamples`, 0 for no intervals.
        seed: From which seed.

    Returns:
        `pearson_r` and `spearman_rho` in `estimates`, with intervals as those of `Agreement`.

    Raises:
        ComparisonError: `resamples` or `seed` is not possible.
    """
    unknown = np.full(len(x), np.nan)
    found = agreement(
        x, y, unknown, passages=passages, texts=np.zeros_like(passages), not_same="only a model has first choices",
        unit="token", resamples=resamples, seed=seed,
    )  # fmt: skip
    return Summary({name: found[name] for name in ("pearson_r", "spearman_rho")}, found["resampling"])
