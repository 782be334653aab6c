"""Fonts for many scripts, and replacements for characters that no installed font has.

DejaVu Sans comes with matplotlib and IPAexGothic with matplotlib-fontja, so Latin, Vietnamese, Greek, Cyrillic, Arabic, Hebrew
and Japanese can be drawn on any machine. For other scripts a font of the system is used. A character that no font has is drawn
as its code point, never as an empty box.
"""

import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font

from tokenviz.figures.scripts import OTHER, SCRIPTS, Script, name_of_script, script_of
from tokenviz.figures.truetype import with_truetype_outlines

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
