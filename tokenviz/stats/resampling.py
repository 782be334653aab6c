"""Resampling: blocks, passages or texts are drawn with replacement, to estimate how much a number varies.

The units of a text are not independent: what makes one token surprising to both models affects its neighbours as well. So
groups of units are drawn whole. Where there are several texts or passages, these are drawn, and the interval generalises to
other texts of the kind. Where there is one, blocks of consecutive units are drawn, and the interval generalises to other parts
of the same text. Several texts are never cut into blocks: texts differ from each other more than parts of one do.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError, is_of
from tokenviz.base.progress import task
from tokenviz.stats.definitions import Values
from tokenviz.stats.estimate import LEVEL

SEED = 0
FEWEST_UNITS = 10
FEWEST_GROUPS = 3
# The least effective number of groups. Three unequal groups can have it; below it Student's t has less than one degree of
# freedom.
LEAST_EFFECTIVE = 2

_FEWEST_RESAMPLES = 100
_ELEMENTS = 1 << 20  # weights in memory at once
_MOST_LEFT_OUT = 200  # groups; for more, resamples and the jackknife agree to a quarter of a per cent

Groups = Literal["passages", "prompts", "texts"]
GROUPS: tuple[Groups, ...] = ("texts", "passages", "prompts")  # the largest groups first
Labels = NDArray[np.int64]
Weights = NDArray[np.int16] | NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True)
class Resampling:
    """How the resamples for an interval are drawn.

    Attributes:
        of: What is drawn. Parts are stretches of whole passages of a text that is read part by part.
        block_length: Units per block; None where passages or texts are drawn.
        count: Number of pieces to draw from; for blocks, as many as cover the units end to end. 0 where it is not known, as for
            runs of comparison version 2.
        pieces: Effective number of pieces. For blocks, n divided by their length. For passages or texts, (sum n)^2 / sum n^2
            over their sizes n, so that one long passage among many short ones does not count as many (Kish 1965, Survey
            Sampling).
        resamples: Number of resamples.
        seed: Seed of the random numbers (NumPy's PCG64).
        unit: The noun for a unit of a block.
    """

    of: Literal["blocks", "parts", "passages", "prompts", "texts"]
    block_length: int | None
    count: int
    pieces: float
    resamples: int
    seed: int
    unit: str = "token"
    _labels: Labels | None = field(default=None, repr=False, compare=False)

    @property
    def pieces_named(self) -> str:
        """The kind and number of pieces that are drawn, for readers: "5 texts, effectively 3.6", "41 blocks of 9 tokens"."""
        if not self.count:
            return f"blocks of {self.block_length:,} {self.unit}{_s(self.block_length)}" if self.block_length else self.of
        if self.block_length:
            return f"{self.count:,} block{_s(self.count)} of {self.block_length:,} {self.unit}{_s(self.block_length)}"
        effective = f"{self.pieces:,.1f}"
        same = effective == f"{self.count:,.1f}"
        return f"{self.count:,} {self.of}" + ("" if same else f", effectively {effective}")

    @property
    def described(self) -> str:
        """The kind and number of pieces, the number of resamples and the seed, for readers."""
        return f"{self.resamples:,} resamples of {self.pieces_named} (seed {self.seed})"

    @property
    def numbers(self) -> dict[str, float]:
        """Return what is drawn as metrics of a run, such as `n_resampled_texts`."""
        found = {f"n_resampled_{self.of}": float(self.count)}
        if self.block_length:
            return found | {"block_length": float(self.block_length)}
        return found | {f"effective_{self.of}": self.pieces}


def _s(count: int) -> str:
    return "s" * (count != 1)


def drawn_in(metrics: Mapping[str, float], unit: str) -> str:
    """Return `pieces_named` from the metrics of a run that `Resampling.numbers` gave; empty where there are none.

    Args:
        metrics: The run's metrics.
        unit: The noun for a unit of a block, such as "token".
    """
    alone: tuple[Literal["blocks", "parts"], ...] = ("blocks", "parts")
    for of in (*alone, *GROUPS):
        count = metrics.get(f"n_resampled_{of}")
        if count is not None:
            length = int(metrics["block_length"]) if of == "blocks" else None
            pieces = metrics.get(f"effective_{of}", count)
            return Resampling(of, length, int(count), pieces, 0, 0, unit).pieces_named
    return ""


def default_resamples(n: int) -> int:
    """Return the default number of resamples of n units.

    It is 2,000, which determines a standard error to 1.6 %. For more than 10,000 units it is smaller, so that the work stays
    constant, but at least 500 (3.2 %).
    """
    return min(2000, max(500, 20_000_000 // max(n, 1)))


def check_resampling(resamples: int | None, seed: int, level: float = LEVEL) -> None:
    """Refuse numbers that give no interval.

    Raises:
        ComparisonError: `resamples`, `seed` or `level` is not possible.
    """
    if resamples is not None and not is_of(resamples, Integral):
        raise ComparisonError(f"{resamples!r} resamples are not possible: take a whole number")
    if resamples is not None and resamples != 0 and resamples < _FEWEST_RESAMPLES:
        raise ComparisonError(
            f"{resamples} resamples are not possible: take at least {_FEWEST_RESAMPLES}, or 0 for no intervals"
        )
    if not is_of(seed, Integral) or seed < 0:
        raise ComparisonError(f"seed {seed!r} is not possible: take a whole number from 0")
    if not is_of(level, Real) or not 0 < level < 1:
        raise ComparisonError(f"level {level!r} is not possible: take a number between 0 and 1, such as 0.95")


def decide(
    n: int,
    series: Callable[[], Sequence[Values]],
    groups: Mapping[Groups, Labels],
    resamples: int | None,
    seed: int,
    *,
    counted: str,
    unit: str,
) -> tuple[Resampling | None, str]:
    """Return how to draw resamples of n units, or None and the reason why there are none.

    Args:
        n: Number of units.
        series: Returns the series for `plan`.
        groups: The texts and passages of the units, as in `plan`.
        resamples: Number of resamples; None for `default_resamples`, 0 for none.
        seed: Seed of the random numbers.
        counted: What n counts, for readers, such as "units are scored by both".
        unit: The noun for a unit, such as "token".
    """
    if resamples == 0:
        return None, "no resamples were asked for"
    if n < FEWEST_UNITS:
        return None, f"{n} {counted}, and an interval needs at least {FEWEST_UNITS}"
    return plan(series(), groups, default_resamples(n) if resamples is None else resamples, seed, unit=unit)


def plan(
    series: Sequence[Values], groups: Mapping[Groups, Labels], resamples: int, seed: int, *, unit: str = "token"
) -> tuple[Resampling | None, str]:
    """Decide what to draw, or return the reason why nothing can be drawn.

    Texts are drawn where the units come from several; passages where they come from several passages of one text; else blocks.
    There is no interval for two texts or passages, or where one is so long that the effective number is below two: these do not
    show how much texts differ. Blocks across the end of one text and the beginning of the next contained the true value in 57
    of 100 simulated cases with three texts, in 86 with six. An interval with Student's t for the effective number contained it
    in 93 to 97 of 100 with five and more equal texts, also where they differed much, and in 92 to 99 with unequal ones
    (tests/stats/test_coverage_of_texts.py). With three texts it is wide, since it has only two degrees of freedom.

    A block that reaches beyond the last unit continues at the first (the circular block bootstrap).

    Args:
        series: Series of n values each, in reading order, whose dependence determines the length of the blocks.
        groups: The text, and the passage, of each of the n units; or the prompt of each, where units are continuations, which
            are never drawn in blocks. Passages count only where all units are of one text, so that passages of different texts
            may have the same numbers.
        resamples: Number of resamples that will be drawn.
        seed: Seed of the random numbers.
        unit: The noun for a unit, for readers.

    Returns:
        How to draw, or None and the reason, as the end of a sentence.

    References:
        Politis and Romano 1992, in LePage and Billard (eds), Exploring the Limits of Bootstrap, 263-270.
        Davison and Hinkley 1997, Bootstrap Methods and their Application, 3.8 (groups are drawn whole).
    """
    for of in (one for one in GROUPS if one in groups):
        _, labels, sizes = np.unique(groups[of], return_inverse=True, return_counts=True)
        count, effective = len(sizes), float(sizes.sum() ** 2 / (sizes**2).sum())
        if count == 1 and of != "prompts":  # continuations of one prompt are no stretch of text, which blocks are drawn from
            continue
        if count < FEWEST_GROUPS:
            return None, f"{count} {of if count > 1 else of[:-1]}, and an interval across {of} needs at least {FEWEST_GROUPS}"
        if effective < LEAST_EFFECTIVE:
            return None, (
                f"{count} {of} of such unequal size that they count as {effective:.1f}, and an interval across {of} needs them "
                f"to count as {LEAST_EFFECTIVE} at least"
            )
        return Resampling(of, None, count, effective, resamples, seed, unit, labels), ""
    n = len(series[0])
    length = block_length(series)
    return Resampling("blocks", length, math.ceil(n / length), n / length, resamples, seed, unit), ""


def plan_parts(sizes: Sequence[int], resamples: int, seed: int, *, unit: str = "token") -> tuple[Resampling | None, str]:
    """Decide how to draw the parts of a text that is read part by part, or say why nothing can be drawn.

    A part is some tens of thousands of tokens, which is far beyond the reach of what makes neighbours alike, so that parts are
    drawn as the blocks of a single text are.

    Args:
        sizes: Units of each part.
        resamples: How many resamples will be drawn.
        seed: From which seed.
        unit: What a unit is, for a reader.

    Returns:
        How to draw, and whose weights are of parts; or None and why, as the end of a sentence.
    """
    count, total = len(sizes), sum(sizes)
    effective = total**2 / sum(size**2 for size in sizes) if total else 0.0
    if count < FEWEST_GROUPS or effective < LEAST_EFFECTIVE:
        return None, f"{count} parts, and an interval across parts needs at least {FEWEST_GROUPS} of like size"
    return Resampling("parts", None, count, effective, resamples, seed, unit, np.arange(count)), ""


def block_length(series: Sequence[Values]) -> int:
    """Return the length of the blocks, in units: the longest that the rule of Politis and White gives for any of the series.

    It is at least the cube root of n, and at most a quarter of n. The rule finds the length that estimates a series' long-run
    variance with the least mean square error; its autocovariances come from a flat-top lag window. For few or weakly dependent
    values it is often too short, which makes intervals too narrow: hence the cube root, at whose rate the best length for a
    variance grows (Hall, Horowitz and Jing 1995, Biometrika 82:561-574). The quarter leaves four blocks.

    Args:
        series: Series of n >= 10 values each, in reading order.
    """
    n = len(series[0])
    length = max([n ** (1 / 3), *(_politis_white(values) for values in series)])
    return int(min(math.ceil(length - 1e-9), n // 4))  # the cube root of 1000 is 10, not 9.9999


def weights(resampling: Resampling, n: int) -> Iterator[Weights]:
    """Yield the resamples as weights (n, m), m resamples at a time: how often each contains each unit.

    A resample of blocks has n units; the last block is cut short. A resample of groups has as many groups as there are, and so
    more or fewer units.
    """
    random = np.random.Generator(np.random.PCG64(resampling.seed))
    at_once = min(192, max(16, _ELEMENTS // n))
    with task("drawing resamples", resampling.resamples, "resamples") as advance:
        for begin in range(0, resampling.resamples, at_once):
            m = min(at_once, resampling.resamples - begin)
            if resampling._labels is None:
                assert resampling.block_length is not None
                yield _of_blocks(random, n, resampling.block_length, m)
            else:
                yield _of_groups(random, resampling._labels, m)
            advance(m)


def left_out(resampling: Resampling, n: int) -> Iterator[Weights]:
    """Yield weights (n, m) of all units except those of one passage or text, for each of these in turn, like `weights`.

    There are none for blocks, nor for so many groups that the jackknife adds nothing to the resamples.
    """
    labels = resampling._labels
    if labels is None or resampling.count > _MOST_LEFT_OUT:
        return
    at_once = max(1, _ELEMENTS // n)
    for begin in range(0, resampling.count, at_once):
        groups = np.arange(begin, min(resampling.count, begin + at_once))
        yield (labels[:, None] != groups).astype(_dtype(n))


def sums_before(rows: Weights) -> Weights:
    """Return cumulative sums over the first axis of (n, m), from 0: (n + 1, m)."""
    # numpy's cumsum adds number by number; in whole blocks it is four times as fast.
    size = 32
    n, m = rows.shape
    blocks = np.zeros((n // size + 1, size, m), rows.dtype)  # with room for a zero at the beginning
    flat = blocks.reshape(-1, m)
    flat[1 : n + 1] = rows
    for i in range(1, size):
        blocks[:, i] += blocks[:, i - 1]
    blocks[1:] += np.cumsum(blocks[:-1, -1:], axis=0, dtype=rows.dtype)
    return flat[: n + 1]


def _of_blocks(random: np.random.Generator, n: int, length: int, m: int) -> Weights:
    starts = random.integers(0, n, size=(m, -(-n // length)))
    columns = np.arange(m)
    begun = np.bincount((starts[:, :-1] * m + columns[:, None]).ravel(), minlength=n * m).reshape(n, m).astype(_dtype(n))
    before = sums_before(np.concatenate([begun[n - length + 1 :], begun]))
    drawn = before[length:] - before[:-length]  # a unit is in the blocks that begin at it or up to length - 1 before it
    for i in range(n - (starts.shape[1] - 1) * length):  # the last block
        drawn[(starts[:, -1] + i) % n, columns] += 1
    return np.asarray(drawn)


def _of_groups(random: np.random.Generator, labels: Labels, m: int) -> Weights:
    sizes = np.bincount(labels)
    count = len(sizes)
    drawn = random.integers(0, count, size=(m, count))
    times = np.bincount((drawn * m + np.arange(m)[:, None]).ravel(), minlength=count * m).reshape(count, m)
    return np.asarray(times.astype(_dtype(count * int(sizes.max())))[labels])


def _dtype(most: int) -> type[np.int16] | type[np.int32] | type[np.int64]:
    """Return the smallest type that can count twice a resample's units: a quarter of the memory is a quarter of the time."""
    return np.int16 if 2 * most < 2**15 else np.int32 if 2 * most < 2**31 else np.int64


def _politis_white(values: Values) -> float:
    """Return the length for one series; it need not be an integer.

    b = (2 G^2 / D)^(1/3) n^(1/3) with G = sum lambda(k / M) |k| R(k) and D = 4/3 (sum lambda(k / M) R(k))^2 over the lags k
    from -M to M, autocovariances R and the trapezoid lambda(t) = min(1, 2 (1 - |t|)). M is twice the first lag from which K =
    max(5, log10 n) consecutive autocorrelations are within 2 sqrt(log10(n) / n). The same: R's np::b.star and Python's
    arch.bootstrap.optimal_block_length.

    References:
        Politis and White 2004, Econometric Reviews 23:53-70; Patton, Politis and White 2009, ibid. 28:372-375.
    """
    n = len(values)
    values = values - values.mean()
    in_a_row = max(5, int(math.log10(n)))
    most = min(math.ceil(math.sqrt(n)) + in_a_row, n - 1)
    covariance = np.array([values[lag:] @ values[: n - lag] for lag in range(most + 1)]) / n
    if covariance[0] <= 0:
        return 1.0
    small = np.abs(covariance[1:] / covariance[0]) < 2 * math.sqrt(math.log10(n) / n)  # from lag 1
    first = next((lag for lag in range(1, most - in_a_row + 1) if small[lag - 1 : lag - 1 + in_a_row].all()), most)
    window = min(2 * first, most)
    lags = np.arange(1, window + 1)
    tapered = np.minimum(1, 2 * (1 - lags / window)) * covariance[1 : window + 1]
    g = 2 * float(tapered @ lags)
    long_run = float(covariance[0]) + 2 * float(tapered.sum())
    if long_run == 0:
        return 1.0
    length = (2 * g**2 / (4 / 3 * long_run**2)) ** (1 / 3) * n ** (1 / 3)
    return float(min(length, math.ceil(min(3 * math.sqrt(n), n / 3))))
