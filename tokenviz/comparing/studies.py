"""Results of studies: accuracy, means by condition, gains from reading times, and a course of training."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError
from tokenviz.comparing.agreement import agreement_of
from tokenviz.comparing.comparison import compare
from tokenviz.data.scores import TokenScores
from tokenviz.stats.definitions import d_av, d_z
from tokenviz.stats.differences import sign_flip_test
from tokenviz.stats.estimate import Estimate
from tokenviz.stats.intervals import clustered, student, wilson
from tokenviz.stats.regression import Readings, Regression, gain, gain_per_observation
from tokenviz.stats.resampling import SEED
from tokenviz.stats.summaries import Summary, cited, cited_frame
from tokenviz.units.sums import information

# How much a model's surprisal helps to predict reading times: the gain in log-likelihood over a baseline.

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


# Accuracy over minimal pairs: the share of pairs that are decided correctly, with a 95 % interval by group and overall.

_TIE = 0.5  # value of a pair whose sentences are equally probable
_MARGINS = {"sum": "logprob", "per_token": "mean_logprob", "per_byte": "logprob_per_byte"}  # the columns that a rule compares


def accuracies(table: pd.DataFrame, groups: tuple[str, ...], rules: tuple[str, ...]) -> pd.DataFrame:
    """Return the accuracy of one model by group and overall.

    Args:
        table: The table of `pair_table`.
        groups: The group of each row.
        rules: The decision rules; each has a column `correct_...`.

    Returns:
        One row per rule and group, and one per rule over all pairs (`group` is "all") if there are several groups. Columns:
        `accuracy`, `low`, `high`, `interval` (how it was made), `n` pairs, `n_ties`; of the margin, which is the good
        sentence's value less the bad one's, `mean_margin` in nats, `d_z` and `d_av` (`tokenviz.stats`) of the same n pairs; NaN
        where they are not determined, as with fewer than three pairs. Pairs without a decision are left out.
    """
    rows = []
    names = np.array(groups)
    for rule in rules:
        values = table[f"correct_{rule}"].to_numpy(float)
        good, bad = (table[f"{_MARGINS[rule]}_{side}"].to_numpy(float) for side in ("good", "bad"))
        known = ~np.isnan(values)
        for group in dict.fromkeys(groups):
            own = known & (names == group)
            share = wilson(values[own].sum(), int(own.sum()))
            rows.append(_row(rule, group or "all", share, "Wilson", values[own]) | _margins(bad[own], good[own]))
        if len(set(groups)) > 1:
            share = clustered(values[known], np.unique(names[known], return_inverse=True)[1])
            rows.append(_row(rule, "all", share, "clustered by group", values[known]) | _margins(bad[known], good[known]))
    return pd.DataFrame(rows)


def _row(rule: str, group: str, share: Estimate, interval: str, own: NDArray[np.float64]) -> dict[str, object]:
    ends = {"low": share.low, "high": share.high, "interval": interval}
    return {"rule": rule, "group": group, "accuracy": share.value, **ends, "n": len(own), "n_ties": int((own == _TIE).sum())}


def _margins(bad: NDArray[np.float64], good: NDArray[np.float64]) -> dict[str, object]:
    return {
        "mean_margin": float((good - bad).mean()) if len(good) else math.nan,
        "d_z": d_z(bad, good).value,
        "d_av": d_av(bad, good).value,
    }


# Means over the items of a study by condition, and differences of conditions within items, with 95 % intervals.


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


# A course of training in numbers: each checkpoint's predictions, and how close they are to the last and previous ones.

TRAINING_VERSION = 1  # raise it when the same scores would give other numbers

CURVES = {
    "mean_logprob": "mean log-prob (nats per token)",
    "bits_per_byte": "bits per byte",
    "r_to_last": "Pearson's r with the last checkpoint",
    "kl_to_last": "KL divergence from the last (nats per token)",
    "r_to_previous": "Pearson's r with the checkpoint before",
    "kl_to_previous": "KL divergence of the one before (nats per token)",
}
"""The numbers that have a value at every step, with their definitions."""


def training_table(
    steps: Sequence[int],
    tables: Sequence[TokenScores],
    weights: Sequence[str],
    *,
    kl_to_last: Sequence[float],
    kl_to_previous: Sequence[float],
) -> pd.DataFrame:
    """Return the numbers of one model's checkpoints.

    Args:
        steps: Training steps, ascending.
        tables: The scores of one text by each checkpoint.
        weights: SHA-256 of each checkpoint's weights; equal ones are marked.
        kl_to_last: KL divergence of each checkpoint's predictions from those of the last one, in nats per token.
        kl_to_previous: KL divergence of the previous checkpoint's predictions from each checkpoint's own, in nats per token.

    Returns:
        One row per step: `step`, `model`, `same_weights_as` (the first step with the same weights; missing where there is
        none), `n_scored`, and the numbers of `CURVES`; NaN where there is no previous checkpoint.

    Raises:
        ComparisonError: The tables are of different texts or tokens.
    """
    last, rows = tables[-1], []
    for place, (step, scores) in enumerate(zip(steps, tables, strict=True)):
        if scores.text_sha256 != last.text_sha256 or not np.array_equal(scores.token_id, last.token_id):
            raise ComparisonError(
                f"{scores.spec.model!r} cuts {scores.text_name!r} into other tokens than {last.spec.model!r}: checkpoints of "
                "one model have one tokenizer"
            )
        summary, first = scores.summary(), weights.index(weights[place])
        rows.append(
            {
                "step": step,
                "model": scores.spec.model,
                "same_weights_as": steps[first] if first < place else None,
                "n_scored": summary.n_scored,
                "mean_logprob": summary.mean_logprob,
                "bits_per_byte": summary.bits_per_byte,
                "r_to_last": _r(scores, last),
                "kl_to_last": kl_to_last[place],
                "r_to_previous": _r(tables[place - 1], scores) if place else np.nan,
                "kl_to_previous": kl_to_previous[place],
            }
        )
    return pd.DataFrame(rows).astype({"same_weights_as": "Int64"})


def _r(a: TokenScores, b: TokenScores) -> float:
    return compare(a, b, by="token", resamples=0).pearson_r.value


def training_statistics(
    steps: Sequence[int], tables: Sequence[TokenScores], kl: Mapping[str, Sequence[Summary | None]]
) -> pd.DataFrame:
    """Return the numbers of `training_table` with their intervals, resampled as in scores and comparisons of checkpoints.

    Args:
        steps: Training steps, ascending.
        tables: The scores of one text by each checkpoint.
        kl: For `kl_to_last` and `kl_to_previous`, the summary of each step's divergences (`summarise_divergences`); None where
            there are none, as between equal weights.

    Returns:
        One row per step and number, as in `tables/statistics.csv` of a comparison; no row for the last checkpoint against
        itself, nor where there is no previous one.
    """
    frames = []
    for place, step in enumerate(steps):
        own = information(tables[place])
        alone = {name: own.estimates[name] for name in ("mean_logprob", "bits_per_byte")}
        rows = cited(alone, own.resampling)
        pairs = {"last": (place, len(steps) - 1), "previous": (place - 1, place)}
        for name, (one, other) in pairs.items():
            if one < 0 or one == other:
                continue
            x, y = tables[one], tables[other]
            nothing = np.zeros(len(x), np.int64)
            found = agreement_of(
                x.logprob,
                y.logprob,
                np.full(len(x), np.nan),
                passages=x.passage,
                texts=nothing,
                not_same="first choices are not compared",
                unit="token",
                resamples=None,
                seed=SEED,
                wanted=("pearson_r",),
            )
            rows |= cited({f"r_to_{name}": found["pearson_r"]}, found["resampling"])
            if (summary := kl[f"kl_to_{name}"][place]) is not None:
                rows |= cited({f"kl_to_{name}": summary.estimates["mean_kl_ab"]}, summary.resampling)
        frame = cited_frame(rows)
        frame.insert(0, "step", step)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def step_logprobs(steps: Sequence[int], tables: Sequence[TokenScores]) -> pd.DataFrame:
    """Return the log-probs of one text at every step: one row per token, one column `step_N` per checkpoint, in nats."""
    first = tables[0]
    columns: Mapping[str, object] = {f"step_{step}": one.logprob for step, one in zip(steps, tables, strict=True)}
    return pd.DataFrame({"passage": first.passage, "position": first.position, "token": list(first.token), **columns})
