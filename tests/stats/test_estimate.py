"""Estimates: what they say and how they are printed."""

import json
import math

import pytest

from tokenviz.stats.estimate import Estimate, rounded, rounded_interval


@pytest.mark.parametrize(
    ("value", "text"), [(0.94251, "0.943"), (-0.5, "−0.500"), (1.0, "1.000"), (math.nan, "–"), (-0.0001, "0.000")]
)
def test_three_decimals_where_nothing_is_known_of_the_width(value: float, text: str) -> None:
    assert rounded(Estimate(value, 5)) == text


@pytest.mark.parametrize(
    ("low", "value", "high", "text"),
    [
        (0.8, 0.9, 0.95, "0.900 in 0.800, 0.950"),
        (0.99931, 0.999412, 0.9995, "0.99941 in 0.99931, 0.99950"),
        (-0.0301, -0.01, 0.0101, "−0.010 in −0.030, 0.010"),
        (0.9999989, 0.9999990, 0.9999991, "0.999999 in 0.999999, 0.999999"),
        (1.0, 1.0, 1.0, "1.000 in 1.000, 1.000"),
        (math.nan, 0.5, math.nan, "0.500 in –"),
    ],
)
def test_a_narrow_interval_shows_in_two_digits(low: float, value: float, high: float, text: str) -> None:
    estimate = Estimate(value, 50, low=low, high=high)
    assert f"{rounded(estimate)} in {rounded_interval(estimate)}" == text


def test_ends_are_joined_as_asked() -> None:
    assert rounded_interval(Estimate(0.5, 50, low=0.25, high=0.75), " to ") == "0.250 to 0.750"


def test_bits_are_nats_by_the_logarithm_of_two() -> None:
    nats = Estimate(math.log(2), 50, unit="nats", low=0.0, high=2 * math.log(2), method="t", definition="mean")
    assert nats.in_bits() == Estimate(1.0, 50, unit="bits", low=0.0, high=2.0, method="t", definition="mean")


def test_json_has_none_where_there_is_nothing_and_says_why() -> None:
    values = Estimate(math.nan, 2, definition="Pearson's r", reason="too few").to_json()
    assert json.loads(json.dumps(values, allow_nan=False)) == {
        "definition": "Pearson's r", "value": None, "unit": "coefficient", "n": 2, "low": None, "high": None, "level": 0.95,
        "method": "", "reason": "too few", "drawn_from": "",
    }  # fmt: skip
