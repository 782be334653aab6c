"""Colours that keep the order of the values and leave the text readable."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tables import NAN, make_scores

from tokenviz.figures.colours import ColourScale, contrast, printed, shared_scale, text_colour, to_hex

PARTS = st.floats(0, 1)
STEPS = np.linspace(-10, 0, 256)


def lightness(colour: tuple[float, float, float]) -> float:
    """CIE L*, 0 to 100, from sRGB; written out here as a second source."""
    red, green, blue = (((part + 0.055) / 1.055) ** 2.4 if part > 0.04045 else part / 12.92 for part in colour)
    y = 0.212639 * red + 0.715169 * green + 0.072192 * blue
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_predictable_is_darker_at_every_step() -> None:
    scale = ColourScale(-10, 0)
    assert (np.diff([lightness(scale.colour(value)) for value in STEPS]) < 0).all()


def test_a_grey_copy_keeps_the_order() -> None:
    scale = ColourScale(-10, 0)
    assert (np.diff([np.dot((0.299, 0.587, 0.114), scale.colour(value)) for value in STEPS]) < 0).all()


def test_lightness_changes_evenly() -> None:
    scale = ColourScale(-10, 0)
    steps = -np.diff([lightness(scale.colour(value)) for value in np.linspace(-10, 0, 11)])
    # "Perceptually uniform": no tenth of the scale has less than half or more than twice its share of the range.
    assert steps.min() > steps.mean() / 2
    assert steps.max() < steps.mean() * 2


def test_limits_are_the_ends_of_the_map() -> None:
    scale = ColourScale(-10, -2)
    assert [scale.fraction(value) for value in (-10, -6, -2)] == [0, 0.5, 1]


def test_values_beyond_given_limits_take_the_colour_of_the_limit() -> None:
    scale = ColourScale(-10, -2)
    assert scale.colour(-50) == scale.colour(-10)
    assert scale.colour(0) == scale.colour(-2)


def test_limits_that_coincide_give_one_colour() -> None:
    scale = ColourScale(-3, -3)
    assert scale.fraction(-3) == 0.5
    assert scale.colour(-3) is not None


@pytest.mark.parametrize("scale", [ColourScale(-3, 0), ColourScale(-3, -3), ColourScale(NAN, NAN)])
def test_unscored_has_no_colour(scale: ColourScale) -> None:
    assert scale.colour(NAN) is None


def test_text_is_readable_on_every_colour_of_the_map() -> None:
    scale = ColourScale(0, 1)
    for value in np.linspace(0, 1, 1000):
        background = scale.colour(float(value))
        ink = (0.0,) * 3 if text_colour(background) == "black" else (1.0,) * 3
        assert contrast(background, ink) >= 4.5


@given(st.tuples(PARTS, PARTS, PARTS))
@example((0.46, 0.46, 0.46))  # as far from black as from white
def test_text_is_readable_on_any_colour(background: tuple[float, float, float]) -> None:
    ink = {"black": (0.0,) * 3, "white": (1.0,) * 3}[text_colour(background)]
    assert contrast(background, ink) >= 4.5


def test_text_on_white_paper_is_black() -> None:
    assert text_colour(None) == text_colour((1.0, 1.0, 1.0)) == "black"


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [((0, 0, 0), (1, 1, 1), 21.0), ((1, 1, 1), (1, 1, 1), 1.0), ((0x76 / 255,) * 3, (1, 1, 1), 4.54)],
)
def test_contrast_has_the_published_values(first, second, ratio: float) -> None:
    # #767676 on white is the guideline's well-known lightest grey for AA, published with two decimals.
    assert contrast(first, second) == pytest.approx(ratio, abs=0.005)
    assert contrast(second, first) == contrast(first, second)


def test_shared_scale_spans_all_tables_and_leaves_out_what_is_not_scored() -> None:
    a = make_scores([["x", "y", "z"]], [NAN, -1.5, -2])
    b = make_scores([["x", "y", "z"]], [NAN, -9, -3])
    assert shared_scale([a, b]) == ColourScale(-9, -1.5)
    assert shared_scale([a]) == ColourScale(-2, -1.5)


def test_shared_scale_of_nothing_scored_is_not_a_number() -> None:
    scale = shared_scale([make_scores([["x"]], [NAN])])
    assert np.isnan([scale.low, scale.high]).all()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-1.234, "−1.23"),
        (0.0, "0.00"),
        (-0.0, "0.00"),
        (-0.004, "0.00"),
        (-10.001, "−10.00"),
        (-0.006, "−0.01"),
        (12.0, "12.00"),
        (NAN, "–"),
    ],
)
def test_numbers_are_printed_with_a_minus_sign_and_never_as_minus_zero(value: float, expected: str) -> None:
    assert printed(value) == expected


def test_hexadecimal_is_rounded() -> None:
    assert to_hex((1.0, 0.5, 0.0)) == "#ff8000"
