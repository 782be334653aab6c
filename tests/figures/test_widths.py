"""Widths and font sizes: venues' columns, units of length, and what is refused."""

import pytest

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


def test_a_font_size_is_taken_as_it_is() -> None:
    assert points(7.5) == 7.5
