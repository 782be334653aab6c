"""The figures of a cell's run, drawn from its tables; called in processes of their own."""

import json
from collections.abc import Mapping
from pathlib import Path

from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.along import along_text
from tokenviz.figures.files import save_heatmap
from tokenviz.figures.saving import save_figure
from tokenviz.figures.scatter import unity_scatter
from tokenviz.scores import TokenScores


def draw_scores(scores: TokenScores, about: Mapping[str, object], folder: Path) -> None:
    """The heatmap of a model/text pair.

    Args:
        scores: The table.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    save_heatmap(scores, folder / "heatmap", about=about)


def draw_comparison(comparison: Comparison, about: Mapping[str, object], folder: Path) -> None:
    """Both heatmaps on one scale, their difference, the scatter, and the log-probs along the text.

    Args:
        comparison: Two models on one text.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    save_heatmap(comparison, folder / "heatmap", about=about)
    save_heatmap(comparison, folder / "difference", measure="difference", formats=["html"], about=about)
    title = f"{comparison.a.spec.model} and {comparison.b.spec.model} on {comparison.text_name}"
    for name, figure in (("scatter", unity_scatter(comparison)), ("along_text", along_text(comparison))):
        save_figure(figure, folder / name, title=title, description=json.dumps(about))
