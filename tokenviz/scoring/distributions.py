"""Divergences between two models' predictions over the whole vocabulary, computed from their logits."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.scoring.statistics import PositionColumns, float64, top


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
