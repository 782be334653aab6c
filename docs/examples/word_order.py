"""How much of a prediction rests on the order of the words?"""

import random

import pandas as pd

from tokenviz import Grid, GridResult, Text, experiment, information, literal, read_text

READING = """
The same words are read as they stand and in a random order. The difference in bits per byte is what their order is worth to
the model; what remains when the order is gone are the words themselves.
"""


def shuffled(text: Text, seed: int) -> Text:
    """The words of a text's first passage in a random order, the same one for the same seed."""
    words = text.passages[0].split()
    random.Random(seed).shuffle(words)
    return literal(" ".join(words), name=f"{text.name} shuffled {seed}")


@experiment
def word_order(
    models: list[str] = ["glass-en"],
    file: str = "experiments/texts/correlation.txt",
    seeds: list[int] = [0, 1, 2],
) -> GridResult:
    """Score a text and the same words shuffled, and compare the bits per byte.

    Args:
        models: Model specs; may be repeated.
        file: The text.
        seeds: One shuffled text for each; may be repeated.
    """
    text = read_text(file)
    grid = Grid(models, [text, *(shuffled(text, seed) for seed in seeds)])
    rows = []
    for run in grid.score():
        bits = information(run.scores).estimates["bits_per_byte"]
        rows.append({"model": run.model, "text": run.text, "bits per byte": bits.value, "low": bits.low, "high": bits.high})
    return grid.summarise(READING, tables={"word order": pd.DataFrame(rows)})
