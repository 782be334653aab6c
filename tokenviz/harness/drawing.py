"""The figures of a cell's run, drawn from its tables; called in processes of their own."""

from pathlib import Path

from tokenviz.comparing.comparison import Comparison
from tokenviz.figures.heatmap import draw_heatmap
from tokenviz.figures.html import heatmap_html
from tokenviz.figures.plots import along_text, unity_scatter
from tokenviz.figures.saving import save_figure
from tokenviz.scores import TokenScores


def draw_scores(scores: TokenScores, about: str, folder: Path) -> None:
    """The heatmap of a model/text pair.

    Args:
        scores: The table.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    title = f"{scores.spec.model} on {scores.text_name}"
    save_figure(draw_heatmap(scores), folder / "heatmap", title=title, description=about)
    (folder / "heatmap.html").write_text(heatmap_html(scores), encoding="utf-8", newline="")


def draw_comparison(comparison: Comparison, about: str, folder: Path) -> None:
    """Both heatmaps on one scale, the scatter, and the log-probs along the text.

    Args:
        comparison: Two models on one text.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    a, b = comparison.a, comparison.b
    title = f"{a.spec.model} and {b.spec.model} on {comparison.text_name}"
    for name, figure in (
        ("heatmap", draw_heatmap([a, b])),
        ("scatter", unity_scatter(comparison)),
        ("along_text", along_text(comparison)),
    ):
        save_figure(figure, folder / name, title=title, description=about)
    (folder / "heatmap.html").write_text(heatmap_html([a, b]), encoding="utf-8", newline="")
