"""`compare`: two token tables of one text, as aligned units and a handful of numbers."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenviz.comparing import statistics
from tokenviz.comparing.alignment import By, Units, align
from tokenviz.comparing.statistics import Estimate
from tokenviz.comparing.words import Punctuation
from tokenviz.scores import TokenScores

if TYPE_CHECKING:
    import pandas as pd

COMPARISON_VERSION = 1  # raise it when the same scores would give other numbers


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models' log-probs of one text, side by side.

    Attributes:
        a: The first model's scores.
        b: The second model's.
        units: What they are compared over: tokens, segments or words.
        pearson_r: Linear correlation of the two log-probs of a unit.
        spearman_rho: Rank correlation of the same.
        mean_difference: Mean of log-prob b minus log-prob a, in nats a unit.
        share_b_more_confident: Share of the units to which b gives the greater probability, between 0 and 1.
    """

    a: TokenScores = field(repr=False)
    b: TokenScores = field(repr=False)
    units: Units = field(repr=False)
    pearson_r: Estimate
    spearman_rho: Estimate
    mean_difference: Estimate
    share_b_more_confident: Estimate

    @property
    def text_name(self) -> str:
        """The text that both read."""
        return self.a.text_name

    @property
    def n(self) -> int:
        """Units that both models scored: what every number rests on."""
        return self.pearson_r.n

    def estimates(self) -> dict[str, Estimate]:
        """The numbers by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Estimate)}

    def to_frame(self) -> "pd.DataFrame":
        """A pandas data frame, one row a unit."""
        import pandas as pd

        columns = {name: value for name, value in vars(self.units).items() if name not in ("by", "text")}
        frame = pd.DataFrame(columns)
        frame.insert(3, "text", list(self.units.text))
        frame["difference"] = frame["logprob_b"] - frame["logprob_a"]
        return frame


def compare(a: TokenScores, b: TokenScores, *, by: By | None = None, punctuation: Punctuation = "attached") -> Comparison:
    """Compare two models on one text.

    Args:
        a: Scores of the text by one model.
        b: Scores of the same text by another.
        by: See `align`.
        punctuation: See `align`.

    Raises:
        ComparisonError: See `align`.
    """
    units = align(a, b, by=by, punctuation=punctuation)
    x, y = units.logprob_a, units.logprob_b
    return Comparison(
        a=a,
        b=b,
        units=units,
        pearson_r=statistics.pearson_r(x, y),
        spearman_rho=statistics.spearman_rho(x, y),
        mean_difference=statistics.mean_difference(x, y),
        share_b_more_confident=statistics.share_greater(x, y),
    )
