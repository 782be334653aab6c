"""How far do predictions move when a model's numbers are rounded, and where?"""

import math

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, experiment
from tokenviz.figures import precision_curves
from tokenviz.harness import DIVERGENCES, ComparisonRun

READING = """
One model in several precisions predicts the same tokens. **KL** is the Kullback-Leibler divergence of the rounded model's
prediction from the reference's, over the whole vocabulary, in nats per token: what is lost, on average, by coding the
reference's tokens with the rounded model. A token's own log-prob may stay while the rest of its prediction moves, and the other
way round.

`bfloat16` rounds weights and activations, `q8_0` and `q4_0` the weights of the linear layers to 8 and 4 bits. The second panel
and the second table say where predictions move: where the model was unsure already, or also where it was sure.
"""


@experiment
def precision(
    model: str = "smollm2-135m",
    variants: list[str] = ["dtype=bfloat16", "quantize=q8_0", "quantize=q4_0"],
    texts: list[str] = ["narrative", "passage_vi", "code"],
    bos: BosMode = "auto",
    most: int = 5,
) -> GridResult:
    """Compare a model with itself in lower precisions: log-probs, and divergences of the whole predictions.

    Args:
        model: The reference, a model spec.
        variants: Options that are added to it; may be repeated.
        texts: Sample names, files or folders; may be repeated.
        bos: BOS before the text: what the tokenizer does by itself, always, never, or a token by name.
        most: How many of the most moved tokens to list for each variant.
    """
    grid = Grid([model, *(f"{model},{variant}" for variant in variants)], texts, bos=bos)
    grid.score()
    moved = {(run.b.model, run.b.text): movement(run) for run in grid.compare(reference=model, measures=[DIVERGENCES])}
    everything = pd.concat(moved.values(), ignore_index=True).dropna(subset="kl")
    ordered = everything.sort_values("kl", ascending=False, kind="stable").groupby("model", sort=False).head(most)
    tables = {
        "by precision": pd.DataFrame([summary(frame) for frame in moved.values()]),
        "most moved tokens": ordered.sort_values("model", kind="stable").drop(columns=["surprisal_bits", "same first"]),
    }
    return grid.summarise(READING, figures={"precision": lambda: precision_curves(everything)}, tables=tables)


def movement(run: ComparisonRun) -> pd.DataFrame:
    """Each token with its context, both log-probs, and the divergence of the variant's prediction from the reference's."""
    units, divergences = run.comparison.to_frame(), run.read(DIVERGENCES.name)
    before = ["".join(units["text"][max(0, i - 6) : i]) for i in range(len(units))]
    columns = {"model": run.b.model, "text": run.b.text, "after": before, "token": units["text"]}
    columns |= {"log-prob": units["logprob_a"], "log-prob of variant": units["logprob_b"], "kl": divergences["kl_ab"]}
    return pd.DataFrame(
        columns | {"surprisal_bits": -units["logprob_a"] / math.log(2), "same first": divergences["same_first"]}
    )


def summary(frame: pd.DataFrame) -> dict[str, object]:
    """One row of the table by precision."""
    kl, difference = frame["kl"].dropna(), (frame["log-prob of variant"] - frame["log-prob"]).dropna()
    numbers = {"mean KL": kl.mean(), "median KL": kl.median(), "95 % of KL below": kl.quantile(0.95)}
    numbers |= {"same first choice": frame["same first"].mean(), "root mean square difference": (difference**2).mean() ** 0.5}
    return {"model": frame["model"][0], "text": frame["text"][0], "n": len(kl), **numbers}
