"""`divergences`: how much two models' predictions differ over the whole vocabulary, for every token of a text.

Both models must read the same ids and have one vocabulary. Logits are computed for a few positions at a time, never for all.
Where two models do not fit in memory together, the first one's predictions can be kept on disk (predictions.py).

    tv.divergences(tv.load_model("smollm2-135m"), tv.load_model("smollm2-135m,quantize=q4_0"), "A text.").to_frame()
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.base.errors import ComparisonError, ScoringError
from tokenviz.base.progress import task
from tokenviz.data.scores import BosMode
from tokenviz.data.texts import Text, as_it_stands
from tokenviz.models import tokens
from tokenviz.models.loading import LoadedModel, as_loaded
from tokenviz.models.offsets import EncodedPassage
from tokenviz.scoring.kernel import Ids, Kernel
from tokenviz.scoring.memory import reading
from tokenviz.scoring.predictions import KeptPredictions
from tokenviz.scoring.scorer import check_ids, check_possible
from tokenviz.scoring.statistics import PositionDivergences, concatenate, divergences_of
from tokenviz.scoring.windows import Piece, cut, parts_of, pieces_of

if TYPE_CHECKING:
    import pandas as pd

_ELEMENTS = 1 << 18  # logits of each model per step: with their intermediate results they fit in the processor's cache


@dataclass(frozen=True, eq=False)
class Divergences:
    """Divergences between two models on a text: the rows of `TokenScores`, NaN where a token has no prediction.

    Attributes:
        text_name: The name of the text.
        model_a: The first model's spec.
        model_b: The second model's spec.
        top_k: The number of likeliest tokens that `top_overlap` compares.
        passage: (n,) number of the passage, from 0.
        position: (n,) number of the token in its passage, from 0.
        values: The divergences between the predictions of each token, (n,) each.
    """

    text_name: str
    model_a: str
    model_b: str
    top_k: int
    passage: NDArray[np.int64]
    position: NDArray[np.int64]
    values: PositionDivergences

    def __repr__(self) -> str:
        known = self.values.kl_ab[~np.isnan(self.values.kl_ab)]
        mean = f", mean KL divergence of b from a {known.mean():.4g} nats" if len(known) else ""
        return (
            f"Divergences({self.model_a!r} and {self.model_b!r} on {self.text_name!r}: {len(self.passage)} tokens, "
            f"{len(known)} measured{mean})"
        )

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas data frame with one row per token."""
        import pandas as pd

        return pd.DataFrame({"passage": self.passage, "position": self.position, **vars(self.values)})


def divergences(
    a: LoadedModel | KeptPredictions | str,
    b: LoadedModel | str,
    text: Text | str,
    *,
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
    top_k: int = 10,
) -> Divergences:
    """Measure how much two models' predictions of every token of a text differ.

    Args:
        a: The first model or its spec, with the same vocabulary as the second; or its predictions of the text, from
            `keep_predictions`. A model given by its spec is loaded for this call alone.
        b: The second model or its spec.
        text: A text, or a string, which is taken literally.
        bos: "auto" (the default), "always", "never" or a token, as in `score`.
        context: The most tokens per window; by default as many as both models can read, or as in the kept predictions.
        stride: Tokens from one window's start to the next; by default half the context, or as in the kept predictions.
        top_k: The number of likeliest tokens that `top_overlap` compares.

    Returns:
        One row per token: KL divergence in both directions and Jensen-Shannon divergence (nats), total variation, and the
        overlap of the `top_k` likeliest tokens; `values` holds the columns.

    Raises:
        ComparisonError: The models do not read the same ids, or not over the same vocabulary, or not in the same windows.
        ScoringError: The settings are not possible for these models, or logits are not finite.
        ModelError: A model is not causal.

    Example:
        >>> a, b = tv.load_model("glass-en"), tv.load_model("glass-en,dtype=bfloat16")
        >>> found = tv.divergences(a, b, "Alice was very tired.")
        >>> found
        Divergences('glass-en' and 'glass-en,dtype=bfloat16' on 'text-...': 6 tokens, 5 measured, mean KL divergence ...)
        >>> bool((found.values.kl_ab[1:] < 0.001).all())
        True
    """
    a = as_loaded(a) if isinstance(a, str) else a
    return _divergences(a, as_loaded(b), as_it_stands(text), 0, bos, context, stride, top_k)


def divergences_by_parts(
    a: LoadedModel, b: LoadedModel, text: Text, *, bos: BosMode, context: int | None, stride: int | None, top_k: int
) -> Iterator[Divergences]:
    """Measure what `divergences` does part by part, so that only a part's tokens are in memory.

    Args:
        a: The first model.
        b: The second model, with the same vocabulary.
        text: The text.
        bos: As in `divergences`.
        context: As in `divergences`.
        stride: As in `divergences`.
        top_k: As in `divergences`.

    Yields:
        The divergences of consecutive whole passages, which are numbered as in the whole text. Which passages are read together
        is another matter than in `divergences`, so that the numbers differ by rounding.

    Raises:
        ComparisonError: As in `divergences`.
        ScoringError: As in `divergences`.
    """
    with task(f"measuring {text.name}", text.characters, "characters") as advance:
        for begin, end in parts_of(text.passages):
            part = Text(text.name, text.passages[begin:end], (), text.sha256)
            yield _divergences(a, b, part, begin, bos, context, stride, top_k)
            advance(part.characters)


def _divergences(
    a: LoadedModel | KeptPredictions,
    b: LoadedModel,
    text: Text,
    first: int,
    bos: BosMode,
    context: int | None,
    stride: int | None,
    top_k: int,
) -> Divergences:
    """Return the divergences on a text, or on a part of one that begins with the passage of number `first`."""
    if isinstance(a, LoadedModel):
        context = min(a.context, b.context) if context is None else context
    else:
        context, stride = context or a.context, stride or a.stride
    check_vocabularies(a, b)
    prefix, context, stride = check_possible(b, bos=bos, context=context, stride=stride, top_k=top_k)
    if isinstance(a, LoadedModel):
        prefix_a, *_ = check_possible(a, bos=bos, context=context, stride=stride, top_k=top_k)
    else:
        prefix_a = a.prefix
        _check_windows(a, text, context, stride)
    if prefix_a != prefix:
        raise ComparisonError(
            f"bos {bos!r} puts the ids {list(prefix_a)} before what {_name(a)!r} reads, and {list(prefix)} before what "
            f"{b.label!r} reads: take 'always' or 'never' for both"
        )
    passages = _encoded(a, b, text, first)
    check_ids(b, prefix, passages, first=first)
    n = sum(len(passage.ids) for passage in passages)
    columns = PositionDivergences(*(np.full(n, np.nan) for _ in range(len(PositionDivergences.__annotations__))))
    pieces = pieces_of(passages, prefix, context=context, stride=stride)
    side = _Live(Kernel.of(a)) if isinstance(a, LoadedModel) else _Kept(a)
    with (
        reading(text.name),
        task(f"{_name(a)} and {b.label} read {text.name}", sum(len(piece.rows) for piece in pieces), "tokens") as advance,
    ):
        for number, found in _over_pieces(side, Kernel.of(b), pieces, top_k):
            _check_finite(found, f"{_name(a)!r} and {b.label!r} on {text.name!r}", pieces[number], first)
            for name, column in vars(columns).items():
                column[pieces[number].rows] = getattr(found, name)
            advance(len(pieces[number].rows))
    return Divergences(
        text_name=text.name,
        model_a=_name(a),
        model_b=b.label,
        top_k=top_k,
        passage=first + np.repeat(np.arange(len(passages)), [len(passage.ids) for passage in passages]),
        position=np.concatenate([np.arange(len(passage.ids)) for passage in passages]),
        values=columns,
    )


class _Live:
    """A model in memory, as a source of logits."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def states(self, pieces: list[Piece], at_once: int) -> torch.Tensor:
        """Return the hidden states before the wanted tokens of all pieces, in their order, as `logits` takes them."""
        parts: dict[int, torch.Tensor] = {}
        for numbers, states, places in self.kernel.hidden_states([piece.ids for piece in pieces], tokens=at_once):
            for number, place in zip(numbers, places, strict=True):
                parts[number] = _rows(states, place[pieces[number].wanted - 1])
        return torch.cat([parts[number] for number in range(len(pieces))])

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return self.kernel.logits(states)


class _Kept:
    """A model's predictions on disk, as a source of logits; its states are row numbers."""

    def __init__(self, kept: KeptPredictions) -> None:
        self.kept = kept

    def states(self, pieces: list[Piece], at_once: int) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([self.kept.places[piece.rows] for piece in pieces]))

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return self.kept.logits_of(states)


def _over_pieces(a: _Live | _Kept, b: Kernel, pieces: list[Piece], top_k: int) -> Iterator[tuple[int, PositionDivergences]]:
    kernels = [a.kernel, b] if isinstance(a, _Live) else [b]

    def run(left: list[int]) -> Iterator[tuple[list[int], list[PositionDivergences]]]:
        ours = [pieces[i] for i in left]
        at_once = min(kernel.tokens_at_once for kernel in kernels)
        for numbers, states, places in b.hidden_states([piece.ids for piece in ours], tokens=at_once):
            some = [ours[number] for number in numbers]
            rows = np.concatenate([place[piece.wanted - 1] for place, piece in zip(places, some, strict=True)])
            # Rows that sequences share through a common beginning are measured once.
            rows, first, back = np.unique(rows, return_index=True, return_inverse=True)
            size = max(1, min(kernel.budget.logits for kernel in kernels) // b.vocabulary)
            found = _over_rows(a, _rows(a.states(some, at_once), first), b, _rows(states, rows), size, top_k)
            yield numbers, found.take(back).split([len(piece.wanted) for piece in some])

    yield from b.within_memory([piece.ids for piece in pieces], run)


def _rows(states: torch.Tensor, rows: Ids) -> torch.Tensor:
    return states[torch.from_numpy(rows).to(states.device)]


def _over_rows(
    a: _Live | _Kept, states_a: torch.Tensor, b: Kernel, states_b: torch.Tensor, size: int, top_k: int
) -> PositionDivergences:
    parts = []
    for chunk_a, chunk_b in zip(torch.split(states_a, size), torch.split(states_b, size), strict=True):
        logits_a = a.logits(chunk_a).clone()  # b may be the same model, and its next logits overwrite these
        logits_b = b.logits(chunk_b).to(logits_a.device)
        few = max(1, _ELEMENTS // b.vocabulary)
        pairs = zip(torch.split(logits_a, few), torch.split(logits_b, few), strict=True)
        parts += [divergences_of(*pair, top_k) for pair in pairs]
    return concatenate(parts)


def _encoded(a: LoadedModel | KeptPredictions, b: LoadedModel, text: Text, first: int) -> list[EncodedPassage]:
    """Return the tokens of the passages; refuse models that read different ones."""
    passages = cut(b, text)
    if isinstance(a, KeptPredictions):
        if not np.array_equal(a.token_ids, np.concatenate([passage.ids for passage in passages])):
            raise ComparisonError(
                f"{b.label!r} cuts {text.name!r} into other tokens than {a.model!r} was kept with: {_INSTEAD}"
            )
        return passages
    for number, passage in enumerate(text.passages):
        ids_a, ids_b = tokens.encode(a.tokenizer, passage).ids, passages[number].ids
        if not np.array_equal(ids_a, ids_b):
            raise ComparisonError(
                f"{a.label!r} cuts passage {first + number} of {text.name!r} into {len(ids_a):,} tokens and {b.label!r} into "
                f"{len(ids_b):,} other ones, with one vocabulary: {_INSTEAD}"
            )
    return passages


_INSTEAD = "there is no divergence token by token; tokenviz.compare compares the two over segments"


def check_vocabularies(a: LoadedModel | KeptPredictions, b: LoadedModel) -> None:
    """Refuse models whose distributions are over different tokens.

    Raises:
        ComparisonError: The tokenizers or the numbers of logits differ.
    """
    if a.tokenizer_sha256 != b.tokenizer_sha256:
        raise ComparisonError(f"{_apart(a, b)}: {_INSTEAD}")
    if a.vocabulary != b.vocabulary:
        raise ComparisonError(
            f"{_name(a)!r} has {a.vocabulary:,} logits and {b.label!r} has {b.vocabulary:,}, with one tokenizer: {_INSTEAD}"
        )


def _apart(a: LoadedModel | KeptPredictions, b: LoadedModel) -> str:
    if isinstance(a, KeptPredictions):
        return f"{a.model!r}, whose predictions were kept, and {b.label!r} have two vocabularies"
    ours, theirs = a.tokenizer.get_vocab(), b.tokenizer.get_vocab()
    common = len(ours.items() & theirs.items())
    return (
        f"the vocabularies of {a.label!r} ({len(ours):,} tokens) and {b.label!r} ({len(theirs):,}) have {common:,} tokens "
        "with their ids in common"
    )


def _check_windows(kept: KeptPredictions, text: Text, context: int, stride: int) -> None:
    """Refuse predictions that were kept of another text, or in other windows."""
    if kept.text_sha256 != text.sha256:
        raise ComparisonError(
            f"the predictions of {kept.model!r} were kept of another text than {text.name!r}: keep those of this one"
        )
    if (kept.context, kept.stride) != (context, stride):
        raise ComparisonError(
            f"the predictions of {kept.model!r} were kept with context {kept.context} and stride {kept.stride}, and context "
            f"{context} and stride {stride} are asked for: leave both out, or keep the predictions again"
        )


def _name(model: LoadedModel | KeptPredictions) -> str:
    return model.label if isinstance(model, LoadedModel) else model.model


def _check_finite(found: PositionDivergences, where: str, piece: Piece, first: int) -> None:
    finite = np.isfinite(found.kl_ab) & np.isfinite(found.kl_ba)
    if not finite.all():
        raise ScoringError(
            f"{where}, passage {first + piece.passage}, token {int(piece.positions[~finite][0])}: the logits of one of them "
            "are NaN or infinite; nothing was measured. Try dtype=float32, or check the weights"
        )
