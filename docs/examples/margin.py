"""How decided is a model about the next token?"""

import pandas as pd
import torch

from tokenviz import Grid, GridResult, experiment
from tokenviz.harness import position_measure


def margin(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """By how much the log-prob of the likeliest token exceeds that of the next; (m, vocabulary) and (m,) give (m,)."""
    first, second = logits.topk(2, dim=-1).values.T
    return first - second


MARGIN = position_measure(
    "margin",
    margin,
    unit="nats",
    source="after the margin of Scheffer, Decomain and Wrobel 2001, there of probabilities",
    ends=("undecided", "decided"),
)


@experiment
def decided(models: list[str] = ["glass-en"], texts: list[str] = ["correlation"]) -> GridResult:
    """Measure the margin between a model's two likeliest tokens, and correlate it with the log-prob of the actual one.

    Args:
        models: Model specs; may be repeated.
        texts: Sample names, files or folders; may be repeated.
    """
    grid = Grid(models, texts)
    rows = []
    for run in grid.measure(MARGIN):
        row = {"model": run.model, "text": run.text, "n": int(run.metrics["n"]), "mean margin": run.metrics["mean_margin"]}
        row |= {"above 1 nat": (run.table["margin"].dropna() > 1).mean()}
        rows.append(row | {"r with log-prob": run.metrics.get("pearson_r_with_logprob")})
    return grid.summarise("The margin is 0 where two tokens are equally likely.", tables={"margin": pd.DataFrame(rows)})
