"""Other numbers for every token: user-defined ones (`position_values`), and log-probs by context (`context_logprobs`)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.base.errors import ScoringError
from tokenviz.base.progress import task
from tokenviz.data.scores import BosMode
from tokenviz.data.texts import Text, as_it_stands
from tokenviz.models import tokens
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.linear import full_precision
from tokenviz.scoring.memory import reading
from tokenviz.scoring.scorer import check_ids, check_possible
from tokenviz.scoring.statistics import check_finite, float64, statistics_of
from tokenviz.scoring.windows import Piece, cut, pieces_of

if TYPE_CHECKING:
    import pandas as pd


# `position_values`: a user-defined number for every token, computed from the logits that predicted it.
#
# The logits of a few positions are in memory at a time, never all. The user's function gets them in float32 (float64 for a
# float64 model) and returns a number for each position.

PositionFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes logits (m, vocabulary) before m tokens and their ids (m,); returns m numbers, NaN where there is none."""


@dataclass(frozen=True, eq=False)
class PositionValues:
    """A number for each token of a text: the rows of `TokenScores`, NaN where a token has no prediction.

    Attributes:
        text_name: The name of the text.
        model: The model's spec.
        passage: (n,) number of the passage, from 0.
        position: (n,) number of the token in its passage, from 0.
        token: The n slices of the text.
        logprob: (n,) in nats.
        values: (n,) the numbers that the function returned.
    """

    text_name: str
    model: str
    passage: NDArray[np.int64]
    position: NDArray[np.int64]
    token: tuple[str, ...]
    logprob: NDArray[np.float64]
    values: NDArray[np.float64]

    def to_frame(self, name: str) -> "pd.DataFrame":
        """Return a pandas data frame with one row per token; the values are in a column called `name`."""
        import pandas as pd

        known = {"passage": self.passage, "position": self.position, "token": list(self.token), "logprob": self.logprob}
        return pd.DataFrame({**known, name: self.values})


def position_values(
    model: LoadedModel,
    text: Text | str,
    function: PositionFunction,
    *,
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
) -> PositionValues:
    """Compute a number for every token of a text with a function of the logits.

    Args:
        model: A model from `load_model`.
        text: A text, or a string, which is taken literally.
        function: Function of logits (m, vocabulary) and ids (m,) that returns m numbers. Each number must depend on its own
            position alone, not on which others are in the same call.
        bos: "auto" (the default), "always", "never" or a token, as in `score`.
        context: The most tokens per window; by default as many as the model can read.
        stride: Tokens from one window's start to the next; by default half the context.

    Returns:
        The numbers in `.values`, (n,) for the n tokens in reading order, next to the tokens and their log-probs.

    Raises:
        ScoringError: As in `score`; or the function does not return one number per position, or a number depends on other
            positions.
        ModelError: The model is not causal.

    Example:
        >>> def confidence(logits, ids):
        ...     return logits.softmax(dim=-1).amax(dim=-1)
        >>> found = tv.position_values(tv.load_model("glass-en"), "Alice was very tired.", confidence)
        >>> found.values.round(2)
        array([ nan, 0.17, 0.07, 0.1 , 0.21, 0.4 ])
    """
    text = as_it_stands(text)
    prefix, context, stride = check_possible(model, bos=bos, context=context, stride=stride, top_k=0)
    passages = cut(model, text)
    check_ids(model, prefix, passages)
    lengths = [len(passage.ids) for passage in passages]
    logprob, values = np.full(sum(lengths), np.nan), np.full(sum(lengths), np.nan)
    pieces = pieces_of(passages, prefix, context=context, stride=stride)
    where = f"{model.label!r} on {text.name!r}, passage"
    with (
        reading(text.name),
        task(f"{model.label} reads {text.name}", sum(len(piece.rows) for piece in pieces), "tokens") as advance,
    ):
        for piece, found, logprobs in _over_pieces(Kernel.of(model), pieces, function, where):
            values[piece.rows], logprob[piece.rows] = found, logprobs
            advance(len(piece.rows))
    slices = [
        passage[start:end]
        for passage, encoded in zip(text.passages, passages, strict=True)
        for start, end in zip(encoded.starts, encoded.ends, strict=True)
    ]
    return PositionValues(
        text_name=text.name,
        model=model.label,
        passage=np.repeat(np.arange(len(passages)), lengths),
        position=np.concatenate([np.arange(length) for length in lengths]),
        token=tuple(slices),
        logprob=logprob,
        values=values,
    )


_Found = tuple[Piece, NDArray[np.float64], NDArray[np.float64]]


def _over_pieces(kernel: Kernel, pieces: list[Piece], function: PositionFunction, where: str) -> Iterator[_Found]:
    """Yield the values and log-probs of each piece's tokens, in any order of pieces."""

    def read(states: torch.Tensor, before: NDArray[np.int64], piece: Piece) -> _Found:
        size = max(1, kernel.budget.logits // kernel.vocabulary)
        ids = torch.from_numpy(piece.ids[piece.wanted]).to(states.device)
        chosen = torch.from_numpy(before).to(states.device)
        values, logprobs = [], []
        with full_precision(states.device.type):
            for place in range(0, len(chosen), size):
                some = ids[place : place + size]
                logits = kernel.logits(states[chosen[place : place + size]])
                logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
                positions = piece.positions[place : place + size]
                statistics = statistics_of(logits, some, 0)
                check_finite(statistics, f"{where} {piece.passage}", positions)
                values.append(_asked(function, logits, some))
                logprobs.append(statistics.logprob)
        return piece, np.concatenate(values), np.concatenate(logprobs)

    def run(left: list[int]) -> Iterator[tuple[list[int], list[_Found]]]:
        ours = [pieces[i] for i in left]
        for numbers, states, places in kernel.hidden_states([piece.ids for piece in ours], tokens=kernel.tokens_at_once):
            mine = [ours[number] for number in numbers]
            yield numbers, [read(states, own[one.wanted - 1], one) for one, own in zip(mine, places, strict=True)]

    for _, found in kernel.within_memory([piece.ids for piece in pieces], run):
        yield found


def _asked(function: PositionFunction, logits: torch.Tensor, ids: torch.Tensor) -> NDArray[np.float64]:
    """Return the function's numbers for some positions; refuse what is not one independent number per position."""
    name = getattr(function, "__name__", "the function")
    alone = function(logits[:1].clone(), ids[:1])
    values = function(logits.clone(), ids)
    for given, count in ((alone, 1), (values, len(ids))):
        if not isinstance(given, torch.Tensor) or given.shape != (count,) or given.is_complex():
            what = f"a tensor of shape {tuple(given.shape)}" if isinstance(given, torch.Tensor) else f"{type(given).__name__}"
            raise ScoringError(
                f"{name} gave {what} for logits of shape {(count, logits.shape[1])}: it must give one real number a position, "
                f"a tensor of shape ({count},)"
            )
    found = float64(values)
    if not np.allclose(found[:1], float64(alone), rtol=1e-3, atol=1e-5, equal_nan=True):
        raise ScoringError(
            f"{name} gave {found[0]:.6g} for a position among {len(ids)}, and {float(alone):.6g} for the same one alone: it "
            "must look at each position by itself; give dim=-1 to sums, maxima and softmax"
        )
    if np.isinf(found).any():
        raise ScoringError(f"{name} gave an infinite number: give NaN where there is none")
    return found


# `context_logprobs`: how the log-prob of every token depends on the number of tokens read before it.

_IDS_AT_ONCE = 1 << 20  # token ids of the windows that are planned together: 8 MB


@dataclass(frozen=True, eq=False)
class ContextLogprobs:
    """Log-probs of one text's tokens, each after several numbers of preceding tokens, with the same rows as `TokenScores`.

    Attributes:
        text_name: The name of the text.
        model: The model's spec.
        bos_ids: The ids that opened every window; `seen` does not count them.
        seen: (k,) the most tokens read before the predicted one, ascending.
        passage: (n,) number of the passage, from 0.
        position: (n,) number of the token in its passage, from 0. A token has at most `position` tokens before it.
        logprob: (n, k) in nats; NaN for a first token without a BOS.
    """

    text_name: str
    model: str
    bos_ids: tuple[int, ...]
    seen: tuple[int, ...]
    passage: NDArray[np.int64]
    position: NDArray[np.int64]
    logprob: NDArray[np.float64]

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas data frame with one row per token and a column `logprob_K` for at most K tokens before it."""
        import pandas as pd

        columns = {f"logprob_{count}": self.logprob[:, j] for j, count in enumerate(self.seen)}
        return pd.DataFrame({"passage": self.passage, "position": self.position, **columns})


@dataclass(frozen=True)
class _Window:
    """Ids that are read at once, and for each log-prob read off: the token of the passage, the column, the place in `ids`."""

    ids: NDArray[np.int64]
    tokens: NDArray[np.int64]
    columns: NDArray[np.int64]
    places: NDArray[np.int64]


def context_logprobs(model: LoadedModel, text: Text | str, seen: Sequence[int], *, bos: BosMode = "auto") -> ContextLogprobs:
    """Score every token of a text after at most 1, 2, 4, ... tokens, at the cost of the largest number.

    A window that begins at a token gives the predictions after its first 1, 2, 4, ... tokens in one pass. Column j is equal to
    what `score` gives with stride 1 and a context of `seen[j]` tokens, plus the predicted one, plus the BOS where there is one.

    Args:
        model: A model from `load_model`.
        text: A text, or a string, which is taken literally.
        seen: The most tokens to read before the predicted one, ascending; the BOS is not counted.
        bos: "auto" (the default), "always", "never" or a token, as in `score`.

    Raises:
        ScoringError: The numbers are not possible for this model, or logits are not finite.
        ModelError: The model is not causal.
    """
    text = as_it_stands(text)
    prefix = tokens.bos_prefix(model.tokenizer, bos, model.label)
    _check_seen(seen, model.context - len(prefix) - 1)
    passages = cut(model, text)
    check_ids(model, prefix, passages)
    kernel = Kernel.of(model)
    lengths = [len(passage.ids) for passage in passages]
    logprob = np.full((sum(lengths), len(seen)), np.nan)
    with (
        reading(text.name),
        task(f"{model.label} reads {text.name} with up to {max(seen)} tokens before each", sum(lengths), "tokens") as advance,
    ):
        for number, (passage, first_row) in enumerate(zip(passages, np.cumsum([0, *lengths]), strict=False)):
            row_of = np.flatnonzero(passage.ids >= 0)  # row of each token in the passage
            where = f"{model.label!r} on {text.name!r}, passage {number}"
            for windows in _together(_windows(passage.ids[row_of], prefix, seen)):
                for i, found in kernel.statistics([w.ids for w in windows], [w.places for w in windows], 0):
                    rows = row_of[windows[i].tokens]
                    check_finite(found, where, rows)
                    logprob[first_row + rows, windows[i].columns] = found.logprob
                advance(len(windows))
    return ContextLogprobs(
        text_name=text.name,
        model=model.label,
        bos_ids=prefix,
        seen=tuple(seen),
        passage=np.repeat(np.arange(len(passages)), lengths),
        position=np.concatenate([np.arange(length) for length in lengths]),
        logprob=logprob,
    )


def _windows(ids: NDArray[np.int64], prefix: tuple[int, ...], seen: Sequence[int]) -> Iterator[_Window]:
    """Yield one window for each token at which some prediction's context begins."""
    opens = len(prefix) if tuple(ids[: len(prefix)]) == prefix else 0  # as in `pieces_of`
    body, opening = ids[opens:], np.array(prefix, np.int64)
    for begin in range(len(body)):
        # Predicted token, column. A window at the first token serves all larger columns too: there is nothing more to read
        # before it.
        if begin:
            wanted = [(begin + count, j) for j, count in enumerate(seen)]
        else:
            wanted = [(i, j) for j, count in enumerate(seen) for i in range(0 if prefix else 1, count + 1)]
        wanted = [(i, j) for i, j in wanted if i < len(body)]
        if not wanted:
            continue
        predicted, columns = np.array(wanted).T
        end = int(predicted.max()) + 1
        yield _Window(
            ids=np.concatenate([opening, body[begin:end]]),
            tokens=opens + predicted,
            columns=columns,
            places=len(prefix) + predicted - begin,
        )


def _together(windows: Iterator[_Window]) -> Iterator[list[_Window]]:
    """Group windows to a bounded size: the windows of a long text hold many times its tokens."""
    group: list[_Window] = []
    size = 0
    for window in windows:
        group.append(window)
        size += len(window.ids)
        if size >= _IDS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _check_seen(seen: Sequence[int], most: int) -> None:
    if not seen or list(seen) != sorted(set(seen)) or seen[0] < 1 or seen[-1] > most:
        raise ScoringError(
            f"{', '.join(map(str, seen)) or 'nothing'} tokens before the predicted one are not possible: give numbers from 1 "
            f"to {most} for this model, each greater than the one before"
        )
