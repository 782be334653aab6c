"""What does a model learn in the course of its training?"""

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, checkpoints_of, experiment
from tokenviz.figures import training_curves

READING = """
Each checkpoint of one model reads the same texts. A run per text has the numbers by training step, which is MLflow's step: its
page draws the curves. **r_to_last** and **kl_to_last** say how near the predictions are to those of the last checkpoint:
KL(last, step), in nats per token, is what is lost by using the earlier one's predictions. **kl_to_previous** is KL(step, step
before). Bands are 95 % intervals; each run's `tables/statistics.csv` has them in numbers.

`same_weights_as` names an earlier step with the same weights: what such a checkpoint shows is no result.
"""


@experiment
def training(
    model: str = "family-small",
    revisions: list[str] = [],
    texts: list[str] = ["correlation", "narrative"],
    bos: BosMode = "auto",
) -> GridResult:
    """Follow one model over its checkpoints: mean log-prob, bits per byte, r and KL to the last and to the one before.

    Args:
        model: A hub id or catalogue name with revisions, or a folder that holds the checkpoints as folders.
        revisions: Revisions or names of folders whose training steps can be read, such as step1000,step2000; may be repeated.
            By default all the checkpoints of a local model.
        texts: Sample names, files or folders; may be repeated.
        bos: BOS before the text: what the tokenizer does by itself, always, or never.
    """
    checkpoints = checkpoints_of(model, revisions)
    grid = Grid([one.model for one in checkpoints], texts, bos=bos, top_k=1)
    grid.score()
    runs = grid.follow(model, checkpoints)
    made = pd.concat([run.table.assign(text=run.text) for run in runs], ignore_index=True)
    intervals = pd.concat([run.statistics.assign(text=run.text) for run in runs], ignore_index=True)
    shown = made[["text", *(name for name in made if name not in ("text", "model"))]]
    figures = {"curves": lambda: training_curves(made, intervals)}
    return grid.summarise(READING, figures=figures, tables={"training": shown})
