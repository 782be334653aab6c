"""What does a model give to named candidates, whether or not they are among its likeliest tokens?"""

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, experiment
from tokenviz.harness import At, MeasureRun
from tokenviz.harness import candidates as measure

READING = """
Each candidate is put in the place of every token, or at the end of each passage, and read off the prediction there. `n` is the
number of positions. **first**: the mean log-prob of its first token, in nats. **whole**: of all its tokens, where they are
known: of several tokens at the end of a passage alone. **first choice**: the share of the positions at which its first token is
the model's first choice.
"""


@experiment
def candidates(
    watch: list[str] = [" correlation", " coefficient", " the"],
    texts: list[str] = ["correlation"],
    models: list[str] = ["smollm2-135m", "gemma3-270m"],
    at: At = "every",
    bos: BosMode = "auto",
) -> GridResult:
    """Ask what models give to named candidates at every position of texts, or at the end of each passage.

    Args:
        watch: The candidates, each with the space that it begins with; may be repeated.
        texts: Sample names, files or folders; may be repeated.
        models: Model specs; may be repeated.
        at: Where: every position, or the end of each passage.
        bos: BOS before the text: what the tokenizer does by itself, always, never, or a token by name.
    """
    grid = Grid(models, texts, bos=bos)
    runs = grid.measure(measure(watch, at=at))
    table = pd.DataFrame([row for run in runs for row in rows_of(run, watch)])
    grid.score()
    return grid.summarise(READING, tables={"candidates": table})


def rows_of(run: MeasureRun, watch: list[str]) -> list[dict[str, object]]:
    """A row of numbers for each candidate of a run."""
    about = {"model": run.model, "text": run.text}
    names = {
        "first (nats)": "mean_first_logprob",
        "whole (nats)": "mean_whole_logprob",
        "first choice (share)": "share_rank_1_of",
    }
    return [
        {**about, "candidate": repr(one), "n": int(run.metrics["n"])}
        | {heading: run.metrics.get(f"{name}_{number}", float("nan")) for heading, name in names.items()}
        for number, one in enumerate(watch, 1)
    ]
