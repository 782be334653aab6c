"""What do the turns of a chat cost a model, role by role?"""

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, chat_text, experiment, span_table
from tokenviz.harness import ScoreRun

READING = """
The chats are written by the first model's own template, once, and scored as they stand; the roles are spans, which the heatmaps
show. The span of an assistant is what the model itself would write, with the token that ends its turn; of others the content
alone. The row (template) is what the template writes around them. **bits per token** can be compared between roles of one
model, **bits per byte** between models as well. `n_scored` tokens have a prediction; `crossings` begin in the span before.
"""


@experiment
def chats(
    file: str = "small_talk",
    models: list[str] = ["smollm2-135m"],
    bos: BosMode = "auto",
    skip_bad: bool = False,
) -> GridResult:
    """Score chats with their roles as spans, and say what each role costs.

    Args:
        file: A .jsonl or .parquet file with a column messages, or the name of a sample in experiments/chats.
        models: Model specs; may be repeated. The first one's template writes the chats for all.
        bos: BOS before a chat: what the tokenizer does by itself, always, never, or a token by name.
        skip_bad: Leave bad rows out and list them.
    """
    text = chat_text(models[0], file, skip_bad=skip_bad)
    grid = Grid(models, [text], bos=bos)
    roles = pd.concat([by_role(run) for run in grid.score()], ignore_index=True)
    if len(models) > 1:
        grid.compare(by="span")
    return grid.summarise(READING, tables={"roles": roles})


def by_role(run: ScoreRun) -> pd.DataFrame:
    """The sums over a run's spans, one row per role."""
    spans = span_table(run.scores)
    columns = ["n_tokens", "n_scored", "crossings", "n_bytes", "surprisal_bits"]
    sums = spans.assign(n_spans=1).groupby("span", sort=False)[["n_spans", *columns]].sum().reset_index(names="role")
    sums["bits per token"] = sums["surprisal_bits"] / sums["n_scored"]
    sums["bits per byte"] = sums["surprisal_bits"] / sums["n_bytes"]
    sums["role"] = sums["role"].replace("", "(template)")
    sums.insert(0, "model", run.model)
    return sums.rename(columns={"surprisal_bits": "bits"})
