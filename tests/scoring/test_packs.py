"""Packs: every token once, in its place, nothing computed twice that need not be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenviz.scoring.windows import Pack, plan_packs

# Few different ids and common beginnings, so that much is shared.
BEGINNINGS = [np.arange(n) % 3 for n in (0, 8, 9, 40, 150)]
SEQUENCES = st.lists(
    st.tuples(st.sampled_from(BEGINNINGS), st.lists(st.integers(0, 3), min_size=1, max_size=120)).map(
        lambda parts: np.concatenate([parts[0], np.array(parts[1])]).astype(np.int64)
    ),
    max_size=25,
)


def plan(sequences: list[np.ndarray], *, tokens: int = 200, step: int = 48, longest_whole: int | None = None) -> list[Pack]:
    return plan_packs(sequences, token_budget=tokens, step_tokens=step, longest_whole=longest_whole)


def seen_by(pack: Pack, row: int) -> list[int]:
    """The rows of a pack that a row attends to, in the order of positions: what attention.py does, told from the steps."""
    path: list[int] = []
    for step in pack.steps:
        if step.past is not None:
            path = path[: step.past] + list(range(step.begin, step.end))
            assert len(path) == step.past + step.end - step.begin  # nothing is missing before it
            if step.begin <= row < step.end:
                return path[: path.index(row) + 1]
        begin = step.begin
        for length in step.lengths:
            if begin <= row < begin + length:
                return list(range(begin, row + 1))
            begin += length
    raise AssertionError(f"row {row} is in no step")


@given(SEQUENCES, st.sampled_from([None, 20]))
def test_every_token_sees_what_stands_before_it_in_its_sequence(sequences: list[np.ndarray], longest_whole: int | None) -> None:
    packs = plan(sequences, longest_whole=longest_whole)
    assert sorted(number for pack in packs for number in pack.rows) == list(range(len(sequences)))
    for pack in packs:
        for number, rows in pack.rows.items():
            np.testing.assert_array_equal(pack.ids[rows], sequences[number])
            np.testing.assert_array_equal(pack.positions[rows], np.arange(len(rows)))
            assert seen_by(pack, rows[-1]) == rows.tolist()


@given(SEQUENCES)
def test_steps_cover_a_pack_in_order_and_are_small(sequences: list[np.ndarray]) -> None:
    for pack in plan(sequences):
        assert [step.begin for step in pack.steps] == [0, *(step.end for step in pack.steps[:-1])]
        assert pack.steps[-1].end == len(pack.ids)
        assert all(step.end - step.begin <= 48 for step in pack.steps)
        assert all(sum(step.lengths) in (0, step.end - step.begin) for step in pack.steps)


@given(SEQUENCES)
def test_no_pack_is_larger_than_the_budget_unless_it_is_one_sequence(sequences: list[np.ndarray]) -> None:
    for pack in plan(sequences):
        assert len(pack.rows) == 1 or len(pack.ids) <= 200


@given(SEQUENCES)
def test_a_sequence_beyond_the_window_never_stays_whole(sequences: list[np.ndarray]) -> None:
    for pack in plan(sequences, longest_whole=20):
        assert all(length <= 20 for step in pack.steps for length in step.lengths)


def test_a_common_beginning_goes_through_the_model_once() -> None:
    prompt = np.arange(1000, 1100)
    continuations = [np.concatenate([prompt, [7, 7, i]]) for i in range(20)]
    (pack,) = plan(continuations, tokens=2048, step=512)
    assert len(pack.ids) == 100 + 2 + 20  # the beginning, the two tokens that all go on with, and the last of each


def test_every_length_of_context_before_the_same_text_costs_one_text() -> None:
    text = np.arange(500)
    (pack,) = plan([text[:n] for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 500)], tokens=2048, step=512)
    assert len(pack.ids) <= 500 + 1 + 2 + 4


def test_equal_sequences_cost_one() -> None:
    (pack,) = plan([np.arange(60)] * 5, tokens=300)
    assert len(pack.ids) == 60


def test_short_beginnings_are_not_shared() -> None:
    # Seven tokens cost less than a step of their own.
    (pack,) = plan([np.array([*range(7), 50 + i]) for i in range(4)])
    assert len(pack.ids) == 4 * 8
    assert pack.steps[0].lengths == (8, 8, 8, 8)


def test_the_longest_comes_first() -> None:
    packs = plan([np.full(n, n) for n in (3, 150, 7, 900)], tokens=160)
    assert [max(map(len, pack.rows.values())) for pack in packs] == [900, 150]


def test_a_short_last_step_is_avoided() -> None:
    (pack,) = plan([np.arange(50)])
    assert [step.end - step.begin for step in pack.steps] == [25, 25]


def test_nothing_gives_no_pack() -> None:
    assert plan([]) == []
