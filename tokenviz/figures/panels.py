"""The panels of a text heatmap: pieces of text in reading order, each with its value and what a reader is told of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tokenviz.comparing.alignment import SpanUnits, Units
from tokenviz.errors import FigureError
from tokenviz.figures.measures import MEASURES, PairMeasure, TokenMeasure, Values
from tokenviz.figures.pieces import Piece, passages_of
from tokenviz.figures.rows import common_rows
from tokenviz.models.describing import full_name_of
from tokenviz.score_summary import ScoreSummary
from tokenviz.scores import UNREAD, TokenScores
from tokenviz.spans import Span, names_at
from tokenviz.stats.estimate import printed

_OF_SUMS = {"logprob": 1.0, "surprisal_bits": -1 / math.log(2)}  # measures that are sums over tokens, by what one nat is


@dataclass(frozen=True, eq=False)
class Panel:
    """One model's reading of the text, or the difference of two; all columns have the length n.

    Attributes:
        name: Of the model, or of both, with what they are.
        remark: What the heading says after the name.
        n_scored: Pieces with a value.
        n_units: Tokens or other units; pieces that no token stands for are none.
        passage: Which passage each piece is in, from 0.
        start: Its first character in the passage.
        text: The pieces; those of a passage, joined, are the passage.
        values: NaN where unscored.
        notes: What a reader who points at a piece is told.
        spans: The name of the span that each piece is in, empty where it is in none; empty where the text has no spans.
    """

    name: str
    remark: str
    n_scored: int
    n_units: int
    passage: NDArray[np.int64]
    start: NDArray[np.int64]
    text: tuple[str, ...]
    values: Values
    notes: tuple[str, ...]
    spans: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.text)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """What the panel's text is drawn in, in reading order: tokens, and characters that several of them share."""
        return tuple(piece for passage in passages_of(self.text, self.passage) for piece in passage)

    @property
    def shares_characters(self) -> bool:
        """Whether a character is of several tokens."""
        plain = all(self.text) and all(map(str.isascii, self.text))
        return not plain and any(len(piece.rows) > 1 for piece in self.pieces)

    def opens_span(self, row: int) -> bool:
        """Whether a piece is the first of a span; of two of one name that touch, the second is a part of the first."""
        name = self.spans[row] if self.spans else ""
        return bool(name) and (not row or self.passage[row - 1] != self.passage[row] or self.spans[row - 1] != name)

    def beginning(self, most: int) -> "Panel":
        """Its first pieces, under the heading of the whole."""
        columns = {name: getattr(self, name)[:most] for name in ("passage", "start", "text", "values", "notes", "spans")}
        return replace(self, n_scored=int((~np.isnan(columns["values"])).sum()), **columns)


def token_panel(table: TokenScores, measure: TokenMeasure, *, several_tokenizers: bool = False) -> Panel:
    """A model's tokens and what a measure says of each.

    With `several_tokenizers` the heading begins with bits per byte: means per token cannot be compared then, so those of
    log-probs are left out and others are marked.
    """
    values, summary = measure.take(table), table.summary()
    there = values[~np.isnan(values)]
    if several_tokenizers and measure.name in _OF_SUMS:
        mean = _bits_per_byte(table)
    elif measure.buckets:
        share = f"{(there == 0).mean():.0%}".replace("%", " %") if len(there) else "–"
        mean = f"rank {measure.buckets[0]}: {share}"
    else:
        unit = f" {measure.unit} per token" if measure.unit else ""
        mean = f"mean {measure.printed(float(there.mean()) if len(there) else math.nan)}{unit}"
    if several_tokenizers and measure.name not in _OF_SUMS:
        mean = f"{_bits_per_byte(table)}, {mean} (over tokens of its own)"
    return Panel(
        name=full_name_of(table.spec),
        remark=f"{len(there)} of {summary.n_tokens} tokens scored, {mean}{_caveats(summary)}",
        n_scored=len(there),
        n_units=summary.n_tokens,
        passage=table.passage,
        start=table.start,
        text=table.token,
        values=values,
        notes=tuple(_token_note(table, row, measure, float(values[row])) for row in range(len(table))),
        spans=tuple(table.span_names) if table.spans else (),
    )


def _caveats(summary: ScoreSummary) -> str:
    counts = {"unknown to the tokenizer": summary.n_unknown, "characters not read": summary.n_unread}
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


def segment_panels(tables: Sequence[TokenScores], measure: TokenMeasure) -> tuple[Panel, ...]:
    """Each model's sums over the segments that all of them cut alike, so that one colour means one value in all panels.

    Raises:
        FigureError: The measure has no sums.
    """
    if measure.name not in _OF_SUMS:
        raise FigureError(
            f"the measure {measure.name!r} of a segment is not the sum of its tokens': take one of {', '.join(_OF_SUMS)}"
        )
    rows = common_rows(tables)
    factor = _OF_SUMS[measure.name]
    panels = []
    for number, (table, logprobs) in enumerate(zip(tables, rows.logprobs, strict=True)):
        values, counts = factor * logprobs, rows.spans.n_tokens[number]
        n_scored = int((~np.isnan(values)).sum())
        notes = (
            "not scored" if math.isnan(logprob) else f"log-prob {logprob:.4f} nats, {count} token{'s' * (count != 1)}"
            for logprob, count in zip(logprobs.tolist(), counts.tolist(), strict=True)
        )
        panels.append(
            Panel(
                name=full_name_of(table.spec),
                remark=f"{n_scored} of {len(rows)} {rows.by}s scored, {_bits_per_byte(table)}{_caveats(table.summary())}",
                n_scored=n_scored,
                n_units=len(rows),
                passage=rows.passage,
                start=rows.spans.start,
                text=rows.spans.text,
                values=values,
                notes=tuple(notes),
                spans=_spans_of(tables[0].spans, rows.passage, rows.spans.end),
            )
        )
    return tuple(panels)


def _spans_of(spans: Sequence[Sequence[Span]], passage: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(names_at(spans, passage.tolist(), end.tolist())) if spans else ()


def _bits_per_byte(table: TokenScores) -> str:
    return f"{printed(table.summary().bits_per_byte)} bits per byte"


def _token_note(table: TokenScores, row: int, measure: TokenMeasure, value: float) -> str:
    if table.token_id[row] == UNREAD:
        return "not read: no token stands for it"
    if not table.scored[row]:
        return "not scored"
    own = "" if measure.name in MEASURES else f"{measure.label} {value:.4g}{f' {measure.unit}'.rstrip()}, "
    own = "unknown to the tokenizer, " * bool(table.unknown[row]) + own
    parts = [f"log-prob {table.logprob[row]:.4f} nats"]
    if not np.isnan(table.rank[row]):  # another engine says no rank, or only those of a few
        parts.append(f"rank {table.rank[row]:.0f}")
    if not np.isnan(table.entropy[row]):
        parts.append(f"entropy {table.entropy[row]:.3f} nats")
    return own + ", ".join(parts)


def pair_panel(
    units: Units,
    models: tuple[str, str],
    names: tuple[str, str],
    measure: PairMeasure,
    spans: Sequence[Sequence[Span]] = (),
) -> Panel:
    """The units of two models and what a measure says of them; `names` say what the models are, `spans` are the text's."""
    values, (a, b) = measure.take(units), models
    there = values[~np.isnan(values)]
    mean = printed(float(there.mean())) if len(there) else "–"
    notes = (
        "not scored by both" if math.isnan(value) else f"log-prob {x:.4f} by {a}, {y:.4f} by {b}: difference {value:.4f} nats"
        for x, y, value in zip(units.logprob_a, units.logprob_b, values, strict=True)
    )
    return Panel(
        name=f"{names[1]} minus {names[0]}",
        remark=f"{len(there)} of {len(units)} {units.by}s scored by both, mean {mean} {measure.unit} per {units.by}",
        n_scored=len(there),
        n_units=len(units),
        passage=units.passage,
        start=units.start,
        text=units.text,
        values=values,
        notes=tuple(notes),
        spans=tuple(units.span) if isinstance(units, SpanUnits) else _spans_of(spans, units.passage, units.end),
    )
