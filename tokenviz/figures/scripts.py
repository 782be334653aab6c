"""Scripts and their fonts: which fonts to look for, and which to install where none is found."""

from dataclasses import dataclass
from functools import cache

from fontTools.unicodedata import script as script_code
from fontTools.unicodedata import script_name


@dataclass(frozen=True)
class Script:
    """A script, or a group of scripts that one font covers.

    Attributes:
        name: Name in messages.
        ranges: First and last code points.
        families: Fonts that have it, the best first; scalable and in one colour, since matplotlib draws no others.
        package: Debian's package with the first of them that Debian has.
        opentype: The script's name in fontspec, for shaping; empty where letters do not change their form.
    """

    name: str
    ranges: tuple[tuple[int, int], ...]
    families: tuple[str, ...]
    package: str
    opentype: str = ""


def _noto(name: str, *ranges: tuple[int, int], font: str = "") -> Script:
    return Script(name, ranges, (font or f"Noto Sans {name}", "FreeSans", "FreeSerif"), "fonts-noto-core", opentype=name)


_CJK_RANGES = (
    (0x1100, 0x11FF), (0x2E80, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF), (0xFE30, 0xFE4F), (0xFF00, 0xFFEF), (0x20000, 0x3FFFF),
)  # fmt: skip
_CJK_FAMILIES = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR",
    "Source Han Sans", "WenQuanYi Zen Hei", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Microsoft YaHei",
    "Malgun Gothic", "Arial Unicode MS",
)  # fmt: skip
_EMOJI_RANGES = ((0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF))

SCRIPTS = (
    Script("Chinese, Japanese and Korean", _CJK_RANGES, _CJK_FAMILIES, "fonts-noto-cjk"),
    Script("emoji", _EMOJI_RANGES, ("Symbola", "Noto Emoji", "Segoe UI Symbol"), "fonts-symbola"),
    _noto("Hebrew", (0x0590, 0x05FF), (0xFB1D, 0xFB4F)),
    _noto("Arabic", (0x0600, 0x06FF), (0x0750, 0x077F), (0x0870, 0x08FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    _noto("Syriac", (0x0700, 0x074F)),
    _noto("Devanagari", (0x0900, 0x097F), (0xA8E0, 0xA8FF)),
    _noto("Bengali", (0x0980, 0x09FF)),
    _noto("Gurmukhi", (0x0A00, 0x0A7F)),
    _noto("Gujarati", (0x0A80, 0x0AFF)),
    _noto("Oriya", (0x0B00, 0x0B7F)),
    _noto("Tamil", (0x0B80, 0x0BFF)),
    _noto("Telugu", (0x0C00, 0x0C7F)),
    _noto("Kannada", (0x0C80, 0x0CFF)),
    _noto("Malayalam", (0x0D00, 0x0D7F)),
    _noto("Sinhala", (0x0D80, 0x0DFF)),
    _noto("Thai", (0x0E00, 0x0E7F)),
    _noto("Lao", (0x0E80, 0x0EFF)),
    _noto("Tibetan", (0x0F00, 0x0FFF), font="Noto Serif Tibetan"),
    _noto("Myanmar", (0x1000, 0x109F)),
    _noto("Georgian", (0x10A0, 0x10FF)),
    _noto("Ethiopic", (0x1200, 0x139F)),
    _noto("Cherokee", (0x13A0, 0x13FF)),
    _noto("Khmer", (0x1780, 0x17FF)),
    _noto("Mongolian", (0x1800, 0x18AF)),
    Script("Greek and Cyrillic", ((0x0370, 0x052F), (0x1F00, 0x1FFF)), ("DejaVu Sans", "FreeSans"), "fonts-dejavu-core"),
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
    for script in SCRIPTS:
        if any(first <= code <= last for first, last in script.ranges):
            return script
    return _by_name(script_name(script_code(sign)).replace("_", " "))


@cache
def _by_name(name: str) -> Script:
    """Return a script outside the ranges above, such as the capitals of Georgian, or one that has no entry."""
    if name in _NO_SCRIPTS:
        return OTHER
    known = next((script for script in SCRIPTS if name in script.name.split(" and ")), None)
    return known or Script(name, (), (f"Noto Sans {name}", f"Noto Serif {name}", "FreeSans", "FreeSerif"), "fonts-noto-core")
