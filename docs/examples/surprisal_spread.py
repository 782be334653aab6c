"""What share of a text's tokens surprises a model by how much?"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenviz import Grid, GridResult, TokenScores, experiment

STYLES = ("-", "--", ":", "-.")  # so that a grey copy tells the models apart


def surprisal_spread(tables: list[TokenScores], *, width: float = 4.6) -> Figure:
    """Token tables of one text, each as a curve: at height y is the surprisal that a share y of the tokens does not exceed."""
    figure = Figure(figsize=(width, 0.7 * width), layout="constrained")
    draw_surprisal_spread(figure.add_subplot(), tables)
    return figure


def draw_surprisal_spread(axes: Axes, tables: list[TokenScores]) -> Axes:
    """The same on given axes."""
    for number, scores in enumerate(tables):
        bits = np.sort(-scores.logprob[scores.scored] / math.log(2))  # a token without a prediction has no surprisal
        shares = np.arange(1, len(bits) + 1) / len(bits)
        axes.step(bits, shares, STYLES[number % len(STYLES)], where="post", label=f"{scores.spec.model} (n = {len(bits)})")
    axes.set(xlabel="surprisal (bits)", ylabel="share of tokens", ylim=(0, 1))
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return axes


@experiment
def spread(models: list[str] = ["glass-en", "glass-en,dtype=bfloat16"], text: str = "correlation") -> GridResult:
    """Draw how a text's surprisals are spread, one curve a model.

    Args:
        models: Model specs; may be repeated.
        text: A sample name, a file or a folder.
    """
    grid = Grid(models, [text])
    tables = [run.scores for run in grid.score()]
    return grid.summarise("Left is predictable.", figures={"surprisal_spread": lambda: surprisal_spread(tables)})
