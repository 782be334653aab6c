"""Widths and font sizes: venues' columns, units of length, and what is refused."""

import re

import pytest

from tokenviz.base.errors import FigureError
from tokenviz.figures.typeset.saving import WIDTHS, inches, points


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (7.0, 7.0),
        (3, 3.0),
        ("3.3in", 3.3),
        ("3.3", 3.3),
        ("8.4cm", 8.4 / 2.54),
        ("84 mm", 84 / 25.4),
        ("240pt", 240 / 72.27),
        ("252bp", 3.5),
        ("acl", 7.7 / 2.54),
        ("acl-text", 16 / 2.54),
        ("ieee", 3.5),
        ("ieee-text", 7.16),
        ("neurips", 5.5),
    ],
)
def test_widths_are_inches(width: float | str, expected: float) -> None:
    assert inches(width) == pytest.approx(expected, rel=1e-12)


def test_a_column_is_narrower_than_half_the_text() -> None:
    columns = [name for name in WIDTHS if f"{name}-text" in WIDTHS]
    assert {"acl", "icml", "ieee", "acm", "aaai"} <= set(columns)
    for name in columns:
        assert 0.45 < WIDTHS[name] / WIDTHS[f"{name}-text"] < 0.5


def test_a_venue_with_one_column_has_one_width() -> None:
    assert "neurips-text" not in WIDTHS


@pytest.mark.parametrize("width", ["wide", "acl-column", "3.3 inches", "-3in", "1e1in", "", "in"])
def test_a_width_that_is_none_is_refused(width: str) -> None:
    message = f"no width {width!r}: give inches, a length such as 3.3in, 8.4cm, 84mm or 240pt, or one of {', '.join(WIDTHS)}"
    with pytest.raises(FigureError, match=f"^{re.escape(message)}$"):
        inches(width)


@pytest.mark.parametrize("width", [0.0, -3.0, 1.0, 1000.0, float("nan"), float("inf"), "1cm", "1000cm"])
def test_a_width_in_which_no_text_can_be_set_is_refused(width: float | str) -> None:
    with pytest.raises(FigureError, match=f"^a width of {re.escape(repr(width))} is not possible: take 1.5 to 40 inches$"):
        inches(width)


@pytest.mark.parametrize("size", [0.0, 3.9, 49.0, float("nan"), float("inf")])
def test_a_font_size_that_cannot_be_read_is_refused(size: float) -> None:
    with pytest.raises(FigureError, match=rf"^a font size of {size:g} points is not possible: take 4 to 48$"):
        points(size)


def test_a_font_size_is_taken_as_it_is() -> None:
    assert points(7.5) == 7.5
