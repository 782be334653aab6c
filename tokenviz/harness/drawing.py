"""The figures of a cell's run, drawn from its tables; called in processes of their own."""

from collections.abc import Mapping
from pathlib import Path

from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.files import HeatmapFormat, save_heatmap
from tokenviz.figures.measures import TokenMeasure
from tokenviz.figures.named import save_named
from tokenviz.figures.report import save_report
from tokenviz.scores import TokenScores

_PICTURES: tuple[HeatmapFormat, ...] = ("png", "svg", "pdf")
_OF_PAIR = {
    "heatmap": (*_PICTURES, "html"),
    "difference": ("html",),
    "scatter": _PICTURES,
    "along_text": _PICTURES,
}


def draw_scores(scores: TokenScores, about: Mapping[str, object], folder: Path) -> None:
    """The heatmap of a model/text pair.

    Args:
        scores: The table.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    save_named("heatmap", scores, folder / "heatmap", formats=(*_PICTURES, "html"), about=about)


def draw_measure(scores: TokenScores, measure: TokenMeasure, about: Mapping[str, object], folder: Path) -> None:
    """The heatmap of somebody's own measure on the tokens of a model/text pair.

    Args:
        scores: The table.
        measure: What the colours show.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    save_heatmap(scores, folder / "heatmap", formats=(*_PICTURES, "html"), measure=measure, about=about)


def draw_comparison(comparison: Comparison, about: Mapping[str, object], folder: Path) -> None:
    """Both heatmaps on one scale, their difference, the scatter, the log-probs along the text, and the report.

    Args:
        comparison: Two models on one text.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    for figure, formats in _OF_PAIR.items():
        save_named(figure, comparison, folder / figure, formats=formats, about=about)
    save_report(comparison, folder / "report.html", about=about)
