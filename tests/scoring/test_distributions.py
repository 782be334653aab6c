"""Divergences of two rows of logits: by hand, against scipy, and what holds for any."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from tokenviz.scoring.statistics import divergences_of

LOG2 = math.log(2)


def pair(seed: int, *, m: int = 6, vocabulary: int = 5000, spread: float = 4.0, apart: float = 1.0) -> list[torch.Tensor]:
    """Logits of two models, in float64: random ones, and those with a random difference."""
    generator = torch.Generator().manual_seed(seed)
    first, noise = (torch.randn(m, vocabulary, generator=generator, dtype=torch.float64) for _ in range(2))
    return [first * spread - 30, first * spread + noise * apart + 5]


def scipys(logits_a: torch.Tensor, logits_b: torch.Tensor) -> dict[str, np.ndarray]:
    p, q = (logits.double().softmax(-1).numpy() for logits in (logits_a, logits_b))
    return {
        "kl_ab": entropy(p, q, axis=1),
        "kl_ba": entropy(q, p, axis=1),
        "js": jensenshannon(p, q, axis=1) ** 2,
        "total_variation": np.abs(p - q).sum(axis=1) / 2,
    }


def test_divergences_by_hand() -> None:
    # P = 1/2, 1/4, 1/4 and Q = 1/4, 1/4, 1/2; their mean is 3/8, 1/4, 3/8.
    found = divergences_of(torch.tensor([[2.0, 1, 1]]).log() + 9, torch.tensor([[1.0, 1, 2]]).log() - 40, 2)
    assert found.kl_ab[0] == pytest.approx(LOG2 / 4, abs=1e-6)
    assert found.kl_ba[0] == pytest.approx(LOG2 / 4, abs=1e-6)
    assert found.js[0] == pytest.approx(math.log(4 / 3) / 2 + math.log(2 / 3) / 4, abs=1e-6)
    assert found.total_variation[0] == pytest.approx(1 / 4, abs=1e-7)


def test_the_two_directions_differ_where_the_distributions_do() -> None:
    found = divergences_of(torch.tensor([[3.0, 1]]).log(), torch.tensor([[1.0, 1]]).log(), 0)
    assert found.kl_ab[0] == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), abs=1e-6)
    assert found.kl_ba[0] == pytest.approx(-math.log(0.75) / 2, abs=1e-6)


@pytest.mark.parametrize("apart", [1e-4, 0.01, 1.0, 10.0])
def test_float64_is_what_scipy_says(apart: float) -> None:
    logits = pair(0, apart=apart)
    found = divergences_of(*logits, 0)
    for name, expected in scipys(*logits).items():
        # scipy sums P log(P / Q), which cancels down to the last digits of a float64; ours does not.
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("apart", [1e-3, 0.01, 1.0, 10.0])
def test_float32_is_close_to_float64_also_for_close_distributions(apart: float) -> None:
    logits = [one.float() for one in pair(1, vocabulary=100_000, apart=apart)]
    found, expected = divergences_of(*logits, 0), divergences_of(*(one.double() for one in logits), 0)
    for name in ("kl_ab", "kl_ba", "js", "total_variation"):
        # A KL of 5e-7 is found to 1 %: the sum of P log(P / Q) in float32 would be off by as much as it is.
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0.01, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_get_a_float32_softmax(dtype: torch.dtype) -> None:
    logits = [one.to(dtype) for one in pair(2)]
    for name, expected in scipys(*logits).items():
        np.testing.assert_allclose(getattr(divergences_of(*logits, 0), name), expected, rtol=1e-4, err_msg=name)


def test_two_dtypes_meet_in_the_wider() -> None:
    single, double = pair(3)
    found = divergences_of(single.bfloat16(), double, 0)
    for name, expected in scipys(single.bfloat16(), double).items():
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, err_msg=name)


def test_the_logits_are_left_as_they_were() -> None:
    logits = [one.float() for one in pair(4)]
    before = [one.clone() for one in logits]
    divergences_of(*logits, 3)
    assert all(torch.equal(*both) for both in zip(logits, before, strict=True))


def test_probabilities_that_underflow_add_the_other_one_and_no_nan() -> None:
    # exp(-200) is 0 in float32: P = 1, 0 and Q = 0, 1.
    found = divergences_of(torch.tensor([[0.0, -200]]), torch.tensor([[-200.0, 0]]), 1)
    assert (found.kl_ab[0], found.kl_ba[0]) == (200, 200)
    assert found.js[0] == pytest.approx(LOG2, abs=1e-7)
    assert found.js[0] <= LOG2
    assert (found.total_variation[0], found.top_overlap[0], found.same_first[0]) == (1, 0, 0)


def test_overlap_is_the_share_of_common_ids_in_any_order() -> None:
    a, b = torch.tensor([[5.0, 4, 3, 2, 1]]), torch.tensor([[1.0, 5, 2, 4, 3]])
    assert [divergences_of(a, b, k).top_overlap[0] for k in (1, 2, 3, 4, 5)] == [0, 1 / 2, 1 / 3, 3 / 4, 1]
    assert np.isnan(divergences_of(a, b, 0).top_overlap[0])


def test_a_tied_first_choice_is_a_first_choice() -> None:
    a = torch.tensor([[1.0, 3, 3], [3, 1, 1], [0, 16777216, 16777217.0]])
    b = torch.tensor([[0.0, 0, 1], [0, 1, 1], [0, 2, 1.0]])
    # In the last row float32 has no 16777217: it is a tie, as in the model's own logits.
    assert divergences_of(a, b, 0).same_first.tolist() == [1, 0, 1]


def test_logits_that_differ_in_their_last_digit_are_no_tie() -> None:
    low = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    a, b = torch.tensor([[1.0, low] + [0.99] * 2000]), torch.tensor([[0.0, 1] + [0] * 2000])
    assert divergences_of(a, b, 0).same_first.tolist() == [0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_one_bad_logit_makes_its_row_nan_and_no_other(bad: float, which: int) -> None:
    logits = [one.float() for one in pair(5, m=3)]
    logits[which][1, 7] = bad
    found = divergences_of(*logits, 0)
    assert np.isfinite(found.kl_ab + found.kl_ba).tolist() == [True, False, True]


rows = st.lists(st.floats(-150, 150, width=32), min_size=1, max_size=40)


@given(st.data(), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_divergences_keep_their_bounds(data: st.DataObject, dtype: torch.dtype) -> None:
    a = data.draw(rows)
    b = data.draw(st.lists(st.floats(-150, 150, width=32), min_size=len(a), max_size=len(a)))
    logits = [torch.tensor([one], dtype=dtype) for one in (a, b)]
    found, swapped = divergences_of(*logits, 1), divergences_of(*reversed(logits), 1)
    for values, bound in ((found.kl_ab, math.inf), (found.kl_ba, math.inf), (found.js, LOG2), (found.total_variation, 1)):
        assert 0 <= values[0] <= bound
    assert (found.kl_ab, found.kl_ba) == (swapped.kl_ba, swapped.kl_ab)
    for name in ("js", "total_variation", "same_first"):
        assert getattr(found, name)[0] == pytest.approx(getattr(swapped, name)[0], rel=1e-6, abs=1e-12)


@given(st.integers(0, 2**31), st.sampled_from([1e-7, 1e-5, 1e-3]))
def test_rounding_never_makes_a_divergence_negative(seed: int, apart: float) -> None:
    found = divergences_of(*(one.float() for one in pair(seed, m=2, vocabulary=3000, apart=apart)), 0)
    assert min(found.kl_ab.min(), found.kl_ba.min(), found.js.min()) >= 0


@given(rows, st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_equal_logits_have_no_divergence(row: list[float], dtype: torch.dtype) -> None:
    logits = torch.tensor([row], dtype=dtype)
    found = divergences_of(logits, logits.clone(), 1)
    assert (found.kl_ab, found.kl_ba, found.js, found.total_variation) == (0, 0, 0, 0)
    assert (found.top_overlap, found.same_first) == (1, 1)


def test_rows_do_not_depend_on_their_neighbours() -> None:
    logits = [one.float() for one in pair(6)]
    whole = divergences_of(*logits, 10)
    parts = [divergences_of(logits[0][i : i + 1], logits[1][i : i + 1], 10) for i in range(6)]
    for name, column in vars(whole).items():
        np.testing.assert_allclose(np.concatenate([getattr(part, name) for part in parts]), column, rtol=1e-6, err_msg=name)
