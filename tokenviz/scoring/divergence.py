"""How far two models' predictions lie apart: divergences between their distributions over the whole vocabulary.

Both models read the same ids and have one vocabulary; their logits exist for a few positions at a time, never for all.

    tv.divergences(tv.load_model("smollm2-135m"), tv.load_model("smollm2-135m,quantize=q4_0"), "A text.").to_frame()
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.errors import ComparisonError, ScoringError
from tokenviz.models import tokens
from tokenviz.models.loading import LoadedModel
from tokenviz.models.tokens import EncodedPassage
from tokenviz.progress import task
from tokenviz.scores import BosMode
from tokenviz.scoring.distributions import PositionDivergences, divergences_of
from tokenviz.scoring.kernel import Ids, Kernel
from tokenviz.scoring.scorer import check_ids, check_possible
from tokenviz.scoring.statistics import concatenate
from tokenviz.scoring.windows import Piece, pieces_of
from tokenviz.texts import Text, literal

if TYPE_CHECKING:
    import pandas as pd

_ELEMENTS = 1 << 18  # logits of each model gone over at once: with what is made of them they stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Divergences:
    """Two models' divergences on a text, a row a token: the rows of `TokenScores`, NaN where a token has no prediction.

    Attributes:
        text_name: The text's name.
        model_a: The first model's spec.
        model_b: The second's.
        top_k: Of `top_overlap`.
        passage: (n,) which passage, from 0.
        position: (n,) which token of the passage, from 0.
        values: The divergences between the predictions of each token, (n,) each.
    """

    text_name: str
    model_a: str
    model_b: str
    top_k: int
    passage: NDArray[np.int64]
    position: NDArray[np.int64]
    values: PositionDivergences

    def to_frame(self) -> "pd.DataFrame":
        """A pandas data frame, one row a token."""
        import pandas as pd

        return pd.DataFrame({"passage": self.passage, "position": self.position, **vars(self.values)})


def divergences(
    a: LoadedModel,
    b: LoadedModel,
    text: Text | str,
    *,
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
    top_k: int = 10,
) -> Divergences:
    """Measure how far two models' predictions of every token of a text lie apart.

    Args:
        a: The first model, with the same vocabulary as the second.
        b: The second.
        text: A text, or a string to take as it stands.
        bos: See `score`.
        context: The most tokens a window holds; by default what both models can read.
        stride: See `score`.
        top_k: Of `PositionDivergences.top_overlap`.

    Raises:
        ComparisonError: The models do not read the same ids, or not over the same vocabulary.
        ScoringError: The settings are not possible for these models, or logits are not finite.
        ModelError: A model is not causal.
    """
    text = literal(text) if isinstance(text, str) else text
    context = min(a.context, b.context) if context is None else context
    _check_vocabularies(a, b)
    (prefix, context, stride), (prefix_b, *_) = (
        check_possible(model, bos=bos, context=context, stride=stride, top_k=top_k) for model in (a, b)
    )
    if prefix != prefix_b:
        raise ComparisonError(
            f"bos {bos!r} puts the ids {list(prefix)} before what {a.label!r} reads, and {list(prefix_b)} before what "
            f"{b.label!r} reads: take 'always' or 'never' for both"
        )
    passages = _encoded(a, b, text)
    check_ids(a, prefix, passages)
    n = sum(len(passage.ids) for passage in passages)
    columns = PositionDivergences(*(np.full(n, np.nan) for _ in range(len(PositionDivergences.__annotations__))))
    pieces = pieces_of(passages, prefix, context=context, stride=stride)
    with task(f"{a.label} and {b.label} read {text.name}", sum(len(piece.rows) for piece in pieces), "tokens") as advance:
        for number, found in _over_pieces(Kernel.of(a), Kernel.of(b), pieces, top_k):
            _check_finite(found, f"{a.label!r} and {b.label!r} on {text.name!r}", pieces[number])
            for name, column in vars(columns).items():
                column[pieces[number].rows] = getattr(found, name)
            advance(len(pieces[number].rows))
    return Divergences(
        text_name=text.name,
        model_a=a.label,
        model_b=b.label,
        top_k=top_k,
        passage=np.repeat(np.arange(len(passages)), [len(passage.ids) for passage in passages]),
        position=np.concatenate([np.arange(len(passage.ids)) for passage in passages]),
        values=columns,
    )


def _over_pieces(a: Kernel, b: Kernel, pieces: list[Piece], top_k: int) -> Iterator[tuple[int, PositionDivergences]]:
    def run(left: list[int]) -> Iterator[tuple[list[int], list[PositionDivergences]]]:
        ids, before = [pieces[i].ids for i in left], [pieces[i].wanted - 1 for i in left]
        at_once = min(a.tokens_at_once, b.tokens_at_once)
        for numbers, states, places in a.hidden_states(ids, tokens=at_once):
            wanted = [before[i] for i in numbers]
            rows = np.concatenate([place[positions] for place, positions in zip(places, wanted, strict=True)])
            # What sequences with a common beginning share is measured once.
            rows, first, back = np.unique(rows, return_index=True, return_inverse=True)
            states_b = _states(b, [ids[i] for i in numbers], wanted, at_once)
            found = _over_rows(a, _rows(states, rows), b, _rows(states_b, first), top_k)
            yield numbers, found.take(back).split([len(positions) for positions in wanted])

    yield from a.within_memory([piece.ids for piece in pieces], run)


def _states(kernel: Kernel, sequences: list[Ids], wanted: list[Ids], at_once: int) -> torch.Tensor:
    """Hidden states at the wanted positions of all sequences, in their order."""
    parts: dict[int, torch.Tensor] = {}
    for numbers, states, places in kernel.hidden_states(sequences, tokens=at_once):
        for number, place in zip(numbers, places, strict=True):
            parts[number] = _rows(states, place[wanted[number]])
    return torch.cat([parts[number] for number in range(len(sequences))])


def _rows(states: torch.Tensor, rows: Ids) -> torch.Tensor:
    return states[torch.from_numpy(rows).to(states.device)]


def _over_rows(a: Kernel, states_a: torch.Tensor, b: Kernel, states_b: torch.Tensor, top_k: int) -> PositionDivergences:
    parts = []
    size = max(1, min(a.budget.logits, b.budget.logits) // a.vocabulary)
    for chunk_a, chunk_b in zip(torch.split(states_a, size), torch.split(states_b, size), strict=True):
        logits_a = a.logits(chunk_a).clone()  # b may be the same model, whose next logits take the place of these
        logits_b = b.logits(chunk_b).to(logits_a.device)
        few = max(1, _ELEMENTS // a.vocabulary)
        pairs = zip(torch.split(logits_a, few), torch.split(logits_b, few), strict=True)
        parts += [divergences_of(*pair, top_k) for pair in pairs]
    return concatenate(parts)


def _encoded(a: LoadedModel, b: LoadedModel, text: Text) -> list[EncodedPassage]:
    """The passages' tokens, which must be the same for both models."""
    passages = [tokens.encode(a.tokenizer, passage) for passage in text.passages]
    for number, passage in enumerate(text.passages):
        ids_a, ids_b = passages[number].ids, tokens.encode(b.tokenizer, passage).ids
        if not np.array_equal(ids_a, ids_b):
            raise ComparisonError(
                f"{a.label!r} cuts passage {number} of {text.name!r} into {len(ids_a):,} tokens and {b.label!r} into "
                f"{len(ids_b):,} other ones, with one vocabulary: {_INSTEAD}"
            )
    return passages


_INSTEAD = "there is no divergence token by token; tokenviz.compare compares the two over segments"


def _check_vocabularies(a: LoadedModel, b: LoadedModel) -> None:
    """Refuse models whose distributions are not over the same tokens.

    Raises:
        ComparisonError: They are not.
    """
    if a.tokenizer_sha256 != b.tokenizer_sha256:
        ours, theirs = a.tokenizer.get_vocab(), b.tokenizer.get_vocab()
        common = len(ours.items() & theirs.items())
        raise ComparisonError(
            f"the vocabularies of {a.label!r} ({len(ours):,} tokens) and {b.label!r} ({len(theirs):,}) have {common:,} tokens "
            f"with their ids in common: {_INSTEAD}"
        )
    if a.vocabulary != b.vocabulary:
        raise ComparisonError(
            f"{a.label!r} has {a.vocabulary:,} logits and {b.label!r} has {b.vocabulary:,}, with one tokenizer: {_INSTEAD}"
        )


def _check_finite(found: PositionDivergences, where: str, piece: Piece) -> None:
    finite = np.isfinite(found.kl_ab) & np.isfinite(found.kl_ba)
    if not finite.all():
        raise ScoringError(
            f"{where}, passage {piece.passage}, token {int(piece.positions[~finite][0])}: the logits of one of them are NaN "
            "or infinite; nothing was measured. Try dtype=float32, or check the weights"
        )
