"""Accuracy over minimal pairs: the share of pairs that are decided right, with a 95 % interval by group and overall."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

_TIE = 0.5  # what a pair counts whose sentences are equally probable
_Z = float(stats.norm.ppf(0.975))


def wilson_interval(correct: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval for a share.

    Args:
        correct: How many are right; a tie is half of one.
        n: How many there are.

    Returns:
        The ends; NaN where there are none.

    References:
        Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if not n:
        return float("nan"), float("nan")
    share, of = correct / n, _Z**2 / n
    middle = (share + of / 2) / (1 + of)
    half = _Z * np.sqrt(share * (1 - share) / n + of / (4 * n)) / (1 + of)
    return float(middle - half), float(middle + half)


def clustered_interval(correct: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, float]:
    """Return a 95 % interval for a share over pairs whose groups are the sample: pairs of one group are alike.

    The variance is that of a ratio of sums over groups; Student's t has one degree of freedom per group less one.

    Args:
        correct: (n,) 1, 0, or 0.5 for a tie.
        groups: (n,) the number of each pair's group.

    Returns:
        The ends, between 0 and 1; NaN for fewer than two groups.

    References:
        Liang and Zeger (1986), Longitudinal data analysis using generalized linear models; Miller (2024), Adding error bars to
        evals.
    """
    count = len(np.unique(groups))
    if count < 2:
        return float("nan"), float("nan")
    share = correct.mean()
    off = np.bincount(groups, weights=correct - share)
    error = np.sqrt(count / (count - 1) * (off**2).sum()) / len(correct)
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return max(0.0, float(share - half)), min(1.0, float(share + half))


def accuracies(table: pd.DataFrame, groups: tuple[str, ...], rules: tuple[str, ...]) -> pd.DataFrame:
    """Count the right decisions of one model by group and overall.

    Args:
        table: From `pair_table`.
        groups: The group of each row.
        rules: Which decisions; a column `correct_...` each.

    Returns:
        One row per rule and group, and one per rule over all (`group` is "all", where there are several): `accuracy`, `low`,
        `high`, `interval` (how it was made), `n` pairs, `n_ties`. Pairs without a decision are left out.
    """
    rows = []
    names = np.array(groups)
    for rule in rules:
        values = table[f"correct_{rule}"].to_numpy(float)
        known = ~np.isnan(values)
        for group in dict.fromkeys(groups):
            own = values[known & (names == group)]
            low, high = wilson_interval(own.sum(), len(own))
            rows.append(_row(rule, group or "all", own, low, high, "Wilson"))
        if len(set(groups)) > 1:
            low, high = clustered_interval(values[known], np.unique(names[known], return_inverse=True)[1])
            rows.append(_row(rule, "all", values[known], low, high, "clustered by group"))
    return pd.DataFrame(rows)


def _row(rule: str, group: str, own: NDArray[np.float64], low: float, high: float, interval: str) -> dict[str, object]:
    share = float(own.mean()) if len(own) else float("nan")
    ends = {"low": low, "high": high, "interval": interval}
    return {"rule": rule, "group": group, "accuracy": share, **ends, "n": len(own), "n_ties": int((own == _TIE).sum())}
