"""What two models' logits say of how far their predictions lie apart: divergences over the whole vocabulary."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.scoring.statistics import PositionColumns, float64, top


@dataclass(frozen=True)
class PositionDivergences(PositionColumns):
    """How far the distributions P of model a and Q of model b lie apart at m positions; all columns (m,).

    Attributes:
        kl_ab: KL(P || Q), the sum of P log(P / Q), in nats: 0 for equal distributions, without an upper bound.
        kl_ba: KL(Q || P), in nats.
        js: The Jensen-Shannon divergence, the mean of both KL to the mean of P and Q, in nats: 0 to log 2. Its square root
            is a distance, which scipy.spatial.distance.jensenshannon gives.
        total_variation: Half the sum of |P - Q|: 0 to 1, the most by which the probability of any event differs.
        top_overlap: Share of common ids among both models' k likeliest, 0 to 1; NaN for k = 0. Which of equally
            likely ids is among the k is left open.
        same_first: 1 where an id is the first choice (rank 1) of both models, else 0.
    """

    kl_ab: NDArray[np.float64]
    kl_ba: NDArray[np.float64]
    js: NDArray[np.float64]
    total_variation: NDArray[np.float64]
    top_overlap: NDArray[np.float64]
    same_first: NDArray[np.float64]


@torch.inference_mode()
def divergences_of(logits_a: torch.Tensor, logits_b: torch.Tensor, top_k: int) -> PositionDivergences:
    """Read the divergences off logits.

    KL is summed as P log(P / Q) - P + Q: the added terms sum to nothing, and make each term at least 0. So rounding
    cannot make the sum negative, and an error e of a log-softmax's normaliser moves it by e ** 2 / 2 instead of by e.
    With d = log(Q / P) a term is P (exp(d) - 1 - d), where exp(d) - 1 is a function of its own (expm1) because for
    close predictions nearly all of it is lost to cancellation otherwise. A probability that underflows to 0 adds the
    other one, and no NaN.

    Args:
        logits_a: (m, vocabulary), any floating dtype; the softmax is float32, or float64 where either is float64.
        logits_b: (m, vocabulary) for the same ids.
        top_k: Of `PositionDivergences.top_overlap`.

    Returns:
        The divergences; NaN where logits are not all finite.
    """
    dtype = torch.promote_types(torch.promote_types(logits_a.dtype, logits_b.dtype), torch.float32)
    logits_a, logits_b = logits_a.to(dtype), logits_b.to(dtype)
    log_p, log_q = _log_softmax(logits_a), _log_softmax(logits_b)  # (m, vocabulary)
    p, q = log_p.exp(), log_q.exp()
    d = log_q - log_p
    # P = M (1 - t) and Q = M (1 + t) for their mean M, without a difference of nearly equal numbers.
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
    """P log(P / Q) - P + Q for d = log(Q / P), elementwise and at least 0."""
    close = d.clamp(-1, 1)
    # Further apart nothing cancels, and exp(d) might overflow.
    return torch.where(close == d, p * (close.expm1() - close).clamp_(min=0), q - p - p * d)


def _overlap(logits_a: torch.Tensor, logits_b: torch.Tensor, k: int) -> NDArray[np.float64]:
    if not k:
        return np.full(len(logits_a), np.nan)
    (ids_a, _), (ids_b, _) = top(logits_a, k), top(logits_b, k)
    return float64((ids_a[:, :, None] == ids_b[:, None, :]).sum((1, 2))) / k
