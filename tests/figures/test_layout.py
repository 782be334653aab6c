"""Where tokens stand: inside the lines, in order, nothing lost, and on exactly one page."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import make_scores

from tokenviz.base.characters import clusters
from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.definition import text_heatmap
from tokenviz.figures.heatmap.layout import TextBlock, lay_out, paginate
from tokenviz.figures.heatmap.panels import span_labels
from tokenviz.figures.typeset.lines import wrapped

WIDTH = 100.0
PAD = 1.0
INVISIBLE = "\u0301\u200d\u200f"
TOKENS = st.text(st.sampled_from("ab  \n\r\té水🙂\u0301"), max_size=30)
PASSAGES = st.lists(st.lists(TOKENS, min_size=1, max_size=40), min_size=1, max_size=3)


def measure(text: str) -> float:
    """Wide signs are 10 wide, letters 5, marks and joiners nothing: lengths that one can add up by hand."""
    return sum(10.0 if sign in "水🙂" else 0.0 if sign in INVISIBLE else 5.0 for sign in text)


def visible(text: str) -> str:
    return text.replace("\n", "↵")


def block_of(scores: TokenScores, rows: range | None = None, width: float = WIDTH) -> TextBlock:
    rows = range(len(scores)) if rows is None else rows
    return lay_out(text_heatmap(scores).panels[0], rows, width=width, pad=PAD, visible=visible, measure=measure)


@given(PASSAGES)
@settings(deadline=None)
def test_no_cell_leaves_the_line(passages: list[list[str]]) -> None:
    block = block_of(make_scores(passages))
    for cell in block.cells:
        assert cell.x >= 0
        assert cell.x + cell.width <= WIDTH + 1e-9  # a sum of up to twenty widths
        assert cell.width == (measure(cell.text) + 2 * PAD if cell.text else 8 * PAD)


@given(PASSAGES)
@settings(deadline=None)
def test_cells_stand_in_reading_order_and_do_not_overlap(passages: list[list[str]]) -> None:
    block = block_of(make_scores(passages))
    for before, after in pairwise(block.cells):
        assert before.rows[-1] <= after.rows[0]
        assert after.line > before.line or after.x == before.x + before.width
        assert after.line == before.line or after.x == 0
    assert all(0 <= cell.line < block.lines for cell in block.cells)


@given(PASSAGES)
@settings(deadline=None)
def test_the_cells_of_a_token_are_its_text(passages: list[list[str]]) -> None:
    scores = make_scores(passages)
    block = block_of(scores)
    for row, token in enumerate(scores.token):
        own = [cell for cell in block.cells if row in cell.rows]
        assert own, "every token has a cell, with or without characters"
        if all(len(cell.rows) == 1 for cell in own):
            assert "".join(cell.text for cell in own) == visible(token)
    assert "".join(cell.text for cell in block.cells) == visible("".join(scores.token))


@pytest.mark.parametrize(
    "token", ["https://example.org/" + "a_b%20" * 60, "x" * 400, "水" * 100, " " * 90], ids=["URL", "letters", "wide", "spaces"]
)
def test_a_token_wider_than_the_line_is_cut_and_fills_its_lines(token: str) -> None:
    block = block_of(make_scores([["ab", token, "c"]]))
    own = [cell for cell in block.cells if cell.rows[0] == 1]
    assert len(own) > 3
    assert "".join(cell.text for cell in own) == token
    for cell in own[1:-1]:  # the first follows "ab" where a line may be broken between the two
        assert WIDTH - 10 < cell.width + 2 * PAD <= WIDTH + 2 * PAD or cell.text == "example.org/"


def test_a_sign_wider_than_the_line_stands_alone() -> None:
    block = block_of(make_scores([["水水水"]]), width=8)
    assert [(cell.text, cell.line) for cell in block.cells] == [("水", 0), ("水", 1), ("水", 2)]


def test_a_thousand_tokens_wrap() -> None:
    block = block_of(make_scores([[" word"] * 1000]))
    # " word" is 25 wide and 27 with its padding: three in a line of 100.
    assert block.lines == 334
    assert [cell.x for cell in block.cells[:4]] == [0, 27, 54, 0]


@pytest.mark.parametrize("tokens", [["ab", "\n", "cd"], ["ab\n", "cd"], ["ab", "\ncd"]])
def test_a_newline_ends_its_line(tokens: list[str]) -> None:
    block = block_of(make_scores([tokens]))
    lines = ["".join(cell.text for cell in block.cells if cell.line == line) for line in (0, 1)]
    assert lines == ["ab↵", "cd"]


def test_blank_lines_stay() -> None:
    block = block_of(make_scores([["a", "\n\n\n", "b"]]))
    assert [(cell.text, cell.line) for cell in block.cells] == [("a", 0), ("↵", 0), ("↵", 1), ("↵", 2), ("b", 3)]


@pytest.mark.parametrize("ending", ["", "\n"])
def test_passages_are_half_a_line_apart(ending: str) -> None:
    block = block_of(make_scores([["ab", "c" + ending], ["de"]]))
    assert block.cells[-1].line == 1.5
    assert block.cells[-1].x == 0
    assert block.lines == 2.5


def test_tokens_that_share_a_character_share_its_cell() -> None:
    block = block_of(make_scores([["a🙂", "", "", "b"]]))
    assert [(cell.rows, cell.text) for cell in block.cells] == [((0,), "a"), ((0, 1, 2), "🙂"), ((3,), "b")]


def test_a_token_without_characters_that_shares_none_has_a_cell() -> None:
    block = block_of(make_scores([["", "b"]]))
    assert [(cell.rows, cell.text, cell.width) for cell in block.cells] == [((0,), "", 8 * PAD), ((1,), "b", 5 + 2 * PAD)]


def lines_of(tokens: list[str], width: float = WIDTH) -> list[str]:
    block = block_of(make_scores([tokens]), width=width)
    return ["".join(cell.text for cell in block.cells if cell.line == line) for line in range(int(block.lines))]


@pytest.mark.parametrize(
    ("tokens", "lines"),
    [
        (["An", " ab", "bre", "vi", "ation", " is", " bro", "ken", "."], ["An abbreviation", " is broken."]),
        (["one", " two", " three", " four", ",", " five"], ["one two three", " four, five"]),
        (["水水水", "水水水水水水", "。", "水"], ["水水水水水水水水", "水。水"]),
        (["水水水水水水水水", "(", "水", ")", "水"], ["水水水水水水水水", "(水)水"]),
        (["a long", " well-known", " phrase here"], ["a long well-known", " phrase here"]),
        (["ab ", "cd ", "efghijklmnopq"], ["ab cd ", "efghijklmnopq"]),
        (["ab", "  ", "cd", "  ", "efghijklmnop"], ["ab  cd  ", "efghijklmnop"]),
    ],
    ids=["inside a word", "a comma", "an ideographic stop", "brackets", "inside tokens", "spaces after", "spaces apart"],
)
def test_lines_are_broken_between_words_and_none_begins_with_closing_punctuation(tokens: list[str], lines: list[str]) -> None:
    assert lines_of(tokens) == lines


def test_a_word_longer_than_the_line_is_broken_between_its_tokens_and_not_before_a_stop() -> None:
    assert lines_of(["x" * 15, "y" * 15, "zzz", "."]) == ["x" * 15, "y" * 15, "zzz."]


@given(PASSAGES, st.integers(1, 8))
@settings(deadline=None)
def test_pages_hold_every_token_once_and_are_no_longer_than_promised(passages: list[list[str]], lines: int) -> None:
    scores = make_scores(passages)
    pages = paginate(block_of(scores), lines)
    assert [row for page in pages for row in page] == list(range(len(scores)))
    assert all(pages)
    for page in pages:
        # A token is not cut between pages: without the last one, the page is within its lines (and half a line
        # between two passages).
        last = min(block_of(scores, page).cells[-1].rows)
        assert block_of(scores, range(page.start, last)).lines <= lines + 0.5


def test_pages_are_filled() -> None:
    scores = make_scores([[" word"] * 300])  # three a line
    pages = paginate(block_of(scores), 10)
    assert pages == [range(start, start + 30) for start in range(0, 300, 30)]


def test_a_token_longer_than_a_page_is_one_page() -> None:
    scores = make_scores([["a", "x" * 400, "b"]])
    assert paginate(block_of(scores), 4) == [range(2), range(2, 3)]


def left_to_right(passages: list[list[str]], width: float = 1000.0) -> list[str]:
    """The cells' texts as they stand on the page, line by line."""
    cells = block_of(make_scores(passages), width=width).cells
    return [cell.text for cell in sorted(cells, key=lambda cell: (cell.line, cell.x))]


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        (["is", " ש", "ל", "ום", " in"], ["is", " ", "ום", "ל", "ש", " in"]),
        (["ש", "ל", "ום"], ["ום", "ל", "ש"]),
        (["in", " ש", "ל", ",", " ס", "ל", ",", " and"], ["in", " ", "ל", " ס", ",", "ל", "ש", ",", " and"]),
        (["ש", "1", "2"], ["1", "2", "ש"]),
        (["ש", "", "", "ל", "a"], ["a", "ל", "ש"]),
        (["a", "b"], ["a", "b"]),
    ],
    ids=["a word", "a word alone", "two words and commas", "digits after it", "shared characters", "none"],
)
def test_a_right_to_left_word_stands_in_its_own_order(tokens: list[str], shown: list[str]) -> None:
    assert left_to_right([tokens]) == shown


def test_a_paragraph_of_a_right_to_left_script_begins_at_the_right_edge_of_each_line() -> None:
    cells = block_of(make_scores([["שלום", " עולם", " טוב", "\n", "left"]])).cells
    # 20 + 2, 25 + 2, 20 + 2: three in a line of 100, the newline at its end; then a paragraph of its own.
    assert [(cell.text, cell.x) for cell in cells[:3]] == [("שלום", 78.0), (" עולם", 51.0), (" טוב", 29.0)]
    assert (cells[4].text, cells[4].x) == ("left", 0.0)


def test_a_space_at_the_end_of_a_line_stays_at_its_end() -> None:
    # Of a paragraph from left to right, broken between a space and a right-to-left word: the space follows the one before it.
    cells = block_of(make_scores([["ab", "שש", " ", "לללללללללללללללל"]])).cells
    first = [cell for cell in cells if cell.line == 0]
    assert [cell.text for cell in sorted(first, key=lambda cell: cell.x)] == ["ab", "שש", " "]
    assert cells[-1].line == 1


def test_the_parts_of_a_right_to_left_character_run_from_right_to_left() -> None:
    rows = [cell.rows for cell in block_of(make_scores([["a", " ש", "\u05b8", "ל", "b"]])).cells]
    assert rows == [(0,), (1,), (2, 1), (3,), (4,)]


def test_arabic_letters_join_across_cells() -> None:
    assert [cell.text for cell in block_of(make_scores([["is", " سل", "ما"]])).cells] == ["is", " ", "سل\u200d", "\u200dما"]


def test_brackets_face_the_way_of_the_words_around_them() -> None:
    shown = {cell.text for cell in block_of(make_scores([["ש", "(", "ל", ")"]])).cells}
    assert {"\u200f(", "\u200f)"} <= shown
    assert {"(", ")"} <= {cell.text for cell in block_of(make_scores([["a", "(", "b", ")"]])).cells}


@given(st.lists(st.text(st.sampled_from("ab 1س ש\n"), max_size=8), min_size=1, max_size=40))
@settings(deadline=None)
def test_scripts_of_both_directions_share_a_line_without_overlap(tokens: list[str]) -> None:
    block = block_of(make_scores([tokens]))
    by_line: dict[float, list[tuple[float, float]]] = {}
    for cell in block.cells:
        by_line.setdefault(cell.line, []).append((cell.x, cell.x + cell.width))
    for spans in by_line.values():
        ordered = sorted(spans)
        left, right = ordered[0][0], ordered[-1][1]
        assert left == pytest.approx(0, abs=1e-9) or right == pytest.approx(WIDTH, abs=1e-9)
        assert ordered[-1][1] <= WIDTH + 1e-9
        for before, after in pairwise(ordered):
            assert after[0] == pytest.approx(before[1], abs=1e-9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", ["a", "b", "c"]),
        ("e\u0323\u0302x", ["e\u0323\u0302", "x"]),
        ("👨\u200d👩x", ["👨\u200d👩", "x"]),
        ("👍🏽!", ["👍🏽", "!"]),
        ("", []),
    ],
)
def test_marks_and_joiners_stay_with_their_letters(text: str, expected: list[str]) -> None:
    assert clusters(text) == expected


def test_a_token_is_not_cut_between_a_letter_and_its_mark() -> None:
    texts = [cell.text for cell in block_of(make_scores([["e\u0301" * 60]])).cells]
    assert len(texts) > 1
    assert all(text.startswith("e") for text in texts)


@pytest.mark.parametrize(
    ("text", "lines"),
    [("one two three", ["one two", "three"]), ("longerthanaline b", ["longerthanaline", "b"]), ("", [""]), ("a  b", ["a  b"])],
)
def test_sentences_are_broken_between_words(text: str, lines: list[str]) -> None:
    assert wrapped(text, lambda shown: len(shown) <= 8) == lines


def test_names_of_spans_have_the_room_up_to_the_next_one() -> None:
    text = ["The", " cat", " sat", " on", " it", ".", "So"]
    spans = ["determiner", "noun", "noun", "", "adverbial phrase", "", "a name that is longer than any"]
    assert span_labels(text, [0] * 6 + [1], spans) == {
        0: "d…r",  # 1.2 columns above each of the text
        1: "noun",
        4: "adverbial phrase",  # the last of its passage
        6: "a name that …er than any",  # 24 columns at most
    }
    assert span_labels(["a", "b"], [0, 0], ["determiner", "v"]) == {1: "v"}  # not even "d…r" has room
    assert span_labels(["学校", "很"], [0, 0], ["noun", "adverb"]) == {0: "noun", 1: "adverb"}  # two columns each
    assert span_labels(text, [0] * 7, [""] * 7) == {}
