"""Calibration: the entropy of a model's predictions compared with the surprisal of the tokens that follow.

The entropy of a predicted distribution is the surprisal that the model itself expects. Where its probabilities are right,
tokens predicted with an entropy of H have a mean surprisal of H. A higher mean is overconfidence, a lower one underconfidence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenviz.stats.definitions import Values

_FEWEST = 5  # tokens per bin: the mean of fewer is too uncertain to draw


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scored tokens in bins of nearly equal counts, by the entropy of their predictions; arrays of one value per bin, in nats.

    Attributes:
        entropy: Mean entropy of the predictions.
        surprisal: Mean surprisal of the tokens that followed.
        standard_error: Standard error of the mean surprisal, as if the tokens were independent; NaN in a bin of one.
        n: Number of tokens.
    """

    entropy: NDArray[np.float64]
    surprisal: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    n: NDArray[np.int64]


def calibrate(entropy: Values, surprisal: Values, *, bins: int = 10) -> Calibration:
    """Bin tokens by the entropy of their predictions.

    Args:
        entropy: (n,) entropy of each token's prediction, in nats.
        surprisal: (n,) surprisal of the token that followed, in nats; NaN for one without a prediction, which is left out.
        bins: The most bins; there are fewer where a bin would hold fewer than five tokens. By default 10.

    References:
        Braverman et al. 2020, "Calibration, Entropy Rates, and Memory in Language Models", compare the two means over a whole
        text; here they are compared bin by bin, as reliability diagrams do for probabilities.
    """
    rows = np.flatnonzero(~np.isnan(surprisal))
    rows = rows[np.argsort(entropy[rows], kind="stable")]
    groups = [group for group in np.array_split(rows, max(1, min(bins, len(rows) // _FEWEST))) if len(group)]
    surprisals = [surprisal[group] for group in groups]
    errors = [np.std(one, ddof=1) / np.sqrt(len(one)) if len(one) > 1 else np.nan for one in surprisals]
    return Calibration(
        entropy=np.array([entropy[group].mean() for group in groups]),
        surprisal=np.array([one.mean() for one in surprisals]),
        standard_error=np.array(errors, dtype=float),
        n=np.array([len(group) for group in groups], dtype=np.int64),
    )
