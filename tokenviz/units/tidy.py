"""Tidy tables of a study: one row per item, region, word or token, with every column of the study's own table."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import pandas as pd

from tokenviz.base.errors import TextError, check_kind
from tokenviz.data.scores import TokenScores
from tokenviz.units.items import Items, check_own_columns
from tokenviz.units.sums import UnitSums, sum_units
from tokenviz.units.words import words_of

By = Literal["item", "region", "word", "token"]
ITEMS_VERSION = 1  # raise it when the same scores and items would give other numbers
MOST_PREVIOUS = 3

NUMBERS = (
    "n_tokens", "n_scored", "crossings", "length", "logprob", "mean_logprob", "corrected_logprob", "surprisal_bits",
    "corrected_surprisal_bits", "entropy_before", "rank",
)  # fmt: skip
_PLACE = ("model", "passage", "unit_number", "unit", "region", "start", "end")


def tidy_table(
    items: Items, scores: TokenScores, *, by: By | None = None, previous: int = 1, frequency: str | None = None
) -> pd.DataFrame:
    """Join one model's scores with the items.

    The columns, after all columns of the items' own table:

    - `model`; `passage` (from 0), `unit_number` (from 1), `unit` (the slice of the text, with the whitespace before it),
      `region` (the region or word of the table that contains the unit's last character; empty where there is none), `start` and
      `end` (half-open, in characters of the item).
    - `n_tokens`, `n_scored`; `crossings`, tokens of the unit that begin in the unit before; `length` in characters, without the
      whitespace around.
    - `logprob`, the sum in nats; `mean_logprob` per token; `corrected_logprob`, as in `words`; `surprisal_bits` and
      `corrected_surprisal_bits`, the same as surprisals in bits. NaN where a token of the unit has no prediction (a text's
      first token, without a BOS); for whole items the sum of the tokens that have one.
    - `entropy_before` in nats, and `rank`, from the prediction of the unit's first token.
    - `zipf_frequency`, if a language is named: frequency of the unit without punctuation around it, on wordfreq's Zipf scale.
    - the numbers of the preceding units in the same item: `..._prev1` and so on; NaN where there is none.

    Args:
        items: The items.
        scores: Scores of their text by one model.
        by: What a row is; by default a region or word of the table where the items have such, else an item.
        previous: Number of preceding units whose numbers are repeated in each row, 0 to 3; by default 1. Whole items have none.
        frequency: A language of the package wordfreq, such as "en"; by default no frequencies.

    Returns:
        The table.

    Raises:
        TextError: The scores are not of these items; the items have no regions; a column of theirs has a name that the table
            needs; wordfreq is not installed or does not know the language.

    Example:
        >>> study = tv.read_items("study.csv")  # of the example of `read_items`
        >>> table = tv.tidy_table(study, tv.score(tv.load_model("glass-en"), study.text), previous=0)
        >>> table[["condition", "region", "unit", "n_tokens", "surprisal_bits"]].round(1)
          condition   region                  unit  n_tokens  surprisal_bits
        0     short  subject               The cat         3             NaN
        1     short     verb                  sat.         3            19.7
        2      long  subject  The cat of the house         6             NaN
        3      long     verb                  sat.         3            19.6

    References:
        Hale (2001), A Probabilistic Earley Parser as a Psycholinguistic Model; Levy (2008), Expectation-based syntactic
        comprehension. pangoling and minicons give such tables as well; minicons counts a first token without a prediction as 0.
    """
    check_kind(items, Items, TextError, "the items of a study: give what read_items returns, then scores of their text")
    check_kind(scores, TokenScores, TextError, "scores: give what score returns")
    if scores.text_sha256 != items.text.sha256:
        raise TextError(f"the scores are of {scores.text_name!r}, which is not the text of the items {items.text.name!r}")
    by = by or ("region" if any(items.units) else "item")
    check_request(items, by=by, previous=previous, frequency=frequency)
    sums = sum_units(scores, items.text.passages, _ends(items, by, scores))
    numbers = _counted(sums, items.text.passages, by, previous, frequency)
    numbers.insert(0, "model", scores.spec.model)
    return pd.concat([_own_columns(items, sums, by), numbers], axis=1)


def numbers_again(
    table: pd.DataFrame, scores: TokenScores, passages: Sequence[str], *, by: By, previous: int, frequency: str | None
) -> pd.DataFrame:
    """Recompute the numbers of a tidy table with other scores of the same text.

    Args:
        table: A table from `tidy_table`.
        scores: Scores of its text by one model.
        passages: The text's passages.
        by: What a row is.
        previous: Number of preceding units whose numbers are repeated in each row, 0 to 3.
        frequency: A language of the package wordfreq, or None for no frequencies.

    Returns:
        The table with new numbers; all other columns are unchanged.

    Raises:
        TextError: wordfreq is not installed or does not know the language.
    """
    ends: list[list[int]] = [[] for _ in passages]
    for passage, end in zip(table["passage"], table["end"], strict=True):
        ends[passage].append(int(end))
    numbers = _counted(sum_units(scores, passages, ends), passages, by, previous, frequency)
    return table.assign(**{str(name): numbers[name] for name in numbers})


def _counted(sums: UnitSums, passages: Sequence[str], by: By, previous: int, frequency: str | None) -> pd.DataFrame:
    """Return the numbers of every unit, with those of the preceding units."""
    numbers = _numbers(sums, [passages[p][a:b] for p, a, b in zip(sums.passage, sums.start, sums.end, strict=True)], by)
    if frequency is not None:
        numbers["zipf_frequency"] = list(map(_zipf_frequency(frequency), numbers["unit"]))
    if by != "item":
        repeated = [name for name in (*NUMBERS, "zipf_frequency") if name in numbers]
        for back in range(1, previous + 1):
            shifted = numbers.groupby("passage")[repeated].shift(back)
            numbers = numbers.join(shifted.add_suffix(f"_prev{back}"))
    return numbers


def check_request(items: Items, *, by: str, previous: int, frequency: str | None = None) -> None:
    """Refuse requests that `tidy_table` cannot fulfil, before anything is scored.

    Raises:
        TextError: The items have no regions; `previous` is not possible; a column has a name that the table needs; wordfreq is
            not installed or does not know the language.
    """
    if by not in get_args(By):
        raise TextError(f"rows by {by!r} are not possible: take {', '.join(get_args(By))}")
    if by == "region" and not any(items.units):
        raise TextError(f"{items.text.name!r} has no regions: name their columns, or take rows by item, word or token")
    if not 0 <= previous <= MOST_PREVIOUS:
        raise TextError(f"the numbers of {previous} units before are not possible: take 0 to {MOST_PREVIOUS}")
    taken = {*_PLACE, *NUMBERS, "zipf_frequency"}
    taken |= {f"{name}_prev{back}" for name in (*NUMBERS, "zipf_frequency") for back in range(1, MOST_PREVIOUS + 1)}
    check_own_columns(items.table, taken, items.text.name)
    if frequency is not None:
        _zipf_frequency(frequency)


def _ends(items: Items, by: By, scores: TokenScores) -> list[list[int]]:
    """Return the ends of the units of each passage, in characters."""
    passages = items.text.passages
    match by:
        case "item":
            return [[len(passage)] for passage in passages]
        case "region":
            return [[unit.end for unit in units] for units in items.units]
        case "word":
            if items.own_words:
                return [[unit.end for unit in units] for units in items.units]
            return [[word.end for word in words_of(passage, punctuation="attached")] for passage in passages]
        case "token":
            bounds = np.searchsorted(scores.passage, np.arange(len(passages) + 1))
            return [sorted({int(end) for end in scores.end[a:b]}) for a, b in pairwise(bounds)]


def _numbers(sums: UnitSums, slices: Sequence[str], by: By) -> pd.DataFrame:
    logprob = sums.logprob if by == "item" else np.where(sums.complete, sums.logprob, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = logprob / sums.n_scored
    opens = np.append(True, sums.passage[1:] != sums.passage[:-1])
    first = np.maximum.accumulate(np.where(opens, np.arange(len(opens)), 0))
    return pd.DataFrame(
        {
            "passage": sums.passage,
            "unit_number": np.arange(len(opens)) - first + 1,
            "unit": list(slices),
            "start": sums.start,
            "end": sums.end,
            "n_tokens": sums.n_tokens,
            "n_scored": sums.n_scored,
            "crossings": sums.crossings,
            "length": [len(one.strip()) for one in slices],
            "logprob": logprob,
            "mean_logprob": mean,
            "corrected_logprob": sums.corrected_logprob,
            "surprisal_bits": -logprob / math.log(2) + 0.0,  # 0 bits, not -0
            "corrected_surprisal_bits": -sums.corrected_logprob / math.log(2) + 0.0,
            "entropy_before": sums.entropy,
            "rank": pd.array(sums.rank, dtype="Float64").astype("Int64"),
        }
    )


def _own_columns(items: Items, sums: UnitSums, by: By) -> pd.DataFrame:
    """Return the columns of the items' own table, one row per unit."""
    if by == "item":
        rows = [own[0] for own in items.rows]
        table = items.table.iloc[rows]
        if items.own_words:  # a column that differs within an item does not describe the whole item
            several = [items.table.iloc[list(own)] for own in items.rows]
            kept = [name for name in table if all(one[name].nunique(dropna=False) == 1 for one in several)]
            table = table[kept]
        return table.reset_index(drop=True).infer_objects()
    rows, regions = [], []
    for passage, end in zip(sums.passage, sums.end, strict=True):
        units = items.units[passage]
        unit = next((one for one in units if end <= one.end), None)
        rows.append(unit.row if unit else items.rows[passage][0])
        regions.append(unit.name if unit else "")
    table = items.table.iloc[rows].reset_index(drop=True).infer_objects()
    return table.assign(region=regions) if any(items.units) else table


def _zipf_frequency(language: str) -> Callable[[str], float]:
    """Return the function from a unit to its frequency; wordfreq tokenizes its input itself and drops punctuation."""
    try:
        from wordfreq import available_languages, zipf_frequency
    except ImportError as error:
        raise TextError(
            "word frequencies need the package wordfreq: pip install 'tokenviz-harness[frequency]', or leave them out"
        ) from error
    known = available_languages()
    if language not in known:
        raise TextError(f"wordfreq has no frequencies of {language!r}: it has {', '.join(sorted(known))}")
    return lambda unit: float(zipf_frequency(unit.strip(), language))
