"""What resamples are drawn of, and whether they are what they are said to be."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from tokenviz.stats.resampling import (
    Resampling,
    block_length,
    check_resampling,
    default_resamples,
    drawn_in,
    left_out,
    plan,
    sums_before,
    weights,
)


def autoregression(n: int, phi: float, seed: int = 7) -> np.ndarray:
    return np.asarray(lfilter([1], [1, -phi], np.random.default_rng(seed).normal(size=n)))


def drawn(resampling: Resampling, n: int) -> np.ndarray:
    return np.concatenate(list(weights(resampling, n)), axis=1)


# arch 8.0.0, arch.bootstrap.optimal_block_length(autoregression(n, phi))["circular"]
@pytest.mark.parametrize(
    ("n", "phi", "length"),
    [
        (200, 0.3, 5.166267536928871), (200, 0.6, 9.98098652511809), (200, 0.9, 19.49039058859953),
        (1000, 0.6, 21.980225176075688), (1000, 0.9, 48.650325254213826), (5000, 0.3, 15.349480463792938),
        (5000, 0.6, 33.55921389607594), (5000, 0.9, 106.0954426126422), (5000, -0.5, 17.192951543439264),
    ],
)  # fmt: skip
def test_the_length_of_blocks_is_that_of_another_implementation(n: int, phi: float, length: float) -> None:
    expected = math.ceil(max(length, n ** (1 / 3)))
    assert block_length([autoregression(n, phi)]) == expected
    # Of several rows the longest counts.
    assert block_length([autoregression(n, 0), autoregression(n, phi)]) == expected


@pytest.mark.parametrize(("n", "length"), [(10, 2), (64, 4), (1000, 10), (1001, 11), (5000, 18)])
def test_blocks_of_independent_values_have_the_cube_root(n: int, length: int) -> None:
    assert block_length([np.zeros(n)]) == length


def test_blocks_are_at_most_a_quarter() -> None:
    assert block_length([autoregression(40, 0.99)]) == 10


def test_blocks_do_not_change_with_the_sign_or_size_of_the_values() -> None:
    values = autoregression(500, 0.7)
    assert block_length([values]) == block_length([-values]) == block_length([1000 * values - 5])


def test_a_resample_of_blocks_is_made_of_runs_of_neighbours() -> None:
    n, length = 23, 5
    resampling = Resampling("blocks", length, 5, n / length, 400, 3)
    found = drawn(resampling, n)
    assert found.shape == (n, 400)
    assert (found.sum(axis=0) == n).all()
    # The same starts, block by block: four whole ones and three units of the fifth.
    starts = np.random.Generator(np.random.PCG64(3)).integers(0, n, size=(192, 5))
    for resample, row in enumerate(starts):
        units = [(start + i) % n for start, size in zip(row, (5, 5, 5, 5, 3), strict=True) for i in range(size)]
        np.testing.assert_array_equal(found[:, resample], np.bincount(units, minlength=n))


def test_every_unit_is_drawn_alike_also_the_first_and_the_last() -> None:
    found = drawn(Resampling("blocks", 7, 8, 50 / 7, 20_000, 0), 50)
    # A count has mean 1 and variance of about 1; 20,000 of them a standard error of 0.007.
    np.testing.assert_allclose(found.mean(axis=1), 1, atol=0.035)


def test_neighbours_are_drawn_together_as_often_as_blocks_hold_both() -> None:
    found = drawn(Resampling("blocks", 10, 10, 10, 20_000, 0), 100).astype(float)
    together = np.array([np.mean((found[0] - 1) * (found[lag] - 1)) for lag in range(12)])
    # The variance of a count is 1 but for 1 / 100; Bartlett's triangle falls to 0 at the length of a block.
    np.testing.assert_allclose(together, np.maximum(0, 1 - np.arange(12) / 10) - 0.1, atol=0.04)


def test_a_resample_of_groups_holds_each_whole() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 4, 5])
    resampling, _ = plan([np.arange(12.0)], {"texts": np.zeros(12, int), "passages": labels}, 500, 1)
    assert resampling is not None
    assert (resampling.of, resampling.count) == ("passages", 6)
    found = drawn(resampling, 12)
    for label in range(6):
        assert (found[labels == label] == found[labels == label][0]).all()
    firsts = found[[0, 3, 4, 6, 9, 11]]
    assert (firsts.sum(axis=0) == 6).all()
    assert len({tuple(column) for column in firsts.T}) > 200


def decided(texts: np.ndarray, passages: np.ndarray) -> Resampling | str:
    found, reason = plan([np.zeros(len(texts))], {"texts": texts, "passages": passages}, 500, 1)
    assert (found is None) == bool(reason)
    return found or reason


def test_texts_are_drawn_where_there_are_several_passages_where_there_is_one_text_and_blocks_of_one_passage() -> None:
    one, ten, six = np.zeros(60, int), np.arange(60) // 6, np.arange(60) // 10
    assert decided(six, ten) == Resampling("texts", None, 6, 6.0, 500, 1)
    assert decided(one, ten) == Resampling("passages", None, 10, 10.0, 500, 1)
    assert decided(one, one) == Resampling("blocks", 4, 15, 15.0, 500, 1)
    assert decided(np.arange(60) // 20, ten) == Resampling("texts", None, 3, 3.0, 500, 1)


def test_two_texts_or_passages_are_not_enough_and_are_not_cut_into_blocks() -> None:
    two, ten, one = np.arange(60) // 30, np.arange(60) // 6, np.zeros(60, int)
    assert decided(two, ten) == "2 texts, and an interval across texts needs at least 3"
    assert decided(one, two) == "2 passages, and an interval across passages needs at least 3"


def sized(*sizes: int) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def test_passages_count_by_their_sizes() -> None:
    # One passage of 100 units and 19 of one: (119)^2 / (100^2 + 19) = 1.41 passages, not 20.
    labels = sized(100, *[1] * 19)
    assert decided(np.zeros(119, int), labels) == (
        "20 passages of such unequal size that they count as 1.4, and an interval across passages needs them to count as 2 "
        "at least"
    )
    five = sized(134, 418, 98, 399, 113)
    drawn = decided(five, five)
    assert isinstance(drawn, Resampling)
    assert (drawn.count, drawn.pieces) == (5, pytest.approx(3.608, abs=1e-3))
    three = decided(sized(134, 418, 98), sized(134, 418, 98))
    assert isinstance(three, Resampling)  # and Student's t for 2.09 texts makes the interval wide


def test_each_text_is_left_out_once() -> None:
    labels = sized(4, 3, 5)
    drawn = decided(labels, labels)
    assert isinstance(drawn, Resampling)
    without = np.concatenate(list(left_out(drawn, 12)), axis=1)
    np.testing.assert_array_equal(without.T, [labels != 0, labels != 1, labels != 2])


def test_blocks_and_hundreds_of_passages_are_not_left_out_one_by_one() -> None:
    assert list(left_out(Resampling("blocks", 4, 15, 15.0, 500, 1), 60)) == []
    passages = np.arange(402) // 2
    drawn = decided(np.zeros(402, int), passages)
    assert isinstance(drawn, Resampling)
    assert list(left_out(drawn, 402)) == []


def test_the_same_seed_draws_the_same_and_another_seed_does_not() -> None:
    first, again, other = (drawn(Resampling("blocks", 3, 10, 10, 300, seed), 30) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_more_resamples_begin_with_the_same_ones() -> None:
    few, many = (drawn(Resampling("blocks", 3, 10, 10, resamples, 5), 30) for resamples in (200, 700))
    np.testing.assert_array_equal(few, many[:, :200])


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_sums_before_are_numpys(n: int, dtype: type) -> None:
    rows = np.random.default_rng(n).integers(0, 5, size=(n, 3)).astype(dtype)
    expected = np.concatenate([np.zeros((1, 3), dtype), np.cumsum(rows, axis=0, dtype=dtype)])
    np.testing.assert_array_equal(sums_before(rows), expected)
    assert sums_before(rows).dtype == dtype


@pytest.mark.parametrize(("n", "count"), [(0, 2000), (10_000, 2000), (20_000, 1000), (10**6, 500)])
def test_long_texts_have_fewer_resamples(n: int, count: int) -> None:
    assert default_resamples(n) == count


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (Resampling("blocks", 9, 8, 7.1, 2000, 0), "2,000 resamples of 8 blocks of 9 tokens (seed 0)"),
        (Resampling("blocks", 1, 1200, 1200, 500, 0, "word"), "500 resamples of 1,200 blocks of 1 word (seed 0)"),
        (Resampling("texts", None, 9, 7.1, 500, 3), "500 resamples of 9 texts, effectively 7.1 (seed 3)"),
        (Resampling("passages", None, 9, 8.99, 500, 3), "500 resamples of 9 passages (seed 3)"),
    ],
)
def test_a_reader_is_told_what_was_drawn(drawn: Resampling, words: str) -> None:
    assert drawn.described == words
    assert drawn_in(drawn.numbers, drawn.unit) == drawn.pieces_named


def test_an_unknown_count_is_not_stated() -> None:
    assert Resampling("blocks", 9, 0, math.nan, 2000, 0).pieces_named == "blocks of 9 tokens"
    assert Resampling("texts", None, 0, math.nan, 2000, 0).pieces_named == "texts"


def test_metrics_without_resamples_say_nothing() -> None:
    assert drawn_in({"pearson_r": 0.5}, "token") == ""


@pytest.mark.parametrize("resamples", [None, 0, 100])
def test_other_numbers_are_not(resamples: int | None) -> None:
    check_resampling(resamples, 0)
