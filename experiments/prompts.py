"""How probable are continuations, given their prompts?"""

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, experiment, read_prompts
from tokenviz.figures import continuation_marks

READING = """
Prompt and continuation are one string, cut into tokens and scored as a whole. **log-prob**: of the continuation given its
prompt, the sum over its tokens in nats; a token that crosses the border is the continuation's (`crossings`). **per token** and
**per byte** divide by the continuation's tokens, or the bytes of its own characters. **rank**: of its first token, 1 for the
model's first choice. **best**: by the sum, among the continuations of one prompt. `prompts.csv` of each model's run has every
row, with all columns of the table.
"""
COLUMNS = {
    "model": "model", "prompt": "prompt", "continuation": "continuation", "n_tokens": "tokens", "logprob": "log-prob",
    "mean_logprob": "per token", "logprob_per_byte": "per byte", "rank_first": "rank", "crossings": "crossings",
    "best_by_sum": "best",
}  # fmt: skip
MOST = 60  # rows of the table in the summary


@experiment
def prompts(
    file: str = "capitals",
    models: list[str] = ["smollm2-135m", "gemma3-270m"],
    prompt: str = "prompt",
    continuation: str = "continuation",
    bos: BosMode = "auto",
    skip_bad: bool = False,
) -> GridResult:
    """Score continuations given their prompts, and say which of several is the best.

    Args:
        file: A table with a column of prompts and one of continuations; or the name of a sample in experiments/items.
        models: Model specs; may be repeated.
        prompt: The column of the prompts.
        continuation: The column of the continuations; in JSONL and Parquet a cell may hold a list of them.
        bos: BOS before a prompt: what the tokenizer does by itself, always, never, or a token by name.
        skip_bad: Leave bad rows out and list them.
    """
    given = read_prompts(file, prompt=prompt, continuation=continuation, skip_bad=skip_bad)
    grid = Grid(models, [given.text], bos=bos)
    grid.score()
    found = pd.concat([run.table for run in grid.continue_prompts(given)], ignore_index=True)
    shown = found[list(COLUMNS)].rename(columns=COLUMNS)[:MOST]
    return grid.summarise(
        READING, figures={"continuations": lambda: continuation_marks(found)}, tables={"continuations": shown}
    )
