"""Colours that keep the order of the values and leave the text readable."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image
from tables import NAN

from tokenviz.figures.typeset.colours import COLOUR_MAPS, ColourScale, contrast, stands_out, text_colour, to_hex

PARTS = st.floats(0, 1)


def lightness(colour: tuple[float, float, float]) -> float:
    """CIE L*, 0 to 100, from sRGB; written out here as a second source."""
    red, green, blue = (((part + 0.055) / 1.055) ** 2.4 if part > 0.04045 else part / 12.92 for part in colour)
    y = 0.212639 * red + 0.715169 * green + 0.072192 * blue
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


SEQUENTIAL = [name for name, one in COLOUR_MAPS.items() if not one.diverging]
DIVERGING = [name for name, one in COLOUR_MAPS.items() if one.diverging]


def lightnesses(name: str) -> np.ndarray:
    return np.array([lightness(COLOUR_MAPS[name].at(step)) for step in np.linspace(0, 1, 257)])


def test_there_are_maps_of_both_kinds() -> None:
    assert SEQUENTIAL == ["viridis", "cividis", "magma", "greys"]
    assert DIVERGING == ["rdbu", "brbg"]


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_sequential_map_is_darker_at_every_step(name: str) -> None:
    # Maps are tables of 256 colours: two steps may share one.
    assert (np.diff(lightnesses(name)) <= 0).all()
    assert (np.diff(lightnesses(name)[::2]) < 0).all()


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_grey_copy_keeps_the_order(name: str) -> None:
    greys = [np.dot((0.299, 0.587, 0.114), COLOUR_MAPS[name].at(step)) for step in np.linspace(0, 1, 129)]
    assert (np.diff(greys) < 0).all()


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_lightness_changes_evenly(name: str) -> None:
    steps = -np.diff(lightnesses(name)[:: 256 // 8])
    # "Perceptually uniform": no eighth of the scale has less than half or more than twice its share of the range.
    assert steps.min() > steps.mean() / 2
    assert steps.max() < steps.mean() * 2


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_no_colour_is_the_white_of_what_has_no_value(name: str) -> None:
    assert lightnesses(name).max() < 98.5  # magma's light end is a cream


@pytest.mark.parametrize("name", DIVERGING)
def test_a_diverging_map_is_darker_with_the_distance_from_zero_and_alike_on_both_sides(name: str) -> None:
    distances = (np.arange(128) + 0.5) / 256  # between two shades, which are not the same on both sides
    below, above = ([lightness(COLOUR_MAPS[name].at(0.5 + side * d)) for d in distances] for side in (-1, 1))
    for side in (below, above):
        assert (np.diff(side) <= 0.05).all()  # a table's neighbouring steps differ by less than rounding to 8 bits
        assert side[0] - side[-1] > 60
    # A grey copy shows equal distances alike: ColorBrewer's RdBu has 4.4 of 100 steps of lightness, hardly told apart.
    assert np.abs(np.subtract(below, above)).max() < 4.5


# Linear red, green, blue as dichromats see them (Machado, Oliveira and Fernandes 2009, severity 1.0), from the paper's tables.
DICHROMATS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(colour: tuple[float, float, float], matrix: list[list[float]]) -> np.ndarray:
    """CIE L*a*b* of a colour as a dichromat sees it."""
    linear = np.array([((part + 0.055) / 1.055) ** 2.4 if part > 0.04045 else part / 12.92 for part in colour])
    linear = np.clip(np.array(matrix) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratios = to_xyz @ linear / (to_xyz @ np.ones(3))
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("matrix", DICHROMATS.values(), ids=DICHROMATS)
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_colour_blind_readers_keep_the_order_of_a_sequential_map(name: str, matrix: list[list[float]]) -> None:
    found = [seen(COLOUR_MAPS[name].at(step), matrix)[0] for step in np.linspace(0, 1, 33)]
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize("matrix", DICHROMATS.values(), ids=DICHROMATS)
@pytest.mark.parametrize("name", DIVERGING)
def test_colour_blind_readers_tell_the_sides_of_a_diverging_map_apart(name: str, matrix: list[list[float]]) -> None:
    for distance in (0.1, 0.2, 0.3, 0.4):
        below, above = (seen(COLOUR_MAPS[name].at(0.5 + side * distance), matrix) for side in (-1, 1))
        assert np.linalg.norm(below - above) > 10  # about 2 is a just noticeable difference


def test_a_line_under_the_values_below_zero_keeps_the_sign() -> None:
    scale = ColourScale(-3, 3, COLOUR_MAPS["rdbu"])
    assert [scale.underlined(value) for value in (-3.0, -0.01, 0.0, 0.01, 3.0, NAN)] == [True, True, False, False, False, False]
    assert not ColourScale(-3, 3).underlined(-1)


def test_zero_is_in_the_middle_of_a_diverging_map() -> None:
    scale = ColourScale(-3, 3, COLOUR_MAPS["rdbu"])
    assert scale.colour(0.0) == COLOUR_MAPS["rdbu"].at(0.5)


def test_a_falling_scale_is_the_map_from_the_other_end() -> None:
    rising, falling = ColourScale(0, 4), ColourScale(0, 4, falling=True)
    assert [falling.colour(value) for value in (0, 1, 4)] == [rising.colour(value) for value in (4, 3, 0)]


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


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_text_is_readable_on_every_colour_of_the_map(name: str) -> None:
    for value in np.linspace(0, 1, 1000):
        background = COLOUR_MAPS[name].at(float(value))
        ink = (0.0,) * 3 if text_colour(background) == "black" else (1.0,) * 3
        assert contrast(background, ink) >= 4.5


def printed_grey(hexadecimal: str) -> tuple[float, float, float]:
    """A colour as Pillow turns it grey, by Rec. 601: a second source."""
    return (Image.new("RGB", (1, 1), hexadecimal).convert("L").getpixel((0, 0)) / 255,) * 3


def screen_grey(hexadecimal: str) -> tuple[float, float, float]:
    """A colour as the filter `grayscale()` of CSS and a screen without colours turn it grey, by Rec. 709."""
    image = Image.new("RGB", (1, 1), hexadecimal).convert("L", (0.2126, 0.7152, 0.0722, 0))
    return (image.getpixel((0, 0)) / 255,) * 3


def grey_of_luminance(hexadecimal: str) -> tuple[float, float, float]:
    """The grey of 255 steps that is as light as a colour, by its relative luminance."""
    rgb = np.array([int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    luminance = np.dot((0.2126, 0.7152, 0.0722), np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92))
    steps = np.arange(256) / 255
    light = np.where(steps > 0.04045, ((steps + 0.055) / 1.055) ** 2.4, steps / 12.92)
    return (float(steps[np.abs(light - luminance).argmin()]),) * 3


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_text_is_readable_in_grey_on_every_colour_of_the_map(name: str) -> None:
    colours = [*COLOUR_MAPS[name].shades, *(COLOUR_MAPS[name].at(float(place)) for place in np.linspace(0, 1, 2001))]
    for shown, ink in {(to_hex(colour), text_colour(colour)) for colour in colours}:
        letters = {"black": (0.0,) * 3, "white": (1.0,) * 3}[ink]
        assert contrast(printed_grey(shown), letters) >= 4.5, shown
        assert contrast(screen_grey(shown), letters) >= 4.5, shown
        assert contrast(grey_of_luminance(shown), letters) >= 4.5, shown


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_a_map_is_its_colours_but_for_the_few_that_carry_no_letters(name: str) -> None:
    one = COLOUR_MAPS[name]
    whole = [tuple(colour[:3]) for colour in colormaps[one.source](np.arange(round(256 * one.begin), 256))]
    kept = one.shades
    assert [shade for shade in whole if shade in kept] == kept
    assert len(whole) - len(kept) == {"viridis": 29, "magma": 18, "rdbu": 24, "brbg": 18}.get(name, 0)


def test_teal_of_viridis_is_passed_over() -> None:
    teal = "#21918c"  # its middle: black has 5.5 to 1 in colour and 4.2 in grey, white 3.8 in colour and 5.0 in grey
    assert contrast((0x21 / 255, 0x91 / 255, 0x8C / 255), (0.0,) * 3) > 5.4
    assert contrast(printed_grey(teal), (0.0,) * 3) < 4.3
    assert teal not in {to_hex(colour) for colour in COLOUR_MAPS["viridis"].shades}


def test_letters_on_several_grounds_stand_out_in_grey_or_have_an_edge() -> None:
    light, dark = COLOUR_MAPS["viridis"].at(0.1), COLOUR_MAPS["viridis"].at(0.9)
    above, below = COLOUR_MAPS["viridis"].at(0.49), COLOUR_MAPS["viridis"].at(0.51)  # on both sides of what is passed over
    assert stands_out(text_colour(light, light), light, light)
    assert stands_out(text_colour(light, None), light, None)
    assert not stands_out(text_colour(light, dark), light, dark)
    assert text_colour(above) == "black"
    assert text_colour(below) == "white"
    assert not stands_out(text_colour(above, below), above, below)
    assert not stands_out("black", (0x21 / 255, 0x91 / 255, 0x8C / 255))  # enough in colour, and not in grey


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


def test_hexadecimal_is_rounded() -> None:
    assert to_hex((1.0, 0.5, 0.0)) == "#ff8000"


def test_on_several_grounds_a_letter_stands_out_most_on_the_one_where_it_does_least() -> None:
    assert text_colour((0.2, 0.2, 0.2), (0.1, 0.3, 0.3)) == "white"
    assert text_colour((0.9, 0.9, 0.9), (0.7, 0.8, 0.6)) == "black"
