"""The panels of a text heatmap: pieces of text in reading order, each with its value and notes."""

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

_OF_SUMS = {"logprob": 1.0, "surprisal_bits": -1 / math.log(2)}  # measures that are sums over tokens, with the value of one nat


@dataclass(frozen=True, eq=False)
class Panel:
    """One model's values of the text, or the difference of two models; all columns have length n.

    Attributes:
        name: Name of the model, or of both, with their descriptions.
        remark: Words that follow the name in the heading.
        n_scored: Pieces with a value.
        n_units: Tokens or other units; pieces that no token covers do not count.
        passage: Number of the passage of each piece, from 0.
        start: First character of each piece in its passage.
        text: The pieces; the concatenated pieces of a passage are the passage.
        values: Values of the pieces; NaN where unscored.
        notes: What is shown when the user points at a piece.
        spans: The name of each piece's span, empty where it is in none; no names where the text has no spans.
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
        """The pieces in which the panel's text is drawn, in reading order: tokens, and characters that several tokens share."""
        return tuple(piece for passage in passages_of(self.text, self.passage) for piece in passage)

    @property
    def shares_characters(self) -> bool:
        """Whether several tokens share a character."""
        plain = all(self.text) and all(map(str.isascii, self.text))
        return not plain and any(len(piece.rows) > 1 for piece in self.pieces)

    def opens_span(self, row: int) -> bool:
        """Return whether a piece is the first of a span; two adjacent spans of one name count as one."""
        name = self.spans[row] if self.spans else ""
        return bool(name) and (not row or self.passage[row - 1] != self.passage[row] or self.spans[row - 1] != name)

    def beginning(self, most: int) -> "Panel":
        """Return the panel with its first pieces only, under the heading of the whole."""
        columns = {name: getattr(self, name)[:most] for name in ("passage", "start", "text", "values", "notes", "spans")}
        return replace(self, n_scored=int((~np.isnan(columns["values"])).sum()), **columns)


def token_panel(table: TokenScores, measure: TokenMeasure, *, several_tokenizers: bool = False) -> Panel:
    """Return the panel of a model's tokens for a measure.

    With `several_tokenizers` the heading begins with bits per byte. Means per token cannot be compared then, so means of
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
    """Return each model's sums over the segments that all models share, so that one colour means one value in all panels.

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
    if not np.isnan(table.rank[row]):  # imported scores may lack ranks
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
    """Return the panel of the units of two models for a measure; `names` describe the models, `spans` are the text's."""
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
