"""Spans: named, half-open ranges of characters of a passage, such as a prompt, a region or the turns of a chat.

A passage is scored as a whole, whatever its spans are. Log-probs are summed, counted, compared and drawn by span. Ranges
outside all spans have no name; spans and nameless ranges together are the passage, so that nothing is lost.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenviz.base.errors import TextError


@dataclass(frozen=True)
class Span:
    """A named range of characters of a passage.

    Attributes:
        name: Its name; several spans may have one name. Empty for a range outside all spans.
        start: First character, from 0.
        end: One past the last character.

    Example:
        >>> text = tv.literal("Is it? Yes").with_spans([[tv.Span("target", 6, 10)]])
        >>> tv.score(tv.load_model("glass-en"), text).spans
        ((Span(name='target', start=6, end=10),),)
    """

    name: str
    start: int
    end: int


def checked_spans(given: Iterable[object], length: int, where: str) -> tuple[Span, ...]:
    """Return the spans of a passage in reading order.

    Args:
        given: `Span`, or tuples or lists of name, start and end, or dictionaries with these keys, in any order.
        length: Length of the passage, in characters.
        where: The passage, for messages.

    Raises:
        TextError: A span has no name, is empty, reaches beyond the passage, or overlaps another.
    """
    spans = sorted((_span_of(one, where) for one in given), key=lambda span: (span.start, span.end))
    reached, before = 0, ""
    for span in spans:
        if not span.name.strip():
            raise TextError(f"{where} has a span {span.start} to {span.end} without a name")
        if not 0 <= span.start < span.end <= length:
            raise TextError(
                f"{where} has the span {span.name!r} from {span.start} to {span.end}, and {length:,} characters: a span "
                "begins at 0 or later, ends within the passage (one past its last character) and is not empty"
            )
        if span.start < reached:
            raise TextError(
                f"{where} has the span {span.name!r} from {span.start}, which overlaps {before!r}, which ends at {reached}: "
                "every character is in one span at most"
            )
        reached, before = span.end, span.name
    return tuple(spans)


def _span_of(given: object, where: str) -> Span:
    values: object = given
    if isinstance(given, Span):
        values = [given.name, given.start, given.end]
    elif isinstance(given, dict):
        values = [given.get(name) for name in ("name", "start", "end")]
    match values:
        case [str(name), int(start), int(end)] if not isinstance(start, bool) and not isinstance(end, bool):
            return Span(name, start, end)
    raise TextError(f"{where} has {str(given)[:80]!r} for a span: give name, start and end, such as ['verb', 4, 9]")


def pieces_of_spans(spans: Sequence[Span], length: int) -> list[Span]:
    """Return the spans and the nameless ranges between them, in reading order; together they are the passage."""
    found, reached = [], 0
    for span in spans:
        if span.start > reached:
            found.append(Span("", reached, span.start))
        found.append(span)
        reached = span.end
    if reached < length:
        found.append(Span("", reached, length))
    return found


def names_at(spans: Sequence[Sequence[Span]], passages: Sequence[int], ends: Sequence[int]) -> list[str]:
    """Return the name of the span that contains the last character of each piece.

    Args:
        spans: The spans of each passage, in reading order; empty where the text has none.
        passages: Number of the passage of each piece, from 0.
        ends: One past the last character of each piece.

    Returns:
        A name per piece; empty where it is in no span.
    """
    borders = [[span.end for span in own] for own in spans]
    names = []
    for passage, end in zip(passages, ends, strict=True):
        place = bisect_left(borders[passage], max(end, 1)) if spans else 0
        own = spans[passage][place] if spans and place < len(borders[passage]) else None
        names.append(own.name if own and max(end, 1) > own.start else "")
    return names
