"""Where two models differ: their difference by kind of string, and the passages that differ most.

The parts are sums over units, so they add up to the whole.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tokenviz.comparing.alignment import By, SpanUnits, Units
from tokenviz.comparing.comparison import Comparison
from tokenviz.stats.intervals import PLAIN
from tokenviz.stats.resampling import SEED
from tokenviz.stats.summaries import Ratio, summarise
from tokenviz.units.words import KINDS, kinds_of

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
BETWEEN = "between spans"

_BEGINNING = 60  # characters of a passage that the table shows


def gaps_by_kind(
    compared: Comparison | Units | Sequence[Comparison], *, resamples: int | None = None, seed: int = SEED
) -> "pd.DataFrame":
    """Divide the difference of two models among the kinds of string; of a comparison by span, among the names of the spans.

    The difference is log-prob b minus log-prob a of a unit, in bits: above 0 where b predicts better. Each unit has one kind,
    by the rule of `tokenviz.units.words`; a span's kind is its name.

    Args:
        compared: A comparison or its units, or the comparisons of several texts, which are pooled.
        resamples: Number of resamples, as in `tokenviz.compare`.
        seed: Seed of the random numbers.

    Returns:
        A pandas data frame with one row per kind that occurs, and the row "all", which is the sum of the others. Columns:
        `kind`; `n` units that both scored; `sum_bits`, the sum of their differences; `share` of the whole sum (below 0 where a
        kind has the opposite sign; missing where the whole is 0); `share_of_absolute`, the share of the sum of sizes, 0 to 1;
        `mean_bits` per unit of the kind; and `bits_per_unit`, the kind's contribution to the mean difference over all units,
        with `low` and `high`, its 95 % interval.
    """
    import pandas as pd

    each = [_units(compared)] if isinstance(compared, Comparison | Units) else [one.units for one in compared]
    names = np.array([kind for one in each for kind in _kinds(one)], dtype=object)
    bits = np.concatenate([(one.logprob_b - one.logprob_a) / math.log(2) for one in each])
    known = ~np.isnan(bits)
    n = int(known.sum())
    present = [kind for kind in dict.fromkeys([*KINDS, *names]) if (known & (names == kind)).any()]
    parts = {kind: np.where(names == kind, bits, 0.0) for kind in present} | {ALL: bits}
    numbers = {kind: Ratio(kind, "bits", PLAIN, above, np.ones(len(bits))) for kind, above in parts.items()}
    found = summarise(
        numbers, scored=known, passages=[one.passage for one in each], resamples=resamples, seed=seed
    ).estimates if n else {}  # fmt: skip
    own = {kind: bits[known & (names == kind)] for kind in present}
    sums = {kind: math.fsum(values) for kind, values in own.items()}
    whole, sizes = math.fsum(sums.values()), {kind: math.fsum(np.abs(values)) for kind, values in own.items()}
    size = math.fsum(sizes.values())
    rows = []
    for kind in [*present, *([ALL] if present else [])]:
        count, total, absolute = (n, whole, size) if kind == ALL else (len(own[kind]), sums[kind], sizes[kind])
        rows.append(
            {
                "kind": kind,
                "n": count,
                "sum_bits": total,
                "share": total / whole if whole else math.nan,
                "share_of_absolute": absolute / size if size else math.nan,
                "mean_bits": total / count,
                "bits_per_unit": total / n,
                "low": found[kind].low,
                "high": found[kind].high,
            }
        )
    columns = ["kind", "n", "sum_bits", "share", "share_of_absolute", "mean_bits", "bits_per_unit", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def parts_of_gap(by: By) -> str:
    """Return what the rows of `gaps_by_kind` are over a kind of unit, for headings."""
    return "span" if by == "span" else "kind of string"


def _kinds(units: Units) -> Sequence[str]:
    if isinstance(units, SpanUnits):
        return [name or BETWEEN for name in units.span]
    return kinds_of(units.text, units.passage.tolist())


def _units(compared: Comparison | Units) -> Units:
    return compared.units if isinstance(compared, Comparison) else compared


def passage_gaps(comparison: Comparison | Units, most: int = 20) -> "pd.DataFrame":
    """Return the passages whose summed difference has the largest size, largest first.

    Args:
        comparison: The comparison of a text, or its units.
        most: The most rows to return; by default 20.

    Returns:
        A pandas data frame: `passage` from 0, `n` units that both scored, `sum_bits`, `share` of the whole sum, `mean_bits` per
        unit, and the `beginning` of the passage, up to 60 characters.
    """
    import pandas as pd

    units = _units(comparison)
    bits = (units.logprob_b - units.logprob_a) / math.log(2)
    known = ~np.isnan(bits)
    rows = []
    for passage in np.unique(units.passage):
        own = units.passage == passage
        values = bits[own & known]
        beginning = ""
        for row in np.flatnonzero(own):
            beginning += units.text[row]
            if len(beginning) >= _BEGINNING:
                break
        if len(values):
            rows.append((int(passage), len(values), math.fsum(values), beginning[:_BEGINNING]))
    whole = math.fsum(total for _, _, total, _ in rows)
    rows.sort(key=lambda row: -abs(row[2]))
    return pd.DataFrame(
        [
            {"passage": passage, "n": n, "sum_bits": total, "share": total / whole if whole else math.nan}
            | {"mean_bits": total / n, "beginning": beginning}
            for passage, n, total, beginning in rows[:most]
        ],
        columns=["passage", "n", "sum_bits", "share", "mean_bits", "beginning"],
    )
