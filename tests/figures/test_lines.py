"""Right-to-left scripts: the order of boxes against another implementation, and the joining of letters."""

import pytest
from bidi.algorithm import get_display
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenviz.figures.typeset.lines import base_level, joined, levels, parted, turned, visual_order


@given(st.text(st.sampled_from("abשלם .,%$+12"), min_size=1, max_size=16).map(str.strip).filter(bool))
@example("of (שלום עולם), 12.5% in")
@settings(max_examples=300, deadline=None)
def test_boxes_of_one_sign_stand_as_another_implementation_orders_the_signs(text: str) -> None:
    signs = [sign for sign in text if sign not in "()"]  # that one turns brackets round as well
    shown = "".join(signs[place] for place in visual_order(levels(signs)))
    assert shown == get_display("".join(signs))


@given(st.lists(st.integers(0, 3), max_size=20))
def test_every_box_has_one_place(line: list[int]) -> None:
    assert sorted(visual_order(line)) == list(range(len(line)))


@pytest.mark.parametrize(
    ("texts", "level"), [(["abc"], 0), ([" ", "ש"], 1), ([" (12) ", "سلام", "abc"], 1), (["a", "ש"], 0), ([], 0), (["12"], 0)]
)
def test_a_paragraph_runs_as_its_first_letter(texts: list[str], level: int) -> None:
    assert base_level(texts) == level


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["مر", "حبا"], ["مر", "حبا"]),  # re joins to nothing after it
        (["سل", "ام"], ["سل~", "~ام"]),
        (["س", "ل", "م"], ["س~", "~ل~", "~م"]),
        (["س", "", "ل"], ["س~", "", "~ل"]),
        (["سل", " ام"], ["سل", " ام"]),  # a space between
        (["شي", "ء"], ["شي", "ء"]),  # hamza joins to nothing
        (["سَ", "ل"], ["سَ~", "~ل"]),  # a vowel mark is passed over
        (["ab", "cd"], ["ab", "cd"]),
        (["של", "ום"], ["של", "ום"]),
        (["س", "a"], ["س", "a"]),
        (["س۱", "ل"], ["س۱", "ل"]),
        (["سـ", "ل"], ["سـ~", "~ل"]),
        ([], []),
    ],
)
def test_letters_join_across_boxes_as_they_do_in_a_word(texts: list[str], shown: list[str]) -> None:
    assert joined(texts) == [text.replace("~", "\u200d") for text in shown]


@pytest.mark.parametrize(
    ("text", "level", "shown"),
    [("(", 1, "\u200f("), ("(", 0, "("), ("(", 2, "("), (".", 1, "."), ("(a", 1, "(a"), ("", 1, "")],
)
def test_brackets_between_right_to_left_words_are_turned(text: str, level: int, shown: str) -> None:
    assert turned(text, level) == shown


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        (["is", " ש", "ל"], [(0, "is"), (1, " "), (1, "ש"), (2, "ל")]),
        (["is", " ש", " ל"], [(0, "is"), (1, " "), (1, "ש"), (2, " ל")]),  # the second space is between two such words
        (["ש", " ל", " in"], [(0, "ש"), (1, " ל"), (2, " in")]),
        (["is", "  ש"], [(0, "is"), (1, "  "), (1, "ש")]),
        (["a", " b", " "], [(0, "a"), (1, " b"), (2, " ")]),
        (["", "ש"], [(0, ""), (1, "ש")]),
    ],
)
def test_a_space_before_a_right_to_left_word_stays_with_the_text_before_it(
    texts: list[str], parts: list[tuple[int, str]]
) -> None:
    assert parted(texts) == parts
