"""Fonts for many scripts, and what to draw where no installed font has a character.

DejaVu Sans comes with matplotlib and IPAexGothic with matplotlib-fontja, so Latin, Vietnamese, Greek, Cyrillic, Arabic,
Hebrew and Japanese draw on any machine. For the rest a font of the system is taken. A character that none of
them has is drawn as its code point, never as an empty box.
"""

import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font

_BASE = "DejaVu Sans"
# Scalable fonts in one colour, by system; matplotlib draws no colour fonts.
_SYSTEM_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans KR", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Bengali",
    "Noto Sans Tamil", "Noto Sans Ethiopic", "Noto Emoji", "Symbola", "FreeSerif", "FreeSans", "Unifont",
    "Arial Unicode MS", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Microsoft YaHei", "Malgun Gothic",
    "Nirmala UI", "Leelawadee UI", "Segoe UI Symbol",
)  # fmt: skip
_INVISIBLE = {"Cf", "Mn"}  # joiners, direction marks, variation selectors: without a glyph they are left out


@cache
def _japanese() -> str | None:
    """The name of the Japanese font that comes as a package, made known to matplotlib; the package is not imported."""
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
    return frozenset(entry.name for entry in font_manager.fontManager.ttflist)


def fonts_for(characters: set[str]) -> tuple[list[str], set[str]]:
    """The font families to draw some characters with, in order of preference, and the characters that none has."""
    japanese = _japanese()
    families = [_BASE, *([japanese] if japanese else [])]
    missing = {sign for sign in characters if not any(ord(sign) in _charmap(family) for family in families)}
    for family in _SYSTEM_FONTS:
        if missing and family in _installed():
            found = {sign for sign in missing if ord(sign) in _charmap(family)}
            if found:
                families.append(family)
                missing -= found
    return families, missing


def drawable(text: str, missing: set[str]) -> str:
    """A piece of text as it is drawn: control characters made visible, missing ones as code points."""
    return "".join(_sign(sign, missing) for sign in text)


def _sign(sign: str, missing: set[str]) -> str:
    if sign in _VISIBLE:
        return _VISIBLE[sign]
    if sign not in missing:
        return sign
    if unicodedata.category(sign) in _INVISIBLE:
        return ""
    return f"⟨{ord(sign):X}⟩"


# Signs that DejaVu Sans has; it has none of the "control pictures" such as ␛.
_VISIBLE = {chr(code): f"⟨{code:X}⟩" for code in [*range(0x20), *range(0x7F, 0xA0)]} | {
    "\n": "↵",
    "\t": "⇥",
    "\r": "⇤",
    "\ufeff": "",  # a byte order mark has no width, and matplotlib 3.11 cannot write it to PDF
}


def shortened(name: str, fits: Callable[[str], bool]) -> str:
    """A name with as much of its middle left out as it takes to fit."""
    shown, kept = name, len(name)
    while kept > 2 and not fits(shown):
        kept -= 1
        shown = f"{name[: (kept + 1) // 2]}…{name[len(name) - kept // 2 :]}"
    return shown


def missing_note(missing: set[str]) -> str:
    """One line for the reader on characters without a glyph; empty where there are none."""
    visible = sorted(sign for sign in missing if unicodedata.category(sign) not in _INVISIBLE and sign not in _VISIBLE)
    if not visible:
        return ""
    shown = ", ".join(f"U+{ord(sign):04X} {unicodedata.name(sign, '')}".strip() for sign in visible[:3])
    more = f" and {len(visible) - 3} more" if len(visible) > 3 else ""
    return (
        f"no installed font has {shown}{more}; drawn as code points. Fonts such as Noto Sans (for the script) or "
        "Noto Emoji have them"
    )
