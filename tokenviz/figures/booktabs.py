"""A LaTeX table in the style of booktabs, for \\input within a table environment."""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokenviz.figures.latex import latex_prelude, latex_text
from tokenviz.stats.estimate import Estimate, rounded, rounded_interval
from tokenviz.tables import cell

if TYPE_CHECKING:
    import pandas as pd


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
