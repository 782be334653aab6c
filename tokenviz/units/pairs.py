"""Minimal pairs: two sentences of which a model should give the first the greater probability."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tokenviz.base.errors import TextError, check_kind, listed
from tokenviz.base.progress import warn
from tokenviz.data.scores import TokenScores
from tokenviz.data.sources import Source
from tokenviz.data.texts import Text, corpus
from tokenviz.units.items import cell_of, check_columns, check_own_columns, columns_of, read_table
from tokenviz.units.sums import RULES

PAIRS_VERSION = 1  # raise it when the same scores and pairs would give other numbers

# This package's columns, and those of BLiMP's files.
_GOOD, _BAD = (("good", "sentence_good"), ("bad", "sentence_bad"))
GROUP_COLUMNS = ("group", "UID")
"""Columns that name the group of a pair by default."""
_NUMBERS = ("logprob", "n_scored", "n_bytes", "mean_logprob", "logprob_per_byte")
_TAKEN = {
    "model", "identical", "first_differs", *(f"{name}_{side}" for name in _NUMBERS for side in ("good", "bad")),
    *(f"correct_{rule}" for rule in RULES),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pairs:
    """A table of minimal pairs.

    Attributes:
        text: Two passages per pair, the good one first.
        table: The rows of the pairs, with every column of the file.
        groups: The group of each pair; all empty where the table has none.
        group: The column of groups; empty where there is none.
        sha256: SHA-256 of the passages and every cell.
        skipped: One line for each row that was left out, with the reason.
    """

    text: Text
    table: pd.DataFrame
    groups: tuple[str, ...]
    group: str
    sha256: str
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.groups)

    def __repr__(self) -> str:
        return f"Pairs({self.text.name!r}: {len(self)} pairs in {len(set(self.groups))} groups)"


def read_pairs(
    path: str | Path,
    *,
    good: str | None = None,
    bad: str | None = None,
    group: str | None = None,
    skip_bad: bool = False,
) -> Pairs:
    """Read a table of minimal pairs.

    Args:
        path: A CSV, TSV, JSONL or Parquet file, such as one of BLiMP's; or the name of a sample in experiments/items.
        good: The column of the sentences that should win; by default "good", or "sentence_good".
        bad: The column of the other sentences; by default "bad", or "sentence_bad".
        group: The column of groups; by default "group" or "UID" where there is one.
        skip_bad: Whether to leave bad rows out and list them; by default one bad row refuses the table.

    Returns:
        The pairs.

    Raises:
        TextError: The file cannot be read; a column is missing or has a name that the results need; or a sentence is missing.

    Example:
        >>> from pathlib import Path
        >>> Path("pairs.csv").write_text("good,bad\\nAlice was tired.,Alice were tired.\\nShe sees him.,She see him.\\n")
        71
        >>> tv.read_pairs("pairs.csv")
        Pairs('pairs': 2 pairs in 1 groups)
    """
    strings = (*_GOOD, *_BAD, *GROUP_COLUMNS, good, bad, group)
    source, table = read_table(path, [name for name in strings if name], skip_bad=skip_bad)
    columns = [_column(source, table, asked, known) for asked, known in ((good, _GOOD), (bad, _BAD))]
    named = group or next((name for name in GROUP_COLUMNS if name in table), "")
    check_columns(table, [named] if named else [], str(source))
    check_own_columns(table, _TAKEN, str(source))
    kept, passages, skipped = [], [], []
    for row in range(len(table)):
        cells = [cell_of(table, row, name, source) for name in columns]
        wrong = [cell.words for cell in cells if not isinstance(cell, str)]
        if wrong and not skip_bad:
            raise TextError(f"{wrong[0]}; --skip-bad leaves such rows out")
        if wrong:
            skipped.append(wrong[0])
        else:
            kept.append(row)
            passages += [str(cell) for cell in cells]
    if not kept:
        raise TextError(f"{str(source)!r} has no pair that can be scored")
    if skipped:
        warn(f"{len(skipped)} of {len(table)} pairs of {source.name} are left out: {'; '.join(skipped[:20])}")
    same = [str(row + 1) for place, row in enumerate(kept) if passages[2 * place] == passages[2 * place + 1]]
    if same:
        rows = f"row{'s' * (len(same) > 1)} {listed(same, 12)}"
        warn(f"{len(same)} of {len(kept)} pairs of {source.name} are the same sentence twice, a tie whatever the model: {rows}")
    own = table.iloc[kept].reset_index(drop=True).infer_objects()
    own.attrs.clear()  # they would be written into Parquet files
    digest = sha256(json.dumps([passages, own.astype(str).to_csv(index=False)], ensure_ascii=False).encode()).hexdigest()
    return Pairs(
        text=corpus(passages, name=source.stem),
        table=own,
        groups=tuple(own[named].astype(str)) if named else ("",) * len(kept),
        group=named,
        sha256=digest,
        skipped=tuple(skipped),
    )


def _column(source: Source, table: pd.DataFrame, asked: str | None, known: Sequence[str]) -> str:
    if asked is not None:
        check_columns(table, [asked], str(source))
        return asked
    found = next((name for name in known if name in table), None)
    if found is None:
        columns = f"{' or '.join(map(repr, known))}: it has {columns_of(table)}"
        raise TextError(f"{str(source)!r} has no column {columns}; --{known[0]} names the one with these sentences")
    return found


def pair_table(pairs: Pairs, scores: TokenScores) -> pd.DataFrame:
    """Decide every pair by three rules.

    The columns, after all columns of the pairs' own table: `model`; for each sentence (`_good`, `_bad`) the sum of log-probs in
    nats (`logprob`), the number of tokens with a prediction (`n_scored`) and of their UTF-8 bytes (`n_bytes`), the mean per
    token (`mean_logprob`) and per byte (`logprob_per_byte`); for each rule (`sum`, `per_token`,
    `per_byte`) `correct_...`: 1, 0, or 0.5 where both are equal; `identical`, whether the sentences are the same;
    `first_differs`, whether their first tokens differ and have no prediction, which is then missing in both sums.

    Args:
        pairs: The pairs.
        scores: Scores of their text by one model.

    Raises:
        TextError: The scores are of another text.

    Returns:
        One row per pair.

    Example:
        >>> pairs = tv.read_pairs("pairs.csv")  # of the example of `read_pairs`
        >>> table = tv.pair_table(pairs, tv.score(tv.load_model("glass-en"), pairs.text))
        >>> table[["good", "bad", "correct_sum"]]
                       good                bad  correct_sum
        0  Alice was tired.  Alice were tired.          1.0
        1     She sees him.       She see him.          0.0

    References:
        Warstadt and others (2020), BLiMP: The Benchmark of Linguistic Minimal Pairs for English. lm-evaluation-harness decides
        by the sum, after a BOS, and takes the good sentence where both are equal.
    """
    check_kind(pairs, Pairs, TextError, "minimal pairs: give what read_pairs returns, then scores of their text")
    check_kind(scores, TokenScores, TextError, "scores: give what score returns")
    if scores.text_sha256 != pairs.text.sha256:
        raise TextError(f"the scores are of {scores.text_name!r}, which is not the text of the pairs {pairs.text.name!r}")
    return decide(pairs.table, pairs.text.passages, scores)


def decide(own: pd.DataFrame, passages: Sequence[str], scores: TokenScores) -> pd.DataFrame:
    """Decide pairs by the scores of their sentences, as `pair_table` does.

    Args:
        own: The pairs' own columns.
        passages: Their sentences, the good one of each pair first.
        scores: Scores of these sentences by one model.

    Returns:
        One row per pair.
    """
    scored, count = scores.counted, len(passages)

    def per_passage(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(scores.passage[scored], weights=values[scored], minlength=count).astype(np.float64)

    n_scored = per_passage(np.ones(len(scores)))
    sums = np.where(n_scored > 0, per_passage(np.where(scores.scored, scores.logprob, 0.0)), np.nan)
    n_bytes = per_passage(scores.n_bytes.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        by_rule = {"sum": sums, "per_token": sums / n_scored, "per_byte": sums / n_bytes}
    table = own.copy()
    table["model"] = scores.spec.model
    for side, name in enumerate(("good", "bad")):
        table[f"logprob_{name}"] = sums[side::2]
        table[f"n_scored_{name}"] = n_scored[side::2].astype(int)
        table[f"n_bytes_{name}"] = n_bytes[side::2].astype(int)
        table[f"mean_logprob_{name}"] = by_rule["per_token"][side::2]
        table[f"logprob_per_byte_{name}"] = by_rule["per_byte"][side::2]
    for rule, values in by_rule.items():
        difference = values[::2] - values[1::2]
        table[f"correct_{rule}"] = np.where(np.isnan(difference), np.nan, (np.sign(difference) + 1) / 2)
    table["identical"] = [good == bad for good, bad in zip(passages[::2], passages[1::2], strict=True)]
    first = np.searchsorted(scores.passage, np.arange(count))
    unscored = ~scores.scored[first]
    table["first_differs"] = (scores.token_id[first[::2]] != scores.token_id[first[1::2]]) & unscored[::2]
    return table
