"""Any text for LaTeX, where every character stands for itself, and tables in the style of booktabs."""

import json
import math
import re
import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokenviz.base.display import cell
from tokenviz.figures.typeset.fonts import drawable
from tokenviz.stats.estimate import Estimate, rounded, rounded_interval

if TYPE_CHECKING:
    import pandas as pd


# Any text for the body of a LaTeX document: every character stands for itself.

# Characters that not all engines set literally. The empty group ends a command's name.
COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", " ": r"\ ", "\xa0": r"\ ",
    "–": r"\textendash{}", "—": r"\textemdash{}", "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}",
    "‘": r"\textquoteleft{}", "’": r"\textquoteright{}", "…": r"\textellipsis{}", "−": r"$-$", "≤": r"$\le$",
    "≥": r"$\ge$", "⟨": r"$\langle$", "⟩": r"$\rangle$", "↵": r"$\hookleftarrow$", "⇥": r"$\rightarrow\mkern-5mu\vert$",
    "⇤": r"$\vert\mkern-5mu\leftarrow$",
}  # fmt: skip
_LONE_SPACE = re.compile(r"(?<=[^ ])\\ (?=\\[^ ]|[^\\])")  # one between two words, where a line may end
_LIGATING = set("-,<>")  # two of them become another character
T5_LETTERS = {chr(code) for code in (*range(0x1EA0, 0x1EFA), 0x110, 0x128, 0x129, 0x168, 0x169, 0x1A0, 0x1A1, 0x1AF, 0x1B0)}
# With lualatex and xelatex, which define \Umathcode, every font has these letters.
_VIETNAMESE = r"\protected\gdef\TVv#1{{\ifdefined\Umathcode\else\fontencoding{T5}\selectfont\fi#1}}"


def latex_text(text: str) -> str:
    """Return a name, or a sentence with names, for the body of any document: escaped, in the document's font.

    `latex_prelude` returns the line that must come before it.
    """
    return _LONE_SPACE.sub(" ", latex_escaped(as_set(text)))


def latex_prelude(text: str) -> str:
    """Return the line needed before `latex_text` of a text: Vietnamese's font encoding for pdflatex; empty for none."""
    return f"{_VIETNAMESE}%\n" if set(as_set(text)) & T5_LETTERS else ""


def as_set(text: str) -> str:
    """Return a text as it is set: controls made visible, and letters with their accents composed where possible."""
    return unicodedata.normalize("NFC", drawable(text, set()))


def latex_escaped(text: str) -> str:
    """Return every character escaped, in the current font."""
    parts = []
    for place, sign in enumerate(text):
        if sign in T5_LETTERS:
            parts.append(f"\\TVv{{{sign}}}")
        else:
            parts.append(COMMANDS.get(sign, sign))
        if sign in _LIGATING and text[place + 1 : place + 2] == sign:
            parts.append(r"\hbox{}")
    return "".join(parts)


# A LaTeX table in the style of booktabs, for \input within a table environment.


def booktabs(columns: str, headings: Sequence[str], rows: Sequence[list[str]], about: Mapping[str, object]) -> str:
    """Return a tabular; a row omits the words at its beginning that are the same in the row above.

    Args:
        columns: Alignment of the columns, "l" for words and "r" for numbers; words come first.
        headings: Headings, in LaTeX.
        rows: Rows; words are plain text, numbers are LaTeX.
        about: What made the table, for a comment.
    """
    texts = [row[0] for row in rows]
    names = sum(column == "l" for column in columns)
    lines = [
        "% A table by tokenviz, for \\input within a table environment; it needs \\usepackage{booktabs}. " + json.dumps(about),
        latex_prelude("".join(name for row in rows for name in row[:names])) + f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        "\\toprule",
        f"{' & '.join(headings)} \\\\",
        "\\midrule",
    ]
    for place, row in enumerate(rows):
        same = place > 0 and texts[place - 1] == row[0]
        named = ["" if same else latex_text(row[0]), *(latex_text(name) for name in row[1:names]), *row[names:]]
        lines.append(f"{' & '.join(named)} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}%", ""])


def frame_booktabs(frame: "pd.DataFrame", about: Mapping[str, object]) -> str:
    """Return a data frame as a tabular: numbers are printed as elsewhere, with the interval in brackets after its number.

    Args:
        frame: The data frame; its index is left out. A column of numbers `x` has an interval if there are columns `x low` and
            `x high`.
        about: What made the table, for a comment.
    """
    names = [str(name) for name in frame.columns if not _is_end(str(name), frame)]
    words = [name for name in names if not _is_number(frame[name])]
    names = [*words, *(name for name in names if name not in words)]
    rows = [[_cell(name, row, name in words) for name in names] for row in frame.to_dict("records")]
    columns = "l" * len(words) + "r" * (len(names) - len(words))
    return booktabs(columns, [latex_text(name) for name in names], rows, about)


def _is_end(name: str, frame: "pd.DataFrame") -> bool:
    return any(name.endswith(end) and name.removesuffix(end) in frame for end in (" low", " high"))


def _is_number(column: "pd.Series[Any]") -> bool:
    return column.dtype.kind in "iuf"


def _cell(name: str, row: Mapping[Hashable, Any], word: bool) -> str:
    value = row[name]
    if word:
        return str(value)
    low, high = (row.get(f"{name}{end}", math.nan) for end in (" low", " high"))
    if math.isnan(low):
        shown = cell(value)
    else:
        estimate = Estimate(value, 0, low=low, high=high)
        shown = f"{rounded(estimate)} [{rounded_interval(estimate)}]"
    return shown.replace("−", "$-$").replace("–", "--")
