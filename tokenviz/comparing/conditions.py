"""Means over the items of a study by condition, and differences of conditions within items, with 95 % intervals."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tokenviz.stats.flips import sign_flip_test
from tokenviz.stats.formulas import student


def condition_means(
    table: pd.DataFrame, *, item: str, condition: str, value: str = "surprisal_bits"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average a column of a tidy table over its items.

    A study's design samples items, so an interval is Student's t over one value per item: the sum over the units of a region in
    the item. An item with a missing value is left out, and n does not count it.

    Args:
        table: A table from `tidy_table`, of one or more models.
        item: The column of items.
        condition: The column of conditions; empty for none.
        value: The column to average; by default `surprisal_bits`.

    Returns:
        The means: one row per model, region and condition, with `mean`, `sd`, `low`, `high` and `n` items. The differences of
        conditions: one row per model, region and pair of conditions, of `condition_b` minus `condition_a` in the same items,
        with `d_z` (mean divided by standard deviation) and `p_sign_flip` (`tokenviz.stats.sign_flip_test`).
    """
    table = table.assign(_condition=table[condition].astype(str) if condition else "")
    table = table.assign(_region=table.get("region", ""))
    keys = ["model", "_region", "_condition", item]
    # A unit without a number leaves the region of its item without one, so NaN must not be skipped.
    sums = table.groupby(keys, sort=False)[value].agg(lambda cells: np.sum(cells.to_numpy(float))).reset_index()
    means, differences = [], []
    for (model, region), own in sums.groupby(["model", "_region"], sort=False):
        by_condition = {name: part.set_index(item)[value] for name, part in own.groupby("_condition", sort=False)}
        for name, values in by_condition.items():
            means.append({"model": model, "region": region, "condition": name, **_over_items(values.dropna().to_numpy())})
        for a, b in combinations(by_condition, 2):
            within = (by_condition[b] - by_condition[a]).dropna().to_numpy()
            row = {"model": model, "region": region, "condition_a": a, "condition_b": b}
            differences.append(row | _over_items(within) | _against_zero(within))
    return pd.DataFrame(means), pd.DataFrame(differences)


def _over_items(values: NDArray[np.float64]) -> dict[str, float | int]:
    mean = student(values)
    sd = float(values.std(ddof=1)) if mean.has_interval else math.nan
    return {"mean": mean.value, "sd": sd, "low": mean.low, "high": mean.high, "n": mean.n}


def _against_zero(values: NDArray[np.float64]) -> dict[str, float]:
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {"d_z": float(values.mean()) / sd if sd else math.nan, "p_sign_flip": sign_flip_test(values).p}
