"""Results in a notebook: fragments of HTML without script or style sheet, of limited length.

Whatever comes from a text, a tokenizer or a name is escaped here, and nowhere else: `table`, `passage` and `heading` take plain
text.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from tokenviz.controls import visible

MISSING = "–"

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Verbatim:
    """A slice of a text in a table: quoted, so that a space or a line end at its edge is visible."""

    text: str


Cell = str | Verbatim


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters unchanged, else its beginning and how much is left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def quoted(text: str, most: int) -> str:
    """Return a text as `cut` does, but in quotes and with an escape for each invisible character."""
    left_out = len(text) - most
    return f"{text[:most]!r}" + (f"… ({left_out:,} more characters)" if left_out > 0 else "")


def number(value: float, form: str = ".3f") -> str:
    """Return a number for a reader, with a minus sign, or a dash for NaN."""
    return MISSING if math.isnan(value) else format(float(value), form).replace("-", "−")


def heading(*names: str) -> str:
    """Return a heading of strings, of which every second one is a name from outside and set in bold."""
    words = [f"<b>{_inline(cut(name, _LONGEST_NAME))}</b>" if i % 2 else _inline(name) for i, name in enumerate(names)]
    return f"<div>{''.join(words)}</div>"


def line(words: str) -> str:
    """Return a line for a sentence or a list of facts, or nothing for an empty string."""
    return f"<div>{_inline(words)}</div>" if words else ""


def passage(text: str, most: int) -> str:
    """Return the beginning of a text, with its spaces and line ends."""
    return f'<div dir="auto" style="white-space:pre-wrap;text-align:left">{escape(visible(cut(text, most)))}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, left: Sequence[str] = ()) -> str:
    """Return a table.

    Args:
        columns: The headings.
        rows: The cells of each row.
        left: The columns that are aligned to the left; by default all are aligned to the right, as numbers are.
    """
    styles = [f"text-align:{'left' if column in left else 'right'};padding:0 .5em" for column in columns]
    head = "".join(f'<th style="{style}">{escape(name)}</th>' for name, style in zip(columns, styles, strict=True))
    body = "".join("<tr>" + "".join(map(_cell, row, styles)) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def fragment(*parts: str) -> str:
    """Join the parts into one fragment."""
    return f"<div>{''.join(parts)}</div>"


def _cell(value: Cell, style: str) -> str:
    if isinstance(value, str):
        words = _inline(cut(value, _LONGEST_NAME))
    else:
        words = f'<code style="white-space:pre">{escape(quoted(value.text, _LONGEST_NAME))}</code>'
    return f'<td style="{style}">{words}</td>'


def _inline(words: str) -> str:
    return escape(visible(words))
