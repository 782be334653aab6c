"""How results show themselves in a notebook: fragments of HTML without script or style sheet, as long as a reader needs.

Whatever comes from a text, a tokenizer or a name is escaped here, and nowhere else: `table`, `passage` and `heading` take it as
it is.
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
    """A slice of a text in a table: quoted, so that a space or a line end at its edge is seen."""

    text: str


Cell = str | Verbatim


def cut(text: str, most: int) -> str:
    """A text that is not too long; else its beginning, and how much is left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def quoted(text: str, most: int) -> str:
    """The same in quotes, with an escape for each sign that would not be seen."""
    left_out = len(text) - most
    return f"{text[:most]!r}" + (f"… ({left_out:,} more characters)" if left_out > 0 else "")


def number(value: float, form: str = ".3f") -> str:
    """A number for a reader, with a minus sign; a dash where it is missing."""
    return MISSING if math.isnan(value) else format(float(value), form).replace("-", "−")


def heading(*names: str) -> str:
    """What is shown: strings, every second one a name from outside, which is set in bold letters."""
    words = [f"<b>{_inline(cut(name, _LONGEST_NAME))}</b>" if i % 2 else _inline(name) for i, name in enumerate(names)]
    return f"<div>{''.join(words)}</div>"


def line(words: str) -> str:
    """A sentence or a list of facts; nothing where there are no words."""
    return f"<div>{_inline(words)}</div>" if words else ""


def passage(text: str, most: int) -> str:
    """The beginning of a text, with its spaces and line ends."""
    return f'<div dir="auto" style="white-space:pre-wrap;text-align:left">{escape(visible(cut(text, most)))}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, left: Sequence[str] = ()) -> str:
    """A table of cells as they are printed.

    Args:
        columns: Its headings.
        rows: Its cells.
        left: The columns that are set flush left; numbers stay on the right.
    """
    styles = [f"text-align:{'left' if column in left else 'right'};padding:0 .5em" for column in columns]
    head = "".join(f'<th style="{style}">{escape(name)}</th>' for name, style in zip(columns, styles, strict=True))
    body = "".join("<tr>" + "".join(map(_cell, row, styles)) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def fragment(*parts: str) -> str:
    """The parts as one piece."""
    return f"<div>{''.join(parts)}</div>"


def _cell(value: Cell, style: str) -> str:
    if isinstance(value, str):
        words = _inline(cut(value, _LONGEST_NAME))
    else:
        words = f'<code style="white-space:pre">{escape(quoted(value.text, _LONGEST_NAME))}</code>'
    return f'<td style="{style}">{words}</td>'


def _inline(words: str) -> str:
    return escape(visible(words))
