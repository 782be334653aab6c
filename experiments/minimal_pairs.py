"""Which of two sentences does a model find more probable?"""

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, experiment, read_pairs
from tokenviz.figures import pair_accuracy

READING = """
Both sentences of a pair are scored as a whole. **sum**: the greater log-prob wins, the usual rule where the sentences are about
as long. **per_token** and **per_byte** divide by the tokens, or bytes, that have a prediction. A tie counts half; `n_ties` says
how many there are. Intervals are 95 %: Wilson's by group; over all they come from the differences between groups, since pairs
of one group are alike.

**mean_margin**: by how much the good sentence's value is greater, in nats; by per_token and per_byte, in nats per token and per
byte. **d_z** is that mean divided by the standard deviation of the margins, **d_av** by the mean of the two sentences' own.

Without a BOS the first token of a sentence has no prediction: pairs that differ there are counted in `n_first_differs`.
"""
SHOWN = {"low": "accuracy low", "high": "accuracy high", "interval": "interval by"}


@experiment
def minimal_pairs(
    file: str = "agreement",
    models: list[str] = ["smollm2-135m", "gemma3-270m"],
    good: str | None = None,
    bad: str | None = None,
    group: str | None = None,
    bos: BosMode = "auto",
    skip_bad: bool = False,
) -> GridResult:
    """Score minimal pairs, and say how often the good sentence wins, by group.

    Args:
        file: A table with the columns good and bad, and perhaps group; one of BLiMP's own files; or the name of a sample in
            experiments/items.
        models: Model specs; may be repeated.
        good: The column of the sentences that should win.
        bad: The column of the others.
        group: The column that names the group of a pair.
        bos: BOS before a sentence: what the tokenizer does by itself, always, never, or a token by name.
        skip_bad: Leave bad rows out and list them.
    """
    pairs = read_pairs(file, good=good, bad=bad, group=group, skip_bad=skip_bad)
    grid = Grid(models, [pairs.text], bos=bos)
    grid.score()
    found = pd.concat([run.accuracies for run in grid.decide(pairs)], ignore_index=True)
    by_sum = found[found["rule"] == "sum"]
    shown = found.rename(columns=SHOWN)
    return grid.summarise(READING, figures={"accuracy": lambda: pair_accuracy(by_sum)}, tables={"accuracies": shown})
