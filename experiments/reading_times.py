"""How much does a model's surprisal say about reading times, beyond length and frequency?"""

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, experiment, read_items, read_reading_times
from tokenviz.figures import likelihood_gains

READING = """
A regression of reading times on length and frequency, of the unit and of those before it (spill-over), is compared with the
same regression and surprisal. **gain**: how much more log-likelihood an observation has, in nats, on items that the regressions
were not fitted to. It is a little below 0 where surprisal says nothing. low and high: 95 % interval over items.

**ols_on_means**: ordinary least squares on the mean of each unit over its readers. **mixed**: single readings with random
intercepts of item and, where they are named, subject. Their gains are of other observations and cannot be compared with each
other. Each model's run has the slopes, every reading, and an R script.
"""


@experiment
def reading_times(
    file: str = "simulated_reading_times",
    times: str | None = None,
    models: list[str] = ["smollm2-135m", "gemma3-270m"],
    column: str | None = None,
    subject: str | None = None,
    previous: int = 1,
    frequency: str | None = None,
    regressions: list[str] = ["ols_on_means", "mixed"],
    folds: int = 10,
    seed: int = 0,
    bos: BosMode = "auto",
    skip_bad: bool = False,
) -> GridResult:
    """Regress reading times on surprisal, and say what it adds to length and frequency on items left out.

    Args:
        file: A table of items, as for the experiment items; or the name of a sample in experiments/items. The times of
            simulated_reading_times are simulated.
        times: A table with one reading per row, for times that are not in the table of items.
        models: Model specs; may be repeated.
        column: The column of reading times in milliseconds; by default reading_time, or the one whose name ends so.
        subject: The column of subjects; by default subject where there is one.
        previous: How many units before each are predictors as well (spill-over), 0 to 3.
        frequency: A language of the package wordfreq, such as en, for word frequencies in the baseline.
        regressions: ols_on_means, mixed or both; may be repeated.
        folds: Of items, for the cross-validation.
        seed: Of the deal of items to folds.
        bos: BOS before an item: what the tokenizer does by itself, always, never, or a token by its string.
        skip_bad: Leave bad rows out and list them.
    """
    study = read_items(file, skip_bad=skip_bad)
    read = read_reading_times(study, times, column=column, subject=subject, skip_bad=skip_bad)
    grid = Grid(models, [study.text], bos=bos)
    grid.score()
    how = {"previous": previous, "frequency": frequency, "folds": folds, "seed": seed}
    gains = pd.concat([run.gains for run in grid.regress(study, read, regressions=regressions, **how)], ignore_index=True)
    shown = gains.rename(columns={"low": "gain low", "high": "gain high"})
    return grid.summarise(READING, figures={"gains": lambda: likelihood_gains(gains)}, tables={"gains": shown})
