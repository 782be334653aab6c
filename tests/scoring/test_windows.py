"""Windows: every token once, never with less context than promised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenviz.base.errors import ScoringError
from tokenviz.scoring.windows import Window, check_windowing, plan_windows


@st.composite
def plans(draw):
    n_prefix = draw(st.integers(0, 3))
    context = draw(st.integers(max(2, n_prefix + 1 + (n_prefix > 1)), 40))
    stride = draw(st.integers(1, context - max(n_prefix, 1)))
    return draw(st.integers(0, 200)), context, stride, n_prefix


def scored_by(window: Window) -> range:
    return range(window.score_from, window.end)


@given(plans())
def test_every_token_is_scored_exactly_once(plan) -> None:
    n_tokens, context, stride, n_prefix = plan
    windows = plan_windows(0, n_tokens, context=context, stride=stride, n_prefix=n_prefix)
    assert [token for window in windows for token in scored_by(window)] == list(range(0 if n_prefix else 1, n_tokens))


@given(plans())
def test_no_window_is_larger_than_the_context(plan) -> None:
    n_tokens, context, stride, n_prefix = plan
    for window in plan_windows(0, n_tokens, context=context, stride=stride, n_prefix=n_prefix):
        assert len(window) + n_prefix <= context
        assert 0 <= window.begin <= window.score_from < window.end <= n_tokens


@given(plans())
def test_after_the_first_window_every_token_has_the_promised_context(plan) -> None:
    n_tokens, context, stride, n_prefix = plan
    for window in plan_windows(0, n_tokens, context=context, stride=stride, n_prefix=n_prefix)[1:]:
        assert window.score_from - window.begin >= context - n_prefix - stride


@given(plans())
def test_every_scored_token_has_something_before_it_in_its_window(plan) -> None:
    n_tokens, context, stride, n_prefix = plan
    for window in plan_windows(0, n_tokens, context=context, stride=stride, n_prefix=n_prefix):
        assert window.score_from - window.begin + n_prefix >= 1


@given(plans())
def test_with_stride_1_every_token_has_as_much_context_as_fits(plan) -> None:
    n_tokens, context, _, n_prefix = plan
    for window in plan_windows(0, n_tokens, context=context, stride=1, n_prefix=n_prefix):
        for token in scored_by(window):
            assert token - window.begin == min(token, context - n_prefix - 1) or window.begin == 0


@given(plans())
def test_a_passage_that_fits_is_one_window(plan) -> None:
    _, context, stride, n_prefix = plan
    n_tokens = context - n_prefix
    windows = plan_windows(7, n_tokens, context=context, stride=stride, n_prefix=n_prefix)
    assert windows == [Window(7, 0, n_tokens, 0 if n_prefix else 1)]


def test_windows_by_hand() -> None:
    windows = plan_windows(3, 10, context=5, stride=2, n_prefix=1)
    assert windows == [Window(3, 0, 4, 0), Window(3, 2, 6, 4), Window(3, 4, 8, 6), Window(3, 6, 10, 8)]


@pytest.mark.parametrize("n_tokens", [0, 1])
def test_without_a_prefix_nothing_is_scored_in_less_than_two_tokens(n_tokens: int) -> None:
    assert plan_windows(0, n_tokens, context=8, stride=4, n_prefix=0) == []


def test_the_default_is_the_models_limit_and_half_of_it() -> None:
    assert check_windowing(context=None, stride=None, limit=128, n_prefix=0) == (128, 64)
    assert check_windowing(context=9, stride=None, limit=128, n_prefix=1) == (9, 4)
    assert check_windowing(context=2, stride=None, limit=128, n_prefix=1) == (2, 1)


@given(st.integers(0, 3), st.integers(2, 40), st.none() | st.integers(2, 40), st.none() | st.integers(1, 40))
def test_what_is_let_through_can_be_planned(n_prefix: int, limit: int, context: int | None, stride: int | None) -> None:
    limit += n_prefix
    try:
        context, stride = check_windowing(context=context, stride=stride, limit=limit, n_prefix=n_prefix)
    except ScoringError:
        return
    windows = plan_windows(0, 100, context=context, stride=stride, n_prefix=n_prefix)
    assert [token for window in windows for token in scored_by(window)] == list(range(0 if n_prefix else 1, 100))
    assert max(len(window) for window in windows) + n_prefix <= limit


def test_the_largest_stride_is_let_through() -> None:
    assert check_windowing(context=10, stride=9, limit=10, n_prefix=0) == (10, 9)
    assert check_windowing(context=10, stride=9, limit=10, n_prefix=1) == (10, 9)
