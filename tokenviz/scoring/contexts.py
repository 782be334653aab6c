"""`context_logprobs`: how the log-prob of every token depends on the number of tokens read before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenviz.errors import ScoringError
from tokenviz.models import tokens
from tokenviz.models.loading import LoadedModel
from tokenviz.progress import task
from tokenviz.scores import BosMode
from tokenviz.scoring.cutting import cut
from tokenviz.scoring.failures import reading
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.scorer import check_ids
from tokenviz.scoring.statistics import check_finite
from tokenviz.texts import Text, as_it_stands

if TYPE_CHECKING:
    import pandas as pd

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
