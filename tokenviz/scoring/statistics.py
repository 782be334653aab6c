"""Statistics of logits: of the token that follows, and of how far two models' predictions are apart."""

import math
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tokenviz.base.errors import ScoringError
from tokenviz.models.vocabulary import PUNCTUATION, SPACE, WordStarts

# Statistics from logits of the token that follows: log-prob, entropy, rank and the likeliest alternatives.

_BLOCK = 8192  # columns whose float32 sums are computed together
_GROUP = 128  # consecutive columns
_GROUPS_AT_ONCE = 1 << 12
_LOWEST = -1e6  # a block with no logit above has no probability; the rounding of a product that is far lower is great
_ROWS = 8  # whose masses are summed together
_READ_AT_ONCE = 1 << 19  # logits for each thread: 2 MB; with fewer, starting the many small steps takes longer
_READ_AT_ONCE_ON_GPU = 1 << 25  # 128 MB: with fewer, the GPU waits for kernels to start
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


Columns = TypeVar("Columns", bound=PositionColumns)


def concatenate(parts: list[Columns]) -> Columns:
    """Concatenate the columns of all parts."""
    return type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def word_start_masks(word_starts: WordStarts, device: str, dtype: torch.dtype) -> torch.Tensor | None:
    """Return which tokens open with whitespace and with punctuation, for logits on a device and of a dtype.

    Returns:
        (2, vocabulary): 1 for tokens that open with whitespace, in the second row for those that open with punctuation, and 0
        for the others; None where spaces are not at the front of words.
    """
    if word_starts.spaces != "front":
        return None
    kinds = torch.from_numpy(word_starts.kinds).to(device)
    return torch.stack([kinds == SPACE, kinds == PUNCTUATION]).to(torch.promote_types(dtype, torch.float32))


def even_rows(most: int) -> int:
    """Return how many rows of logits, at most, to take the statistics of together, so that each thread gets as many eights.

    Where the threads' shares differ from pass to pass, the statistics were seen to take a fifth longer.
    """
    unit = _ROWS * torch.get_num_threads()
    return most // unit * unit or most


@torch.inference_mode()
def statistics_of(
    logits: torch.Tensor,
    targets: torch.Tensor,
    top_k: int,
    word_starts: torch.Tensor | None = None,
    *,
    apart: int | None = None,
) -> PositionStatistics:
    """Compute the statistics from logits.

    They are read in blocks of the vocabulary. The sums of a block are relative to its own greatest logit; those of all blocks
    are put together in float64, and what comes of them is rounded to the softmax's type.

    Args:
        logits: (m, vocabulary), any floating dtype; the softmax is float32, or float64 for float64 logits.
        targets: (m,) ids below the vocabulary's size.
        top_k: Number of likeliest alternatives to keep.
        word_starts: (2, vocabulary) masks of tokens whose mass is summed as well, as `word_start_masks` returns them; by
            default none, and the word starts' columns are NaN.
        apart: The first row that must not change the last bits of the rows before it; by default there is none.

    Returns:
        The statistics; NaN or infinite where the logits are not all finite.
    """
    m, vocabulary = logits.shape
    on_cpu = logits.device.type == "cpu"
    width = min(_BLOCK, vocabulary) if on_cpu else vocabulary
    # Pieces that stay in the processor's cache from one pass to the next
    at_once = max(1, (_READ_AT_ONCE * torch.get_num_threads() if on_cpu else _READ_AT_ONCE_ON_GPU) // width)
    apart = m if apart is None else apart
    pieces = [*_pieces(0, apart, at_once), *_pieces(apart, m, at_once)]
    wide = torch.promote_types(logits.dtype, torch.float32)
    maxima = logits.new_empty(m, math.ceil(vocabulary / _GROUP), dtype=wide)
    sums = logits.new_full((5, math.ceil(vocabulary / width), m), torch.nan, dtype=wide)
    scratch = logits.new_empty(min(m, at_once) + _ROWS - 1, 2, width, dtype=wide)
    for rows in pieces:
        _sums(logits[rows], word_starts, scratch, maxima[rows], sums[..., rows])
    groups = _Groups(logits, maxima)
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    top_ids, top_values = groups.top(max(1, top_k))
    top_logits = float64(_wide(top_values))
    greatest, total, weighted, space, punctuation = float64(sums)  # (blocks, m) each
    with np.errstate(divide="ignore", invalid="ignore"):  # no mass at all; NaN and infinite logits
        off = greatest - top_logits[:, 0]  # <= 0
        share = np.exp(off)
        mass = (share * total).sum(0)  # relative to the likeliest token's probability
        log_mass = np.log(mass)
        found = {
            "logprob": float64(_wide(chosen)) - top_logits[:, 0] - log_mass,
            "entropy": log_mass - (share * (weighted / _LOG2_E + off * total)).sum(0) / mass,
            "rank": float64(1 + groups.count_above(chosen)),
            "top_logprobs": (top_logits - top_logits[:, :1] - log_mass[:, None])[:, :top_k],
            "space_logprob": np.log((share * space).sum(0) / mass),
            "punctuation_logprob": np.log((share * punctuation).sum(0) / mass),
        }
    if logits.dtype != torch.float64:  # no more digits than they have, so that files keep them in four bytes
        found = {name: values.astype(np.float32).astype(np.float64) for name, values in found.items()}
    return PositionStatistics(top_ids=top_ids[:, :top_k].cpu().numpy(), **found)


def _pieces(begin: int, end: int, at_once: int) -> list[slice]:
    """Split rows into few pieces of at most `at_once`, all of one size, so that each thread keeps its part of the memory."""
    count = math.ceil((end - begin) / at_once)
    return [slice(begin + (end - begin) * i // count, begin + (end - begin) * (i + 1) // count) for i in range(count)]


def _sums(
    logits: torch.Tensor, word_starts: torch.Tensor | None, scratch: torch.Tensor, maxima: torch.Tensor, out: torch.Tensor
) -> None:
    """Compute sums over the columns of each block.

    All passes give a thread the same rows. Where `torch.mv` and `index_select` were among them, which take a single thread, the
    next pass that wrote what these had read took 0.85 ns a logit in some minutes, not 0.13: all together took twice their time.

    On an AMD EPYC an exponential to the base 2 takes 0.3 ns, one to the base e 0.8 ns, and `torch.softmax` 0.6 ns. Twice as
    many views and small calls for each block took 7 % more time.

    Args:
        logits: (m, vocabulary) some rows.
        word_starts: (2, vocabulary) masks of tokens whose probabilities are summed as well.
        scratch: (at least m + 7, 2, columns of a block) memory for intermediate results. Taken for each piece, it is in some
            processes given back to the system every time. Then each of its pages is mapped and cleared again.
        maxima: (m, groups) gets the maxima of groups of columns.
        out: (5, blocks, m) gets the greatest logit of each block, at least `_LOWEST`; and, relative to its probability, the
            sums of all probabilities, of these times their logarithms to the base 2, and of those of tokens that open with
            whitespace and with punctuation.
    """
    m, width = len(logits), scratch.shape[-1]
    on_cpu = logits.device.type == "cpu"
    both = scratch[:m]
    scaled, probabilities = both.unbind(1)
    # Eight rows at a time take half the time of all at once. What the last eight have beyond m is left out again.
    eights = scratch[: math.ceil(m / _ROWS) * _ROWS, 1].view(-1, _ROWS, width).mT  # (eights, columns, 8)
    greatest, sums, masses = [], [], []
    for some, some_maxima, masks in zip(
        torch.split(logits, width, dim=1),
        torch.split(maxima, math.ceil(width / _GROUP), dim=1),
        repeat(None) if word_starts is None else torch.split(word_starts, width, dim=1),
        strict=False,
    ):
        if (n := some.shape[1]) < width:  # the last block
            both, eights = both[..., :n], eights[:, :n]
            scaled, probabilities = both.unbind(1)
        values = _wide(some)
        greatest.append(_maxima(values, some_maxima).amax(dim=-1).clamp_(min=_LOWEST))
        # A fused multiply-add: the product is not rounded by itself. A float32 number of 100 is off by up to 4e-6.
        torch.add((greatest[-1] * -_LOG2_E)[:, None], values, alpha=_LOG2_E, out=scaled)
        torch.exp2(scaled, out=probabilities)
        scaled.mul_(probabilities)
        sums.append(both.sum(dim=-1))
        if masks is None:
            continue
        if on_cpu:
            masses.append(torch.bmm(masks.expand(len(eights), 2, n), eights))
        else:  # where a product with a vector takes all threads
            masses.append(torch.stack([probabilities @ mask for mask in masks])[None])
    out[0] = torch.stack(greatest)
    # What was subtracted is the greatest logit's product after rounding: its power is 2 ** rest, not 1.
    rest = torch.add(out[0] * -_LOG2_E, out[0], alpha=_LOG2_E)
    weighted, out[1] = torch.stack(sums).unbind(-1)
    out[2] = weighted - rest * out[1]
    if masses:
        out[3:] = torch.stack(masses).transpose(1, 2).flatten(2)[..., :m].swapaxes(0, 1)
    out[1:] /= torch.exp2(rest)


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _maxima(logits: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Write the maxima of groups of consecutive columns into (m, groups), and return them; the last group may be smaller."""
    (m, columns), whole = logits.shape, out
    if left_over := columns % _GROUP:
        torch.amax(logits[:, -left_over:], dim=-1, keepdim=True, out=out[:, -1:])
        logits, whole = logits[:, :-left_over], out[:, :-1]
    torch.amax(logits.view(m, columns // _GROUP, _GROUP), dim=-1, out=whole)
    return out


class _Groups:
    """Groups of columns of logits, and their maxima, by which the groups are chosen that are worth reading."""

    def __init__(self, logits: torch.Tensor, maxima: torch.Tensor) -> None:
        """Group logits (m, vocabulary); `maxima` (m, groups) are what `_maxima` returns of them."""
        self._maxima = maxima
        whole = logits.shape[1] // _GROUP * _GROUP
        self._whole = logits[:, :whole].view(len(logits), -1, _GROUP)
        self._left_over = functional.pad(logits[:, whole:], (0, whole + _GROUP - logits.shape[1]), value=-math.inf)

    def top(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ids and values (m, k) of the k greatest logits, greatest first.

        They are in the k groups with the greatest maxima. So only the maxima and a few groups are sorted.
        """
        chosen = self._maxima.topk(min(k, self._maxima.shape[1]), dim=-1, sorted=False).indices  # (m, groups)
        rows = torch.arange(len(chosen), device=chosen.device)[:, None].expand_as(chosen)
        values, order = self._take(rows.flatten(), chosen.flatten()).view(len(chosen), -1).topk(k, dim=-1)
        return chosen.gather(1, order // _GROUP) * _GROUP + order % _GROUP, values

    def count_above(self, bounds: torch.Tensor) -> torch.Tensor:
        """Return how many logits of each row are greater than its bound (m,); only groups that have any are read."""
        count = torch.zeros_like(bounds, dtype=torch.float32)  # exact below 2 ** 24
        above = torch.nonzero(self._maxima > bounds[:, None])
        for rows, numbers in (piece.T for piece in torch.split(above, _GROUPS_AT_ONCE)):
            logits = self._take(rows, numbers)
            # Counted as numbers, which is five times as fast as a sum of booleans
            count.index_add_(0, rows, torch.gt(logits, bounds[rows, None], out=logits).sum(dim=-1, dtype=torch.float32))
        return count

    def _take(self, rows: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Return the logits (i, columns) of groups, by their rows (i,) and numbers (i,)."""
        n = self._whole.shape[1]
        if n == self._maxima.shape[1] and self._whole.is_contiguous():
            # A quarter of the time, but groups that are not contiguous would be copied.
            return self._whole.flatten(0, 1).index_select(0, rows * n + numbers)
        taken = self._left_over[rows]
        inside = numbers < n
        taken[inside] = self._whole[rows[inside], numbers[inside]]
        return taken


def top(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ids and values (m, k) of the k greatest of logits (m, vocabulary), greatest first."""
    return _Groups(logits, _maxima(logits, logits.new_empty(len(logits), math.ceil(logits.shape[1] / _GROUP)))).top(k)


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
