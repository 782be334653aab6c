"""Two models' divergences over the tokens of texts, as means and percentiles with intervals.

Use: `summarise_divergences(tv.divergences(a, b, text)).to_frame()`.
"""

from collections.abc import Sequence

import numpy as np

from tokenviz.errors import ComparisonError
from tokenviz.scoring.divergence import Divergences
from tokenviz.stats import intervals
from tokenviz.stats.estimate import LEVEL, Unit
from tokenviz.stats.intervals import Kind
from tokenviz.stats.resampling import SEED
from tokenviz.stats.summaries import Quantile, Ratio, Summary, summarise

PERCENTILES = (5, 50, 95, 99)

_DIVERGENCES: dict[str, tuple[str, Unit, Kind]] = {
    "kl_ab": ("KL divergence of b from a", "nats", intervals.LOGARITHM),
    "kl_ba": ("KL divergence of a from b", "nats", intervals.LOGARITHM),
    "js": ("Jensen-Shannon divergence", "nats", intervals.LOGARITHM),
    "total_variation": ("total variation", "share", intervals.WILSON),
    "top_overlap": ("overlap of the top", "share", intervals.WILSON),
}


def summarise_divergences(
    found: Divergences | Sequence[Divergences], *, resamples: int | None = None, seed: int = SEED, level: float = LEVEL
) -> Summary:
    """Summarise two models' divergences on a text, or on several texts pooled, as means and percentiles over the tokens.

    Means are called `mean_kl_ab`, ... and percentiles `kl_ab_p5`, `kl_ab_p50`, ... (inverses of the distribution function:
    values that occur). KL and JS are in nats.

    Args:
        found: The divergences of one or several texts.
        resamples: Number of resamples, as in `tokenviz.compare`.
        seed: Seed of the random numbers.
        level: Level of the intervals, as in `tokenviz.compare`.

    Raises:
        ComparisonError: The divergences are of different models, or `resamples` or `seed` is not possible.
    """
    texts = [found] if isinstance(found, Divergences) else list(found)
    if not texts:
        raise ComparisonError("no divergences were given: there is nothing to summarise")
    pairs = sorted({(one.model_a, one.model_b) for one in texts})
    if len(pairs) > 1:
        (a, b), (c, d) = pairs[:2]
        raise ComparisonError(
            f"{a!r} and {b!r} cannot be summarised together with {c!r} and {d!r}: take divergences of the same two models"
        )
    columns = {name: np.concatenate([getattr(one.values, name) for one in texts]) for name in _DIVERGENCES}
    numbers: dict[str, Ratio | Quantile] = {}
    for name, (definition, unit, kind) in _DIVERGENCES.items():
        values = columns[name]
        if name == "top_overlap":
            if not texts[0].top_k:
                continue
            definition = f"{definition} {texts[0].top_k}"
        numbers[f"mean_{name}"] = Ratio(f"mean {definition}", unit, kind, values, np.ones(len(values)))
        if unit == "nats":
            for percent in PERCENTILES:
                numbers[f"{name}_p{percent}"] = Quantile(f"{definition}, percentile {percent}", unit, values, percent / 100)
    scored = ~np.isnan(columns["kl_ab"])
    return summarise(
        numbers, scored=scored, passages=[one.passage for one in texts], resamples=resamples, seed=seed, level=level
    )
