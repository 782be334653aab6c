"""A course of training in numbers: each checkpoint's predictions, and how close they are to the last and previous ones."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tokenviz.comparing.comparison import compare
from tokenviz.errors import ComparisonError
from tokenviz.scores import TokenScores

TRAINING_VERSION = 1  # raise it when the same scores would give other numbers

CURVES = {
    "mean_logprob": "mean log-prob (nats per token)",
    "bits_per_byte": "bits per byte",
    "r_to_last": "Pearson's r with the last checkpoint",
    "kl_to_last": "KL divergence from the last (nats per token)",
    "r_to_previous": "Pearson's r with the checkpoint before",
    "kl_to_previous": "KL divergence of the one before (nats per token)",
}
"""The numbers that have a value at every step, with their definitions."""


def training_table(
    steps: Sequence[int],
    tables: Sequence[TokenScores],
    weights: Sequence[str],
    *,
    kl_to_last: Sequence[float],
    kl_to_previous: Sequence[float],
) -> pd.DataFrame:
    """Return the numbers of one model's checkpoints.

    Args:
        steps: Training steps, ascending.
        tables: The scores of one text by each checkpoint.
        weights: SHA-256 of each checkpoint's weights; equal ones are marked.
        kl_to_last: KL divergence of each checkpoint's predictions from those of the last one, in nats per token.
        kl_to_previous: KL divergence of the previous checkpoint's predictions from each checkpoint's own, in nats per token.

    Returns:
        One row per step: `step`, `model`, `same_weights_as` (the first step with the same weights; missing where there is
        none), `n_scored`, and the numbers of `CURVES`; NaN where there is no previous checkpoint.

    Raises:
        ComparisonError: The tables are of different texts or tokens.
    """
    last, rows = tables[-1], []
    for place, (step, scores) in enumerate(zip(steps, tables, strict=True)):
        if scores.text_sha256 != last.text_sha256 or not np.array_equal(scores.token_id, last.token_id):
            raise ComparisonError(
                f"{scores.spec.model!r} cuts {scores.text_name!r} into other tokens than {last.spec.model!r}: checkpoints of "
                "one model have one tokenizer"
            )
        summary, first = scores.summary(), weights.index(weights[place])
        rows.append(
            {
                "step": step,
                "model": scores.spec.model,
                "same_weights_as": steps[first] if first < place else None,
                "n_scored": summary.n_scored,
                "mean_logprob": summary.mean_logprob,
                "bits_per_byte": summary.bits_per_byte,
                "r_to_last": _r(scores, last),
                "kl_to_last": kl_to_last[place],
                "r_to_previous": _r(tables[place - 1], scores) if place else np.nan,
                "kl_to_previous": kl_to_previous[place],
            }
        )
    return pd.DataFrame(rows).astype({"same_weights_as": "Int64"})


def _r(a: TokenScores, b: TokenScores) -> float:
    return compare(a, b, by="token", resamples=0).pearson_r.value


def step_logprobs(steps: Sequence[int], tables: Sequence[TokenScores]) -> pd.DataFrame:
    """Return the log-probs of one text at every step: one row per token, one column `step_N` per checkpoint, in nats."""
    first = tables[0]
    columns: Mapping[str, object] = {f"step_{step}": one.logprob for step, one in zip(steps, tables, strict=True)}
    return pd.DataFrame({"passage": first.passage, "position": first.position, "token": list(first.token), **columns})
