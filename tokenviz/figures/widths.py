"""Widths of figures: in a unit of length, or by the name of the venue whose column they fill."""

import re

from tokenviz.errors import FigureError

_MM = 1 / 25.4
_UNITS = {"in": 1.0, "cm": 10 * _MM, "mm": _MM, "pt": 1 / 72.27, "bp": 1 / 72}  # pt is TeX's, as \columnwidth prints it
_LEAST, _GREATEST = 1.5, 40.0

# Width of a column in inches, and of the whole text where a page has two columns: from the venues' style files and author kits.
_VENUES: dict[str, tuple[float, ...]] = {
    "acl": (77 * _MM, 160 * _MM),  # also EMNLP, NAACL, EACL, TACL: one style
    "neurips": (5.5,),
    "iclr": (5.5,),
    "colm": (5.5,),
    "icml": (3.25, 6.75),
    "aistats": (3.25, 6.75),
    "aaai": (3.3125, 7.0),
    "cvpr": (3.25, 6.875),
    "acm": (241.147 / 72.27, 506.295 / 72.27),  # acmart, sigconf
    "ieee": (3.5, 7.16),
    "lncs": (122 * _MM,),
    "jmlr": (6.0,),
    "tmlr": (6.5,),
    "nature": (89 * _MM, 183 * _MM),
    "pnas": (87 * _MM, 178 * _MM),
    "elsevier": (90 * _MM, 190 * _MM),
}
WIDTHS = {
    name + suffix: inches for name, widths in _VENUES.items() for suffix, inches in zip(("", "-text"), widths, strict=False)
}
"""Inches by name: `acl` is one column, `acl-text` both; `neurips` has one column only."""


def inches(width: float | str) -> float:
    """Return a width in inches.

    Args:
        width: In inches; or a length such as "3.3in", "8.4cm", "84mm", "240pt" (TeX's point, 1/72.27 inch) or "239bp"; or a
            name from `WIDTHS`.

    Raises:
        FigureError: It is none of these, or a width in which no text can be set.
    """
    found = _parsed(width) if isinstance(width, str) else width
    if found is None:
        raise FigureError(
            f"no width {width!r}: give inches, a length such as 3.3in, 8.4cm, 84mm or 240pt, or one of {', '.join(WIDTHS)}"
        )
    if not _LEAST <= found <= _GREATEST:  # refuses NaN as well
        raise FigureError(f"a width of {width!r} is not possible: take {_LEAST:g} to {_GREATEST:g} inches")
    return found


def _parsed(width: str) -> float | None:
    if width in WIDTHS:
        return WIDTHS[width]
    length = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(in|cm|mm|pt|bp)?", width.strip())
    return float(length[1]) * _UNITS[length[2] or "in"] if length else None


def points(font_size: float) -> float:
    """Return a font size in points, if it is possible.

    Raises:
        FigureError: The size is not 4 to 48 points.
    """
    if not 4 <= font_size <= 48:
        raise FigureError(f"a font size of {font_size:g} points is not possible: take 4 to 48")
    return font_size
