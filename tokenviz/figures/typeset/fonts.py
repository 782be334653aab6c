"""Fonts for many scripts: which to look for, what to draw where none has a character, and outlines for PDF."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fontTools import subset
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable
from fontTools.unicodedata import block, script_name
from fontTools.unicodedata import script as script_code
from matplotlib import font_manager
from matplotlib.font_manager import FontPath, FontProperties
from matplotlib.ft2font import FT2Font

# Scripts and their fonts: which fonts to look for, and which to install where none is found.


@dataclass(frozen=True)
class Script:
    """A script, or a group of scripts that one font covers.

    Attributes:
        name: Name in messages.
        parts: The names that Unicode gives its scripts; where a sign belongs to several scripts, the beginnings of its block's
            name.
        families: Fonts that have it, the best first; scalable and in one colour, since matplotlib draws no others.
        package: Debian's package with the first of them that Debian has.
        opentype: The script's name in fontspec, for shaping; empty where letters do not change their form.
    """

    name: str
    parts: tuple[str, ...]
    families: tuple[str, ...]
    package: str
    opentype: str = ""


def _noto(name: str, font: str = "") -> Script:
    return Script(name, (name,), (font or f"Noto Sans {name}", "FreeSans", "FreeSerif"), "fonts-noto-core", opentype=name)


_CJK = (
    "Han", "Hiragana", "Katakana", "Hangul", "Bopomofo", "CJK", "Kangxi", "Kanbun", "Ideographic Description", "Enclosed CJK",
    "Halfwidth and Fullwidth",
)  # fmt: skip
_CJK_FAMILIES = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR",
    "Source Han Sans", "WenQuanYi Zen Hei", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Microsoft YaHei",
    "Malgun Gothic", "Arial Unicode MS",
)  # fmt: skip
_EMOJI = (
    "Miscellaneous Symbols", "Dingbats", "Ornamental Dingbats", "Emoticons", "Symbols and Pictographs",
    "Supplemental Symbols and Pictographs", "Transport and Map", "Mahjong", "Domino", "Playing Cards", "Chess",
    "Enclosed Alphanumeric Supplement", "Enclosed Ideographic Supplement", "Geometric Shapes Extended", "Alchemical",
    "Supplemental Arrows-C",
)  # fmt: skip
_NOTO = (
    "Hebrew", "Arabic", "Syriac", "Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada",
    "Malayalam", "Sinhala", "Thai", "Lao", "Myanmar", "Georgian", "Ethiopic", "Cherokee", "Khmer", "Mongolian",
)  # fmt: skip

SCRIPTS = (
    Script("Chinese, Japanese and Korean", _CJK, _CJK_FAMILIES, "fonts-noto-cjk"),
    Script("emoji", _EMOJI, ("Symbola", "Noto Emoji", "Segoe UI Symbol"), "fonts-symbola"),
    *map(_noto, _NOTO),
    _noto("Tibetan", "Noto Serif Tibetan"),
    Script("Greek and Cyrillic", ("Greek", "Cyrillic"), ("DejaVu Sans", "FreeSans"), "fonts-dejavu-core"),
)
OTHER = Script(
    "other signs", (), ("Symbola", "DejaVu Sans", "FreeSerif", "FreeSans", "Unifont", "Arial Unicode MS", "Nirmala UI",
                        "Leelawadee UI"), "fonts-symbola",
)  # fmt: skip
"""For characters of no script: mathematics, arrows."""
_NO_SCRIPTS = ("Common", "Inherited", "Unknown", "Latin")


@cache
def script_of(sign: str) -> Script | None:
    """Return the script of a character; None for Latin letters, digits and punctuation that every font has."""
    code = ord(sign)
    if code < 0x250 or 0x1E00 <= code <= 0x1EFF or 0x0300 <= code <= 0x036F or 0x2010 <= code <= 0x2026:
        return None
    name = name_of_script(sign)
    if name in _NO_SCRIPTS:
        named = f"{block(sign)} "
        return next((script for script in SCRIPTS if named.startswith(tuple(f"{part} " for part in script.parts))), OTHER)
    return next((script for script in SCRIPTS if name in script.parts), None) or _unlisted(name)


def name_of_script(sign: str) -> str:
    """Return the name that Unicode gives the script of a character; "Common" or "Inherited" for one of several."""
    return str(script_name(script_code(sign))).replace("_", " ")


@cache
def _unlisted(name: str) -> Script:
    families = (f"Noto Sans {name}", f"Noto Serif {name}", "FreeSans", "FreeSerif")
    return Script(name, (name,), families, "fonts-noto-core")


# Fonts with CFF outlines (for example Noto Sans CJK) converted to TrueType, for the characters that a figure needs.
#
# Matplotlib embeds every font of a PDF as TrueType, even one that is not: PDF readers warn or show nothing. The outlines of the
# few characters that are needed are converted first, so that the PDF is valid.

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


# Fonts for many scripts, and replacements for characters that no installed font has.
#
# DejaVu Sans comes with matplotlib and IPAexGothic with matplotlib-fontja, so Latin, Vietnamese, Greek, Cyrillic, Arabic,
# Hebrew and Japanese can be drawn on any machine. For other scripts a font of the system is used. A character that no font has
# is drawn as its code point, never as an empty box.

_BASE = "DejaVu Sans"
_FIXED_WIDTH = "DejaVu Sans Mono"  # comes with matplotlib as well
# Characters that small fonts of these scripts may lack
_TYPICAL = {"emoji": "\U0001f600", "Chinese, Japanese and Korean": "\ud55c"}
_INVISIBLE = {"Cf", "Mn"}  # joiners, direction marks, variation selectors: without a glyph they are left out


@cache
def _japanese() -> str | None:
    """Register matplotlib_fontja's Japanese font with matplotlib, without importing the package; return its name."""
    spec = find_spec("matplotlib_fontja")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder, "fonts").glob("*.ttf")):
            font_manager.fontManager.addfont(str(path))
            return FT2Font(str(path)).family_name
    return None


@cache
def _charmap(family: str) -> frozenset[int]:
    path = font_manager.findfont(FontProperties(family=family), fallback_to_default=False)
    return frozenset(FT2Font(path).get_charmap())


@cache
def _installed() -> frozenset[str]:
    """Return the names of all fonts. Matplotlib's own cached list does not contain fonts installed since."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - known):
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError, NotImplementedError):
            continue  # not scalable, or not a font
    return frozenset(entry.name for entry in font_manager.fontManager.ttflist)


def fonts_for(characters: set[str], *, fixed_width: bool = False) -> tuple[list[str], set[str]]:
    """Return font families for some characters, in order of preference, and the characters that no font has.

    Args:
        characters: The characters to draw.
        fixed_width: Whether Latin letters should be equally wide, as in code; by default not.
    """
    japanese = _japanese()
    families = [*[_FIXED_WIDTH] * fixed_width, _BASE, *([japanese] if japanese else [])]
    missing = {sign for sign in characters if not any(ord(sign) in _charmap(family) for family in families)}
    own = {sign: script_of(sign) or OTHER for sign in sorted(missing)}
    for script in (*dict.fromkeys(script for script in own.values() if script is not OTHER), OTHER):
        for family in script.families:
            wanted = {sign for sign in missing if script in (own[sign], OTHER)}
            if wanted and family in _installed():
                found = {sign for sign in wanted if ord(sign) in _charmap(family)}
                families += with_truetype_outlines(family, frozenset(found)) if found else []
                missing -= found
    return list(dict.fromkeys(families)), missing


def drawable(text: str, missing: set[str]) -> str:
    """Return a piece of text as it is drawn: control characters made visible, missing ones as code points."""
    return "".join(_sign(sign, missing) for sign in text)


def _sign(sign: str, missing: set[str]) -> str:
    if sign in VISIBLE:
        return VISIBLE[sign]
    if sign not in missing:
        return sign
    if unicodedata.category(sign) in _INVISIBLE:
        return ""
    return code_point(sign)


def code_point(sign: str) -> str:
    """Return the replacement of a character that cannot be drawn."""
    return f"⟨{ord(sign):X}⟩"


# Characters that would have an effect instead of being drawn: controls, breaks of lines and paragraphs, overrides of the
# writing direction; and those without any width, with which a token would look empty.
_OBEYED = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2060, 0x2065),
           *range(0x2066, 0x206A), 0xFEFF, 0xFFFE, 0xFFFF]  # fmt: skip
VISIBLE = {chr(code): code_point(chr(code)) for code in _OBEYED} | {"\n": "↵", "\t": "⇥", "\r": "⇤"}
"""Replacements for these characters, which DejaVu Sans has; it lacks the "control pictures" such as ␛."""


def shortened(name: str, fits: Callable[[str], bool]) -> str:
    """Return a name without as much of its middle as necessary to fit."""
    shown, kept = name, len(name)
    while kept > 2 and not fits(shown):
        kept -= 1
        shown = f"{name[: (kept + 1) // 2]}…{name[len(name) - kept // 2 :]}"
    return shown


def missing_scripts() -> list[Script]:
    """Return scripts for which no font is installed."""
    return [script for script in SCRIPTS if fonts_for({_TYPICAL.get(script.name) or _first_letter(script)})[1]]


def _first_letter(script: Script) -> str:
    letters = (chr(code) for code in range(0x250, 0x10000) if unicodedata.category(chr(code)) in ("Lo", "Lu"))
    return next(letter for letter in letters if name_of_script(letter) in script.parts)


def missing_note(missing: set[str]) -> str:
    """Return one line on characters without a glyph, and what to install; empty where there are none."""
    visible = sorted(sign for sign in missing if unicodedata.category(sign) not in _INVISIBLE and sign not in VISIBLE)
    if not visible:
        return ""
    shown = ", ".join(f"U+{ord(sign):04X} {unicodedata.name(sign, '')}".strip() for sign in visible[:3])
    more = f" and {len(visible) - 3} more" if len(visible) > 3 else ""
    scripts = dict.fromkeys(script_of(sign) or OTHER for sign in visible)
    fonts = " and ".join(f"{script.families[0]} (Debian: {script.package})" for script in scripts)
    return f"no installed font has {shown}{more}; drawn as code points. Install {fonts}"
