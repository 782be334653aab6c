"""`score` and `score_to_file`: one model, one text, one row per token, in memory or part by part into a file."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tokenviz.base.disk import check_new
from tokenviz.base.errors import ScoringError
from tokenviz.base.progress import task, warn
from tokenviz.data.parquet import save_parts
from tokenviz.data.scores import SCORING_VERSION, BosMode, ScoreSpec, TokenScores
from tokenviz.data.summary import ScoreSummary
from tokenviz.data.texts import Text, as_it_stands
from tokenviz.models import tokens
from tokenviz.models.loading import LoadedModel, as_loaded
from tokenviz.models.offsets import EncodedPassage
from tokenviz.models.vocabulary import INSIDE, WordStarts
from tokenviz.scoring.kernel import Kernel
from tokenviz.scoring.memory import reading
from tokenviz.scoring.statistics import PositionStatistics, check_finite
from tokenviz.scoring.windows import Piece, check_settings, check_windowing, cut, parts_of, pieces_of

_NAMED = 10  # the most unread characters that a note names


def score(
    model: LoadedModel | str,
    text: Text | str,
    *,
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
    top_k: int = 0,
) -> TokenScores:
    """Score every token of a text.

    The log-prob of token i is the log-softmax of the logits at position i - 1, at the id of token i: natural logarithms,
    softmax in float32 or wider. The first token of a passage has a prediction only after a BOS; otherwise its log-prob, rank
    and entropy are NaN.

    The same call on the same machine gives the same bits (float32, CPU). Passages are scored together within one part of a
    text, about 131,072 characters (`parts_of`). Passages that are scored together differ from the same passages scored
    separately by less than 2e-5 nats in float32. They differ most where they begin with the same eight or more tokens: a shared
    beginning is computed once, and sums are taken in another order.

    Args:
        model: A model from `load_model`, or a model spec, which is loaded for this call alone.
        text: A text, or a string, which is taken literally. For a sample text or a file, pass the result of `read_text`.
        bos: "auto" (the default) does what the model's own tokenizer does; "always" puts its BOS before every window; "never"
            puts nothing. Another string names a token of the model's vocabulary, which is put there alone: some models were
            trained with another token between texts than the one that their tokenizer calls BOS.
        context: The most tokens per window, BOS and predicted token included; by default as many as the model can read.
        stride: Tokens from one window's start to the next; by default half the context.
        top_k: Number of likeliest alternatives to keep at every position; by default none.

    Returns:
        One row per token: log-prob (nats), rank, entropy (nats), the `top_k` likeliest, and the token's place in the text.

    Raises:
        ScoringError: The settings are not possible for this model, or its logits are not finite.
        ModelError: The model is not causal.

    Example:
        >>> model = tv.load_model("glass-en")
        >>> scores = tv.score(model, "Alice was very tired.", top_k=3)
        >>> scores.to_frame()[["token", "logprob", "surprisal_bits", "rank", "top_token_2", "top_logprob_2"]].round(1)
           token  logprob  surprisal_bits  rank top_token_2  top_logprob_2
        0  Alice      NaN             NaN  <NA>         NaN            NaN
        1    was     -3.2             4.6     4        said           -2.3
        2   very     -4.0             5.8    12         all           -2.8
        3      t     -4.8             6.9    25        much           -2.4
        4      i     -2.9             4.1     5         umb           -2.5
        5   red.     -5.4             7.8    12         red           -1.1
    """
    scores = score_silently(model, text, bos=bos, context=context, stride=stride, top_k=top_k)
    note_caveats(scores.summary(), Counter("".join(scores.unread)), scores)
    return scores


def note_caveats(summary: ScoreSummary, unread: Counter[str], scores: TokenScores) -> None:
    """Print notes on what limits the numbers of a text: characters that were not read, and unknown tokens.

    Args:
        summary: Summary of the whole text.
        unread: Number of times each character was not read.
        scores: Scores of the text or of a part, which name text and model.
    """
    names = ", ".join(
        ascii(character) if not character.isprintable() else repr(character) for character, _ in unread.most_common(_NAMED)
    )
    more = len(unread) - _NAMED
    names += f" and {more:,} others" if more > 0 else ""
    for caveat in summary.caveats(names):
        warn(f"{scores.spec.model} on {scores.text_name}: {caveat}")


def score_silently(
    model: LoadedModel | str, text: Text | str, *, bos: BosMode, context: int | None, stride: int | None, top_k: int
) -> TokenScores:
    """Score a text as `score` does, without printing notes."""
    text, model = as_it_stands(text), as_loaded(model)
    return TokenScores.joined(list(scored_parts(model, text, bos=bos, context=context, stride=stride, top_k=top_k)))


def scored_parts(
    model: LoadedModel,
    text: Text,
    *,
    bos: BosMode,
    context: int | None,
    stride: int | None,
    top_k: int,
    part_characters: int | None = None,
) -> Iterator[TokenScores]:
    """Score a text part by part; each table has the text's name and the passages' numbers in the whole text.

    Args:
        model: A model from `load_model`.
        text: The text.
        bos: As in `score`.
        context: As in `score`, in tokens.
        stride: As in `score`, in tokens.
        top_k: As in `score`.
        part_characters: The most characters in a part of several passages, as in `parts_of`.

    Raises:
        ScoringError: As in `score`.
    """
    settings: dict[str, Any] = {"bos": bos, "context": context, "stride": stride, "top_k": top_k}
    parts = list(parts_of(text.passages, part_characters))
    for begin, end in parts:
        if len(parts) == 1:
            yield _score_part(model, text, **settings)
            continue
        some = replace(text, name=f"{text.name} from passage {begin}", passages=text.passages[begin:end], spans=())
        part = _score_part(model, some, **settings)
        yield replace(part, text_name=text.name, passage=part.passage + begin, spans=text.spans)


def _score_part(
    model: LoadedModel, text: Text, *, bos: BosMode, context: int | None, stride: int | None, top_k: int
) -> TokenScores:
    prefix, context, stride = check_possible(model, bos=bos, context=context, stride=stride, top_k=top_k)
    passages = cut(model, text)
    check_ids(model, prefix, passages)
    kernel = Kernel.of(model)
    columns = _Columns(sum(len(passage.ids) for passage in passages), top_k)
    pieces = pieces_of(passages, prefix, context=context, stride=stride)
    _run(model, kernel, text, pieces, columns)
    spec = ScoreSpec(
        model=model.label,
        model_description=model.resolved.description,
        source=model.resolved.source,
        identity=model.resolved.identity,
        tokenizer=model.tokenizer_sha256,
        spaces=kernel.word_starts.spaces,
        dtype=model.resolved.spec.dtype,
        quantize=model.resolved.spec.quantize,
        device=model.device,
        bos=bos,
        bos_ids=prefix,
        context=context,
        stride=stride,
        top_k=top_k,
        batching=kernel.batching,
        head=kernel.head,
        scoring_version=SCORING_VERSION,
        versions={"tokenviz": version("tokenviz-harness"), **model.versions},
        weights_sha256=model.resolved.weights_sha256,
    )
    return _assemble(model, text, passages, spec, kernel.word_starts, columns)


def check_possible(
    model: LoadedModel, *, bos: BosMode, context: int | None, stride: int | None, top_k: int
) -> tuple[tuple[int, ...], int, int]:
    """Refuse settings that are not possible for a model; they are those of `score`.

    Returns:
        The ids that open every window, and the context and the stride to use, in tokens.

    Raises:
        ScoringError: The settings are not possible for this model.
    """
    check_settings(context=context, stride=stride, top_k=top_k)
    prefix = tokens.bos_prefix(model.tokenizer, bos, model.label)
    context, stride = check_windowing(context=context, stride=stride, limit=model.context, n_prefix=len(prefix))
    if top_k > model.vocabulary:
        raise ScoringError(f"top-k {top_k} is not possible: {model.label!r} has a vocabulary of {model.vocabulary:,}")
    return prefix, context, stride


class _Columns:
    """The columns that the model fills; NaN until then."""

    def __init__(self, n: int, top_k: int) -> None:
        self.logprob = np.full(n, np.nan)
        self.rank = np.full(n, np.nan)
        self.entropy = np.full(n, np.nan)
        self.top_ids = np.full((n, top_k), -1, dtype=np.int64)
        self.top_logprobs = np.full((n, top_k), np.nan)
        self.space_logprob = np.full(n, np.nan)
        self.punctuation_logprob = np.full(n, np.nan)

    def put(self, piece: Piece, found: PositionStatistics) -> None:
        """Fill in a piece's statistics: those of its tokens and, where it closes a passage, of what follows the last token."""
        tokens = found.take(slice(len(piece.rows)))
        for name in ("logprob", "rank", "entropy", "top_ids", "top_logprobs"):
            getattr(self, name)[piece.rows] = getattr(tokens, name)
        # The opening of a token is recorded with the token before it; the first token of a passage has none before it.
        before = piece.rows_before[: len(found.logprob)]
        for name in ("space_logprob", "punctuation_logprob"):
            getattr(self, name)[before[before >= 0]] = getattr(found, name)[before >= 0]


def _run(model: LoadedModel, kernel: Kernel, text: Text, pieces: list[Piece], columns: _Columns) -> None:
    # What may follow the last token is read in the same pass, where it is needed.
    ends = kernel.word_starts.spaces == "front"
    wanted = [np.append(piece.wanted, len(piece.ids)) if piece.closes and ends else piece.wanted for piece in pieces]
    with (
        reading(text.name),
        task(f"{model.label} reads {text.name}", sum(len(piece.rows) for piece in pieces), "tokens") as advance,
    ):
        sequences = [piece.ids for piece in pieces]
        for number, found in kernel.statistics(sequences, wanted, columns.top_ids.shape[1]):
            piece = pieces[number]
            positions = np.append(piece.positions, piece.positions[-1] + 1)[: len(found.logprob)]
            check_finite(found, f"{model.label!r} on {text.name!r}, passage {piece.passage}", positions)
            columns.put(piece, found)
            advance(len(piece.rows))


def check_ids(model: LoadedModel, prefix: tuple[int, ...], passages: list[EncodedPassage], *, first: int = 0) -> None:
    """Refuse ids for which a model has no logits.

    Args:
        model: The model.
        prefix: The ids that are read before each passage.
        passages: The passages.
        first: Number of the first of them in its text; by default 0.

    Raises:
        ScoringError: An id is outside the model's vocabulary.
    """
    largest = [
        (f"passage {number}", int(passage.ids.max())) for number, passage in enumerate(passages, first) if len(passage.ids)
    ]
    if prefix:
        largest.insert(0, ("the BOS", max(prefix)))
    for where, token_id in largest:
        if token_id >= model.vocabulary:
            raise ScoringError(
                f"{where} has token id {token_id}, and {model.label!r} has logits for {model.vocabulary:,} "
                "ids only: tokenizer and model do not belong together"
            )


def _assemble(
    model: LoadedModel,
    text: Text,
    passages: list[EncodedPassage],
    spec: ScoreSpec,
    word_starts: WordStarts,
    columns: _Columns,
) -> TokenScores:
    def joined(name: str) -> Any:
        return np.concatenate([getattr(passage, name) for passage in passages])

    slices = [
        passage[start:end]
        for passage, encoded in zip(text.passages, passages, strict=True)
        for start, end in zip(encoded.starts, encoded.ends, strict=True)
    ]
    names = {
        int(token_id): tokens.readable(model.tokenizer, int(token_id))
        for token_id in np.unique(columns.top_ids)
        if token_id >= 0
    }
    token_id, lengths = joined("ids"), [len(passage.ids) for passage in passages]
    return TokenScores(
        text_name=text.name,
        text_sha256=text.sha256,
        spec=spec,
        passage=np.repeat(np.arange(len(passages)), lengths),
        position=np.concatenate([np.arange(length) for length in lengths]),
        token_id=token_id,
        token=tuple(slices),
        start=joined("starts"),
        end=joined("ends"),
        first_character=joined("first_characters"),
        n_bytes=joined("n_bytes"),
        unknown=joined("unknown"),
        top_tokens=tuple(tuple(names.get(int(i), "") for i in row) for row in columns.top_ids),
        spans=text.spans,
        opens=np.where(token_id < 0, np.int8(INSIDE), word_starts.kinds[token_id]),
        **vars(columns),
    )


# `score_to_file`: scores of a corpus that need not fit in memory, written part by part into one file.


def score_to_file(
    model: LoadedModel,
    text: Text,
    path: Path,
    *,
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
    top_k: int = 0,
    slim: bool = False,
) -> ScoreSummary:
    """Score a text as `score` does, and write the table part by part.

    Parts are whole passages. Memory is bounded by the rows of about a hundred thousand characters, and by the longest passage,
    however long the text is. `TokenScores.load` reads the file, as does anything that reads Parquet.

    Args:
        model: A model from `load_model`.
        text: A text with any number of passages.
        path: The file to write; it appears when it is complete. Its column `id` holds the ids of passages.
        bos: "auto" (the default), "always", "never" or a token, as in `score`.
        context: The most tokens per window; by default as many as the model can read.
        stride: Tokens from one window's start to the next; by default half the context.
        top_k: Number of likeliest alternatives to keep at every position; by default none.
        slim: Whether to leave out the columns that the text and the tokenizer give back, as in `TokenScores.save`.

    Returns:
        The summary of the whole text.

    Raises:
        ScoringError: As in `score`.
        DiskError: The file exists, or cannot be written.
    """
    check_new(path)
    summaries: list[ScoreSummary] = []
    unread: Counter[str] = Counter()
    last: TokenScores | None = None

    def parts() -> Iterator[TokenScores]:
        nonlocal last
        with task(f"{model.label} reads all of {text.name}", text.characters, "characters") as advance:
            for last in scored_parts(model, text, bos=bos, context=context, stride=stride, top_k=top_k):
                summaries.append(last.summary())
                unread.update("".join(last.unread))
                yield last
                advance(sum(map(len, last.token)))

    save_parts(parts(), path, passage_ids=text.passage_ids, slim=slim)
    summary = ScoreSummary.joined(summaries)
    if last is not None:
        note_caveats(summary, unread, last)
    return summary
