"""Fonts with CFF outlines (for example Noto Sans CJK) converted to TrueType, for the characters that a figure needs.

Matplotlib embeds every font of a PDF as TrueType, even one that is not: PDF readers warn or show nothing. The outlines of the
few characters that are needed are converted first, so that the PDF is valid.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fontTools import subset
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable
from matplotlib import font_manager
from matplotlib.font_manager import FontPath, FontProperties

_ERROR = 0.0005  # share of the em: the largest distance of a converted curve from the original
_MAXP_FIELDS = (
    "maxPoints", "maxContours", "maxCompositePoints", "maxCompositeContours", "maxTwilightPoints", "maxStorage",
    "maxFunctionDefs", "maxInstructionDefs", "maxStackElements", "maxSizeOfInstructions", "maxComponentElements",
    "maxComponentDepth",
)  # fmt: skip


def with_truetype_outlines(family: str, characters: frozenset[str]) -> list[str]:
    """Return the families to request from matplotlib: the font, or if it has CFF outlines, its conversion and then the font.

    A program that shows an SVG knows only the font itself.
    """
    path = font_manager.findfont(FontProperties(family=family), fallback_to_default=False)
    number = path.face_index if isinstance(path, FontPath) else 0
    with TTFont(path, fontNumber=number, lazy=True) as font:
        if "CFF " not in font:
            return [family]
    return [_converted(str(path), number, family, characters), family]


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="tokenviz-fonts-")  # removed when the process ends


@cache
def _converted(path: str, number: int, family: str, characters: frozenset[str]) -> str:
    """Convert some characters of a font, register them with matplotlib, and return the new family's name."""
    text = "".join(sorted(characters))
    name = f"{family} {sha256(text.encode()).hexdigest()[:12]}"
    options = subset.Options(
        font_number=number, layout_features=["*"], name_IDs=["*"], notdef_outline=True, hinting=False, recalc_timestamp=False
    )
    target = Path(_folder().name, f"{name}.ttf")
    with subset.load_font(path, options) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(text=text)
        subsetter.subset(font)
        _convert_outlines(font)
        for record in font["name"].names:
            if record.nameID in (1, 16):  # the family's name, in both forms
                record.string = name
        font.save(target)
    font_manager.fontManager.addfont(target)
    return name


def _convert_outlines(font: Any) -> None:
    glyph_set, order = font.getGlyphSet(), font.getGlyphOrder()
    glyphs: dict[str, Any] = {}
    for glyph in order:
        pen = TTGlyphPen(glyph_set)
        # The outer contours of the two kinds of fonts run in opposite directions.
        glyph_set[glyph].draw(Cu2QuPen(pen, _ERROR * font["head"].unitsPerEm, reverse_direction=True))
        glyphs[glyph] = pen.glyph()
    font["loca"], font["glyf"] = newTable("loca"), newTable("glyf")
    font["glyf"].glyphOrder, font["glyf"].glyphs = order, glyphs
    for glyph, outline in glyphs.items():
        outline.recalcBounds(font["glyf"])
        font["hmtx"][glyph] = font["hmtx"][glyph][0], outline.xMin
    sizes = font["maxp"]
    sizes.tableVersion, sizes.maxZones = 0x00010000, 1
    for field in _MAXP_FIELDS:
        setattr(sizes, field, 0)
    sizes.recalc(font)
    for table in ("CFF ", "VORG"):
        if table in font:
            del font[table]
    font["post"].formatType = 3.0  # no names of glyphs
    font.sfntVersion = "\x00\x01\x00\x00"
