"""How much of a prediction comes from how far back?"""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from tokenviz import BosMode, Grid, GridResult, TokenScores, compare, experiment
from tokenviz.figures import context_curves
from tokenviz.harness import MeasureRun, ScoreRun, context_effect
from tokenviz.stats import pearson_r

READING = """
Each token is predicted after 1, 2, 4, ... of the tokens before it, and after all of them. Every number is over the same
tokens: those with the most tokens before them.

**mean log-prob** rises with the context as far as the model makes use of it. **r with the whole context** says how far the
order of predictable and surprising tokens is settled already by the nearest ones. **r between models** says whether the
models grow alike or apart with what they may read. Tokens of two tokenizers are not of one length: "8 tokens" is not the
same stretch of text for both.
"""


@experiment
def context_length(
    models: list[str] = ["smollm2-135m", "gemma3-270m"],
    texts: list[str] = ["narrative"],
    seen: list[int] = [1, 2, 4, 8, 16, 32, 64, 128],
    bos: BosMode = "auto",
) -> GridResult:
    """Score every token after 1, 2, 4, ... tokens, and follow the log-prob and its correlations.

    Args:
        models: Model specs; may be repeated.
        texts: Sample names, files or folders; may be repeated.
        seen: Tokens that may be read before the predicted one, ascending; may be repeated. The BOS is not counted.
        bos: BOS before what is read: what the tokenizer does by itself, always, never, or a token by name.
    """
    grid = Grid(models, texts, bos=bos)
    runs = list(zip(grid.score(), grid.measure(context_effect(seen)), strict=True))
    means, correlations = [], []
    for count in seen:
        at = {(scored.model, scored.text): after(scored, measured, count, max(seen)) for scored, measured in runs}
        for (model, text), (scores, whole) in at.items():
            mean, r = float(np.nanmean(scores.logprob)), pearson_r(scores.logprob, whole)
            means.append(
                {"model": model, "text": text, "seen": count, "n": r.n, "mean log-prob": mean, "r with whole context": r.value}
            )
        for (a, text), (b, other) in combinations(at, 2):
            if text == other:
                r = compare(at[a, text][0], at[b, text][0]).pearson_r
                correlations.append({"a": a, "b": b, "text": text, "seen": count, "n": r.n, "r between models": r.value})
    tables = {"by context": pd.DataFrame(means), "between models": pd.DataFrame(correlations)}
    figures = {"context_length": lambda: context_curves(*tables.values())}
    return grid.summarise(READING, figures=figures, tables=tables)


def after(scored: ScoreRun, measured: MeasureRun, count: int, most: int) -> tuple[TokenScores, np.ndarray]:
    """The table with the log-probs after at most `count` tokens, and those after all; NaN without `most` tokens before."""
    scores = scored.scores
    short = scores.position < most
    logprob = measured.table[f"logprob_{count}"].to_numpy().copy()
    logprob[short] = np.nan
    return replace(scores, logprob=logprob), np.where(short, np.nan, scores.logprob)
