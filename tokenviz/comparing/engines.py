"""Two engines on one model: the differences between the log-probs that they give to the same tokens."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tokenviz.comparing.comparison import Comparison
from tokenviz.stats.intervals import LOGARITHM
from tokenviz.stats.resampling import SEED
from tokenviz.stats.summaries import Ratio, summarise


def engine_differences(comparisons: Sequence[Comparison], *, resamples: int | None = None) -> pd.DataFrame:
    """Summarise the differences between two engines' log-probs, in nats.

    Two engines that run one model differ by rounding. r shows little there, since it is near 1 for any two; the mean difference
    shows less, since differences of both signs cancel. So the size of the differences is what to look at.

    Args:
        comparisons: Comparisons of two engines, for example a trainer (a) and a rollout engine (b).
        resamples: Number of resamples, as in `compare`.

    Returns:
        One row per comparison: `a`, `b`, `text`, `n` units scored by both, `pearson_r` and `mean_absolute_difference` with 95 %
        intervals (` low`, ` high`), `mean_difference` (b - a), `p99_absolute_difference` (at most one in a hundred is larger),
        and `largest_difference` with its unit.
    """
    rows = []
    for one in comparisons:
        units = one.units
        difference = units.logprob_b - units.logprob_a
        size, known = np.abs(difference), ~np.isnan(difference)
        mean = Ratio("mean absolute difference", "nats", LOGARITHM, size, np.ones(len(size)))
        found = summarise({"mean": mean}, scored=known, passages=[units.passage], resamples=resamples, seed=SEED)
        estimate, r = found.estimates["mean"], one.pearson_r
        furthest = int(np.nanargmax(size)) if known.any() else -1
        rows.append(
            {
                "a": one.models[0],
                "b": one.models[1],
                "text": one.text_name,
                "n": one.n,
                "pearson_r": r.value,
                "pearson_r low": r.low,
                "pearson_r high": r.high,
                "mean_absolute_difference": estimate.value,
                "mean_absolute_difference low": estimate.low,
                "mean_absolute_difference high": estimate.high,
                "mean_difference": one.mean_difference.value,
                "p99_absolute_difference": float(np.quantile(size[known], 0.99, method="higher")) if known.any() else np.nan,
                "largest_difference": float(difference[furthest]) if furthest >= 0 else np.nan,
                "largest_at": units.text[furthest] if furthest >= 0 else "",
            }
        )
    return pd.DataFrame(rows)
