"""Where the gap lies: every unit has one kind, and the parts add up to the whole."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import NAN, long_pair, make_scores

from tokenviz.comparing.comparison import Comparison, compare
from tokenviz.comparing.gaps import ALL, BETWEEN, gaps_by_kind, passage_gaps
from tokenviz.data.spans import Span
from tokenviz.figures.plots.comparison import gap_bars
from tokenviz.harness.kinds.comparison import record_comparison
from tokenviz.units.words import KINDS, kinds_of, main_script

FIRST, LATER, PUNCTUATION, SPACES = (KINDS[place] for place in (2, 3, 5, 6))


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (
            ["The", " cat", "s", " 19", "th", " 90", ".\n", "\n", " "],
            [FIRST, FIRST, LATER, "digits", LATER, "digits", PUNCTUATION, SPACES, SPACES],
        ),
        ([" 1990s", ' "', "Hello", '"'], [FIRST, PUNCTUATION, FIRST, PUNCTUATION]),
        (["don", "'t", " well", "-", "known"], [FIRST, LATER, FIRST, PUNCTUATION, FIRST]),
        (
            ["See", " https", "://", "a.b", "/", "?q=1", ".", " End"],
            [FIRST, "URL", "URL", "URL", "URL", "URL", PUNCTUATION, FIRST],
        ),
        (
            ["Say", " при", "вет", " that", " αβ", "!"],
            [FIRST, "other script", "other script", FIRST, "other script", PUNCTUATION],
        ),
        (
            ["我们", "喜欢", "时", "间", "，", "在www.x.cn", "那里", "。"],
            [FIRST, FIRST, FIRST, LATER, PUNCTUATION, "URL", FIRST, PUNCTUATION],
        ),
        (["駅", "のコ", "ーヒー", "々"], [FIRST, FIRST, LATER, FIRST]),
        (["Vi", "ệt", " Nam", " tie", "\u0302", "ng"], [FIRST, LATER, FIRST, FIRST, LATER, LATER]),  # a mark of its own
        (["🙂", "", " x", "", "²"], [PUNCTUATION, "rest of a character", FIRST, "rest of a character", "digits"]),
        (["١٢", " عام"], ["digits", FIRST]),
    ],
)
def test_kinds(units: list[str], expected: list[str]) -> None:
    assert kinds_of(units, [0] * len(units)) == expected


def test_the_main_script_is_that_of_most_letters_in_all_passages() -> None:
    assert main_script("abc мир") in ("LATIN", "CYRILLIC")
    assert kinds_of(["мир", "abc", "def"], [0, 1, 1]) == ["other script", FIRST, LATER]
    assert main_script("12 !") == ""
    assert main_script("カタカナと漢字") == "CJK"


@settings(deadline=None)
@given(st.lists(st.text(max_size=6), max_size=12), st.integers(1, 5))
def test_every_unit_of_any_text_has_exactly_one_kind(units: list[str], passage_length: int) -> None:
    passages = [place // passage_length for place in range(len(units))]
    found = kinds_of(units, passages)
    assert len(found) == len(units)
    assert set(found) <= set(KINDS)
    for unit, kind in zip(units, found, strict=True):
        assert (kind == "rest of a character") == (unit == "")
        assert (kind == SPACES) == (unit != "" and unit.isspace())


def by_hand() -> Comparison:
    tokens = [["The", " cat", "s", " 19", ".", "\n"], ["See", " you", "!"]]
    a = make_scores(tokens, [NAN, -1, -2, -3, -1, -1, NAN, -2, -4])
    b = make_scores(tokens, [NAN, -3, -1, -3, -2, -0.5, NAN, -1, NAN], model="model-b")
    return compare(a, b)


def test_parts_are_sums_over_units_and_add_up_to_the_whole() -> None:
    comparison = by_hand()
    table = gaps_by_kind(comparison).set_index("kind")
    assert list(table.index) == [FIRST, LATER, "digits", PUNCTUATION, SPACES, ALL]
    assert table["n"].tolist() == [2, 1, 1, 1, 1, 6]
    assert (table["sum_bits"] * math.log(2)).tolist() == pytest.approx([-1, 1, 0, -1, 0.5, -0.5])
    assert table["share"].tolist() == pytest.approx([2, -2, 0, 2, -1, 1])
    assert table["share_of_absolute"].tolist() == pytest.approx([3 / 5.5, 1 / 5.5, 0, 1 / 5.5, 0.5 / 5.5, 1])
    assert table["bits_per_unit"][ALL] == pytest.approx(comparison.mean_difference.in_bits().value)
    passages = passage_gaps(comparison)
    assert passages["passage"].tolist() == [0, 1] or passages["sum_bits"].abs().is_monotonic_decreasing
    assert passages["beginning"].tolist() == ["The cats 19.\n", "See you!"]
    assert passages["sum_bits"].sum() * math.log(2) == pytest.approx(-0.5)


@settings(deadline=None)
@given(st.lists(st.floats(-30, 0), min_size=12, max_size=12))
def test_shares_add_up_to_one_whatever_the_numbers(values: list[float]) -> None:
    tokens = [["The", " cat", "s", " 19", ".", "\n", " мир", " www.x.de"]]
    a = make_scores(tokens, [NAN, -1, -2, -3, -1, -1, -2, -5])
    b = make_scores(tokens, [NAN, *values[:7]], model="model-b")
    table = gaps_by_kind(compare(a, b, resamples=0), resamples=0)
    parts, whole = table.iloc[:-1], table.iloc[-1]
    assert math.fsum(parts["sum_bits"]) == whole["sum_bits"]
    assert parts["n"].sum() == whole["n"]
    assert math.fsum(parts["share_of_absolute"]) == pytest.approx(1, abs=1e-12) or whole["share_of_absolute"] != 1
    if whole["sum_bits"]:
        scale = 1 + parts["share"].abs().max()  # parts that cancel are larger than the whole
        assert math.fsum(parts["share"]) == pytest.approx(1, abs=1e-12 * scale)


def test_intervals_are_those_of_the_mean_difference() -> None:
    comparison = compare(*long_pair())
    table = gaps_by_kind(comparison)
    whole, mean = table.iloc[-1], comparison.mean_difference.in_bits()
    assert whole["bits_per_unit"] == pytest.approx(mean.value, abs=1e-12)
    assert whole["low"] < whole["bits_per_unit"] < whole["high"]
    assert whole["high"] - whole["low"] == pytest.approx(mean.high - mean.low, rel=0.5)  # in blocks of another length
    assert gaps_by_kind([comparison, comparison])["n"].iloc[-1] == 2 * comparison.n


def test_over_spans_the_parts_are_the_spans_by_name(tmp_path: Path) -> None:
    a, b = (
        replace(
            make_scores([["We", " ask", " now", "Yes"], ["So", "Yes"]], [NAN, -2.0, -1.5, -4.0, NAN, low], model=name),
            spans=((Span("user", 2, 6), Span("assistant", 10, 13)), (Span("assistant", 2, 5),)),
        )
        for name, low in (("model-a", -1.0), ("model-b", -3.0))
    )
    table = gaps_by_kind(comparison := compare(a, b, by="span"))
    assert table["kind"].tolist() == [BETWEEN, "user", "assistant", ALL]
    assert table["n"].tolist() == [1, 1, 2, 4]
    assert table["sum_bits"].tolist() == pytest.approx([0.0, 0.0, -2.0 / math.log(2), -2.0 / math.log(2)])
    assert "By span, of " in record_comparison(comparison, {}, tmp_path).note


def test_models_that_share_no_score_have_no_gap() -> None:
    nothing = make_scores([["A"]], [NAN])
    table = gaps_by_kind(compare(nothing, make_scores([["A"]], [NAN], model="model-b")))
    assert table.empty
    assert len(gap_bars(compare(nothing, make_scores([["A"]], [NAN], model="model-b"))).axes) == 1


def test_the_figure_shows_every_part_with_its_sign_and_n() -> None:
    comparison = by_hand()
    (axes,) = gap_bars(comparison).axes[:1]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx(gaps_by_kind(comparison)["bits_per_unit"].tolist())
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [width < 0 for width in widths]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "first piece of a word (n = 2; 200 %)"
    assert labels[-1] == "all (n = 6; 100 %)"


def test_a_run_keeps_the_tables_and_names_the_greatest_parts(tmp_path: Path) -> None:
    content = record_comparison(by_hand(), {}, tmp_path)
    kept = (tmp_path / "tables" / "gaps.csv").read_text().splitlines()
    assert kept[0].replace('"', "") == "kind,n,sum_bits,share,share_of_absolute,mean_bits,bits_per_unit,low,high"
    assert len(kept) == 7
    assert (tmp_path / "tables" / "passage_gaps.csv").is_file()
    assert "By kind of string, of −0.120 bits per token (b minus a): first piece of a word −0.240" in content.note
    assert "that differ most: " in content.note
    assert not any("gap" in name for name in content.metrics)
    assert np.isfinite(list(content.metrics.values())).any()
