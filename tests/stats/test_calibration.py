"""Calibration of entropy against surprisal: bins by arithmetic, and a model that is right about itself."""

import numpy as np
import pytest
from tables import NAN

from tokenviz.stats.definitions import Calibration, calibrate


def calibrate_lists(entropies: list[float], logprobs: list[float], *, bins: int = 10) -> Calibration:
    return calibrate(np.array(entropies), -np.array(logprobs), bins=bins)


def test_bins_are_cut_by_entropy_and_hold_means() -> None:
    order = [7, 0, 3, 9, 1, 5, 2, 8, 4, 6]
    found = calibrate_lists([NAN, *[float(i) for i in order]], [NAN, *[-2.0 * i for i in order]], bins=2)
    assert found.n.tolist() == [5, 5]
    np.testing.assert_array_equal(found.entropy, [2.0, 7.0])
    np.testing.assert_array_equal(found.surprisal, [4.0, 14.0])
    # Twice 0..4 has the variance 4 * 2.5.
    np.testing.assert_allclose(found.standard_error, [np.sqrt(10 / 5)] * 2)


@pytest.mark.parametrize(
    ("n", "bins", "counts"), [(9, 10, [9]), (10, 10, [5, 5]), (23, 4, [6, 6, 6, 5]), (1, 10, [1]), (0, 10, [])]
)
def test_there_are_no_bins_of_hardly_any_tokens(n: int, bins: int, counts: list[int]) -> None:
    found = calibrate_lists([NAN] + [1.0] * n, [NAN] + [-1.0] * n, bins=bins)
    assert found.n.tolist() == counts
    assert len(found.entropy) == len(found.surprisal) == len(found.standard_error) == len(counts)


def test_one_token_has_no_standard_error() -> None:
    assert np.isnan(calibrate_lists([NAN, 1.0], [NAN, -1.0]).standard_error).tolist() == [True]


def test_a_model_whose_tokens_follow_its_predictions_is_on_the_line() -> None:
    draws = np.random.default_rng(1)
    logits = draws.normal(size=(20_000, 20)) * draws.uniform(0, 6, size=(20_000, 1))
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropies = -(weights * np.log(weights)).sum(axis=1)
    chosen = (weights.cumsum(axis=1) > draws.uniform(size=(20_000, 1))).argmax(axis=1)
    logprobs = np.log(weights[np.arange(20_000), chosen])
    found = calibrate_lists(list(entropies), list(logprobs), bins=8)
    # Eight means, each within four standard errors of what it should be.
    assert (np.abs(found.surprisal - found.entropy) < 4 * found.standard_error).all()
    assert found.entropy.min() < 1 < 1.5 < found.entropy.max()
    overconfident = calibrate_lists(list(entropies / 2), list(logprobs), bins=8)
    assert (overconfident.surprisal > overconfident.entropy).all()
