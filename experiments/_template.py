"""What does this experiment ask? One line, which `tokenviz list` shows."""

from tokenviz import BosMode, Grid, GridResult, experiment


@experiment
def template(
    models: list[str] = ["glass-en"],
    texts: list[str] = ["correlation"],
    bos: BosMode = "auto",
) -> GridResult:
    """Say in a sentence what is measured. This text becomes the help and the experiment's page in MLflow.

    Copy this file, give the copy the name of your experiment, and change what follows. Each argument becomes an
    option of the command and a parameter of the summary run.

    Args:
        models: Model specs; may be repeated.
        texts: Sample names, files or folders; may be repeated.
        bos: BOS before the text: what the tokenizer does by itself, always, never, or a token by name.
    """
    grid = Grid(models, texts, bos=bos)  # reads texts, fetches models
    scored = grid.score()  # one run a model and text; finished ones are not computed again
    grid.compare()  # one run a pair of models and text
    first_choices = [f"- {run.model} on {run.text}: {run.scores.summary().share_rank_1:.0%}" for run in scored]
    return grid.summarise("Share of tokens that were the model's first choice:\n\n" + "\n".join(first_choices))
