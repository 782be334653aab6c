"""How alike are two models' predictions, token by token?"""

from tokenviz import BosMode, Grid, GridResult, experiment
from tokenviz.figures import correlation_overview

READING = """
Two causal language models read the same text. Each gives every token a log-prob: the natural logarithm of the
probability it had predicted for that token from the tokens before it. The two rows of log-probs are correlated.

**What a high correlation says:** the models find the same tokens predictable and the same tokens surprising. **What it
does not say:** that the larger model is more confident at every token (see the share of positions), that the models
agree in size (correlation ignores a constant factor; Lin's concordance does not, and the scatter shows the line of
equality), or that equal outputs come from equal mechanisms. Tokens of one text depend on each other, so the n beside
each r is larger than the number of independent observations; the 95 % interval allows for that, since it comes from
resampled stretches of the text.
"""


@experiment
def single_token_predictions(
    models: list[str] = ["smollm2-135m", "smollm2-135m,quantize=q4_0", "gemma3-270m"],
    texts: list[str] = [
        "correlation", "narrative", "passage_en", "passage_vi", "code", "japanese", "mixed_scripts", "long_document",
    ],
    bos: BosMode = "auto",
    context: int | None = None,
    stride: int | None = None,
    top_k: int = 10,
) -> GridResult:  # fmt: skip
    """Score texts with several models and correlate their log-probs, pair by pair.

    With one tokenizer the models are compared token by token, with two over the segments that both tokenizers
    cut at the same places. A first token without a BOS before it has no prediction and takes no part.

    Args:
        models: Model specs; may be repeated. Every pair of them is compared.
        texts: Sample names, files or folders; may be repeated.
        bos: BOS before the text: what the tokenizer does by itself, always, never, or a token by name.
        context: Most tokens of a window; by default what the model can read.
        stride: Tokens from window to window; by default half the context.
        top_k: Alternatives to keep at every position.
    """
    grid = Grid(models, texts, bos=bos, context=context, stride=stride, top_k=top_k)
    grid.score()
    comparisons = grid.compare()
    if not comparisons:
        return grid.summarise(READING)
    overview = {"correlations": lambda: correlation_overview([run.comparison for run in comparisons])}
    return grid.summarise(READING, figures=overview)
