"""Statistics of logits: of the token that follows, and of how far two models' predictions are apart."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tokenviz.base.errors import ScoringError
from tokenviz.models.vocabulary import PUNCTUATION, SPACE, WordStarts

# Statistics from logits of the token that follows: log-prob, entropy, rank and the likeliest alternatives.

_BLOCK = 8192  # columns whose float32 sums are computed together
_GROUP = 64  # consecutive columns
_GROUPS_AT_ONCE = 1 << 13
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


@dataclass(frozen=True)
class WordStartIds:
    """The tokens that open with whitespace and with punctuation, in the forms whose mass is summed fastest.

    Attributes:
        space: (vocabulary,) 1 for tokens that open with whitespace, about half of them, and 0 for the others.
        punctuation: The ids of tokens that open with punctuation, a few per cent, in ascending order.
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

    def between(self, first: int, n: int) -> "WordStartIds":
        """Return the word starts among n ids, numbered from the first of them."""
        begin, end = np.searchsorted(self.punctuation.cpu().numpy(), [first, first + n])
        return WordStartIds(self.space[first : first + n], self.punctuation[begin:end] - first)


Columns = TypeVar("Columns", bound=PositionColumns)


def concatenate(parts: list[Columns]) -> Columns:
    """Concatenate the columns of all parts."""
    return type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@torch.inference_mode()
def statistics_of(
    logits: torch.Tensor,
    targets: torch.Tensor,
    top_k: int,
    word_starts: WordStartIds | None = None,
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
        word_starts: Tokens whose mass is summed as well; by default none, and the word starts' columns are NaN.
        apart: The first row that must not change the last bits of the rows before it; by default there is none.

    Returns:
        The statistics; NaN or infinite where the logits are not all finite.
    """
    apart = len(targets) if apart is None else apart
    blocks = torch.split(logits, _BLOCK, dim=1) if logits.device.type == "cpu" else [logits]
    scratch = _Scratch(blocks[0])
    all_maxima, all_sums, first = [], [], 0
    for block in blocks:
        starts = None if word_starts is None else word_starts.between(first, block.shape[1])
        # Pieces of rows that stay in the processor's cache from one pass to the next
        parts = [some for some in (block[:apart], block[apart:]) if len(some)]
        maxima, sums = [], []
        for few in (few for some in parts for few in torch.split(some, _rows_at_once(block))):
            maxima.append(_maxima(few))
            sums.append(_sums(few, _wide(maxima[-1].amax(dim=-1)), starts, scratch))
        all_maxima.append(torch.cat(maxima))
        all_sums.append(torch.cat(sums, dim=1))
        first += block.shape[1]
    groups = _Groups(logits, torch.cat(all_maxima, dim=1))
    chosen = logits.gather(-1, targets[:, None])[:, 0]
    top_ids, top_values = groups.top(max(1, top_k))
    top_logits = float64(_wide(top_values))
    greatest, total, weighted, space, punctuation = float64(torch.stack(all_sums, dim=1))  # (blocks, m) each
    with np.errstate(divide="ignore", invalid="ignore"):  # no mass at all; NaN and infinite logits
        off = greatest - top_logits[:, 0]  # <= 0
        share = np.exp(off)
        mass = (share * total).sum(0)  # relative to the likeliest token's probability
        log_mass = np.log(mass)
        found = {
            "logprob": float64(_wide(chosen)) - top_logits[:, 0] - log_mass,
            "entropy": log_mass - (share * (weighted + off * total)).sum(0) / mass,
            "rank": float64(1 + groups.count_above(chosen)),
            "top_logprobs": (top_logits - top_logits[:, :1] - log_mass[:, None])[:, :top_k],
            "space_logprob": np.log((share * space).sum(0) / mass),
            "punctuation_logprob": np.log((share * punctuation).sum(0) / mass),
        }
    if logits.dtype != torch.float64:  # no more digits than they have, so that files keep them in four bytes
        found = {name: values.astype(np.float32).astype(np.float64) for name, values in found.items()}
    return PositionStatistics(top_ids=top_ids[:, :top_k].cpu().numpy(), **found)


def _rows_at_once(block: torch.Tensor) -> int:
    at_once = _READ_AT_ONCE * torch.get_num_threads() if block.device.type == "cpu" else _READ_AT_ONCE_ON_GPU
    return max(1, at_once // block.shape[1])


class _Scratch:
    """Memory for two intermediate results of a piece of rows, taken once for all pieces.

    Taken for each piece, it is in some processes given back to the system every time. Then each of its pages is mapped and
    cleared again, and the statistics take up to 2.7 times as long.
    """

    def __init__(self, block: torch.Tensor) -> None:
        """Take the memory for pieces of a block (m, n), and of blocks with fewer columns."""
        dtype = torch.promote_types(block.dtype, torch.float32)
        size = min(len(block), _rows_at_once(block)) * block.shape[1]
        self._pieces = [torch.empty(size, dtype=dtype, device=block.device) for _ in range(2)]

    def like(self, logits: torch.Tensor) -> list[torch.Tensor]:
        """Return two tensors of the shape of a piece of rows."""
        return [piece[: logits.numel()].view(logits.shape) for piece in self._pieces]


def _sums(logits: torch.Tensor, greatest: torch.Tensor, word_starts: WordStartIds | None, scratch: _Scratch) -> torch.Tensor:
    """Return sums over the columns of a block.

    On an AMD EPYC an exponential to the base 2 takes 0.3 ns, one to the base e 0.8 ns, and `torch.softmax` 0.6 ns.

    Args:
        logits: (m, n) some rows of the block.
        greatest: (m,) the greatest logit of each row.
        word_starts: Tokens among the n whose probabilities are summed as well.
        scratch: Memory for pieces of as many logits.

    Returns:
        (5, m): the greatest logit; and, relative to its probability, the sums of all probabilities, of these times logits less
        the greatest, and of those of tokens that open with whitespace and with punctuation.
    """
    shifted, probabilities = scratch.like(logits)
    # The greatest logit is subtracted first: a float32 logit of -100 has an error of 4e-6 of its own.
    torch.sub(_wide(logits), greatest[:, None], out=shifted)
    torch.mul(shifted, _LOG2_E, out=probabilities).exp2_()
    total = probabilities.sum(dim=-1)
    if word_starts is None:
        space = punctuation = torch.full_like(total, torch.nan)
    else:
        space = torch.mv(probabilities, word_starts.space)
        punctuation = probabilities.index_select(-1, word_starts.punctuation).sum(dim=-1)
    weighted = shifted.mul_(probabilities).sum(dim=-1)
    return torch.stack([greatest, total, weighted, space, punctuation])


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _maxima(logits: torch.Tensor) -> torch.Tensor:
    """Return the maxima of groups of consecutive columns; the last group may be smaller."""
    whole = logits.shape[1] // _GROUP * _GROUP
    maxima = [logits[:, :whole].view(len(logits), -1, _GROUP).amax(dim=-1)] if whole else []
    return torch.cat([*maxima, logits[:, whole:].amax(dim=-1, keepdim=True)], dim=1) if whole < logits.shape[1] else maxima[0]


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
    return _Groups(logits, _maxima(logits)).top(k)


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
