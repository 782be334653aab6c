"""Accuracy over minimal pairs: the share of pairs that are decided correctly, with a 95 % interval by group and overall."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tokenviz.stats.estimate import Estimate
from tokenviz.stats.formulas import clustered, wilson

_TIE = 0.5  # value of a pair whose sentences are equally probable


def accuracies(table: pd.DataFrame, groups: tuple[str, ...], rules: tuple[str, ...]) -> pd.DataFrame:
    """Return the accuracy of one model by group and overall.

    Args:
        table: The table of `pair_table`.
        groups: The group of each row.
        rules: The decision rules; each has a column `correct_...`.

    Returns:
        One row per rule and group, and one per rule over all pairs (`group` is "all") if there are several groups. Columns:
        `accuracy`, `low`, `high`, `interval` (how it was made), `n` pairs, `n_ties`. Pairs without a decision are left out.
    """
    rows = []
    names = np.array(groups)
    for rule in rules:
        values = table[f"correct_{rule}"].to_numpy(float)
        known = ~np.isnan(values)
        for group in dict.fromkeys(groups):
            own = values[known & (names == group)]
            rows.append(_row(rule, group or "all", wilson(own.sum(), len(own)), "Wilson", own))
        if len(set(groups)) > 1:
            share = clustered(values[known], np.unique(names[known], return_inverse=True)[1])
            rows.append(_row(rule, "all", share, "clustered by group", values[known]))
    return pd.DataFrame(rows)


def _row(rule: str, group: str, share: Estimate, interval: str, own: NDArray[np.float64]) -> dict[str, object]:
    ends = {"low": share.low, "high": share.high, "interval": interval}
    return {"rule": rule, "group": group, "accuracy": share.value, **ends, "n": len(own), "n_ties": int((own == _TIE).sum())}
