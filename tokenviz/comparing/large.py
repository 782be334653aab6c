"""Texts whose tables are too long for memory: read part by part, with the numbers of the whole and the figures of a sample.

What is a sum over tokens (counts, means, bits per byte, Pearson's r, Lin's concordance) is that of all tokens: each part gives
its sums, and the parts' are put together. What follows from the order of tokens (Spearman's rho, Kendall's tau, the median) is
that of a random sample of tokens. Figures show some passages, taken at random. What is taken follows from the text's hash and
from places in the text alone: it is the same for all models, on every machine, and however the tables are cut.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError
from tokenviz.comparing.agreement import agreement_of_parts
from tokenviz.comparing.alignment import By, OtherTokensError, align
from tokenviz.comparing.comparison import Comparison, same_first
from tokenviz.data.scores import TokenScores
from tokenviz.data.summary import ScoreSummary
from tokenviz.data.texts import Text
from tokenviz.stats.definitions import Values
from tokenviz.stats.replicates import PartSums
from tokenviz.stats.summaries import Summary
from tokenviz.units.sums import InformationSums, information_of_parts
from tokenviz.units.words import Punctuation

PARTS_VERSION = 1  # raise it when the same tables would give other numbers

RANKED = 40_000
"""Units in the sample that ranks are taken of: Spearman's rho is known to about 0.005."""

SHOWN = 10_000
"""Characters of the passages that figures show."""

_LOOKED_AT = 10_000  # passages whose turn is computed at once

_MIXERS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)

Parts = Callable[[], Iterator[TokenScores]]
"""Reads a table from its beginning, whole passages at a time."""


def shown_passages(text: Text) -> dict[int, int]:
    """Choose the passages that figures show: some at random, up to `SHOWN` characters.

    Returns:
        By number, in order, how many characters of each are shown: all, but of a passage that is longer than everything.
    """
    first = np.zeros((3, 0), np.uint64)  # the passages that are taken first: what orders them, their numbers and their lengths
    for begin in range(0, len(text.passages), _LOOKED_AT):
        lengths = np.array(list(map(len, text.passages[begin : begin + _LOOKED_AT])), np.uint64)
        numbers = begin + np.flatnonzero(lengths)
        turns = _numbers(text.sha256, numbers, np.zeros_like(numbers))
        first = np.concatenate([first, [turns, numbers.astype(np.uint64), lengths[lengths > 0]]], axis=1)
        first = first[:, np.argsort(first[0], kind="stable")]
        first = first[:, : 1 + np.searchsorted(np.cumsum(first[2]), SHOWN, "right")]
    chosen: dict[int, int] = {}
    left = SHOWN
    for number, size in first[1:].T.tolist():
        if size > left:
            if not chosen:
                chosen[number] = left
            break
        chosen[number], left = size, left - size
    return dict(sorted(chosen.items()))


def sample_name(name: str, sample: int, whole: int, what: str = "token") -> str:
    """Name a sample of a text, so that every figure of it says what it is."""
    return f"{name}, a sample of {sample:,} of {whole:,} {what}s"


@dataclass(eq=False)
class Gathered:
    """The numbers of a table that is read part by part, and the rows that figures show.

    Attributes:
        text: The text that the table scores.
        parts: Reads it.
    """

    text: Text
    parts: Parts
    _sums: list[InformationSums] = field(default_factory=list)
    _summaries: list[ScoreSummary] = field(default_factory=list)
    _first: TokenScores | None = None
    _kept: list[TokenScores] = field(default_factory=list)

    def each(self) -> Iterator[TokenScores]:
        """Read the table, and keep what is to be kept; everything else here is known after that."""
        shown = shown_passages(self.text)
        for part in whole_passages(self.parts()):
            self._first = part if self._first is None else self._first
            self._sums.append(InformationSums.of(part))
            self._summaries.append(part.summary())
            self._kept += filter(len, _shown_of([part], shown))
            yield part

    @property
    def n_parts(self) -> int:
        """How many parts there were."""
        return len(self._sums)

    @property
    def first(self) -> TokenScores:
        """The first part."""
        assert self._first is not None
        return self._first

    @property
    def summary(self) -> ScoreSummary:
        """The whole in a few numbers."""
        return ScoreSummary.joined(self._summaries)

    @property
    def information(self) -> Summary:
        """The whole's numbers with intervals."""
        return information_of_parts(self._sums)

    @property
    def sample(self) -> TokenScores:
        """The rows that figures show, as a table."""
        kept = TokenScores.joined(self._kept)
        name = sample_name(self.text.name, kept.summary().n_tokens, self.summary.n_tokens)
        return replace(kept, text_name=name, spans=self.text.spans)


def compare_parts(a: Parts, b: Parts, text: Text, *, by: By | None = None, punctuation: Punctuation = "attached") -> Comparison:
    """Compare two models on one text whose tables are read part by part.

    Args:
        a: Scores of the text by one model.
        b: Scores of the same text by another.
        text: The text.
        by: Kind of unit, as in `compare`; "span" is not possible.
        punctuation: Where words leave their punctuation, as in `compare`.

    Returns:
        The numbers of the whole text, as `Comparison.whole` says, with the aligned units of a sample of its passages.

    Raises:
        ComparisonError: The same as for `compare`.
    """
    if by is not None:
        return _compared(a, b, text, by, punctuation)
    try:
        return _compared(a, b, text, "token", punctuation)
    except OtherTokensError:
        return _compared(a, b, text, "segment", punctuation)


def _compared(a: Parts, b: Parts, text: Text, by: By, punctuation: Punctuation) -> Comparison:
    shown, sums, sample = shown_passages(text), list[PartSums](), Sampled(text.sha256, 2)
    kept: tuple[list[TokenScores], list[TokenScores]] = ([], [])
    n_units, not_same = 0, ""
    for both in _together(a(), b()):
        units = align(*both, by=by, punctuation=punctuation)
        same, not_same = same_first(*both, units)
        known = ~np.isnan(units.logprob_a + units.logprob_b)
        n_units += len(units)
        if known.any():
            sample.add(units.passage, known, (units.logprob_a, units.logprob_b), len(sums))
            sums.append(PartSums.of(units.logprob_a[known], units.logprob_b[known], same[known]))
        for tables, part in zip(kept, _shown_of(both, shown), strict=True):
            tables += filter(len, [part])
    x, y = sample.values
    numbers = agreement_of_parts(sums, (x, y, sample.part), not_same=not_same, unit=by)
    one, other = map(TokenScores.joined, kept)
    units = align(one, other, by=by, punctuation=punctuation)
    name = sample_name(text.name, len(units), n_units, by)
    one, other = (replace(table, text_name=name, spans=text.spans) for table in (one, other))
    return Comparison(a=one, b=other, units=units, whole=n_units, n_parts=len(sums), **numbers)


def _shown_of(tables: Sequence[TokenScores], shown: Mapping[int, int]) -> list[TokenScores]:
    """The rows of whole passages that figures show; of a passage that is cut, up to the last end of a token in all tables.

    Where the first such end lies beyond what is shown, as after a long run of characters that no token covers, it is that one.
    """
    cut = {}
    for passage in set(np.unique(tables[0].passage).tolist()) & shown.keys():
        ends = reduce(np.intersect1d, [table.end[table.passage == passage] for table in tables])
        cut[passage] = int(ends[max(0, np.searchsorted(ends, shown[passage], "right") - 1)])
    found = []
    for table in tables:
        limits = np.array([cut.get(passage, -1) for passage in table.passage.tolist()], np.int64)
        found.append(table.taken(np.flatnonzero(table.end <= limits)))
    return found


def _together(a: Iterator[TokenScores], b: Iterator[TokenScores]) -> Iterator[tuple[TokenScores, TokenScores]]:
    """Yield the same whole passages of two tables, however each is cut."""
    streams = [whole_passages(one) for one in (a, b)]
    left: list[TokenScores | None] = [next(stream, None) for stream in streams]
    while left[0] is not None and left[1] is not None:
        last = min(int(left[0].passage[-1]), int(left[1].passage[-1]))
        pieces = []
        for place, table in enumerate(left):
            assert table is not None
            cut = int(np.searchsorted(table.passage, last, "right"))
            pieces.append(table.taken(np.arange(cut)) if cut < len(table) else table)
            left[place] = table.taken(np.arange(cut, len(table))) if cut < len(table) else next(streams[place], None)
        yield pieces[0], pieces[1]
    if left != [None, None]:
        raise ComparisonError("two tables of one text hold different passages: score it again")


def whole_passages(parts: Iterator[TokenScores]) -> Iterator[TokenScores]:
    """Yield the parts of a table cut between passages, where a passage lies across two of them."""
    before: TokenScores | None = None
    for part in parts:
        if before is None or not len(before):
            before = part
            continue
        if not len(part):
            continue
        if part.passage[0] != before.passage[-1]:
            yield before
            before = part
            continue
        cut = int(np.searchsorted(before.passage, before.passage[-1], "left"))
        if cut:
            yield before.taken(np.arange(cut))
        before = TokenScores.joined([before.taken(np.arange(cut, len(before))), part])
    if before is not None:
        yield before


class Sampled:
    """Units taken at random: those with the least of numbers that follow from the text's hash and the unit's place."""

    def __init__(self, text_sha256: str, columns: int) -> None:
        """Begin with nothing, of units that have so many numbers each."""
        self._sha256 = text_sha256
        self._columns = [np.empty(0, kind) for kind in (np.uint64, np.int64, np.int64, np.int64, *[np.float64] * columns)]

    def add(self, passage: NDArray[np.int64], known: NDArray[np.bool_], values: Sequence[Values], part: int) -> None:
        """Add the units of whole passages, some of which have numbers.

        Args:
            passage: (n,) the passage of each unit, in order.
            known: (n,) whether a unit has numbers.
            values: The numbers, (n,) each.
            part: The number of the part that the units are of.
        """
        _, first, inverse = np.unique(passage, return_index=True, return_inverse=True)
        place, passage = (np.arange(len(passage)) - first[inverse])[known], passage[known]
        more = (
            _numbers(self._sha256, passage, place),
            passage,
            place,
            np.full(len(place), part),
            *(one[known] for one in values),
        )
        columns = [np.concatenate(pair) for pair in zip(self._columns, more, strict=True)]
        if len(columns[0]) > RANKED:
            least = np.argpartition(columns[0], RANKED)[:RANKED]
            columns = [column[least] for column in columns]
        self._columns = columns

    def _taken(self, *columns: int) -> list[NDArray[Any]]:
        order = np.lexsort((self._columns[2], self._columns[1]))
        return [self._columns[column][order] for column in columns]

    @property
    def place(self) -> list[NDArray[np.int64]]:
        """The passage of each unit of the sample and its number among the passage's units, in reading order."""
        return self._taken(1, 2)

    @property
    def part(self) -> NDArray[np.int64]:
        """The part of each unit of the sample, in reading order."""
        return self._taken(3)[0]

    @property
    def values(self) -> list[Values]:
        """The numbers of the sample, in reading order."""
        return self._taken(*range(4, len(self._columns)))


def _numbers(text_sha256: str, passages: Sequence[int] | NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number that looks random for each place in a text: SplitMix64 of the hash, the passage and the place in it.

    References:
        Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, OOPSLA, 453-472.
    """
    found = np.full(len(places), int(text_sha256[:16], 16), np.uint64)
    for values in (np.asarray(passages), places):
        found = found + values.astype(np.uint64) + np.uint64(_MIXERS[0])
        found = (found ^ (found >> np.uint64(30))) * np.uint64(_MIXERS[1])
        found = (found ^ (found >> np.uint64(27))) * np.uint64(_MIXERS[2])
        found = found ^ (found >> np.uint64(31))
    return found
