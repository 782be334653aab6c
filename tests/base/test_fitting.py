"""Tables fit the terminal: whole columns are left out by rank and named, and no cell is shortened."""

import io
from collections.abc import Mapping, Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from tokenviz.base.display import Column, print_fitted, print_named

COLUMNS = [
    Column("text", ["correlation", "passage_vi"]),
    Column("r", ["0.959", "0.846"], right=True),
    Column("95 % interval", ["0.941, 0.972", "0.771, 0.898"], 1, right=True),
    Column("concordance", ["0.953", "0.840"], 3, right=True),
    Column("ρ", ["0.961", "0.837"], 2, right=True),
]


def printed(width: int, columns: list[Column] = COLUMNS, *, keys: Sequence[str] = ()) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_fitted(console, columns, keys=keys)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("width", "left_out"),
    [(200, []), (60, []), (59, ["concordance"]), (45, ["concordance", "ρ"]), (37, ["95 % interval", "concordance", "ρ"])],
)
def test_columns_are_left_out_by_rank_and_named(width: int, left_out: list[str]) -> None:
    text = printed(width)
    assert max(map(cell_len, text.splitlines())) <= width
    for column in COLUMNS:
        for value in column.cells:
            assert (value in text) == (column.heading not in left_out)
    said = f"Left out at {width} columns: {', '.join(left_out)}. A wider terminal shows them."
    assert (said in " ".join(text.split())) == bool(left_out)
    assert "…" not in text


def test_what_is_kept_is_folded_and_never_shortened() -> None:
    long = "a-text-whose-name-is-longer-than-the-terminal-is-wide"
    text = printed(30, [Column("text", [long]), Column("r", ["0.959"], right=True)])
    letters = "".join(line.split("│")[1].strip() for line in text.splitlines() if "│" in line)
    assert letters == long
    assert "0.959" in text


def test_long_cells_that_may_fold_do_not_push_others_out() -> None:
    columns = [Column("licence", ["word " * 20], folds=True), Column("size", ["12 MB"], 1)]
    text = printed(60, columns)
    assert "12 MB" in text
    assert "Left out" not in text


@pytest.mark.parametrize(
    ("width", "above", "first"),
    [
        (40, "small-model: SmallLM, weights from Q4_1", ["small-model", "large-model"]),
        (35, "1: small-model (SmallLM, weights from Q4_1) 2: large-model", ["1", "2"]),
    ],
)
def test_models_are_numbered_where_their_names_do_not_fit(width: int, above: str, first: list[str]) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False)

    def build(names: Mapping[str, str]) -> list[Column]:
        return [
            Column("a", [names["small-model"], names["large-model"]]),
            Column("text", ["x" * 10] * 2),
            Column("r", ["0.959"] * 2, 1),
        ]

    print_named(console, {"small-model": "SmallLM, weights from Q4_1", "large-model": ""}, build, title="a title")
    assert isinstance(console.file, io.StringIO)
    head, _, rest = console.file.getvalue().partition("┏")
    assert " ".join(head.split()) == f"a title {above}"
    assert [line.split("│")[1].strip() for line in rest.splitlines() if "│" in line] == first


def test_commands_of_a_terminal_are_shown_not_obeyed() -> None:
    assert "\x1b" not in printed(80, [Column("text", ["\x1b[31mred"])], keys=["\x1b[2J"])


def test_no_cell_is_cut_at_any_width_of_a_terminal() -> None:
    columns = [
        Column("kind of string", ["first piece of a word", "all"]),
        Column("n", ["119", "133"], 1, right=True),
        Column("sum, bits", ["22.1", "19.9"], right=True),
        Column("bits per segment of all", ["0.166", "0.150"], 2, right=True),
        Column("95 % interval", ["−0.278, 0.610", "−0.282, 0.582"], 3, right=True),
        Column("text before", ["The goal of a correlation analysis is to", "all"], 4, folds=True),
    ]
    for width in range(48, 130):  # from where only columns of rank 0 and 1 fit to where all do, unbroken
        text = printed(width, columns)
        table = [line for line in text.splitlines() if line[0] in "┏┃┡│└"]
        assert {line[-1] for line in table} == set("┓┃┩│┘")
        assert max(map(cell_len, table)) <= width
        said = text.partition("Left out")[2]
        for column in columns[:-1]:
            assert column.heading in said or all(value in text for value in column.cells)
    assert "The goal of a correlation analysis is to" in text
    assert not said
