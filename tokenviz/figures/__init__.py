"""Figures from tables: matplotlib figures, HTML, LaTeX or terminal text. No figure loads a model."""

from typing import TYPE_CHECKING

from tokenviz import lazy_names

if TYPE_CHECKING:
    from tokenviz.figures.accuracy import draw_pair_accuracy as draw_pair_accuracy
    from tokenviz.figures.accuracy import pair_accuracy as pair_accuracy
    from tokenviz.figures.along import along_text as along_text
    from tokenviz.figures.along import draw_along_text as draw_along_text
    from tokenviz.figures.calibration import draw_entropy_calibration as draw_entropy_calibration
    from tokenviz.figures.calibration import entropy_calibration as entropy_calibration
    from tokenviz.figures.contexts import context_curves as context_curves
    from tokenviz.figures.continuations import continuation_marks as continuation_marks
    from tokenviz.figures.definition import TextHeatmap as TextHeatmap
    from tokenviz.figures.definition import shared_limits as shared_limits
    from tokenviz.figures.gains import likelihood_gains as likelihood_gains
    from tokenviz.figures.gaps import draw_gap_bars as draw_gap_bars
    from tokenviz.figures.gaps import gap_bars as gap_bars
    from tokenviz.figures.heatmap import draw_heatmap as draw_heatmap
    from tokenviz.figures.matrix import draw_model_matrix as draw_model_matrix
    from tokenviz.figures.matrix import model_matrix as model_matrix
    from tokenviz.figures.measures import PairMeasure as PairMeasure
    from tokenviz.figures.measures import TokenMeasure as TokenMeasure
    from tokenviz.figures.plots import correlation_overview as correlation_overview
    from tokenviz.figures.plots import draw_correlation_overview as draw_correlation_overview
    from tokenviz.figures.precision import precision_curves as precision_curves
    from tokenviz.figures.regions import region_means as region_means
    from tokenviz.figures.report import save_texts_report as save_texts_report
    from tokenviz.figures.scatter import draw_unity_scatter as draw_unity_scatter
    from tokenviz.figures.tracing import provenance_lines as provenance_lines
    from tokenviz.figures.tracing import provenance_of as provenance_of
    from tokenviz.figures.training import training_curves as training_curves

_HOMES = {
    "PairMeasure": "tokenviz.figures.measures",
    "TextHeatmap": "tokenviz.figures.definition",
    "TokenMeasure": "tokenviz.figures.measures",
    "along_text": "tokenviz.figures.along",
    "context_curves": "tokenviz.figures.contexts",
    "continuation_marks": "tokenviz.figures.continuations",
    "correlation_overview": "tokenviz.figures.plots",
    "draw_along_text": "tokenviz.figures.along",
    "draw_correlation_overview": "tokenviz.figures.plots",
    "draw_entropy_calibration": "tokenviz.figures.calibration",
    "draw_gap_bars": "tokenviz.figures.gaps",
    "draw_heatmap": "tokenviz.figures.heatmap",
    "draw_model_matrix": "tokenviz.figures.matrix",
    "draw_pair_accuracy": "tokenviz.figures.accuracy",
    "draw_unity_scatter": "tokenviz.figures.scatter",
    "entropy_calibration": "tokenviz.figures.calibration",
    "gap_bars": "tokenviz.figures.gaps",
    "likelihood_gains": "tokenviz.figures.gains",
    "model_matrix": "tokenviz.figures.matrix",
    "pair_accuracy": "tokenviz.figures.accuracy",
    "precision_curves": "tokenviz.figures.precision",
    "provenance_lines": "tokenviz.figures.tracing",
    "provenance_of": "tokenviz.figures.tracing",
    "region_means": "tokenviz.figures.regions",
    "save_texts_report": "tokenviz.figures.report",
    "shared_limits": "tokenviz.figures.definition",
    "training_curves": "tokenviz.figures.training",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:  # type checkers then report a misspelt name as an error
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
