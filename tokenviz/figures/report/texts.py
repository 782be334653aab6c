"""The data of a report of several texts: each text, passage, item or minimal pair, and the list of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from tokenviz.base.errors import ComparisonError, FigureError
from tokenviz.data.scores import TokenScores, nan_to_none
from tokenviz.data.texts import Text
from tokenviz.figures.heatmap.definition import shared_limits
from tokenviz.figures.heatmap.measures import MEASURES, Chosen, Limits, PairMeasure, Rows, common_rows, limits_of
from tokenviz.figures.report.data import MOST_ALTERNATIVES, report_data

_BEGINNING = 120  # characters of a text that the list may show
_LONG = 8  # characters per token: more than the average of tokenizers of natural language
_SIDES = ("good", "bad")
_PAIR_IDS = ("item", "id", "pairID")  # columns that name a pair; the last is BLiMP's


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of the list, and the page that it opens.

    Attributes:
        name: Name in the list.
        tables: Each model's scores, in the same order in all entries.
        decided: For a minimal pair, each model's row of `pair_table`; the passages are then the good and the bad sentence. Else
            empty.
    """

    name: str
    tables: tuple[TokenScores, ...]
    decided: tuple[Mapping[str, Any], ...] = ()


def text_entries(tables: Sequence[TokenScores]) -> list[Entry]:
    """Return one entry per text.

    Args:
        tables: Tables of one or more texts by the same models; texts and models keep the order of their first occurrence.

    Raises:
        FigureError: There is no table, a model read a text twice, or not every model read every text.
    """
    by_text: dict[tuple[str, str], list[TokenScores]] = {}
    for table in tables:
        by_text.setdefault((table.text_name, table.text_sha256), []).append(table)
    models = list(dict.fromkeys(table.spec.model for table in tables))
    for own in by_text.values():
        found = [table.spec.model for table in own]
        twice = next((model for model in found if found.count(model) > 1), None)
        if twice is not None:
            raise FigureError(f"{own[-1].text_name!r} was read twice by {twice!r}: a report shows a text once")
        if sorted(found) != sorted(models):
            raise FigureError(
                f"a report of several texts shows the same models on each: {own[0].text_name!r} was read by "
                f"{', '.join(found)}, and all by {', '.join(models)}"
            )
    return [
        Entry(own[0].text_name, tuple(sorted(own, key=lambda table: models.index(table.spec.model))))
        for own in by_text.values()
    ]


def passage_entries(tables: Sequence[TokenScores], names: Sequence[str] = ()) -> list[Entry]:
    """Return one entry per passage of a text.

    Args:
        tables: Tables of one text by one or several models.
        names: Names of the passages; by default numbers from 1.
    """
    cut = [_passages(table, 1) for table in tables]
    found = []
    for passage in sorted(set.intersection(*map(set, cut))):
        name = names[passage] if names else f"passage {passage + 1}"
        found.append(Entry(name, tuple(replace(own[passage], text_name=name) for own in cut)))
    return found


def pair_entries(tables: Sequence[TokenScores], decisions: Sequence[pd.DataFrame], groups: Sequence[str]) -> list[Entry]:
    """Return one entry per minimal pair.

    Args:
        tables: Tables of the text of the pairs by several models.
        decisions: Each model's `pair_table`.
        groups: The group of each pair.
    """
    cut = [_passages(table, 2) for table in tables]
    rows = [[{str(name): row[name] for name in row} for row in table.to_dict(orient="records")] for table in decisions]
    several, found = len(set(groups)) > 1, []
    for pair in sorted(set.intersection(*map(set, cut))):
        name = f"pair {_pair_id(decisions[0], pair)}" + (f", {groups[pair]}" if several and groups[pair] else "")
        named = tuple(replace(own[pair], text_name=name) for own in cut)
        found.append(Entry(name, named, tuple(own[pair] for own in rows)))
    return found


def _pair_id(table: pd.DataFrame, pair: int) -> str:
    """The id that the pairs' own table gives to a pair; else its number."""
    column = next((name for name in _PAIR_IDS if name in table), None)
    return str(pair + 1 if column is None else table[column].iat[pair])


def _passages(table: TokenScores, together: int) -> dict[int, TokenScores]:
    """Return a table for each passage, or for each `together` consecutive passages, by its number."""
    numbers = table.passage // together
    first = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1])) if len(table) else np.array([], np.int64)
    ends = np.append(first[1:], len(table))
    return {int(numbers[begin]): _rows(table, slice(begin, end), together) for begin, end in zip(first, ends, strict=True)}


def _rows(table: TokenScores, rows: slice, together: int) -> TokenScores:
    own = {
        field.name: getattr(table, field.name)[rows]
        for field in fields(table)
        if field.name not in ("text_name", "text_sha256", "spec", "spans")
    }
    begin = int(own["passage"][0]) // together * together
    own["passage"] = own["passage"] % together
    own["spans"] = table.spans[begin : begin + together]
    return replace(table, **own, text_sha256=sha256("".join(own["token"]).encode("utf-8", "surrogatepass")).hexdigest())


def most_telling(entries: Sequence[Entry], most: int) -> Sequence[Entry]:
    """Return at most `most` entries, in their order: pairs with the least margin, or texts with the largest differences."""
    if len(entries) <= most:
        return entries

    def telling(number: int) -> float:
        entry = entries[number]
        if entry.decided:
            margins = [row["logprob_good"] - row["logprob_bad"] for row in entry.decided]
            return min((margin for margin in margins if not np.isnan(margin)), default=np.inf)
        rows = common_rows(entry.tables)
        differences = [_mean_difference(rows, a, b) for a, b in combinations(range(len(entry.tables)), 2)]
        return -max((one for one in differences if one is not None), default=0.0)

    chosen = sorted(sorted(range(len(entries)), key=telling)[:most])
    return [entries[number] for number in chosen]


def least_bytes(texts: Sequence[Text], *, models: int, alternatives: int) -> int:
    """Return the least size of a report of some texts, in bytes, so that one that is too large is refused early."""
    tokens = sum(text.characters for text in texts) // _LONG
    return tokens * models * (40 + 10 * alternatives)


def list_data(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the data of a report's list.

    Returns:
        Values that JSON can write. For each text its name, its beginning, the most units that both models of a pair scored
        (`n`), the mean |difference| of each pair of models in nats, and each model's bits per byte; for minimal pairs the
        margin of the sums, good minus bad in nats, and the decision in words.
    """
    rows = common_rows(entries[0].tables)
    found: dict[str, Any] = {"unit": rows.by, "texts": [_listed(entry) for entry in entries]}
    return found | ({"sides": _SIDES} if entries[0].decided else {})


def _listed(entry: Entry) -> dict[str, Any]:
    rows = common_rows(entry.tables)
    scored = ~np.isnan(np.array(rows.logprobs))  # (models, units)
    shown: dict[str, Any] = {
        "name": entry.name,
        "start": _beginning(entry),
        "n": int(scored.all(axis=0).sum()),
        "difference": [_mean_difference(rows, a, b) for a, b in combinations(range(len(scored)), 2)],
        "bits": [_rounded(table.summary().bits_per_byte) for table in entry.tables],
    }
    if entry.decided:
        shown["margin"] = [_rounded(row["logprob_good"] - row["logprob_bad"]) for row in entry.decided]
        shown["won"] = [_decision(row) for row in entry.decided]
    return shown


def _beginning(entry: Entry) -> str:
    """Return a line of the text; for a minimal pair a line of the good sentence."""
    table, found = entry.tables[0], ""
    for token, passage in zip(table.token, table.passage, strict=True):
        if len(found) > _BEGINNING or (entry.decided and passage):
            break
        found += token
    return " ".join(found[:_BEGINNING].split())


def _decision(row: Mapping[str, Any]) -> str:
    """Return in words which sentence of a pair wins by its sum."""
    correct = row["correct_sum"]
    if np.isnan(correct):
        return "not decided"
    return {1.0: "good wins", 0.0: "bad wins"}.get(correct, "the same sentence" if row["identical"] else "tie")


def _mean_difference(rows: Rows, a: int, b: int) -> float | None:
    differences = np.abs(rows.logprobs[b] - rows.logprobs[a])
    known = differences[~np.isnan(differences)]
    return _rounded(float(known.mean())) if len(known) else None


def _rounded(value: float) -> float | None:
    found: float | None = nan_to_none(round(value, 4))
    return found


def entries_data(
    entries: Sequence[Entry], limits: Chosen, *, alternatives: int = MOST_ALTERNATIVES
) -> Iterator[dict[str, Any]]:
    """Yield the data of the page about each text, as `report_data` returns it.

    Args:
        entries: At least one entry; all by the same models.
        limits: Limits of the colours; "shared" for those of all texts together, for each measure.
        alternatives: The most alternatives per token; by default 10.

    Raises:
        ComparisonError: The texts are not all by the same models.
    """
    models = [[table.spec.model for table in entry.tables] for entry in entries]
    if any(own != models[0] for own in models):
        raise ComparisonError("a report of several texts shows the same models on each, in one order")
    shared = _shared(entries) if limits == "shared" else {}
    for entry in entries:
        own: Chosen = "text" if limits == "shared" else limits
        data = report_data(entry.tables, own, shared=shared, alternatives=alternatives, gaps=not entry.decided)
        yield data | _sides(entry)


def _sides(entry: Entry) -> dict[str, Any]:
    """Return the labels above the two sentences of a pair: their sums, and which wins."""
    if not entry.decided:
        return {}
    sides = []
    for side, name in enumerate(_SIDES):
        sums = [_rounded(row[f"logprob_{name}"]) for row in entry.decided]
        words = [f"in {row[f'n_scored_{name}']} tokens{_wins(row, side)}" for row in entry.decided]
        sides.append({"name": name, "sums": sums, "words": words})
    return {"sides": sides}


def _wins(row: Mapping[str, Any], side: int) -> str:
    names = {"sum": "sum", "per_token": "mean per token", "per_byte": "mean per byte"}
    won = [words for rule, words in names.items() if row[f"correct_{rule}"] == 1 - side]
    return f", wins by {' and '.join([', '.join(won[:-1]), won[-1]] if len(won) > 1 else won)}" if won else ""


def _shared(entries: Sequence[Entry]) -> dict[str, Limits]:
    found: dict[str, Limits] = {}
    for measure in MEASURES.values():
        if isinstance(measure, PairMeasure):
            pairs = [
                measure.take(rows.pair(a, b))
                for rows in (common_rows(entry.tables) for entry in entries)
                for a, b in combinations(range(len(rows.logprobs)), 2)
            ]
            if pairs:
                found[measure.name] = limits_of(pairs, measure, "set")
        else:
            found[measure.name] = shared_limits([list(entry.tables) for entry in entries], measure=measure)
    return found
