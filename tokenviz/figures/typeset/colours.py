"""Colours for values that remain correct in print: perceptually uniform, and safe for colour-blind readers.

A sequential map's lightness falls evenly from the light to the dark end, so a grey copy keeps the order. A diverging map is
lightest in the middle and equally dark at equal distances on both sides: a grey copy keeps the distance, and a line under the
values below zero keeps the sign.

Between the colours on which black letters are readable and those on which white ones are, a map may have some on which neither
are in a grey copy: viridis' teal gives black a contrast of 5.5 to 1 in colour and 4.2 to 1 in grey. Maps skip these colours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from tokenviz.base.errors import FigureError

Colour = tuple[float, float, float]

LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito
MARKERS = "osD^v"  # five, with six colours: thirty pairs look different
LINE_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # a grey copy distinguishes them
UNSCORED_EDGE = "#8a8a8a"
INKS: dict[str, Colour] = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0)}
LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA; with less, a letter on several backgrounds gets an edge in the other ink
_SHADES = 256  # colours in each of matplotlib's maps
# Weights of red, green, blue: Rec. 601, as PDF (ISO 32000, 10.4.2) rounds it, and Rec. 709, as screens and CSS filters use it
_GREYS = ((0.299, 0.587, 0.114), (0.30, 0.59, 0.11), (0.2126, 0.7152, 0.0722))


@dataclass(frozen=True)
class ColourMap:
    """Colours from 0 to 1: those of matplotlib, except those on which no letter is readable in a grey copy.

    The excluded colours are skipped at once, at the same distance on both sides of a diverging map: 29 of viridis' 256 colours,
    18 of magma's, 24 of RdBu's, 18 of BrBG's, none of the others'.

    Attributes:
        source: Matplotlib's name of the map, in the direction from light to dark.
        diverging: Whether it is light in the middle and dark at both ends.
        begin: Place of 0 in matplotlib's map: white is reserved for what has no value.
    """

    source: str
    diverging: bool = False
    begin: float = 0.0

    @property
    def shades(self) -> list[Colour]:
        """Return all its colours, in order."""
        return list(_kept(self))

    def at(self, fraction: float) -> Colour:
        """Return the colour at a fraction from 0 to 1, as red, green, blue in 0..1."""
        return _kept(self)[self.place(fraction)]

    def place(self, fraction: float) -> int:
        """Return the index in `shades` of the colour at a fraction from 0 to 1."""
        count = len(_kept(self))
        return min(count - 1, int(fraction * count))


COLOUR_MAPS = {
    "viridis": ColourMap("viridis_r"),
    "cividis": ColourMap("cividis_r"),
    "magma": ColourMap("magma_r"),
    "greys": ColourMap("Greys", begin=0.08),
    "rdbu": ColourMap("RdBu", diverging=True),
    "brbg": ColourMap("BrBG", diverging=True),
}
"""The colour maps by name. All keep their order for protanopes, deuteranopes and tritanopes: sequential ones by their
lightness;
diverging ones are the two of ColorBrewer (Brewer 2003) that it marks as safe and whose sides are equally dark."""


@cache
def _kept(colours: ColourMap) -> list[Colour]:
    """Return the colours of a map on which letters are readable, both exactly and in the 255 steps that files have."""
    from matplotlib import colormaps  # takes a tenth of a second, which a terminal's text may do without

    table = colormaps[colours.source](np.arange(round(colours.begin * _SHADES), _SHADES))[:, :3]
    shades: list[Colour] = [(red, green, blue) for red, green, blue in table.tolist()]
    stepped: list[Colour] = [(red, green, blue) for red, green, blue in (np.round(table * 255) / 255).tolist()]
    carries = [stands_out(text_colour(shade), shade, step) for shade, step in zip(shades, stepped, strict=True)]
    if colours.diverging:
        carries = [one and other for one, other in zip(carries, carries[::-1], strict=True)]
    return [shade for shade, kept in zip(shades, carries, strict=True) if kept]


def colour_map(name: str, *, diverging: bool) -> ColourMap:
    """Return a colour map by its name.

    Args:
        name: One of `COLOUR_MAPS`.
        diverging: Whether a diverging map is needed, else a sequential one.

    Raises:
        FigureError: There is no map of that name, or it is of the other kind.
    """
    fitting = [known for known, one in COLOUR_MAPS.items() if one.diverging == diverging]
    if name not in COLOUR_MAPS:
        raise FigureError(f"no colour map {name!r}: there are {', '.join(COLOUR_MAPS)}")
    if name not in fitting:
        kind = "values on both sides of zero need a diverging" if diverging else "values of one direction need a sequential"
        raise FigureError(f"the colour map {name!r} does not fit: {kind} map, {' or '.join(fitting)}")
    return COLOUR_MAPS[name]


@dataclass(frozen=True)
class ColourScale:
    """Min-max scaling of values to 0..1, and from there to colours.

    Attributes:
        low: The least value with its own colour.
        high: The greatest value with its own colour.
        colours: The colour map.
        falling: Whether the map runs from `high` to `low`.
    """

    low: float
    high: float
    colours: ColourMap = COLOUR_MAPS["viridis"]
    falling: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there was no value to take limits from."""
        return math.isnan(self.low)

    def fraction(self, value: float) -> float:
        """Return the place of a value between the limits, 0 to 1; 0.5 where the limits are equal."""
        if self.high == self.low:
            return 0.5
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def colour(self, value: float) -> Colour | None:
        """Return the colour of a value; None where it is NaN (unscored)."""
        return None if math.isnan(value) else self.colours.at(self._along(value))

    def shade(self, value: float) -> int | None:
        """Return the index in the map's `shades` of a value's colour; None where it is NaN."""
        return None if math.isnan(value) else self.colours.place(self._along(value))

    def _along(self, value: float) -> float:
        fraction = self.fraction(value)
        return 1 - fraction if self.falling else fraction

    def underlined(self, value: float) -> bool:
        """Return whether a line under the value shows that it is below zero."""
        return self.colours.diverging and value < 0

    def most_telling(self, values: Sequence[float]) -> float:
        """Return the value nearest to the light end, or the farthest from 0 on a diverging scale; NaN where all are."""
        known = [value for value in values if not math.isnan(value)]
        return max(known, key=abs if self.colours.diverging else lambda value: -self._along(value), default=math.nan)

    def steps(self, count: int) -> list[float]:
        """Return the centres of equal parts of the scale, from low to high."""
        return [self.low + (self.high - self.low) * (step + 0.5) / count for step in range(count)]


@lru_cache(maxsize=4096)
def text_colour(*backgrounds: Colour | None) -> str:
    """Return black or white, whichever has more contrast in colour and in grey; for several backgrounds the worst one counts.

    On one background the contrast in colour is at least 4.5 to 1; on every colour of a map it is in grey as well.

    Args:
        backgrounds: The colours behind a letter; None is white.
    """

    def standing(ink: str) -> tuple[float, float]:
        in_colour = min(contrast(ground or INKS["white"], INKS[ink]) for ground in backgrounds)
        return min(in_colour, LEAST_CONTRAST), min(_worst(ground, ink) for ground in backgrounds)

    return max(INKS, key=standing)


def stands_out(ink: str, *backgrounds: Colour | None) -> bool:
    """Return whether black or white letters have a contrast of 4.5 to 1 on all backgrounds, in colour and in grey."""
    return all(_worst(ground, ink) >= LEAST_CONTRAST for ground in backgrounds)


@lru_cache(maxsize=4096)
def _worst(ground: Colour | None, ink: str) -> float:
    """Return the contrast of an ink with a background in colour or in grey, whichever is less."""
    ground = ground or INKS["white"]
    return min(contrast(seen, INKS[ink]) for seen in (ground, *_greys(ground)))


def _greys(colour: Colour) -> list[Colour]:
    """Return a colour in grey, in 255 steps, by the weights that are common in print and on screens, and by its luminance."""
    luminance = _luminance(colour)
    even = 12.92 * luminance if luminance <= 0.0031308 else 1.055 * luminance ** (1 / 2.4) - 0.055
    lumas = [sum(share * part for share, part in zip(shares, colour, strict=True)) for shares in _GREYS]
    return [(round(255 * grey) / 255,) * 3 for grey in (*lumas, even)]


def contrast(first: Colour, second: Colour) -> float:
    """Return the contrast ratio of two colours, 1 to 21, by the Web Content Accessibility Guidelines 2.2."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def to_hex(colour: Colour) -> str:
    """Return a colour as `#rrggbb`."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


def span_colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for the line above each span, by name; labels distinguish spans where colours cannot be seen."""
    return {name: LINE_COLOURS[place % len(LINE_COLOURS)] for place, name in enumerate(names)}
