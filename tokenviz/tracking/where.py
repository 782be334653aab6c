"""Conditions for `--where`: a line such as "model=gpt2 and r<0.9 or text~viet" selects runs.

A condition is FIELD OPERATOR VALUE with one of = != < <= > >= ~ (contains, ignoring case). Conditions are joined by `and`,
`or`, `not` and parentheses; `and` binds closer than `or`. A value with spaces or parentheses is written in quotes. Fields are
tags, metrics and parameters of runs. `model` matches either model of a comparison; `r` and `rho` are short for `pearson_r` and
`spearman_rho`.

The grammar is pyparsing's `infix_notation`.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenviz.base.errors import StoreError

_TAGS = ("kind", "text", "model_a", "model_b")
_SHORT = {"r": "pearson_r", "rho": "spearman_rho"}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

Row = Mapping[str, object]


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        field: The full name of the field.
        sign: The operator.
        value: The value as it was written.
    """

    field: str
    sign: str
    value: str

    def holds(self, row: Row) -> bool:
        """Return whether a run's fields meet the condition; a run without the field meets only `!=`."""
        names = ("model", "model_a", "model_b") if self.field == "model" else (self.field,)
        values = [row[name] for name in names if row.get(name) not in (None, "")]
        if self.sign == "!=":
            return not any(self._compared(value, "=") for value in values)
        return any(self._compared(value, self.sign) for value in values)

    def _compared(self, value: object, sign: str) -> bool:
        if sign == "~":
            return self.value.casefold() in str(value).casefold()
        number, own = number_of(value), number_of(self.value)
        if number is not None and own is not None:
            return _ORDER[sign](number, own)
        return _ORDER[sign](str(value), self.value)

    def fields(self) -> set[str]:
        """Return the fields that the condition names."""
        return {self.field}

    def conditions(self) -> "list[Condition]":
        """Return all conditions within this one."""
        return [self]


@dataclass(frozen=True)
class Every:
    """A condition that is met where all of its parts are."""

    parts: tuple[Any, ...]

    def holds(self, row: Row) -> bool:
        return all(part.holds(row) for part in self.parts)

    def fields(self) -> set[str]:
        return set().union(*(part.fields() for part in self.parts))

    def conditions(self) -> list[Condition]:
        return [one for part in self.parts for one in part.conditions()]


@dataclass(frozen=True)
class Either:
    """A condition that is met where at least one of its parts is."""

    parts: tuple[Any, ...]

    def holds(self, row: Row) -> bool:
        return any(part.holds(row) for part in self.parts)

    def fields(self) -> set[str]:
        return set().union(*(part.fields() for part in self.parts))

    def conditions(self) -> list[Condition]:
        return [one for part in self.parts for one in part.conditions()]


@dataclass(frozen=True)
class Not:
    """A condition that is met where its part is not."""

    part: Any

    def holds(self, row: Row) -> bool:
        return not self.part.holds(row)

    def fields(self) -> set[str]:
        fields: set[str] = self.part.fields()
        return fields

    def conditions(self) -> list[Condition]:
        found: list[Condition] = self.part.conditions()
        return found


Where = Condition | Every | Either | Not


def parse_where(line: str) -> Where:
    """Parse a line of conditions.

    Raises:
        StoreError: The line cannot be parsed.
    """
    from pyparsing import ParseException

    try:
        found: Where = _grammar().parse_string(line, parse_all=True)[0]
    except ParseException as error:
        raise StoreError(
            f'cannot read --where {line!r} from {line[error.loc :][:20]!r} on: write conditions such as "model=gpt2 and r<0.9 '
            'or text~viet", with = != < <= > >= ~ and, or, not, parentheses'
        ) from error
    return found


@cache
def _grammar() -> Any:
    from pyparsing import CaselessKeyword, OpAssoc, QuotedString, Regex, infix_notation, one_of

    word = Regex(r"(?!(?:and|or|not)\b)[^\W\d][\w./-]*")
    value = QuotedString('"') | QuotedString("'") | Regex(r"[^\s()'\"]+")
    sign = one_of("= != < <= > >= ~")
    condition = (word + sign + value).set_parse_action(lambda found: Condition(_SHORT.get(found[0], found[0]), *found[1:]))
    return infix_notation(  # type: ignore[no-untyped-call]  # pyparsing is only partly typed
        condition,
        [
            (CaselessKeyword("not"), 1, OpAssoc.RIGHT, lambda found: Not(found[0][1])),
            (CaselessKeyword("and"), 2, OpAssoc.LEFT, lambda found: Every(tuple(found[0][::2]))),
            (CaselessKeyword("or"), 2, OpAssoc.LEFT, lambda found: Either(tuple(found[0][::2]))),
        ],
    )


def tags_of(where: Where | None) -> list[tuple[str, str]]:
    """Return the tags that every run must have for a line to hold: the store itself can select by them."""
    parts = where.parts if isinstance(where, Every) else (where,)
    return [
        (part.field, part.value) for part in parts if isinstance(part, Condition) and part.field in _TAGS and part.sign == "="
    ]


def mlflow_filter(where: Where | None) -> str:
    """Return `tags_of` a line in MLflow's syntax."""
    return " and ".join(filter(None, (tag_filter(field, value) for field, value in tags_of(where))))


def tag_filter(field: str, value: str) -> str:
    """Return a condition on a tag in MLflow's syntax; empty for a value with a character that would end it early."""
    return "" if set("'\"`\\") & set(value) else f"tags.`tokenviz.{field}` = '{value}'"


def number_of(value: object) -> float | None:
    """Return a value as a number, with either kind of minus sign; None for a value that is not a number."""
    try:
        return float(value.replace("−", "-") if isinstance(value, str) else value)  # type: ignore[arg-type]  # a TypeError is caught
    except (TypeError, ValueError):
        return None
