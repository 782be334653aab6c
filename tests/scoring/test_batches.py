"""Batches: every window once, little padding, no batch too large."""

from hypothesis import given
from hypothesis import strategies as st

from tokenviz.scoring.windows import TOKEN_BUDGET, plan_batches

LENGTHS = st.lists(st.integers(1, 300), max_size=60)


@given(LENGTHS)
def test_every_sequence_is_in_exactly_one_batch(lengths: list[int]) -> None:
    batches = plan_batches(lengths, token_budget=512)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS)
def test_no_batch_is_larger_than_the_budget_unless_it_is_one_sequence(lengths: list[int]) -> None:
    for batch in plan_batches(lengths, token_budget=256):
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= 256


@given(LENGTHS)
def test_at_most_a_tenth_of_a_batch_is_padding(lengths: list[int]) -> None:
    for batch in plan_batches(lengths, token_budget=512):
        padded = max(lengths[i] for i in batch) * len(batch)
        assert padded - sum(lengths[i] for i in batch) <= 0.1 * padded


@given(LENGTHS)
def test_the_longest_comes_first(lengths: list[int]) -> None:
    order = [lengths[i] for batch in plan_batches(lengths) for i in batch]
    assert order == sorted(lengths, reverse=True)


def test_equal_sequences_fill_the_budget() -> None:
    batches = plan_batches([64] * 100)
    assert [len(batch) for batch in batches] == [TOKEN_BUDGET // 64] * 3 + [100 % (TOKEN_BUDGET // 64)]


def test_a_sequence_beyond_the_budget_is_a_batch_by_itself() -> None:
    assert plan_batches([10, 900, 10], token_budget=100) == [[1], [0, 2]]


def test_nothing_gives_no_batch() -> None:
    assert plan_batches([]) == []
