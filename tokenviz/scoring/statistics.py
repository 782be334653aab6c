"""Statistics of logits: of the token that follows, and of how far two models' predictions are apart."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.base.errors import ScoringError
from tokenviz.models.vocabulary import PUNCTUATION, SPACE, WordStarts

# Statistics from logits of the token that follows: log-prob, entropy, rank and the likeliest alternatives.

_GROUPS = 64
_LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class PositionColumns:
    """Columns with one row for each of m positions."""

    def take(self, rows: NDArray[np.int64] | slice) -> Self:
        """Return the columns for some of the positions."""
        return type(self)(**{name: value[rows] for name, value in vars(self).items()})

    def split(self, lengths: list[int]) -> list[Self]:
        """Split the columns into consecutive parts of given lengths."""
        return [self.take(slice(begin, end)) for begin, end in pairwise(np.cumsum([0, *lengths]))]


@dataclass(frozen=True)
class PositionStatistics(PositionColumns):
    """Statistics of the m tokens that follow m positions, with the definitions of `TokenScores`.

    Attributes:
        logprob: (m,) log-prob of the token, in nats.
        entropy: (m,) in nats.
        rank: (m,) 1 for the likeliest token.
        top_ids: (m, k) ids of the k likeliest tokens.
        top_logprobs: (m, k) their log-probs, in nats.
        space_logprob: (m,) log of the probability that the token opens with whitespace, in nats; NaN where the vocabulary does
            not mark spaces at the front of words.
        punctuation_logprob: (m,) log of the probability that the token opens with punctuation, in nats; NaN likewise.
    """

    logprob: NDArray[np.float64]
    entropy: NDArray[np.float64]
    rank: NDArray[np.float64]
    top_ids: NDArray[np.int64]
    top_logprobs: NDArray[np.float64]
    space_logprob: NDArray[np.float64]
    punctuation_logprob: NDArray[np.float64]


@dataclass(frozen=True)
class WordStartIds:
    """The tokens that open with whitespace and with punctuation, in the forms whose mass is summed fastest.

    Attributes:
        space: (vocabulary,) 1 for tokens that open with whitespace, about half of them, and 0 for the others.
        punctuation: The ids of tokens that open with punctuation, a few per cent.
    """

    space: torch.Tensor
    punctuation: torch.Tensor

    @classmethod
    def of(cls, word_starts: WordStarts, device: str, dtype: torch.dtype) -> "WordStartIds | None":
        """Return the word starts for logits on a device and of a dtype; None where spaces are not at the front of words."""
        if word_starts.spaces != "front":
            return None
        kinds = torch.from_numpy(word_starts.kinds).to(device)
        wide = torch.promote_types(dtype, torch.float32)
        return cls((kinds == SPACE).to(wide), torch.nonzero(kinds == PUNCTUATION)[:, 0])


Columns = TypeVar("Columns", bound=PositionColumns)


def concatenate(parts: list[Columns]) -> Columns:
    """Concatenate the columns of all parts."""
    return type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@torch.inference_mode()
def statistics_of(
    logits: torch.Tensor, targets: torch.Tensor, top_k: int, word_starts: WordStartIds | None = None
) -> PositionStatistics:
    """Compute the statistics from logits.

    Each pass over the logits takes a hundredth of the output head's time, and an exponential to the base 2 takes two to three
    hundredths. On an AMD EPYC one to the base e takes more than twice as long, and `torch.softmax` twice.

    Args:
        logits: (m, vocabulary), any floating dtype; the softmax is float32, or float64 for float64 logits. Overwritten.
        targets: (m,) ids below the vocabulary's size.
        top_k: Number of likeliest alternatives to keep.
        word_starts: Tokens whose mass is summed as well; by default none, and the word starts' columns are NaN.

    Returns:
        The statistics; NaN or infinite where the logits are not all finite.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    top_ids, top_values = top(logits, max(1, top_k))
    greatest = top_values[:, :1]
    top_values = (top_values - greatest)[:, :top_k]
    # The greatest logit is subtracted first: a float32 logit of -100 has an error of 4e-6 of its own.
    shifted = logits.sub_(greatest)  # (m, vocabulary)
    target = shifted.gather(-1, targets[:, None])  # (m, 1)
    probabilities = (shifted * _LOG2_E).exp2_()  # relative to that of the likeliest token
    sum_ = probabilities.sum(dim=-1)
    log_total = sum_.log()
    space, punctuation = _word_start_logprobs(probabilities, sum_, word_starts)
    weighted = probabilities.mul_(shifted).sum(dim=-1) / sum_
    # Counted as floats: exact below 2 ** 24, and five times as fast as a sum of booleans.
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


def _word_start_logprobs(
    probabilities: torch.Tensor, sum_: torch.Tensor, word_starts: WordStartIds | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log mass of both kinds of word starts, (m,) each; `sum_` (m,) is the sum of `probabilities`."""
    if word_starts is None:
        return torch.full_like(sum_, torch.nan), torch.full_like(sum_, torch.nan)
    space = torch.mv(probabilities, word_starts.space)
    punctuation = probabilities.index_select(-1, word_starts.punctuation).sum(dim=-1)
    return (space / sum_).log(), (punctuation / sum_).log()


def top(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ids and values of the k greatest logits, greatest first.

    The columns are split into groups, each of equally spaced columns. The k greatest are in the k groups with the greatest
    maxima. So only the maxima and a few groups are sorted, which is eight times as fast as sorting all.
    """
    m, vocabulary = logits.shape
    width = vocabulary // _GROUPS  # number of groups, each of _GROUPS columns; the columns left over are all candidates
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
        statistics: Statistics of m positions.
        where: The model and text, for the message.
        positions: (m,) positions of the tokens in the passage.

    Raises:
        ScoringError: A log-prob or an entropy is not finite; the first such token is named.
    """
    finite = np.isfinite(statistics.logprob) & np.isfinite(statistics.entropy)
    if not finite.all():
        position = int(positions[~finite][0])
        raise ScoringError(
            f"{where}, token {position}: the model's logits are NaN or infinite; nothing was recorded. "
            "Try dtype=float32, or check the weights"
        )


# Divergences between two models' predictions over the whole vocabulary, computed from their logits.


@dataclass(frozen=True)
class PositionDivergences(PositionColumns):
    """Divergences between the distributions P of model a and Q of model b at m positions; all columns are (m,).

    Attributes:
        kl_ab: KL(P || Q), the sum of P log(P / Q), in nats: 0 for equal distributions, without an upper bound.
        kl_ba: KL(Q || P), in nats.
        js: Jensen-Shannon divergence, the mean of the KL divergences from P and from Q to the mean of P and Q, in nats: 0 to
            log 2. Its square root is a distance, which scipy.spatial.distance.jensenshannon computes.
        total_variation: Half the sum of |P - Q|: 0 to 1, the largest difference in the probability of any event.
        top_overlap: Share of common ids among the k likeliest of both models, 0 to 1; NaN for k = 0. Among equally likely ids,
            any may be among the k.
        same_first: 1 where both models have the same first choice (an id of rank 1), else 0.
    """

    kl_ab: NDArray[np.float64]
    kl_ba: NDArray[np.float64]
    js: NDArray[np.float64]
    total_variation: NDArray[np.float64]
    top_overlap: NDArray[np.float64]
    same_first: NDArray[np.float64]


@torch.inference_mode()
def divergences_of(logits_a: torch.Tensor, logits_b: torch.Tensor, top_k: int) -> PositionDivergences:
    """Compute the divergences from logits.

    KL is summed as P log(P / Q) - P + Q: the added terms sum to 0 and make each term at least 0. So rounding cannot make the
    sum negative, and an error e of a log-softmax's normaliser changes the sum by e ** 2 / 2 instead of e. With d = log(Q / P) a
    term is P (exp(d) - 1 - d). Here exp(d) - 1 is computed by expm1: for close predictions nearly all digits would be lost to
    cancellation otherwise. Where one probability underflows to 0, the term is the other probability, not NaN.

    Args:
        logits_a: (m, vocabulary), any floating dtype; the softmax is float32, or float64 where either is float64.
        logits_b: (m, vocabulary) for the same ids.
        top_k: The number k of likeliest ids that `top_overlap` compares.

    Returns:
        The divergences; NaN where logits are not all finite.
    """
    dtype = torch.promote_types(torch.promote_types(logits_a.dtype, logits_b.dtype), torch.float32)
    logits_a, logits_b = logits_a.to(dtype), logits_b.to(dtype)
    log_p, log_q = _log_softmax(logits_a), _log_softmax(logits_b)  # (m, vocabulary)
    p, q = log_p.exp(), log_q.exp()
    d = log_q - log_p
    # P = M (1 - t) and Q = M (1 + t) for the mean M of P and Q; this avoids the difference of nearly equal numbers.
    t = torch.tanh(d / 2)
    js = torch.special.xlog1py(1 - t, -t).add_(torch.special.xlog1py(1 + t, t)).clamp_(min=0)
    first_a, first_b = (logits == logits.amax(-1, keepdim=True) for logits in (logits_a, logits_b))
    return PositionDivergences(
        kl_ab=float64(_kl_terms(p, q, d).sum(-1)),
        kl_ba=float64(_kl_terms(q, p, -d).sum(-1)),
        js=np.minimum(float64(js.mul_(p + q).sum(-1) / 4), math.log(2)),
        total_variation=np.minimum(float64((p - q).abs_().sum(-1) / 2), 1.0),
        top_overlap=_overlap(logits_a, logits_b, top_k),
        same_first=float64((first_a & first_b).any(-1)),
    )


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    shifted = logits - logits.amax(-1, keepdim=True)
    return shifted.sub_(shifted.exp().sum(-1, keepdim=True).log_())


def _kl_terms(p: torch.Tensor, q: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    """Return P log(P / Q) - P + Q for d = log(Q / P), elementwise; each term is at least 0."""
    close = d.clamp(-1, 1)
    # For larger |d| nothing cancels, and exp(d) might overflow.
    return torch.where(close == d, p * (close.expm1() - close).clamp_(min=0), q - p - p * d)


def _overlap(logits_a: torch.Tensor, logits_b: torch.Tensor, k: int) -> NDArray[np.float64]:
    if not k:
        return np.full(len(logits_a), np.nan)
    (ids_a, _), (ids_b, _) = top(logits_a, k), top(logits_b, k)
    return float64((ids_a[:, :, None] == ids_b[:, None, :]).sum((1, 2))) / k
