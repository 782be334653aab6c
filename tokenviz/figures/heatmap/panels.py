"""The panels of a text heatmap, and the pieces of text that each shows with its value."""

import math
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import accumulate, groupby, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from tokenviz.base.characters import clusters, line_ends
from tokenviz.base.errors import FigureError
from tokenviz.comparing.alignment import SpanUnits, Units
from tokenviz.data.scores import UNREAD, TokenScores
from tokenviz.data.spans import Span, names_at
from tokenviz.data.summary import ScoreSummary
from tokenviz.figures.heatmap.measures import MEASURES, PairMeasure, TokenMeasure, Values, common_rows
from tokenviz.models.describing import full_name_of
from tokenviz.stats.estimate import printed

# The pieces in which a text is drawn: tokens, characters that several tokens share, and the places where a line may end.
#
# Every format draws these pieces and breaks its lines at these places, so that a text looks the same in all of them. A
# character of a reader is a grapheme cluster (UAX 29): a letter with its marks, a syllable, an emoji of several code points.
# Where several tokens contain a part of one, it is a separate piece with all of these tokens. Lines end where the Unicode line
# breaking algorithm allows it (UAX 14), with ICU's dictionaries for scripts without spaces.

_STOPS = set(",.;:!?%…、。，．；：！？।॥،؛؟")
Break = Literal["word", "token", "none"]
"""The kind of place before a piece: "word", where a line may end; "token", where only a word longer than the line is cut;
or "none", within a token that is cut for another reason, and before closing punctuation."""


LONGEST_WORD = 24
"""Characters: where a format cannot measure lengths, a longer word may be broken anywhere."""


@dataclass(frozen=True)
class Piece:
    """A range of a text that is drawn at once.

    Attributes:
        rows: The numbers of its tokens: one; or several, each with a part of its only character.
        text: Its characters; empty where a token has none and shares none.
        before: Whether a line may end before it.
    """

    rows: tuple[int, ...]
    text: str
    before: Break = "token"


def pieces(tokens: Sequence[str], first: int = 0) -> list[Piece]:
    """Cut a passage into its pieces.

    Args:
        tokens: The slices of the passage that its tokens cover, in reading order. A token without characters shares the
            character before it.
        first: The number of the first token; by default 0.

    Returns:
        The pieces; concatenated they are the passage, and every token is in at least one.
    """
    text = "".join(tokens)
    places = line_ends(text)
    parts = _shared(tokens, text)
    edges = list(accumulate(map(len, (part for _, part in parts)), initial=0))
    cuts = {_before_spaces(text, place, edges) for place in places} - {0}
    in_order = sorted(cuts)
    found: list[Piece] = []
    before: tuple[int, ...] = ()
    for (rows, part), (begin, end) in zip(parts, pairwise(edges), strict=True):
        inner = [begin, *in_order[bisect_right(in_order, begin) : bisect_left(in_order, end)], end]
        numbers = tuple(first + row for row in rows)
        for start, stop in pairwise(inner) if part else [(begin, end)]:
            stays = set(before) & set(rows) or _closes(text[start:stop])
            kind: Break = "word" if start in cuts else "none" if stays else "token"
            found.append(Piece(numbers, text[start:stop], kind))
            before = rows
    return found


@dataclass(frozen=True)
class Box:
    """Consecutive pieces of one token, or a character of several, for formats that break lines by themselves.

    Attributes:
        rows: The rows of its pieces.
        parts: The texts of its pieces.
        may_end: Whether a line may end before each piece.
    """

    rows: tuple[int, ...]
    parts: tuple[str, ...]
    may_end: tuple[bool, ...]

    @property
    def text(self) -> str:
        """Its characters."""
        return "".join(self.parts)


def boxes(passage: Sequence[Piece]) -> list[Box]:
    """Group the pieces of a passage into boxes; lines may end inside words that are too long for most lines."""
    parts: list[tuple[tuple[int, ...], str, bool]] = []
    for word in _words(passage):
        long = sum(len(piece.text) for piece in word) > LONGEST_WORD
        for piece in word:
            for number, text in enumerate(in_parts(piece.text) if long else [piece.text]):
                parts.append((piece.rows, text, long or (piece.before == "word" and not number)))
    found = []
    for rows, group in groupby(parts, key=lambda part: part[0]):
        _, texts, may_end = zip(*group, strict=True)
        found.append(Box(rows, texts, may_end))
    return found


def _words(passage: Sequence[Piece]) -> list[list[Piece]]:
    """Group pieces between which no line ends, unless they are longer than a line."""
    found: list[list[Piece]] = []
    for piece in passage:
        if not found or piece.before == "word":
            found.append([])
        found[-1].append(piece)
    return found


def in_parts(text: str) -> list[str]:
    """Cut a token of a long word into parts of at most 8 characters, between which lines may end if necessary."""
    signs = clusters(text)
    return ["".join(signs[begin : begin + 8]) for begin in range(0, len(signs), 8)] or [text]


def passages_of(tokens: Sequence[str], passage: Sequence[int] | NDArray[np.int64]) -> list[tuple[Piece, ...]]:
    """Cut each passage of a table into its pieces.

    Args:
        tokens: The slices of all passages, in reading order.
        passage: Number of the passage of each slice.
    """
    numbers = [int(number) for number in passage]
    groups = [list(rows) for _, rows in groupby(range(len(tokens)), key=numbers.__getitem__)]
    return [tuple(pieces(tokens[rows[0] : rows[-1] + 1], rows[0])) for rows in groups]


def _shared(tokens: Sequence[str], text: str) -> list[tuple[tuple[int, ...], str]]:
    """Return the tokens' numbers and texts, with characters of several tokens separate."""
    if text.isascii() and all(tokens):
        return [((row,), token) for row, token in enumerate(tokens)]
    edges = list(accumulate(map(len, clusters(text)), initial=0))
    owners: list[list[int]] = [[] for _ in edges[:-1]]
    alone: list[tuple[tuple[int, ...], str]] = []
    reached = 0
    for row, token in enumerate(tokens):
        begin, end = (reached, reached + len(token)) if token else (reached - 1, reached)
        reached += len(token)
        if end <= 0:
            alone.append(((row,), ""))
            continue
        k = bisect_left(edges, begin + 1) - 1
        while k < len(owners) and edges[k] < end:
            owners[k].append(row)
            k += 1
    found: list[tuple[tuple[int, ...], str]] = []
    for own, (begin, end) in zip(owners, pairwise(edges), strict=True):
        if found and len(own) == 1 and found[-1][0] == tuple(own):
            found[-1] = (found[-1][0], found[-1][1] + text[begin:end])
        else:
            found.append((tuple(own), text[begin:end]))
    return alone + found


def _closes(text: str) -> bool:
    """Return whether a piece begins with a character that no line begins with."""
    return text[:1] in _STOPS or unicodedata.category(text[:1] or " ") in ("Pe", "Pf")


def _before_spaces(text: str, place: int, edges: list[int]) -> int:
    """Return a place where a line may end, moved from after spaces to before those that belong to the next token."""
    begin = place
    while begin and text[begin - 1] == " ":
        begin -= 1
    edge = edges[bisect_right(edges, place) - 1]
    return max(edge, begin)


# The panels of a text heatmap: pieces of text in reading order, each with its value and notes.

_LABEL_SHARE = 1.2  # columns of a span's name, in two thirds of the size, above each column of the text
_LONGEST_LABEL = 24  # columns of a span's name, which may begin near the end of a line
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

    @cached_property
    def labels(self) -> dict[int, str]:
        """The names to write above the text, by the row of a span's first piece."""
        return span_labels(self.text, self.passage, self.spans)

    def beginning(self, most: int) -> "Panel":
        """Return the panel with its first pieces only, under the heading of the whole."""
        columns = {name: getattr(self, name)[:most] for name in ("passage", "start", "text", "values", "notes", "spans")}
        return replace(self, n_scored=int((~np.isnan(columns["values"])).sum()), **columns)


def span_labels(text: Sequence[str], passage: Sequence[int] | NDArray[np.int64], spans: Sequence[str]) -> dict[int, str]:
    """Return the names to write above a text, by the row of a span's first piece; adjacent spans of one name count as one.

    A name is shortened, or left out, where the next one of the passage begins before its end. Columns of a terminal are
    counted, two for a Chinese character, since formats whose lines are broken elsewhere cannot measure lengths.

    Args:
        text: The pieces, in reading order.
        passage: Number of the passage of each piece.
        spans: The name of each piece's span, empty where it is in none.
    """
    from tokenviz.figures.typeset.fonts import shortened  # imports matplotlib, which is not needed for a terminal

    first = [
        row
        for row, name in enumerate(spans)
        if name and (not row or (passage[row - 1], spans[row - 1]) != (passage[row], name))
    ]
    found = {}
    for row, after in pairwise([*first, len(spans)]):
        room = _LONGEST_LABEL
        if after < len(spans) and passage[after] == passage[row]:
            room = min(room, int(_LABEL_SHARE * sum(map(cell_len, text[row:after]))))
        shown = shortened(spans[row], partial(_fits, room))
        if _fits(room, shown):
            found[row] = shown
    return found


def _fits(room: int, name: str) -> bool:
    return cell_len(name) <= room


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
        notes=tuple(_token_notes(table, measure, values)),
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


def _token_notes(table: TokenScores, measure: TokenMeasure, values: Values) -> Iterator[str]:
    columns = (table.token_id, table.scored, table.unknown, values, table.logprob, table.rank, table.entropy)
    for token, scored, unknown, value, logprob, rank, entropy in zip(*(column.tolist() for column in columns), strict=True):
        if token == UNREAD:
            yield "not read: no token stands for it"
            continue
        if not scored:
            yield "not scored"
            continue
        own = "" if measure.name in MEASURES else f"{measure.label} {value:.4g}{f' {measure.unit}'.rstrip()}, "
        own = "unknown to the tokenizer, " * unknown + own
        parts = [f"log-prob {logprob:.4f} nats"]
        if not math.isnan(rank):  # imported scores may lack ranks
            parts.append(f"rank {rank:.0f}")
        if not math.isnan(entropy):
            parts.append(f"entropy {entropy:.3f} nats")
        yield own + ", ".join(parts)


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
