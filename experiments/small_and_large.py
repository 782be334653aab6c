"""What do a small and a large model of one family predict alike, and what does size add?"""

import pandas as pd

from tokenviz import BosMode, Grid, GridResult, experiment, unity_scatter
from tokenviz.figures import correlation_overview

READING = """
Two sizes of one family have the same architecture, the same tokenizer and the same training text; they differ in size alone.
The published pair, GPT-2 small against large, has a correlation of about 0.94 between its log-probs: the same tokens are
predictable for both. The family of this experiment shows the same. It is trained on this machine, on one public-domain text, so
that nothing has to be trusted but the text.

**r near 1** says that the order of predictable and surprising tokens is the same. **mean difference** says what size adds, in
nats per token; it is small next to the spread between tokens, and the larger model is not the more confident one everywhere
(**share**). The family has read one book: other kinds of text it predicts badly, and r speaks of what it learnt from that book.
Another machine makes slightly other weights, and moves r by about 0.01.
"""


@experiment
def small_and_large(
    models: list[str] = ["family-small", "family-large"],
    texts: list[str] = ["correlation", "narrative", "passage_en", "long_document"],
    bos: BosMode = "auto",
) -> GridResult:
    """Compare a small and a large model of one family; the default family is made first, which takes some minutes.

    Args:
        models: Model specs, the smaller one first; may be repeated.
        texts: Sample names, files or folders; may be repeated.
        bos: BOS before the text: what the tokenizer does by itself, always, or never.
    """
    grid = Grid(models, texts, bos=bos)
    grid.score()
    comparisons = [run.comparison for run in grid.compare()]
    rows = [
        {"small": one.models[0], "large": one.models[1], "text": one.text_name, "n": one.n, "r": one.pearson_r.value}
        | {"r low": one.pearson_r.low, "r high": one.pearson_r.high, "mean difference (nats)": one.mean_difference.value}
        | {"share of tokens that large finds likelier": one.share_b_more_confident.value}
        for one in comparisons
    ]
    figures = {"correlations": lambda: correlation_overview(comparisons), "scatter": lambda: unity_scatter(comparisons[0])}
    return grid.summarise(READING, figures=figures if comparisons else {}, tables={"small and large": pd.DataFrame(rows)})
