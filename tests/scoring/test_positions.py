"""A number of somebody's own for every token: from the logits that predicted it, in whatever portions they come."""

import numpy as np
import pytest
import torch
from arithmetic import BIGRAM_WEIGHTS
from writing import ALICE

import tokenviz as tv
from tokenviz.base.errors import ScoringError
from tokenviz.data.texts import corpus
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import Budget
from tokenviz.scoring.positions import position_values


def margin(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    first, second = logits.topk(2, dim=-1).values.T
    return first - second


def logprob(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return logits.log_softmax(-1).gather(-1, ids[:, None])[:, 0]


def test_a_measure_is_the_arithmetic_of_the_models_weights(bigram: LoadedModel) -> None:
    found = position_values(bigram, "abcdd", margin)
    ordered = np.sort(BIGRAM_WEIGHTS, axis=1)
    expected = np.log(ordered[:, -1] / ordered[:, -2])[[0, 1, 2, 3]]  # the row of the token before each
    assert np.isnan(found.values[0])
    np.testing.assert_allclose(found.values[1:], expected, atol=1e-5)
    assert found.token == ("a", "b", "c", "d", "d")


def test_the_token_that_followed_is_given_beside_the_logits(glass: LoadedModel) -> None:
    text = corpus([ALICE, "", "A", ALICE[::-1]], name="several")
    for settings in ({}, {"context": 8, "stride": 2}):
        found, scores = position_values(glass, text, logprob, **settings), tv.score(glass, text, **settings)
        np.testing.assert_allclose(found.values, scores.logprob, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.logprob, scores.logprob, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(found.passage, scores.passage)
        np.testing.assert_array_equal(found.position, scores.position)
        assert found.token == scores.token


def test_a_bos_gives_the_first_token_a_value(bigram_bos: LoadedModel) -> None:
    assert not np.isnan(position_values(bigram_bos, "abcd", margin).values).any()


@pytest.mark.parametrize("function", [margin, logprob])
def test_portions_of_any_size_give_the_same_values(glass: LoadedModel, monkeypatch: pytest.MonkeyPatch, function) -> None:
    whole = position_values(glass, ALICE, function).values
    sizes = []

    def watched(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        sizes.append(len(ids))
        assert logits.dtype == torch.float32
        values = function(logits, ids)
        logits.zero_()  # what it does to its logits is its own affair
        return values

    monkeypatch.setattr(Kernel.of(glass), "budget", Budget(tokens=64, logits=3 * glass.vocabulary))
    np.testing.assert_allclose(position_values(glass, ALICE, watched).values, whole, atol=1e-5)
    assert max(sizes) == 3


def test_missing_values_of_the_function_stay_missing(glass: LoadedModel) -> None:
    found = position_values(glass, ALICE, lambda logits, ids: torch.where(ids % 2 == 0, torch.nan, 1.0))
    ids = tv.score(glass, ALICE).token_id
    np.testing.assert_array_equal(np.isnan(found.values[1:]), ids[1:] % 2 == 0)


def whole_table(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return logits


def one_number(logits: torch.Tensor, ids: torch.Tensor) -> float:
    return 1.0


def across(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return logits.softmax(dim=0)[:, 0]


def infinite(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return torch.full((len(ids),), torch.inf)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            whole_table,
            r"whole_table gave a tensor of shape \(1, 4\) for logits of shape \(1, 4\): it must give one real number a "
            r"position, a tensor of shape \(1,\)",
        ),
        (one_number, "one_number gave float for logits of shape .*"),
        (
            across,
            r"across gave 0\.[0-9]+ for a position among 4, and 1 for the same one alone: it must look at each position by "
            "itself; give dim=-1 to sums, maxima and softmax",
        ),
        (infinite, "infinite gave an infinite number: give NaN where there is none"),
    ],
)
def test_what_is_no_measure_of_a_position_is_refused(bigram: LoadedModel, function, message: str) -> None:
    with pytest.raises(ScoringError, match=f"^{message}$"):
        position_values(bigram, "abcdd", function)
