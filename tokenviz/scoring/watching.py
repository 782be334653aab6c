"""`watch`: the probabilities of named candidates, such as " Yes" and " No", at every position or at the end of each passage.

Every token table can hold the likeliest tokens (`top_k`). A candidate that is not among them has a log-prob and a rank as well,
which are read from the same logits. The logits of a few positions are in memory at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from tokenviz.base.errors import ScoringError
from tokenviz.base.progress import task
from tokenviz.data.scores import BosMode
from tokenviz.data.texts import Text, as_it_stands
from tokenviz.models import tokens
from tokenviz.models.loading import LoadedModel
from tokenviz.models.offsets import EncodedPassage
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.linear import full_precision
from tokenviz.scoring.memory import reading
from tokenviz.scoring.scorer import check_ids, check_possible
from tokenviz.scoring.statistics import float64
from tokenviz.scoring.windows import Piece, cut, pieces_of

if TYPE_CHECKING:
    import pandas as pd

At = Literal["every", "end"]


@dataclass(frozen=True)
class Candidate:
    """A string whose probability is asked for.

    Attributes:
        text: The string.
        ids: Its token ids, tokenized by itself.
        first: Its first token, in readable form.
    """

    text: str
    ids: tuple[int, ...]
    first: str


@dataclass(frozen=True, eq=False)
class Watched:
    """Log-probs and ranks of m candidates at n positions of a text.

    Attributes:
        text_name: The name of the text.
        model: The model's spec.
        at: "every" position or the "end" of each passage.
        candidates: The m candidates.
        passage: (n,) number of the passage, from 0.
        position: (n,) number of the token of the passage in whose place a candidate is put, from 0; at the end one past the
            last.
        start: (n,) the character of the passage where a candidate would begin, from 0.
        token: The n slices of the text in whose place a candidate is put; empty at the end.
        first_logprob: (n, m) log-prob of a candidate's first token, in nats; NaN where there is no prediction.
        first_rank: (n, m) rank of a candidate's first token, 1 for the model's first choice; NaN likewise.
        whole_logprob: (n, m) sum of the log-probs of all of a candidate's tokens, in nats. NaN before the end of a passage
            for candidates of several tokens: what follows the first is not read there.
    """

    text_name: str
    model: str
    at: At
    candidates: tuple[Candidate, ...]
    passage: NDArray[np.int64]
    position: NDArray[np.int64]
    start: NDArray[np.int64]
    token: tuple[str, ...]
    first_logprob: NDArray[np.float64]
    first_rank: NDArray[np.float64]
    whole_logprob: NDArray[np.float64]

    def __repr__(self) -> str:
        names = ", ".join(repr(one.text) for one in self.candidates)
        return f"Watched({self.text_name!r} by {self.model!r}: {names} at {len(self.position)} positions)"

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas data frame with one row per position and candidate.

        Its columns are `passage`, `position`, `start`, `token`, `candidate`, `n_candidate_tokens`, `first_token`,
        `first_logprob` and `whole_logprob` in nats, and `first_rank`.
        """
        import pandas as pd

        m = len(self.candidates)
        frame = pd.DataFrame({name: np.repeat(getattr(self, name), m) for name in ("passage", "position", "start")})
        frame["token"] = np.repeat(np.array(self.token, object), m)
        for name, values in (
            ("candidate", [one.text for one in self.candidates]),
            ("n_candidate_tokens", [len(one.ids) for one in self.candidates]),
            ("first_token", [one.first for one in self.candidates]),
        ):
            frame[name] = values * len(self.position)
        frame["first_logprob"] = self.first_logprob.reshape(-1)
        frame["first_rank"] = pd.array(self.first_rank.reshape(-1), dtype="Float64").astype("Int64")
        frame["whole_logprob"] = self.whole_logprob.reshape(-1)
        return frame


def check_watched(candidates: Sequence[str], at: str) -> None:
    """Refuse arguments that are possible for no model.

    Raises:
        ScoringError: There is no candidate, one is empty or given twice, or `at` is not known.
    """
    if isinstance(candidates, str) or not candidates:
        raise ScoringError(f"{candidates!r} is no list of candidates: give at least one string, such as [' Yes', ' No']")
    empty = [one for one in candidates if not one]
    if empty:
        raise ScoringError("a candidate is empty: give at least one character, with the space that it begins with")
    repeated = next((one for one in candidates if list(candidates).count(one) > 1), None)
    if repeated is not None:
        raise ScoringError(f"the candidate {repeated!r} is given twice")
    if at not in get_args(At):
        raise ScoringError(f"candidates at {at!r} are not possible: take 'every' or 'end'")


def watch(
    model: LoadedModel,
    text: Text | str,
    candidates: Sequence[str],
    *,
    at: At = "every",
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
) -> Watched:
    """Compute the probabilities of named candidates, whether or not they are among a model's likeliest tokens.

    Args:
        model: A model from `load_model`.
        text: A text, or a string, which is taken literally.
        candidates: Strings, each with the space that it begins with: in most vocabularies " Yes" and "Yes" are two tokens. Each
            is tokenized by itself.
        at: "every" (the default): in the place of every token that has a prediction, and at the end of each passage. "end":
            only at the end of each passage.
        bos: "auto" (the default), "always", "never" or a token, as in `score`.
        context: The most tokens per window; by default as many as the model can read.
        stride: Tokens from one window's start to the next; by default half the context.

    Returns:
        For each position and candidate, the log-prob and rank of the first token, and the log-prob of the whole candidate.

    Raises:
        ScoringError: As in `score`; or a candidate is empty, given twice, unknown to the tokenizer, or longer than the context.
        ModelError: The model is not causal.

    Example:
        >>> watched = tv.watch(tv.load_model("glass-en"), "Alice was very", [" tired", " much"], at="end")
        >>> watched.to_frame()[["candidate", "n_candidate_tokens", "first_token", "first_logprob", "whole_logprob"]].round(1)
          candidate  n_candidate_tokens first_token  first_logprob  whole_logprob
        0     tired                   3           t           -4.8           -8.8
        1      much                   1        much           -2.4           -2.4
    """
    check_watched(candidates, at)
    text = as_it_stands(text)
    prefix, context, stride = check_possible(model, bos=bos, context=context, stride=stride, top_k=0)
    named = tuple(_candidate(model, one) for one in candidates)
    longest = max(len(one.ids) for one in named)
    if len(prefix) + longest >= context:
        raise ScoringError(f"a candidate has {longest} tokens, which leave no room in a context of {context}")
    passages = cut(model, text)
    check_ids(model, prefix, passages)
    kernel = Kernel.of(model)
    pieces = [piece for piece in pieces_of(passages, prefix, context=context, stride=stride) if at == "every" or piece.closes]
    pieces += _unread(passages, prefix, {piece.passage for piece in pieces if piece.closes})
    rows: list[tuple[int, int]] = []  # passage and position
    firsts, ranks = [np.empty((0, len(named)))], [np.empty((0, len(named)))]
    with reading(text.name), task(f"{model.label} reads {text.name}", len(pieces), "windows") as advance:
        for piece, places, first, rank in _over_pieces(kernel, pieces, [len(one.ids) for one in passages], named, at):
            bad = places[~np.isfinite(first).all(axis=1)]
            if len(bad):
                raise ScoringError(
                    f"{model.label!r} on {text.name!r}, passage {piece.passage}, token {bad[0]}: the model's logits are NaN or "
                    "infinite; nothing was recorded. Try dtype=float32, or check the weights"
                )
            rows += [(piece.passage, int(place)) for place in places]
            firsts.append(first)
            ranks.append(rank)
            advance(1)
        order = sorted(range(len(rows)), key=rows.__getitem__)
        first, rank = (np.concatenate(parts)[order] for parts in (firsts, ranks))
        rows = [rows[i] for i in order]
        whole = np.where([len(one.ids) == 1 for one in named], first, np.nan)
        _add_wholes(kernel, passages, prefix, context, named, rows, whole)
    return Watched(
        text_name=text.name,
        model=model.label,
        at=at,
        candidates=named,
        passage=np.array([passage for passage, _ in rows], np.int64),
        position=np.array([position for _, position in rows], np.int64),
        start=np.array([_start(passages[passage], position) for passage, position in rows], np.int64),
        token=tuple(_slice(text.passages[passage], passages[passage], position) for passage, position in rows),
        first_logprob=first,
        first_rank=rank,
        whole_logprob=whole,
    )


def _candidate(model: LoadedModel, text: str) -> Candidate:
    """Tokenize a candidate by itself, as it would be tokenized inside a text.

    Some tokenizers put a space before whatever they are given. There, a candidate is tokenized after a character that stays a
    token by itself.
    """
    tokenizer = model.tokenizer

    def ids_of(string: str) -> list[int]:
        found: list[int] = tokenizer(string, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    found = ids_of(text)
    if tokenizer.decode(found, clean_up_tokenization_spaces=False) != text or ids_of("\n" + text) != ids_of("\n") + found:
        for sign in ("(", "\n", "a"):
            before, both = ids_of(sign), ids_of(sign + text)
            if both[: len(before)] == before and len(both) > len(before):
                found = both[len(before) :]
                break
    unknown = tokenizer.unk_token_id
    if not found or (unknown is not None and unknown in found and text != tokenizer.unk_token):
        raise ScoringError(f"the tokenizer of {model.label!r} has no tokens for the candidate {text!r}")
    return Candidate(text, tuple(found), tokens.readable(tokenizer, found[0]))


_Found = tuple[Piece, NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def _over_pieces(
    kernel: Kernel, pieces: list[Piece], lengths: list[int], named: tuple[Candidate, ...], at: At
) -> Iterator[_Found]:
    """Yield each piece's positions, and log-probs and ranks (k, m) of the candidates' first tokens, in any order of pieces."""
    firsts = torch.tensor([one.ids[0] for one in named])

    def read(states: torch.Tensor, own: NDArray[np.int64], piece: Piece) -> _Found:
        wanted, positions = (piece.wanted, piece.positions) if at == "every" else (piece.wanted[:0], piece.positions[:0])
        if piece.closes:
            wanted = np.append(wanted, len(piece.ids))
            positions = np.append(positions, lengths[piece.passage])
        before = torch.from_numpy(own[wanted - 1]).to(states.device)
        ids, size = firsts.to(states.device), max(1, kernel.budget.logits // kernel.vocabulary)
        logprobs, ranks = [], []
        with full_precision(states.device.type):
            for some in torch.split(before, size):
                logits = kernel.logits(states[some])  # (some, vocabulary)
                logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
                values = logits[:, ids]
                logprobs.append(float64(values - logits.logsumexp(dim=-1, keepdim=True)))
                greater = [(logits > values[:, place, None]).sum(dim=-1) for place in range(len(named))]
                ranks.append(float64(1 + torch.stack(greater, dim=1)))
        return piece, positions, np.concatenate(logprobs), np.concatenate(ranks)

    def run(left: list[int]) -> Iterator[tuple[list[int], list[_Found]]]:
        ours = [pieces[i] for i in left]
        for numbers, states, places in kernel.hidden_states([piece.ids for piece in ours], tokens=kernel.tokens_at_once):
            mine = [ours[number] for number in numbers]
            yield numbers, [read(states, own, one) for one, own in zip(mine, places, strict=True)]

    for _, found in kernel.within_memory([piece.ids for piece in pieces], run):
        yield found


def _unread(passages: Sequence[EncodedPassage], prefix: tuple[int, ...], read: set[int]) -> list[Piece]:
    """Return pieces for passages in which no token has a prediction but the end has: one token, or the BOS alone."""
    found = []
    for number, passage in enumerate(passages):
        ids = passage.ids[passage.ids >= 0]
        ids = ids if len(ids) else np.array(prefix, np.int64)
        if number not in read and len(ids):
            nothing = np.empty(0, np.int64)
            found.append(Piece(ids, nothing, number, nothing, nothing, nothing, closes=True))
    return found


def _add_wholes(
    kernel: Kernel,
    passages: Sequence[EncodedPassage],
    prefix: tuple[int, ...],
    context: int,
    named: tuple[Candidate, ...],
    rows: Sequence[tuple[int, int]],
    whole: NDArray[np.float64],
) -> None:
    """Fill in the log-probs of candidates of several tokens at the ends of passages; each end's context is read once."""
    asked: list[tuple[int, int]] = []  # row and column
    sequences, wanted = [], []
    for row, (number, position) in enumerate(rows):
        if position < len(passages[number].ids):
            continue
        ids = passages[number].ids[passages[number].ids >= 0]
        opens = len(prefix) if tuple(ids[: len(prefix)]) == prefix else 0  # as in `pieces_of`
        for column, one in enumerate(named):
            if len(one.ids) > 1:
                before = ids[opens:][-(context - len(prefix) - len(one.ids)) :]
                sequences.append(np.array([*prefix, *before, *one.ids], np.int64))
                wanted.append(np.arange(len(sequences[-1]) - len(one.ids), len(sequences[-1])))
                asked.append((row, column))
    for number, found in kernel.statistics(sequences, wanted, 0):
        whole[asked[number]] = found.logprob.sum()


def _start(passage: EncodedPassage, position: int) -> int:
    if position < len(passage.ids):
        return int(passage.starts[position])
    return int(passage.ends[-1]) if len(passage.ids) else 0


def _slice(whole: str, passage: EncodedPassage, position: int) -> str:
    return whole[passage.starts[position] : passage.ends[position]] if position < len(passage.ids) else ""
