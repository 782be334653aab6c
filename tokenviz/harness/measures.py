"""What an experiment measures of two models in memory, besides what is compared of their tables.

`Grid.compare(measures=[DIVERGENCES])` takes each measure for every comparison and keeps it in the comparison's run: the
table as a file, the metrics beside the correlations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenviz.models.loading import LoadedModel
from tokenviz.texts import Text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Measured:
    """What a measure found on one text.

    Attributes:
        table: One row a token.
        metrics: Its numbers by name; NaN where the text does not determine one.
    """

    table: "pd.DataFrame"
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Measure:
    """Something to measure of two models.

    Attributes:
        name: Of its table.
        version: Raise it when the same settings would give other numbers.
        take: Given two loaded models, a text, and by keyword the grid's `bos`, `context`, `stride` and `top_k`.
    """

    name: str
    version: int
    take: Callable[..., Measured]


def _take_divergences(a: LoadedModel, b: LoadedModel, text: Text, **settings: Any) -> Measured:
    from tokenviz.scoring.divergence import divergences

    frame = divergences(a, b, text, **settings).to_frame()
    metrics: dict[str, Any] = {
        "mean_kl_ab": frame["kl_ab"].mean(),
        "median_kl_ab": frame["kl_ab"].median(),
        "p95_kl_ab": frame["kl_ab"].quantile(0.95),
        "mean_kl_ba": frame["kl_ba"].mean(),
        "mean_js": frame["js"].mean(),
        "mean_total_variation": frame["total_variation"].mean(),
        "mean_top_overlap": frame["top_overlap"].mean(),
        "share_same_first": frame["same_first"].mean(),
    }
    return Measured(frame, {name: float(value) for name, value in metrics.items()})


DIVERGENCES = Measure("divergences", 1, _take_divergences)
"""The divergences of `tokenviz.divergences`, in nats; the models must have one vocabulary."""
