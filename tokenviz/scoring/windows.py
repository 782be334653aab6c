"""Windows: slices of a passage that fit the context, chosen so that every token is scored exactly once.

A window holds at most `context` ids: the BOS prefix, where one is used, and a slice of the passage. The first window scores all
its tokens. Each later one starts `stride` tokens further on and scores only the tokens that no window before it has scored. So
after the first window a token sees at least `context - prefix - stride` tokens before it. With stride 1 each token sees as many
as fit, as in the exact loop over prefixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenviz.errors import ScoringError
from tokenviz.models.spans import EncodedPassage


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
        ScoringError: A number is too small, or the stride is not below the context.
    """
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
