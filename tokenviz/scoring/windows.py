"""Windows: a text cut into parts, tokens and windows, and these packed or batched for one pass through the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from tokenviz.base.errors import ScoringError, is_of
from tokenviz.base.progress import task
from tokenviz.data.texts import Text
from tokenviz.models import tokens
from tokenviz.models.loading import LoadedModel
from tokenviz.models.offsets import EncodedPassage

# Windows: slices of a passage that fit the context, chosen so that every token is scored exactly once.
#
# A window holds at most `context` ids: the BOS prefix, where one is used, and a slice of the passage. The first window scores
# all its tokens. Each later one starts `stride` tokens further on and scores only the tokens that no window before it has
# scored. So after the first window a token sees at least `context - prefix - stride` tokens before it. With stride 1 each token
# sees as many as fit, as in the exact loop over prefixes.


@dataclass(frozen=True)
class Window:
    """A half-open slice of one passage's tokens, and the first of them that this window scores."""

    passage: int
    begin: int
    end: int
    score_from: int

    def __len__(self) -> int:
        return self.end - self.begin


def plan_windows(passage: int, n_tokens: int, *, context: int, stride: int, n_prefix: int) -> list[Window]:
    """Return the windows of one passage, in reading order.

    Args:
        passage: Number of the passage.
        n_tokens: Tokens of the passage, without the prefix.
        context: The most ids per window, prefix included.
        stride: Tokens from one window's start to the next.
        n_prefix: Number of ids that open every window.

    Returns:
        Windows whose scored ranges together are all tokens that can have a prediction: with a prefix all tokens, without one
        all but the first.
    """
    room = context - n_prefix
    scored = 0 if n_prefix else 1
    windows = []
    for begin in range(0, n_tokens, stride):
        end = min(begin + room, n_tokens)
        if end > scored:
            windows.append(Window(passage, begin, end, scored))
            scored = end
        if end == n_tokens:
            break
    return windows


@dataclass(frozen=True)
class Piece:
    """Ids that a model reads at once, and the tokens whose predictions are read from the result.

    Attributes:
        ids: (n,) the prefix and a window's tokens.
        wanted: (m,) places in `ids` of the tokens to predict.
        passage: Number of the passage.
        positions: (m,) rows of these tokens within the passage.
        rows: (m,) rows of these tokens within the text.
        rows_before: Row within the text of the token before each in its passage, -1 where there is none: (m,). Where the piece
            closes its passage, (m + 1,): the row of the last token is appended.
        closes: Whether the last of its ids is the passage's last token.
    """

    ids: NDArray[np.int64]
    wanted: NDArray[np.int64]
    passage: int
    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    rows_before: NDArray[np.int64]
    closes: bool


def pieces_of(passages: Sequence[EncodedPassage], prefix: tuple[int, ...], *, context: int, stride: int) -> list[Piece]:
    """Cut all passages of a text into windows, in reading order, as a model reads them.

    Rows of characters that no token covers are not read.
    """
    opening = np.array(prefix, dtype=np.int64)
    first_row = 0
    pieces = []
    for number, passage in enumerate(passages):
        row_of = np.flatnonzero(passage.ids >= 0)  # row of each token in the passage
        token_ids = passage.ids[row_of]
        # A passage that opens with the prefix's own ids (the literal BOS string) gets no second prefix: these ids serve as the
        # prefix and, like any first token without one, have no prediction.
        opens = len(prefix) if tuple(token_ids[: len(prefix)]) == prefix else 0
        n_tokens = len(token_ids) - opens
        for window in plan_windows(number, n_tokens, context=context, stride=stride, n_prefix=len(prefix)):
            ids = np.concatenate([opening, token_ids[opens + window.begin : opens + window.end]])
            scored = np.arange(window.score_from, window.end)
            wanted, closes = scored - window.begin + len(prefix), window.end == n_tokens
            positions = row_of[opens + scored]
            before = opens + scored - 1
            before = np.append(before, len(token_ids) - 1) if closes else before
            rows_before = np.where(before < 0, -1, first_row + row_of[before])
            pieces.append(Piece(ids, wanted, number, positions, first_row + positions, rows_before, closes))
        first_row += len(passage.ids)
    return pieces


def check_settings(*, context: int | None, stride: int | None, top_k: int) -> None:
    """Refuse settings that are possible for no model, before a model is loaded.

    Raises:
        ScoringError: A number is too small or not whole, or the stride is not below the context.
    """
    for what, number in (("context", context), ("stride", stride), ("top-k", top_k)):
        if number is not None and not is_of(number, Integral):
            raise ScoringError(f"{what} {number!r} is not possible: take a whole number")
    if context is not None and context < 2:
        raise ScoringError(f"context {context} is not possible: take at least 2 tokens, the predicted one included")
    if stride is not None and stride < 1:
        raise ScoringError(f"stride {stride} is not possible: take at least 1 token")
    if context is not None and stride is not None and stride >= context:
        raise ScoringError(f"stride {stride} is not possible with context {context}: take 1 to {context - 1}")
    if top_k < 0:
        raise ScoringError(f"top-k {top_k} is not possible: take the number of alternatives to keep, 0 for none")


def check_windowing(*, context: int | None, stride: int | None, limit: int, n_prefix: int) -> tuple[int, int]:
    """Return the context and stride to use, in tokens.

    Args:
        context: The context that was asked for; None for the model's limit.
        stride: The stride that was asked for; None for half the context.
        limit: The most ids that the model reads at once.
        n_prefix: Number of ids that open every window.

    Raises:
        ScoringError: The context is too small or too large, or the stride leaves tokens without a context.
    """
    smallest = n_prefix + 2 if n_prefix > 1 else 2
    if context is not None and not smallest <= context <= limit:
        raise ScoringError(
            f"context {context} is not possible: this model takes {smallest} to {limit} tokens, the predicted one included"
        )
    context = limit if context is None else context
    largest = context - max(n_prefix, 1)
    if stride is not None and not 1 <= stride <= largest:
        raise ScoringError(
            f"stride {stride} is not possible with context {context}: take 1 to {largest}, so that every token has a "
            "token or a BOS before it in its window"
        )
    return context, max(1, min(context // 2, largest)) if stride is None else stride


# Packs: sequences end to end, without padding, in the order in which they go through the model.
#
# A pack goes through the model as one long sequence; attention keeps its sequences apart. Inside a layer it is processed in
# steps of some thousand tokens at most. A step holds whole sequences, or a piece of one that continues the *path*: the keys and
# values of the sequence before it. Sequences with a common beginning are neighbours. A later one goes back on the path to where
# the two differ, so that what they share is computed once.

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


# Parts of a text: consecutive passages that go through the model together.
#
# Which passages share a pack affects the last bits of their log-probs. The parts depend on the text alone, so that a text gets
# the same bits whether it is scored in one call, into a file, or in shards by many workers.

PART_CHARACTERS = 1 << 17
"""The most characters in a part of several passages: enough tokens for full packs, and some tens of megabytes of rows."""


def parts_of(passages: Sequence[str], most: int | None = None) -> Iterator[tuple[int, int]]:
    """Group passages into parts.

    What comes after the end of a part does not depend on what was before it: passages from there on are grouped as in the whole
    text.

    Args:
        passages: The passages of a text.
        most: The most characters in a part; by default `PART_CHARACTERS`. A longer passage is a part by itself.

    Yields:
        The first passage of each part, and one past its last.
    """
    most = most or PART_CHARACTERS
    begin = size = 0
    for number, passage in enumerate(passages):
        if passage and size and size + len(passage) > most:
            yield begin, number
            begin, size = number, 0
        size += len(passage)
    yield begin, len(passages)


# Padded batches of windows of different lengths.

TOKEN_BUDGET = 2048  # padded tokens per batch; on a processor a larger batch is not faster
_MOST_PADDING = 0.1


def plan_batches(lengths: Sequence[int], *, token_budget: int = TOKEN_BUDGET) -> list[list[int]]:
    """Group sequences into batches with little padding and a bounded size.

    Args:
        lengths: Number of tokens of each sequence.
        token_budget: The most tokens of one batch, padding included; a longer sequence is a batch by itself.

    Returns:
        Batches of indices into `lengths`. Each index occurs once. The longest come first, so that a batch that does not fit in
        memory fails at the start.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    longest = used = 0
    for i in order:
        padded = longest * (len(batches[-1]) + 1) if batches else 0
        if not batches or padded > token_budget or padded - used - lengths[i] > _MOST_PADDING * padded:
            batches.append([])
            longest, used = lengths[i], 0
        batches[-1].append(i)
        used += lengths[i]
    return batches


# Tokenizing a text with a progress report: one passage of 300 MB, or millions of passages, take minutes.

_STEP = 100_000  # characters between two progress reports


def cut(model: LoadedModel, text: Text) -> list[EncodedPassage]:
    """Cut a text into tokens, passage by passage.

    Raises:
        ScoringError: A passage cannot be tokenized, as in `tokens.encode`.
    """
    passages, done = [], 0
    what = f"cutting {text.name} into tokens of {model.label}"
    with task(what, text.characters, "characters") as advance:
        for passage in text.passages:
            passages.append(tokens.encode(model.tokenizer, passage))
            done += len(passage)
            if done >= _STEP:
                advance(done)
                done = 0
    return passages
