"""Names of files and of LaTeX macros, made of those of models and texts: readable, and the same in every pull.

A file's name has small letters, digits, hyphens and underscores; a macro's has letters only, with digits spelled out. Where
that loses letters of a name (Japanese, say), or makes two names one, a few letters of a hash keep them apart.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping
from hashlib import sha256
from typing import TypeVar

from tokenviz.errors import PaperError

Key = TypeVar("Key", bound=Hashable)

PREFIX = "tv"

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_LONGEST = 48  # characters of one name within a file's
_WITHOUT_MARK = str.maketrans("đĐøØłŁ", "dDoOlL")  # letters that Unicode does not take apart


def file_part(name: str) -> str:
    """A model's, text's or experiment's name within a file's."""
    plain, whole = _latin(name)
    part = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    if whole and part and len(part) <= _LONGEST:
        return part
    return "-".join(filter(None, [part[-_LONGEST:].strip("-"), file_mark(name)]))


def macro_part(name: str) -> str:
    """The same within a macro's."""
    plain, whole = _latin(name)
    words = re.findall(r"[A-Za-z]+|[0-9]", plain)
    part = "".join(_DIGITS[int(word)] if word.isdigit() else word[0].upper() + word[1:] for word in words)
    return part if whole and part else part + macro_mark(name)


def file_mark(name: str) -> str:
    """What tells a name from others in a file's: six digits of its hash."""
    return sha256(name.encode()).hexdigest()[:6]


def macro_mark(name: str) -> str:
    """The same in a macro's, in letters."""
    digest = sha256(name.encode()).digest()
    return "X" + "".join(chr(ord("a") + byte % 26) for byte in digest[:5])


def macro_prefix(prefix: str) -> str:
    """How the macros begin, if they can.

    Raises:
        PaperError: They cannot.
    """
    if not re.fullmatch(r"[A-Za-z]{1,20}", prefix):
        raise PaperError(f"macros cannot begin with {prefix!r}: give up to 20 letters from A to Z, such as {PREFIX}")
    return prefix


def apart(names: Mapping[Key, str], marks: Mapping[Key, str]) -> dict[Key, str]:
    """Names by what they stand for, those that several have in common told apart by marks."""
    common = Counter(names.values())
    return {key: name if common[name] == 1 else name + marks[key] for key, name in names.items()}


def _latin(name: str) -> tuple[str, bool]:
    """A name with its accents taken off, and whether every letter and digit of it is in that."""
    plain = "".join(
        sign for sign in unicodedata.normalize("NFKD", name.translate(_WITHOUT_MARK)) if not unicodedata.combining(sign)
    )
    return plain, all(sign.isascii() for sign in plain if sign.isalnum())
