"""From a value to a colour that is honest in print: perceptually uniform, safe for colour-blind readers.

Predictable tokens are darkest. The map's lightness rises evenly, so a grey copy keeps the order.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap

from tokenviz.scores import TokenScores

Colour = tuple[float, float, float]

MAP_NAME = "viridis_r"
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito
UNSCORED_EDGE = "#8a8a8a"


@dataclass(frozen=True)
class ColourScale:
    """Min-max scaling of values to 0..1, and of those to colours.

    Attributes:
        low: The value at the light end.
        high: The value at the dark end.
    """

    low: float
    high: float

    def fraction(self, value: float) -> float:
        """Where a value lies between the limits, 0 to 1; everything is in the middle where the limits coincide."""
        if self.high == self.low:
            return 0.5
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def colour(self, value: float) -> Colour | None:
        """The colour of a value as red, green, blue in 0..1; None where it is NaN (unscored)."""
        if math.isnan(value):
            return None
        red, green, blue, _ = _map()(self.fraction(value))
        return red, green, blue


@cache
def _map() -> Colormap:
    return colormaps[MAP_NAME]  # a new copy each time, with a table to fill


def shared_scale(tables: Iterable[TokenScores]) -> ColourScale:
    """The scale from the least to the greatest scored log-prob of all the tables."""
    values = np.concatenate([table.logprob[table.scored] for table in tables])
    return ColourScale(float(values.min()), float(values.max())) if len(values) else ColourScale(math.nan, math.nan)


def text_colour(background: Colour | None) -> str:
    """Black or white, whichever stands out more; the contrast is at least 4.5 to 1 on any background."""
    if background is None:
        return "black"
    return "white" if contrast(background, (1, 1, 1)) >= contrast(background, (0, 0, 0)) else "black"


def contrast(first: Colour, second: Colour) -> float:
    """The contrast ratio of two colours, 1 to 21, by the Web Content Accessibility Guidelines 2.2."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def printed(value: float) -> str:
    """A number of nats as figures print it: two decimals, a minus sign, no minus before zero; a dash for NaN."""
    if math.isnan(value):
        return "–"
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def to_hex(colour: Colour) -> str:
    """`#rrggbb`."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
