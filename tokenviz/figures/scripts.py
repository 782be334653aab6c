"""Scripts and their fonts: which fonts to look for, and which to install where none is found."""

from dataclasses import dataclass
from functools import cache

from fontTools.unicodedata import block, script_name
from fontTools.unicodedata import script as script_code


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
