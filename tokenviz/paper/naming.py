"""Names in a paper's folder: of files and LaTeX macros, and of models in words."""

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from hashlib import sha256
from typing import TypeVar

from tokenviz.base.errors import PaperError, StoreError
from tokenviz.models.describing import description_in
from tokenviz.tracking.finding import FoundRun, find_run
from tokenviz.tracking.store import Store

# Names of files and of LaTeX macros, made from those of models and texts: readable, and the same in every pull.
#
# A file's name has lower-case letters, digits, hyphens and underscores; a macro's has letters only, with digits spelled out.
# Where this loses letters of a name (Japanese, for example), or makes two names equal, a few letters of a hash keep them apart.

Key = TypeVar("Key", bound=Hashable)

PREFIX = "tv"

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_LONGEST = 48  # characters of one name within a file's name
_WITHOUT_MARK = str.maketrans("đĐøØłŁ", "dDoOlL")  # letters that Unicode does not decompose


def file_part(name: str) -> str:
    """Return the part of a file's name for a model, text or experiment."""
    plain, whole = _latin(name)
    part = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    if whole and part and len(part) <= _LONGEST:
        return part
    return "-".join(filter(None, [part[-_LONGEST:].strip("-"), file_mark(name)]))


def file_ending(form: str) -> str:
    """Return the end of the name of a figure's file in a format."""
    return "-document.tex" if form == "tex-document" else f".{form}"


def macro_part(name: str) -> str:
    """Return the part of a macro's name for a model, text or experiment."""
    plain, whole = _latin(name)
    words = re.findall(r"[A-Za-z]+|[0-9]", plain)
    part = "".join(_DIGITS[int(word)] if word.isdigit() else word[0].upper() + word[1:] for word in words)
    return part if whole and part else part + macro_mark(name)


def file_mark(name: str) -> str:
    """Return the mark that distinguishes equal names of files: six digits of a hash."""
    return sha256(name.encode()).hexdigest()[:6]


def macro_mark(name: str) -> str:
    """Return the mark that distinguishes equal names of macros, in letters."""
    digest = sha256(name.encode()).digest()
    return "X" + "".join(chr(ord("a") + byte % 26) for byte in digest[:5])


def macro_prefix(prefix: str) -> str:
    """Return the prefix of macros, if it is valid.

    Raises:
        PaperError: The prefix is not 1 to 20 letters from A to Z.
    """
    if not re.fullmatch(r"[A-Za-z]{1,20}", prefix):
        raise PaperError(f"macros cannot begin with {prefix!r}: give up to 20 letters from A to Z, such as {PREFIX}")
    return prefix


def apart(names: Mapping[Key, str], marks: Mapping[Key, str]) -> dict[Key, str]:
    """Return the names by key; a name that several keys share is extended by its key's mark."""
    common = Counter(names.values())
    return {key: name if common[name] == 1 else name + marks[key] for key, name in names.items()}


def _latin(name: str) -> tuple[str, bool]:
    """Return a name without its accents, and whether all of its letters and digits are Latin then."""
    plain = "".join(
        sign for sign in unicodedata.normalize("NFKD", name.translate(_WITHOUT_MARK)) if not unicodedata.combining(sign)
    )
    return plain, all(sign.isascii() for sign in plain if sign.isalnum())


# Descriptions of the models of runs, for tables and files that name a model by its spec.

_NAMES = ("model", "model_a", "model_b")


def descriptions_of(runs: Sequence[FoundRun], store: Store) -> dict[str, str]:
    """Return the descriptions of the models of some runs, by label; a model without a description is left out.

    A comparison of an older version does not record them; then its score runs do, or the catalogue by the weights.

    Args:
        runs: Runs, newest first: where two runs describe one label differently, the first counts.
        store: The runs' store.
    """
    found: dict[str, str] = {}
    for run in runs:
        for name in _NAMES:
            label, said = run.params.get(name, ""), description_in(run.params, name)
            if label and said:
                found.setdefault(label, said)
    missing = {
        label: run.params[f"run_{name[-1]}"]
        for run in runs
        for name in _NAMES[1:]
        if (label := run.params.get(name, "")) and label not in found and run.params.get(f"run_{name[-1]}")
    }
    for label, run_id in missing.items():
        try:
            said = description_in(find_run(run_id, store).params)
        except StoreError:  # it was removed, so the description is unknown
            continue
        if said:
            found[label] = said
    return found
