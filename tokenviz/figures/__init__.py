"""Figures from tables: matplotlib figures, HTML, LaTeX or terminal text. No figure loads a model."""

from typing import TYPE_CHECKING

from tokenviz import lazy_names

if TYPE_CHECKING:
    from tokenviz.figures.heatmap.definition import TextHeatmap as TextHeatmap
    from tokenviz.figures.heatmap.definition import shared_limits as shared_limits
    from tokenviz.figures.heatmap.drawing import draw_heatmap as draw_heatmap
    from tokenviz.figures.heatmap.measures import PairMeasure as PairMeasure
    from tokenviz.figures.heatmap.measures import TokenMeasure as TokenMeasure
    from tokenviz.figures.origin import provenance_lines as provenance_lines
    from tokenviz.figures.origin import provenance_of as provenance_of
    from tokenviz.figures.plots.comparison import draw_gap_bars as draw_gap_bars
    from tokenviz.figures.plots.comparison import draw_unity_scatter as draw_unity_scatter
    from tokenviz.figures.plots.comparison import gap_bars as gap_bars
    from tokenviz.figures.plots.computing import precision_curves as precision_curves
    from tokenviz.figures.plots.curves import along_text as along_text
    from tokenviz.figures.plots.curves import context_curves as context_curves
    from tokenviz.figures.plots.curves import draw_along_text as draw_along_text
    from tokenviz.figures.plots.curves import draw_entropy_calibration as draw_entropy_calibration
    from tokenviz.figures.plots.curves import entropy_calibration as entropy_calibration
    from tokenviz.figures.plots.matrix import correlation_overview as correlation_overview
    from tokenviz.figures.plots.matrix import draw_correlation_overview as draw_correlation_overview
    from tokenviz.figures.plots.matrix import draw_model_matrix as draw_model_matrix
    from tokenviz.figures.plots.matrix import model_matrix as model_matrix
    from tokenviz.figures.plots.studies import continuation_marks as continuation_marks
    from tokenviz.figures.plots.studies import draw_pair_accuracy as draw_pair_accuracy
    from tokenviz.figures.plots.studies import likelihood_gains as likelihood_gains
    from tokenviz.figures.plots.studies import pair_accuracy as pair_accuracy
    from tokenviz.figures.plots.studies import region_means as region_means
    from tokenviz.figures.plots.training import training_curves as training_curves
    from tokenviz.figures.report.page import save_texts_report as save_texts_report

_HOMES = {
    "PairMeasure": "tokenviz.figures.heatmap.measures",
    "TextHeatmap": "tokenviz.figures.heatmap.definition",
    "TokenMeasure": "tokenviz.figures.heatmap.measures",
    "along_text": "tokenviz.figures.plots.curves",
    "context_curves": "tokenviz.figures.plots.curves",
    "continuation_marks": "tokenviz.figures.plots.studies",
    "correlation_overview": "tokenviz.figures.plots.matrix",
    "draw_along_text": "tokenviz.figures.plots.curves",
    "draw_correlation_overview": "tokenviz.figures.plots.matrix",
    "draw_entropy_calibration": "tokenviz.figures.plots.curves",
    "draw_gap_bars": "tokenviz.figures.plots.comparison",
    "draw_heatmap": "tokenviz.figures.heatmap.drawing",
    "draw_model_matrix": "tokenviz.figures.plots.matrix",
    "draw_pair_accuracy": "tokenviz.figures.plots.studies",
    "draw_unity_scatter": "tokenviz.figures.plots.comparison",
    "entropy_calibration": "tokenviz.figures.plots.curves",
    "gap_bars": "tokenviz.figures.plots.comparison",
    "likelihood_gains": "tokenviz.figures.plots.studies",
    "model_matrix": "tokenviz.figures.plots.matrix",
    "pair_accuracy": "tokenviz.figures.plots.studies",
    "precision_curves": "tokenviz.figures.plots.computing",
    "provenance_lines": "tokenviz.figures.origin",
    "provenance_of": "tokenviz.figures.origin",
    "region_means": "tokenviz.figures.plots.studies",
    "save_texts_report": "tokenviz.figures.report.page",
    "shared_limits": "tokenviz.figures.heatmap.definition",
    "training_curves": "tokenviz.figures.plots.training",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:  # type checkers then report a misspelt name as an error
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
