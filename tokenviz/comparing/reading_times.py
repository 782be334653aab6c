"""How much a model's surprisal helps to predict reading times: the gain in log-likelihood over a baseline."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tokenviz.stats.regression import Readings, Regression, gain, gain_per_observation

_BASELINE = re.compile(r"(length|zipf_frequency)(_prev\d)?")
_ADDED = re.compile(r"surprisal_bits(_prev\d)?")


@dataclass(frozen=True, eq=False)
class ReadingGains:
    """The gain from surprisal in regressions of reading times.

    Attributes:
        by_item: One row per regression and item: `regression`, `item`, `n` observations, `fold` and `gain` in nats.
        slopes: One row per regression and predictor: `slope` and `standard_error` in milliseconds per bit.
        rows: The readings that were used, with all columns and the item's `fold`.
        baseline: The predictors of the baseline.
        added: The surprisals that are added.
        without: Number of readings that were left out because a predictor is missing.
    """

    by_item: pd.DataFrame
    slopes: pd.DataFrame
    rows: pd.DataFrame
    baseline: tuple[str, ...]
    added: tuple[str, ...]
    without: int


def reading_gains(
    table: pd.DataFrame, *, item: str, regressions: Sequence[Regression], folds: int = 10, seed: int = 0
) -> ReadingGains:
    """Cross-validate over items how much surprisal improves a baseline of length and frequency.

    The baseline has the length of the unit and of the preceding ones, and their word frequencies where the table has such. The
    surprisals of the unit and of the preceding ones are added. Readings with a missing predictor are left out of both: the
    first units of an item, and those with a token without a prediction.

    Args:
        table: A table from `join_times`, one row per reading.
        item: The column of items.
        regressions: Names of the regressions (`tokenviz.stats.regression`).
        folds: Number of folds of items, as in `gain`; by default 10.
        seed: Seed of the random assignment of items to folds.

    Raises:
        ComparisonError: The regressions cannot be fitted, as in `gain`.
    """
    baseline = tuple(str(name) for name in table if _BASELINE.fullmatch(str(name)))
    added = tuple(str(name) for name in table if _ADDED.fullmatch(str(name)))
    table = table[table["reading_time"].notna()]
    complete = table[[*baseline, *added]].notna().all(axis=1)
    rows = table[complete].reset_index(drop=True)
    numbers, names = pd.factorize(rows[item].astype(str))
    readings = Readings(
        time=rows["reading_time"].to_numpy(float),
        baseline=rows[list(baseline)].to_numpy(float),
        added=rows[list(added)].to_numpy(float),
        item=np.asarray(numbers, dtype=np.int64),
        unit=np.asarray(rows.groupby(["passage", "unit_number"], sort=False).ngroup(), dtype=np.int64),
        subject=np.asarray(pd.factorize(rows["subject"])[0], dtype=np.int64) if "subject" in rows else None,
        names=(*baseline, *added),
    )
    by_item, slopes = [], []
    for name in regressions:
        found = gain(readings, name, folds=folds, seed=seed)
        by_item.append(found.by_item.assign(regression=name, item=names[found.by_item["item"]]))
        slopes.append(found.slopes.assign(regression=name))
    order = ["regression", "item", "n", "fold", "gain"]
    dealt = dict(zip(by_item[0]["item"], by_item[0]["fold"], strict=True))
    return ReadingGains(
        by_item=pd.concat(by_item, ignore_index=True)[order],
        slopes=pd.concat(slopes, ignore_index=True)[["regression", "predictor", "slope", "standard_error"]],
        rows=rows.assign(fold=rows[item].astype(str).map(dealt)),
        baseline=baseline,
        added=added,
        without=int((~complete).sum()),
    )


def gain_table(by_item: pd.DataFrame) -> pd.DataFrame:
    """Return the gain per observation of each regression, with its interval over items.

    Args:
        by_item: The table of `ReadingGains`.

    Returns:
        One row per regression: `regression`, `n` observations, `items`, `gain` (nats per observation), `low` and `high`.
    """
    rows = []
    for name, own in by_item.groupby("regression", sort=False):
        found = gain_per_observation(own["gain"].to_numpy(float), own["n"].to_numpy(float), str(name))
        row = {"regression": name, "n": found.n, "items": len(own), "gain": found.value, "low": found.low, "high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)
