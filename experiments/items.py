"""What do the items of a study cost a model, region by region?"""

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, experiment, read_items
from tokenviz.comparing import condition_means
from tokenviz.figures import region_means
from tokenviz.harness import By

READING = """
Each item is scored as a whole; log-probs are summed over its regions. A token that crosses a border belongs to the later region
(`crossings` counts them). `items.csv` of each model's run has one row per region with every column of the table, ready for R.

**means**: surprisal in bits over items. **differences**: condition_b less condition_a, in bits, within items. low and high:
95 % intervals, Student's t over items. They say how sure the mean over *these kinds of items* is; a mixed model of the rows
says more. **d_z**: the mean difference divided by the differences' standard deviation. **p_sign_flip**: how often the mean is
as far from 0 when the signs of the differences are left to chance.
"""
SHOWN = {"mean": "mean bits", "low": "mean bits low", "high": "mean bits high"}


@experiment
def items(
    file: str = "garden_paths",
    models: list[str] = ["smollm2-135m", "gemma3-270m"],
    regions: list[str] = [],
    text: str | None = None,
    words: str | None = None,
    by: By | None = None,
    previous: int = 1,
    frequency: str | None = None,
    bos: BosMode = "auto",
    skip_bad: bool = False,
) -> GridResult:
    """Score a table of items with conditions, and give it back with the models' numbers, one row per region, word or item.

    Args:
        file: A table with the columns item and condition, and the text in regions, in one column or in one word per row; or
            the name of a sample in experiments/items.
        models: Model specs; may be repeated.
        regions: The columns that hold an item's regions, in their order; may be repeated. By default the columns text,
            region_... or word are looked for.
        text: The column that holds the whole text, instead of regions or with them.
        words: The column that holds one word per row.
        by: What the rows of the results are; by default regions or own words where there are such, else items.
        previous: For how many units before each the numbers are repeated.
        frequency: A language of the package wordfreq, such as en, for word frequencies.
        bos: BOS before an item: what the tokenizer does by itself, always, never, or a token by name.
        skip_bad: Leave bad rows out and list them.
    """
    study = read_items(file, text=text, regions=regions, words=words, skip_bad=skip_bad)
    grid = Grid(models, [study.text], bos=bos)
    grid.score()
    made = pd.concat([run.table for run in grid.tabulate(study, by=by, previous=previous, frequency=frequency)])
    means, differences = condition_means(made, item=study.item, condition=study.condition)
    tables = {"means": means, **({"differences": differences} if len(differences) else {})}
    shown = {name: table.rename(columns=SHOWN) for name, table in tables.items()}
    return grid.summarise(READING, figures={"regions": lambda: region_means(means)}, tables=shown)
