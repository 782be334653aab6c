"""Text in a PDF that is searched and copied exactly, even where letters are shaped from several glyphs.

Matplotlib 3.11 shapes text and writes, for each glyph of a cluster (a Thai consonant with its marks, a Devanagari syllable),
the characters of the whole cluster, so that copied text has each several times. While a PDF is written here, the glyphs of a
cluster divide its characters among themselves.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from matplotlib import _text_helpers
from matplotlib.ft2font import LoadFlags

from tokenviz.figures.bidi import JOINER, RIGHT_TO_LEFT_MARK, is_arabic, strong_direction

_NOTHING = "\u200b"  # for a glyph beyond the number of characters: each needs one


@dataclass(frozen=True)
class _Glyph:
    """The attributes that the PDF backend reads of matplotlib's class, whose characters cannot be set."""

    ft_object: Any
    char: str
    glyph_index: int
    x: float
    y: float
    prev_kern: float


@contextmanager
def exact_text() -> Iterator[None]:
    """Write each character once in PDF files, inside the block."""
    shaped = _text_helpers.layout

    def layout(string: str, font: Any, **settings: Any) -> Iterator[_Glyph]:
        glyphs = _without_joiners(list(shaped(string, font, **settings)), string)
        characters = shared_out(string, [glyph.char for glyph in glyphs])
        for glyph, char in zip(glyphs, characters, strict=True):
            yield replace(glyph, char=char)

    _text_helpers.layout = layout  # type: ignore[assignment]  # what it yields has all that the PDF backend reads
    try:
        yield
    finally:
        _text_helpers.layout = shaped


def shared_out(string: str, clusters: list[str]) -> list[str]:
    """Return the characters of each glyph, so that every character of the text occurs once.

    Args:
        string: The text.
        clusters: For each glyph, from left to right, the characters of its whole cluster.
    """
    runs = [(cluster, len(list(run))) for cluster, run in groupby(clusters)]
    found: list[str] = []
    for cluster, count in runs:
        counts = [other for text, other in runs if text == cluster]
        # The number of glyphs of each cluster: at least as many as leave no more clusters than the text can hold.
        glyphs = next(
            n for n in range(1, count + 1)
            if math.gcd(*counts) % n == 0 and (sum(counts) <= n * string.count(cluster) or n == math.gcd(*counts))
        )  # fmt: skip
        found += _shares(cluster, glyphs) * (count // glyphs)
    return found


def _shares(cluster: str, glyphs: int) -> list[str]:
    cluster = cluster.ljust(glyphs, _NOTHING)
    first = len(cluster) - glyphs + 1
    shares = [cluster[:first], *cluster[first:]]
    return shares[::-1] if strong_direction(cluster) == "R" else shares


def _without_joiners(glyphs: list[Any], string: str) -> list[_Glyph]:
    """Return the glyphs without the blank ones of characters that only control joining and direction."""
    signs = {RIGHT_TO_LEFT_MARK} | ({JOINER} if any(map(is_arabic, string)) else set())
    kept: list[_Glyph] = []
    skipped = 0.0
    for glyph in glyphs:
        blank = {glyph.ft_object.get_char_index(ord(sign)) for sign in (" ", *signs)}
        if signs & set(glyph.char) and glyph.glyph_index in blank:
            # The glyph after it was moved back by the blank one's width.
            skipped += (
                glyph.prev_kern + glyph.ft_object.load_glyph(glyph.glyph_index, LoadFlags.NO_HINTING).linearHoriAdvance / 65536
            )
            continue
        char = "".join(sign for sign in glyph.char if sign not in signs)
        kept.append(_Glyph(glyph.ft_object, char, glyph.glyph_index, glyph.x, glyph.y, glyph.prev_kern + skipped))
        skipped = 0.0
    return kept
