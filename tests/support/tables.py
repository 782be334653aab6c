"""Token tables built by hand: tokens and log-probs as they stand in a test, no model behind them."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np

from tokenviz.data.scores import SCORING_VERSION, ScoreSpec, Spaces, TokenScores
from tokenviz.models.tokens import encode

NAN = float("nan")

# The numbers of a comparison, in the order in which they are given.
NUMBERS = [
    "pearson_r", "pearson_r_fisher", "spearman_rho", "kendall_tau", "concordance", "mean_difference", "mean_difference_bits",
    "median_difference", "median_difference_bits", "rms_difference", "rms_difference_bits", "share_a_more_confident",
    "share_b_more_confident", "share_same_first", "concordance_accuracy", "location_shift", "scale_shift", "deming_slope",
    "deming_intercept", "deming_intercept_bits", "d_z", "d_av",
]  # fmt: skip


def make_spec(*, model: str = "model-a", tokenizer: str = "vocabulary-a", spaces: Spaces = "none") -> ScoreSpec:
    """Settings of a model that does not exist."""
    return ScoreSpec(
        model=model, source="folder", identity="sha256:0", tokenizer=tokenizer, spaces=spaces, dtype="float32", quantize=None,
        device="cpu", bos="auto", bos_ids=(), context=128, stride=64, top_k=0, batching="packed", head="streamed",
        scoring_version=SCORING_VERSION, versions={},
    )  # fmt: skip


def make_scores(
    passages: Sequence[Sequence[str]],
    logprobs: Sequence[float] | None = None,
    *,
    model: str = "model-a",
    tokenizer: str = "vocabulary-a",
    name: str = "text",
    ids: Sequence[int] | None = None,
) -> TokenScores:
    """A table from the tokens of each passage.

    Args:
        passages: Tokens of each passage; an empty string is a token that shares the character of the one before.
        logprobs: One a token; by default the first token of each passage is not scored and the others get
            -0.5, -1.0, ... so that no two are equal.
        model: The model's label.
        tokenizer: The fingerprint of its vocabulary.
        name: The text's name.
        ids: One a token; by default equal strings get equal ids.
    """
    tokens = [token for passage in passages for token in passage]
    starts, ends, numbers, positions = [], [], [], []
    for number, passage in enumerate(passages):
        reached = 0
        for position, token in enumerate(passage):
            starts.append(reached)
            reached += len(token)
            ends.append(reached)
            numbers.append(number)
            positions.append(position)
    if logprobs is None:
        logprobs = [NAN if position == 0 else -0.5 * (row + 1) for row, position in enumerate(positions)]
    if ids is None:
        known = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
        ids = [known[token] for token in tokens]
    values = np.array(logprobs, dtype=float)
    n = len(tokens)
    assert len(values) == n
    digest = sha256("\0".join("".join(passage) for passage in passages).encode()).hexdigest()
    return TokenScores(
        text_name=name,
        text_sha256=digest,
        spec=make_spec(model=model, tokenizer=tokenizer),
        passage=np.array(numbers, dtype=np.int64),
        position=np.array(positions, dtype=np.int64),
        token_id=np.array(ids, dtype=np.int64),
        token=tuple(tokens),
        start=np.array(starts, dtype=np.int64),
        end=np.array(ends, dtype=np.int64),
        first_character=np.array([at if token else max(0, at - 1) for at, token in zip(starts, tokens, strict=True)], np.int64),
        n_bytes=np.array([len(token.encode()) for token in tokens], np.int64),
        unknown=np.zeros(n, np.bool_),
        logprob=values,
        rank=np.where(np.isnan(values), np.nan, 2.0),
        entropy=np.where(np.isnan(values), np.nan, 1.5),
        top_ids=np.empty((n, 0), np.int64),
        top_logprobs=np.empty((n, 0)),
        top_tokens=((),) * n,
        opens=np.zeros(n, np.int8),
        space_logprob=np.full(n, NAN),
        punctuation_logprob=np.full(n, NAN),
    )


def tokenized(tokenizer: Any, passages: Sequence[str], *, model: str, seed: int = 0, first: bool = False) -> TokenScores:
    """A table with a tokenizer's own tokens of some passages and made-up log-probs.

    Args:
        tokenizer: A real one.
        passages: None of them empty.
        model: The model's label, and the fingerprint of its vocabulary.
        seed: Of the log-probs.
        first: Whether the first token of a passage is scored.
    """
    encoded = [encode(tokenizer, passage) for passage in passages]
    tokens = [
        [passage[start:end] for start, end in zip(one.starts, one.ends, strict=True)]
        for passage, one in zip(passages, encoded, strict=True)
    ]
    logprobs = -np.random.default_rng(seed).exponential(3, sum(map(len, tokens)))
    if not first:
        logprobs[np.cumsum([0, *map(len, tokens[:-1])])] = NAN
    ids = np.concatenate([one.ids for one in encoded])
    return make_scores(tokens, logprobs, model=model, tokenizer=model, ids=ids)


def falling(n: int) -> list[float]:
    """Log-probs of n tokens, the first not scored and all others different, from -0.05 to about -9."""
    return [NAN, *np.round(np.linspace(-0.05, -9.0, n - 1), 6)] if n > 1 else [NAN] * n


def with_first_choices(scores: TokenScores, first: Sequence[int]) -> TokenScores:
    """A table that keeps the likeliest token of each position; -1 where unscored."""
    n = len(scores)
    ids, logprobs = np.array(first).reshape(n, 1), np.where(scores.scored, -0.1, np.nan).reshape(n, 1)
    return replace(
        scores, spec=replace(scores.spec, top_k=1), top_ids=ids, top_logprobs=logprobs, top_tokens=(("x",),) * n
    )  # fmt: skip


def long_pair(n: int = 200, *, passages: int = 1, name: str = "text", seed: int = 1) -> tuple[TokenScores, TokenScores]:
    """Two tables of n tokens in equal passages, the first token of each not scored, with first choices."""
    random = np.random.default_rng(seed)
    words = [f" {name}{number}" for number in range(n // passages)]
    a = -random.exponential(2.5, n)
    b = 0.8 * a - random.exponential(0.5, n)
    a[:: n // passages] = b[:: n // passages] = NAN
    first = [np.where(np.isnan(a), -1, random.integers(0, 2, n)) for _ in range(2)]
    tables = (make_scores([words] * passages, values, model=model, name=name) for values, model in ((a, "a"), (b, "b")))
    return tuple(with_first_choices(table, ids) for table, ids in zip(tables, first, strict=True))


def assert_same_bits(found: TokenScores, expected: TokenScores) -> None:
    assert (found.text_name, found.text_sha256, found.spec) == (expected.text_name, expected.text_sha256, expected.spec)
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            assert getattr(found, name).dtype == value.dtype, name
            assert getattr(found, name).tobytes() == value.tobytes(), name
        else:
            assert getattr(found, name) == value, name


def passages_of(scores: TokenScores) -> list[str]:
    return [
        "".join(token for token, p in zip(scores.token, scores.passage, strict=True) if p == n) for n in set(scores.passage)
    ]


DIVERGENCES = ("kl_ab", "kl_ba", "js", "total_variation", "top_overlap", "same_first")
