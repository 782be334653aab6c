"""Names of files and macros: readable, safe, stable, apart."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenviz.paper.naming import apart, file_mark, file_part, macro_mark, macro_part


@pytest.mark.parametrize(
    ("name", "in_file", "in_macro"),
    [
        ("gpt2", "gpt2", "GptTwo"),
        ("smollm2-135m,quantize=q4_0", "smollm2-135m-quantize-q4-0", "SmollmTwoOneThreeFiveMQuantizeQFourZero"),
        ("EleutherAI/pythia-70m", "eleutherai-pythia-70m", "EleutherAIPythiaSevenZeroM"),
        ("passage_vi", "passage-vi", "PassageVi"),
        ("tiếng Việt, đọc", "tieng-viet-doc", "TiengVietDoc"),
        ("../../etc/passwd", "etc-passwd", "EtcPasswd"),
        ("\\input{x} %$#&_", "input-x", "InputX"),
        ("日本語", file_mark("日本語"), macro_mark("日本語")),
        ("text 日本", f"text-{file_mark('text 日本')}", None),
        ("", file_mark(""), None),
        ("...", file_mark("..."), None),
    ],
)
def test_names_are_readable(name: str, in_file: str, in_macro: str | None) -> None:
    assert file_part(name) == in_file
    if in_macro is not None:
        assert macro_part(name) == in_macro


def test_a_long_name_is_cut_and_marked() -> None:
    name = "/home/somebody/" + "x" * 80 + "/final"
    assert file_part(name) == f"{'x' * 42}-final-{file_mark(name)}"


@given(st.text(max_size=60))
def test_names_hold_what_file_systems_and_tex_take(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", file_part(name))
    assert re.fullmatch(r"[A-Za-z]+", macro_part(name))


def test_equal_names_are_told_apart_and_others_left() -> None:
    names = {1: "a", 2: "b", 3: "a"}
    assert apart(names, {1: "-x", 2: "-y", 3: "-z"}) == {1: "a-x", 2: "b", 3: "a-z"}
