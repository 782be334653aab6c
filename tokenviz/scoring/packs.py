"""Packs: sequences end to end, without padding, in the order in which they go through the model.

A pack goes through the model as one long sequence; attention keeps its sequences apart. Inside a layer it is processed in steps
of some thousand tokens at most. A step holds whole sequences, or a piece of one that continues the *path*: the keys and values
of the sequence before it. Sequences with a common beginning are neighbours. A later one goes back on the path to where the two
differ, so that what they share is computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST_SHARED = 8  # tokens; an additional step costs about as much as this many tokens


@dataclass(frozen=True)
class Step:
    """Consecutive tokens of a pack that go through a layer together.

    Attributes:
        begin: First token in the pack.
        end: One past the last token.
        past: Number of tokens of the path before the step's tokens; None where the step holds whole sequences.
        lengths: Tokens of each whole sequence, in order; empty on a path.
    """

    begin: int
    end: int
    past: int | None
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Pack:
    """Sequences that go through the model together.

    Attributes:
        ids: (n,) token ids.
        positions: (n,) position of each token in its sequence, from 0.
        steps: Steps in order; they cover the pack.
        path: Tokens of the longest path; 0 where there is none.
        rows: For each sequence, by its number, the places of its tokens in the pack.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    steps: tuple[Step, ...]
    path: int
    rows: dict[int, NDArray[np.int64]]


def plan_packs(
    sequences: Sequence[NDArray[np.int64]], *, token_budget: int, step_tokens: int, longest_whole: int | None = None
) -> list[Pack]:
    """Group sequences of any lengths into packs.

    Args:
        sequences: Token ids of each sequence, at least one each.
        token_budget: The most tokens per pack; a longer sequence is a pack by itself.
        step_tokens: The most tokens per step.
        longest_whole: The longest sequence, in tokens, that may stay whole in a step; by default `step_tokens`.

    Returns:
        Packs that hold each sequence once. The longest come first, so that a pack that does not fit in memory fails at the
        start.
    """
    longest_whole = min(step_tokens, longest_whole or step_tokens)
    packs: list[Pack] = []
    builder = _Builder(step_tokens, longest_whole)
    for family in _families(sequences):
        for number, shared in family:
            ids = sequences[number]
            if builder.n_tokens and builder.n_tokens + len(ids) - shared > token_budget:
                packs.append(builder.build())
                builder = _Builder(step_tokens, longest_whole)
                shared = 0
            builder.add(number, ids, shared, alone=len(family) == 1)
    if builder.n_tokens:
        packs.append(builder.build())
    return packs


def _families(sequences: Sequence[NDArray[np.int64]]) -> list[list[tuple[int, int]]]:
    """Group sequences with a common beginning; each comes with the number of tokens it shares with the one before it."""
    keys = [ids.astype(">i8").tobytes() for ids in sequences]  # big-endian bytes sort in the order of the ids
    order = sorted(range(len(sequences)), key=lambda i: keys[i])
    families: list[list[tuple[int, int]]] = []
    for before, number in zip([None, *order], order, strict=False):
        shared = 0 if before is None else _common(sequences[before], sequences[number])
        if shared >= _LEAST_SHARED:
            families[-1].append((number, shared))
        else:
            families.append([(number, 0)])
    return sorted(families, key=lambda family: -max(len(sequences[number]) for number, _ in family))


def _common(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    n = min(len(a), len(b))
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if len(different) else n


class _Builder:
    """A pack under construction: first the sequences on a path, then whole sequences."""

    def __init__(self, step_tokens: int, longest_whole: int) -> None:
        self._step_tokens, self._longest_whole = step_tokens, longest_whole
        self._on_path: list[tuple[int, NDArray[np.int64], int]] = []
        self._whole: list[tuple[int, NDArray[np.int64]]] = []
        self.n_tokens = 0

    def add(self, number: int, ids: NDArray[np.int64], shared: int, *, alone: bool) -> None:
        if alone and len(ids) <= self._longest_whole:
            self._whole.append((number, ids))
        else:
            self._on_path.append((number, ids, shared))
        self.n_tokens += len(ids) - shared

    def build(self) -> Pack:
        rows: dict[int, NDArray[np.int64]] = {}
        steps: list[Step] = []
        ids, positions = [], []
        at = 0
        row = np.empty(0, np.int64)
        for number, sequence, shared in self._on_path:
            n_new = len(sequence) - shared
            row = rows[number] = np.concatenate([row[:shared], np.arange(at, at + n_new)])
            ids.append(sequence[shared:])
            positions.append(np.arange(shared, len(sequence)))
            past = shared
            for length in _even(n_new, self._step_tokens):
                steps.append(Step(at, at + length, past, ()))
                at, past = at + length, past + length
        lengths: list[int] = []
        most = max(_even(sum(len(sequence) for _, sequence in self._whole), self._step_tokens), default=0)
        for number, sequence in self._whole:
            if lengths and sum(lengths) + len(sequence) > max(most, len(sequence)):
                steps.append(Step(at - sum(lengths), at, None, tuple(lengths)))
                lengths = []
            rows[number] = np.arange(at, at + len(sequence))
            ids.append(sequence)
            positions.append(np.arange(len(sequence)))
            lengths.append(len(sequence))
            at += len(sequence)
        if lengths:
            steps.append(Step(at - sum(lengths), at, None, tuple(lengths)))
        path = max((len(sequence) for _, sequence, _ in self._on_path), default=0)
        return Pack(np.concatenate(ids), np.concatenate(positions), tuple(steps), path, rows)


def _even(n: int, most: int) -> list[int]:
    """Split `n` into as few nearly equal parts as possible, none above `most`: a short last step is slow for its size."""
    count = -(-n // most)
    return [n // count + (i < n % count) for i in range(count)]
