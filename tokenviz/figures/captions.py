"""Captions of plots for a paper: models, text, what is shown and n in sentences. A heatmap has its own caption."""

from collections.abc import Sequence

from tokenviz.comparing.comparison import Comparison
from tokenviz.models.describing import description_of, full_name, full_name_of
from tokenviz.scores import TokenScores
from tokenviz.stats.estimate import printed, rounded, rounded_interval


def scatter_caption(comparison: Comparison, *, rho: bool = False) -> str:
    """Return the caption of a unity scatter, with Spearman's rho where the figure has no title that contains it."""
    unit, r = comparison.units.by, comparison.pearson_r
    a, b = full_name_of(comparison.a.spec), full_name_of(comparison.b.spec)
    found = f"Pearson’s r = {rounded(r)}" if r.determined else "Pearson’s r is not determined"
    source = f", resampled {r.drawn_from}" if r.drawn_from else ""
    interval = f" (95 % interval {rounded_interval(r, ' to ')}{source})" if r.has_interval else ""
    rank = comparison.spearman_rho
    other = f", Spearman’s rho = {printed(rank.value, 3)}" if rho and rank.determined else ""
    return (
        f"Log-prob (nats) of each {unit} of “{comparison.text_name}” by {a} (across) and by "
        f"{b} (upwards). {found}{interval}{other}, n = {comparison.n} of {comparison.n_units} {unit}s. "
        f"On the dashed line the models agree; the {unit}s on which they differ most are named."
    )


def along_caption(tables: Sequence[TokenScores]) -> str:
    """Return the caption of log-probs along a text."""
    return f"Log-probs (nats) along “{tables[0].text_name}”, in reading order, by {_models(tables)}. A gap has no prediction."


def calibration_caption(tables: Sequence[TokenScores]) -> str:
    """Return the caption of a calibration plot."""
    return (
        f"Mean surprisal of the tokens of “{tables[0].text_name}” against the mean entropy of their predictions (nats), in "
        f"bins of equal counts, by {_models(tables)}. Bars are one standard error. On the dashed line a model is as surprised "
        "as it expected."
    )


def _models(tables: Sequence[TokenScores]) -> str:
    counts = [
        full_name(
            table.spec.model,
            "; ".join(filter(None, (description_of(table.spec), f"n = {summary.n_scored} of {summary.n_tokens} tokens"))),
        )
        for table in tables
        for summary in (table.summary(),)
    ]
    return " and ".join(counts)


def gaps_caption(comparison: Comparison) -> str:
    """Return the caption of `gap_bars`."""
    a, b = comparison.full_names
    return (
        f"What each kind of string adds to the mean difference of “{comparison.text_name}”, in bits per "
        f"{comparison.unit}: {b} minus {a}. n = {comparison.n:,} of {comparison.n_units:,} "
        f"{comparison.unit}s; percentages are shares of the whole difference, which the bars add up to (below 0 where a kind "
        "goes against it). Lines: 95 % intervals by resampling."
    )
