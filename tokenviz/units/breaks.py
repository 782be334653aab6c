"""Possible breaks of a text, by ICU for every script: between grapheme clusters, and where a line may end."""

from collections.abc import Iterator
from itertools import accumulate, pairwise

from tokenviz.characters import cluster_ends


def clusters(text: str) -> list[str]:
    """Cut a text into grapheme clusters (UAX 29), the characters of a reader.

    A carriage return and a newline are two clusters, since each is drawn.
    """
    if text.isascii():
        return list(text)
    found = (text[start:end] for start, end in pairwise([0, *cluster_ends(text)]))
    return [part for cluster in found for part in (cluster if cluster == "\r\n" else [cluster])]


def line_ends(text: str) -> Iterator[int]:
    """Yield the places in a text where a line may end (UAX 14), with ICU's dictionaries for scripts without spaces."""
    from icu4py.breakers import LineBreaker

    # ICU's own offsets count UTF-16 units, so the lengths of the parts are added up instead.
    return accumulate(len(str(part)) for part in LineBreaker(text, "und"))
