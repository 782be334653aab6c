"""What logits say of the token that follows: log-prob, entropy, rank and the likeliest alternatives."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.errors import ScoringError
from tokenviz.models.openings import PUNCTUATION, SPACE, Openings

_GROUPS = 64


@dataclass(frozen=True)
class PositionColumns:
    """Columns with a row for each of m positions."""

    def take(self, rows: NDArray[np.int64] | slice) -> Self:
        """Some of the positions."""
        return type(self)(**{name: value[rows] for name, value in vars(self).items()})

    def split(self, lengths: list[int]) -> list[Self]:
        """Consecutive parts of given lengths."""
        return [self.take(slice(begin, end)) for begin, end in pairwise(np.cumsum([0, *lengths]))]


@dataclass(frozen=True)
class PositionStatistics(PositionColumns):
    """What the logits at m positions say of the m tokens that follow; see `TokenScores` for the definitions.

    Attributes:
        logprob: (m,) nats.
        entropy: (m,) nats.
        rank: (m,) 1 for the likeliest.
        top_ids: (m, k).
        top_logprobs: (m, k) nats.
        space_logprob: (m,) nats, that the token opens with whitespace; NaN where the vocabulary is not sorted by that.
        punctuation_logprob: (m,) nats, that it opens with punctuation.
    """

    logprob: NDArray[np.float64]
    entropy: NDArray[np.float64]
    rank: NDArray[np.float64]
    top_ids: NDArray[np.int64]
    top_logprobs: NDArray[np.float64]
    space_logprob: NDArray[np.float64]
    punctuation_logprob: NDArray[np.float64]


@dataclass(frozen=True)
class OpeningIds:
    """The tokens that open with whitespace and with punctuation, in the form in which their mass is summed quickest.

    Attributes:
        space: (vocabulary,) 1 for those with whitespace, about half of them, and 0 for the others.
        punctuation: The ids of those with punctuation, a few in a hundred.
    """

    space: torch.Tensor
    punctuation: torch.Tensor

    @classmethod
    def of(cls, openings: Openings, device: str, dtype: torch.dtype) -> "OpeningIds | None":
        """On the device of the logits and in the dtype of their softmax; None where spaces are not at the front of words."""
        if openings.spaces != "front":
            return None
        kinds = torch.from_numpy(openings.kinds).to(device)
        wide = torch.promote_types(dtype, torch.float32)
        return cls((kinds == SPACE).to(wide), torch.nonzero(kinds == PUNCTUATION)[:, 0])


Columns = TypeVar("Columns", bound=PositionColumns)


def concatenate(parts: list[Columns]) -> Columns:
    """All parts as one."""
    return type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@torch.inference_mode()
def statistics_of(
    logits: torch.Tensor, targets: torch.Tensor, top_k: int, openings: OpeningIds | None = None
) -> PositionStatistics:
    """Read the statistics off logits.

    Every pass over the logits is a twentieth of the output head's time: `torch.softmax` is one pass that takes less
    than an exponential alone, and sums of whole tensors are exact to a few roundings where its own sum is not.

    Args:
        logits: (m, vocabulary), any floating dtype; the softmax is float32, or float64 for float64 logits. Overwritten.
        targets: (m,) ids below the vocabulary's size.
        top_k: Alternatives to keep.
        openings: Whose mass to add up besides.

    Returns:
        The statistics; NaN or infinite where the logits are not all finite.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    top_ids, top_values = top(logits, max(1, top_k))
    greatest = top_values[:, :1]
    top_values = (top_values - greatest)[:, :top_k]
    # Shifted by the greatest before anything is subtracted: a logit of -100 has an error of 4e-6 of its own.
    shifted = logits.sub_(greatest)  # (m, vocabulary)
    target = shifted.gather(-1, targets[:, None])  # (m, 1)
    probabilities = shifted.softmax(dim=-1)
    sum_ = probabilities.sum(dim=-1)  # 1, but for what the softmax's own sum was off
    log_total = sum_.log() - probabilities.gather(-1, top_ids[:, :1])[:, 0].log()
    space, punctuation = _opening_logprobs(probabilities, sum_, openings)
    weighted = probabilities.mul_(shifted).sum(dim=-1) / sum_
    # Counted in floats, which is exact below 2 ** 24 and five times as fast as a sum of booleans.
    rank = 1 + torch.gt(shifted, target, out=shifted).sum(dim=-1)
    return PositionStatistics(
        logprob=float64(target[:, 0] - log_total),
        entropy=float64(log_total - weighted),
        rank=float64(rank),
        top_ids=top_ids[:, :top_k].cpu().numpy(),
        top_logprobs=float64(top_values - log_total[:, None]),
        space_logprob=float64(space),
        punctuation_logprob=float64(punctuation),
    )


def _opening_logprobs(
    probabilities: torch.Tensor, sum_: torch.Tensor, openings: OpeningIds | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log of the mass of both kinds of openings, (m,) each; `sum_` (m,) is what the probabilities (m, vocabulary) add up to."""
    if openings is None:
        return torch.full_like(sum_, torch.nan), torch.full_like(sum_, torch.nan)
    space = torch.mv(probabilities, openings.space)
    punctuation = probabilities.index_select(-1, openings.punctuation).sum(dim=-1)
    return (space / sum_).log(), (punctuation / sum_).log()


def top(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and values of the k greatest, greatest first.

    They lie in the k groups with the greatest maxima, a group being columns that lie equally far apart; so only the
    maxima and a few groups are sorted, which is eight times as fast as sorting all.
    """
    m, vocabulary = logits.shape
    width = vocabulary // _GROUPS  # of groups, each of _GROUPS columns; the columns left over are all candidates
    if width <= k:
        values, ids = logits.topk(k, dim=-1)
        return ids, values
    maxima = logits[:, : width * _GROUPS].view(m, _GROUPS, width).amax(dim=1)
    groups = maxima.topk(k, dim=-1, sorted=False).indices  # (m, k)
    columns = torch.arange(_GROUPS, device=logits.device)[:, None] * width
    left_over = torch.arange(width * _GROUPS, vocabulary, device=logits.device).expand(m, -1)
    candidates = torch.cat([(groups[:, None, :] + columns).flatten(1), left_over], dim=1)
    values, places = logits.gather(-1, candidates).topk(k, dim=-1)
    return candidates.gather(-1, places), values


def float64(values: torch.Tensor) -> NDArray[np.float64]:
    return values.cpu().numpy().astype(np.float64)


def check_finite(statistics: PositionStatistics, where: str, positions: NDArray[np.int64]) -> None:
    """Refuse statistics of logits that were NaN or infinite.

    Args:
        statistics: Of m positions.
        where: The model and text, for the message.
        positions: (m,) of the tokens in the passage.

    Raises:
        ScoringError: One is not finite; the first is named.
    """
    finite = np.isfinite(statistics.logprob) & np.isfinite(statistics.entropy)
    if not finite.all():
        position = int(positions[~finite][0])
        raise ScoringError(
            f"{where}, token {position}: the model's logits are NaN or infinite; nothing was recorded. "
            "Try dtype=float32, or check the weights"
        )
