"""Resamples: what is drawn with replacement to see how far a number would have moved, blocks, passages or texts.

The units of a text are not independent: what makes one token surprising to both models makes its neighbours so. So whole
stretches are drawn. Where there are several texts or passages, those: the interval then speaks of other texts of the
kind. Where there is one, blocks of consecutive units: the interval speaks of other stretches of the same text. Several
texts are never cut into blocks: texts differ from each other by more than stretches of one do.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokenviz.errors import ComparisonError
from tokenviz.progress import task
from tokenviz.stats.definitions import Values

SEED = 0
FEWEST_UNITS = 10
FEWEST_GROUPS = 3
LEAST_EFFECTIVE = 2  # groups: what three unequal ones count as; below, Student's t has less than one degree of freedom

_FEWEST_RESAMPLES = 100
_ELEMENTS = 1 << 20  # weights in memory at once
_MOST_LEFT_OUT = 200  # groups; of more, resamples and the jackknife agree to a quarter of a per cent

Groups = Literal["passages", "texts"]
GROUPS: tuple[Groups, ...] = ("texts", "passages")  # the widest first
Labels = NDArray[np.int64]
Weights = NDArray[np.int16] | NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True)
class Resampling:
    """How the resamples behind an interval are drawn.

    Attributes:
        of: What is drawn.
        block_length: Units in a block; None where passages or texts are drawn.
        count: How many there are to draw from; of blocks, as many as cover the units end to end. 0 where that is not known, as
            of runs of comparison version 2.
        pieces: How many they are worth. Of blocks, n over their length. Of passages or texts, the effective number
            (sum n)^2 / sum n^2 over their sizes n, so that one long passage among many short ones does not count as many
            (Kish 1965, Survey Sampling).
        resamples: How often.
        seed: Of the random numbers (NumPy's PCG64).
        unit: What a block is made of, for a reader.
    """

    of: Literal["blocks", "passages", "texts"]
    block_length: int | None
    count: int
    pieces: float
    resamples: int
    seed: int
    unit: str = "token"
    _labels: Labels | None = field(default=None, repr=False, compare=False)

    @property
    def pieces_named(self) -> str:
        """What is drawn and how many there are, for a reader: "5 texts, effectively 3.6", "41 blocks of 9 tokens"."""
        if not self.count:
            return f"blocks of {self.block_length:,} {self.unit}{_s(self.block_length)}" if self.block_length else self.of
        if self.block_length:
            return f"{self.count:,} block{_s(self.count)} of {self.block_length:,} {self.unit}{_s(self.block_length)}"
        effective = f"{self.pieces:,.1f}"
        same = effective == f"{self.count:,.1f}"
        return f"{self.count:,} {self.of}" + ("" if same else f", effectively {effective}")

    @property
    def described(self) -> str:
        """For a reader: what is drawn, how often, from which seed."""
        return f"{self.resamples:,} resamples of {self.pieces_named} (seed {self.seed})"

    @property
    def numbers(self) -> dict[str, float]:
        """What is drawn as metrics of a run, such as `n_resampled_texts`."""
        found = {f"n_resampled_{self.of}": float(self.count)}
        if self.block_length:
            return found | {"block_length": float(self.block_length)}
        return found | {f"effective_{self.of}": self.pieces}


def _s(count: int) -> str:
    return "s" * (count != 1)


def drawn_in(metrics: Mapping[str, float], unit: str) -> str:
    """What `Resampling.numbers` say, in words: `pieces_named` again; empty where they say nothing.

    Args:
        metrics: Of a run.
        unit: What a block is made of, such as "token".
    """
    groups: tuple[Literal["blocks"], ...] = ("blocks",)
    for of in (*groups, *GROUPS):
        count = metrics.get(f"n_resampled_{of}")
        if count is not None:
            length = int(metrics["block_length"]) if of == "blocks" else None
            pieces = metrics.get(f"effective_{of}", count)
            return Resampling(of, length, int(count), pieces, 0, 0, unit).pieces_named
    return ""


def default_resamples(n: int) -> int:
    """How many are drawn of n units: 2,000, which give a standard error to 1.6 %; of more than 10,000 units fewer, so that
    the work stays the same, down to 500 (3.2 %)."""
    return min(2000, max(500, 20_000_000 // max(n, 1)))


def check_resampling(resamples: int | None, seed: int) -> None:
    """Refuse numbers that make no interval.

    Raises:
        ComparisonError: They are not possible.
    """
    if resamples is not None and resamples != 0 and resamples < _FEWEST_RESAMPLES:
        raise ComparisonError(
            f"{resamples} resamples are not possible: take at least {_FEWEST_RESAMPLES}, or 0 for no intervals"
        )
    if seed < 0:
        raise ComparisonError(f"seed {seed} is not possible: take a whole number from 0")


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
    """How to draw resamples of n units, or None and why there are none.

    Args:
        n: How many units there are.
        series: Gives the rows of `plan`.
        groups: See `plan`.
        resamples: How many to draw; None for `default_resamples`, 0 for none.
        seed: From which seed.
        counted: What n counts, for a reader, such as "units are scored by both".
        unit: What one of them is, such as "token".
    """
    if resamples == 0:
        return None, "no resamples were asked for"
    if n < FEWEST_UNITS:
        return None, f"{n} {counted}, and an interval needs at least {FEWEST_UNITS}"
    return plan(series(), groups, default_resamples(n) if resamples is None else resamples, seed, unit=unit)


def plan(
    series: Sequence[Values], groups: Mapping[Groups, Labels], resamples: int, seed: int, *, unit: str = "token"
) -> tuple[Resampling | None, str]:
    """Decide what to draw, or say why nothing can be drawn.

    Texts where the units come from several; passages where they come from several passages of one text; else blocks.
    Two texts, or passages, have no interval, nor have more of which one is so long that all count for less than two: they
    do not show how much texts differ. Blocks laid over the end of one text and the beginning of the next held the truth in
    57 of 100 simulated cases with three texts, in 86 with six. An interval with Student's t for the effective number
    held it in 93 to 97 of 100 with five and more equal texts, also where they differed much among themselves, and in 92 to 99
    with unequal ones (tests/test_coverage_of_texts.py). With three it is wide: two degrees of freedom are few.

    A block that runs over the end of the last unit goes on at the first (the circular block bootstrap).

    Args:
        series: Rows of n values each, in reading order, whose dependence decides the length of the blocks.
        groups: Which text, and which passage of it, each of the n units belongs to. Passages count only where all units are
            of one text, so that those of different texts may have the same numbers.
        resamples: How many resamples will be drawn.
        seed: From which seed.
        unit: What one of the n is, for a reader.

    Returns:
        How to draw, or None and why, as the end of a sentence.

    References:
        Politis and Romano 1992, in LePage and Billard (eds), Exploring the Limits of Bootstrap, 263-270.
        Davison and Hinkley 1997, Bootstrap Methods and their Application, 3.8 (groups are drawn whole).
    """
    for of in GROUPS:
        _, labels, sizes = np.unique(groups[of], return_inverse=True, return_counts=True)
        count, effective = len(sizes), float(sizes.sum() ** 2 / (sizes**2).sum())
        if count == 1:
            continue
        if count < FEWEST_GROUPS:
            return None, f"{count} {of}, and an interval across {of} needs at least {FEWEST_GROUPS}"
        if effective < LEAST_EFFECTIVE:
            return None, (
                f"{count} {of} of such unequal size that they count as {effective:.1f}, and an interval across {of} needs them "
                f"to count as {LEAST_EFFECTIVE} at least"
            )
        return Resampling(of, None, count, effective, resamples, seed, unit, labels), ""
    n = len(series[0])
    length = block_length(series)
    return Resampling("blocks", length, math.ceil(n / length), n / length, resamples, seed, unit), ""


def block_length(series: Sequence[Values]) -> int:
    """The length of the blocks: the longest that the rule of Politis and White gives for any of the rows, at least the cube
    root of n, at most a quarter of n.

    The rule finds the length that estimates a row's long-run variance with the least mean square error; its autocovariances
    come from a flat-top lag window. On few or weakly dependent values it is often too short, which makes intervals
    too narrow: hence the cube root, at whose rate the best length for a variance grows (Hall, Horowitz and Jing 1995,
    Biometrika 82:561-574). The quarter leaves four blocks.

    Args:
        series: Rows of n >= 10 values each, in reading order.
    """
    n = len(series[0])
    length = max([n ** (1 / 3), *(_politis_white(values) for values in series)])
    return int(min(math.ceil(length - 1e-9), n // 4))  # the cube root of 1000 is 10, and not 9.9999


def weights(resampling: Resampling, n: int) -> Iterator[Weights]:
    """The resamples: how often each unit is in each, (n, m) at a time, m resamples until all are drawn.

    A resample of blocks has n units, the last block cut short. One of groups has as many groups as there are, and so more or
    fewer units.
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
    """All units but those of one passage or text, for each of these: (n, m) at a time, like `weights`.

    There are none for blocks, and none for so many groups that the jackknife says nothing that the resamples do not.
    """
    labels = resampling._labels
    if labels is None or resampling.count > _MOST_LEFT_OUT:
        return
    at_once = max(1, _ELEMENTS // n)
    for begin in range(0, resampling.count, at_once):
        groups = np.arange(begin, min(resampling.count, begin + at_once))
        yield (labels[:, None] != groups).astype(_dtype(n))


def sums_before(rows: Weights) -> Weights:
    """Cumulative sums down the rows of (n, m), from 0: (n + 1, m)."""
    # numpy's own goes number by number; in steps of whole blocks it is four times as fast.
    size = 32
    n, m = rows.shape
    blocks = np.zeros((n // size + 1, size, m), rows.dtype)  # room for a zero at the beginning
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
    drawn = before[length:] - before[:-length]  # a unit is in the blocks begun at it or up to length - 1 before it
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
    """The smallest in which twice a resample's units can be counted: a quarter of the memory is a quarter of the time."""
    return np.int16 if 2 * most < 2**15 else np.int32 if 2 * most < 2**31 else np.int64


def _politis_white(values: Values) -> float:
    """The length for one row, as a number that need not be whole.

    b = (2 G^2 / D)^(1/3) n^(1/3) with G = sum lambda(k / M) |k| R(k) and D = 4/3 (sum lambda(k / M) R(k))^2 over the lags
    k from -M to M, autocovariances R and the trapezoid lambda(t) = min(1, 2 (1 - |t|)). M is twice the first lag from
    which K = max(5, log10 n) autocorrelations in a row lie within 2 sqrt(log10(n) / n). The same: R's np::b.star and
    Python's arch.bootstrap.optimal_block_length.

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
