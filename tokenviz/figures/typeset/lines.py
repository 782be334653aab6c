"""Lines of text: the order of scripts from right to left, letters that join, and sentences broken to fit."""

import unicodedata
from collections.abc import Callable, Sequence

# Right-to-left scripts: the order of tokens on a line, and the joining of letters across tokens.
#
# Each token is a box with its own text, and a drawing library shapes and orders letters only inside a box. What concerns
# several boxes is done here: their order, by the Unicode Bidirectional Algorithm (UAX 9) with a box in the place of a
# character, and the joining of Arabic letters, by joiners at the cuts.

JOINER, RIGHT_TO_LEFT_MARK = "\u200d", "\u200f"

# Arabic letters that join to the preceding letter but not to the following one, and those that join to neither (Unicode's
# ArabicShaping.txt). All others of the block join on both sides.
_JOINS_BEFORE = {
    *range(0x0622, 0x0626), 0x0627, 0x0629, *range(0x062F, 0x0633), 0x0648, *range(0x0671, 0x0674), *range(0x0675, 0x0678),
    *range(0x0688, 0x069A), 0x06C0, *range(0x06C3, 0x06CC), 0x06CD, 0x06CF, 0x06D2, 0x06D3, 0x06D5, 0x06EE, 0x06EF,
}  # fmt: skip
_JOINS_NEITHER = {0x0621, 0x0674, 0x06DD}


def base_level(texts: Sequence[str]) -> int:
    """Return a paragraph's level: 1 where its first letter is of a right-to-left script, else 0 (rules P2 and P3)."""
    return 1 if next((kind for text in texts if (kind := strong_direction(text))), "L") == "R" else 0


def levels(texts: Sequence[str]) -> list[int]:
    """Return the embedding level of each box of a paragraph: odd levels run from right to left.

    Args:
        texts: The boxes' texts, in reading order. A box has the class of its first letter; without a letter it is a number if
            it has a digit, else neutral.
    """
    base = base_level(texts)
    kinds = [strong_direction(text) or ("N" if any(sign.isdecimal() for sign in text) else "") for text in texts]
    for place in range(1, len(kinds) - 1):  # one separator between numbers is part of a number (W4)
        if _bidi_class(texts[place]) in ("CS", "ES") and kinds[place - 1] == kinds[place + 1] == "N":
            kinds[place] = "N"
    for places in (range(len(kinds)), reversed(range(len(kinds)))):  # characters such as % next to a number belong to it (W5)
        beside = False
        for place in places:
            beside = kinds[place] == "N" or (beside and _bidi_class(texts[place]) == "ET")
            if beside:
                kinds[place] = "N"
    before = "LR"[base]
    for place, kind in enumerate(kinds):  # a number belongs to the letters before it (W2, W7)
        if kind == "N":
            kinds[place] = "N" if before == "R" else "L"
        elif kind:
            before = kind
    place = 0
    while place < len(kinds):  # neutral characters between letters of one direction take it, others the base's (N1, N2)
        if kinds[place]:
            place += 1
            continue
        end = next((k for k in range(place, len(kinds)) if kinds[k]), len(kinds))
        sides = {("R" if kinds[k] == "N" else kinds[k]) if 0 <= k < len(kinds) else "LR"[base] for k in (place - 1, end)}
        kinds[place:end] = [sides.pop() if len(sides) == 1 else "LR"[base]] * (end - place)
        place = end
    return [{"L": 2 * base, "R": 1, "N": 2}[kind] for kind in kinds]


def visual_order(line: Sequence[int]) -> list[int]:
    """Return the boxes of a line from left to right: each run of at least a level is reversed (L2).

    Args:
        line: The boxes' levels, in reading order.
    """
    order = list(range(len(line)))
    for level in range(max(line, default=0), 0, -1):
        begin = 0
        while begin < len(order):
            end = begin
            while end < len(order) and line[order[end]] >= level:
                end += 1
            order[begin:end] = order[begin:end][::-1]
            begin = end + 1
    return order


def joined(texts: Sequence[str]) -> list[str]:
    """Return the texts with joiners where a letter joins to one in the next box, so that each has its form within the word."""
    shown = list(texts)
    for place in range(len(texts) - 1):
        last = next((sign for sign in reversed(texts[place]) if not _is_mark(sign)), "")
        following = next((k for k in range(place + 1, len(texts)) if texts[k]), None)
        first = texts[following][0] if following is not None and texts[place] else ""
        if following is not None and _joins_after(last) and is_arabic(first) and ord(first) not in _JOINS_NEITHER:
            shown[place] += JOINER
            shown[following] = JOINER + shown[following]
    return shown


def parted(texts: Sequence[str]) -> list[tuple[int, str]]:
    """Return each text with its index; its leading spaces are separated where they belong elsewhere on the line.

    The space before a right-to-left word belongs to the left-to-right text before it.
    """
    parts: list[tuple[int, str]] = []
    for place, text in enumerate(texts):
        spaces = text[: len(text) - len(text.lstrip(" "))]
        word = text[len(spaces) :]
        parts += [(place, spaces), (place, word)] if spaces and strong_direction(word) == "R" else [(place, text)]
    found = levels([text for _, text in parts])
    whole: list[tuple[int, str]] = []
    for k, (place, text) in enumerate(parts):
        if whole and whole[-1][0] == place and found[k] == found[k - 1]:
            whole[-1] = (place, whole[-1][1] + text)
        else:
            whole.append((place, text))
    return whole


def turned(text: str, level: int) -> str:
    """Return a box's text, marked as right-to-left where only its level says so: brackets then face the right way."""
    return (
        RIGHT_TO_LEFT_MARK + text if level % 2 and not strong_direction(text) and any(map(unicodedata.mirrored, text)) else text
    )


def strong_direction(text: str) -> str:
    """Return L or R, the direction of the first letter; empty without a letter."""
    for sign in text:
        kind = unicodedata.bidirectional(sign)
        if kind in ("L", "R", "AL"):
            return "L" if kind == "L" else "R"
    return ""


def _bidi_class(text: str) -> str:
    """Return the bidirectional class of a box with one character; empty for others."""
    return unicodedata.bidirectional(text) if len(text) == 1 else ""


def is_arabic(sign: str) -> bool:
    """Return whether a character is a letter of the Arabic script, or the stroke that lengthens one."""
    return sign == "\u0640" or ("\u0600" <= sign <= "\u08ff" and unicodedata.category(sign) == "Lo")


def _joins_after(sign: str) -> bool:
    return is_arabic(sign) and ord(sign) not in _JOINS_BEFORE | _JOINS_NEITHER


def _is_mark(sign: str) -> bool:
    return unicodedata.category(sign) == "Mn"


# Sentences broken into lines.


def wrapped(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut a sentence into lines that fit, between words; a word that does not fit is on its own line."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and fits(longer):
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
