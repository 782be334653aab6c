"""tokenviz: see what causal language models predict, token by token, and keep it as tracked runs.

    import tokenviz as tv

    model = tv.load_model("smollm2-135m")
    scores = tv.score(model, "The goal of a correlation analysis is to compute a correlation coefficient.")
    print(scores.to_frame())

Importing this package loads none of the heavy libraries; each public name loads what it needs when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tokenviz.comparing.comparison import Comparison, PooledComparison, compare, pool
    from tokenviz.comparing.divergences import summarise_divergences
    from tokenviz.comparing.information import information
    from tokenviz.comparing.summaries import Summary
    from tokenviz.comparing.word_scores import WordScores, words
    from tokenviz.errors import TokenvizError
    from tokenviz.figures.along import along_text, draw_along_text
    from tokenviz.figures.calibration import draw_entropy_calibration, entropy_calibration
    from tokenviz.figures.definition import TextHeatmap, shared_limits, text_heatmap
    from tokenviz.figures.files import save_heatmap
    from tokenviz.figures.heatmap import draw_heatmap, heatmap_pages
    from tokenviz.figures.html import heatmap_html
    from tokenviz.figures.latex import heatmap_latex, heatmap_latex_document
    from tokenviz.figures.matrix import draw_model_matrix, model_matrix
    from tokenviz.figures.report import report_html, save_report
    from tokenviz.figures.saving import save_figure
    from tokenviz.figures.scatter import draw_unity_scatter, unity_scatter
    from tokenviz.harness.decorator import experiment
    from tokenviz.harness.grid import Grid
    from tokenviz.harness.results import GridResult
    from tokenviz.models.loading import LoadedModel, load_model
    from tokenviz.models.spec import ModelSpec
    from tokenviz.scores import BosMode, ScoreSpec, TokenScores
    from tokenviz.scoring.contexts import ContextLogprobs, context_logprobs
    from tokenviz.scoring.divergence import Divergences, divergences
    from tokenviz.scoring.predictions import KeptPredictions, keep_predictions
    from tokenviz.scoring.scorer import score
    from tokenviz.scoring.streaming import score_to_file
    from tokenviz.texts import Text, literal, read_text
    from tokenviz.tracking.frames import load_runs, load_tokens, load_units

_HOMES = {
    "BosMode": "scores",
    "Comparison": "comparing.comparison",
    "ContextLogprobs": "scoring.contexts",
    "Divergences": "scoring.divergence",
    "Grid": "harness.grid",
    "GridResult": "harness.results",
    "KeptPredictions": "scoring.predictions",
    "LoadedModel": "models.loading",
    "ModelSpec": "models.spec",
    "PooledComparison": "comparing.comparison",
    "ScoreSpec": "scores",
    "Summary": "comparing.summaries",
    "Text": "texts",
    "TextHeatmap": "figures.definition",
    "TokenScores": "scores",
    "TokenvizError": "errors",
    "WordScores": "comparing.word_scores",
    "along_text": "figures.along",
    "compare": "comparing.comparison",
    "context_logprobs": "scoring.contexts",
    "divergences": "scoring.divergence",
    "draw_along_text": "figures.along",
    "draw_entropy_calibration": "figures.calibration",
    "draw_heatmap": "figures.heatmap",
    "draw_model_matrix": "figures.matrix",
    "draw_unity_scatter": "figures.scatter",
    "entropy_calibration": "figures.calibration",
    "experiment": "harness.decorator",
    "heatmap_html": "figures.html",
    "heatmap_latex": "figures.latex",
    "heatmap_latex_document": "figures.latex",
    "heatmap_pages": "figures.heatmap",
    "information": "comparing.information",
    "keep_predictions": "scoring.predictions",
    "literal": "texts",
    "load_model": "models.loading",
    "load_runs": "tracking.frames",
    "load_tokens": "tracking.frames",
    "load_units": "tracking.frames",
    "model_matrix": "figures.matrix",
    "pool": "comparing.comparison",
    "read_text": "texts",
    "report_html": "figures.report",
    "save_figure": "figures.saving",
    "save_heatmap": "figures.files",
    "save_report": "figures.report",
    "score": "scoring.scorer",
    "score_to_file": "scoring.streaming",
    "shared_limits": "figures.definition",
    "summarise_divergences": "comparing.divergences",
    "text_heatmap": "figures.definition",
    "unity_scatter": "figures.scatter",
    "words": "comparing.word_scores",
}

__all__ = [
    "BosMode",
    "Comparison",
    "ContextLogprobs",
    "Divergences",
    "Grid",
    "GridResult",
    "KeptPredictions",
    "LoadedModel",
    "ModelSpec",
    "PooledComparison",
    "ScoreSpec",
    "Summary",
    "Text",
    "TextHeatmap",
    "TokenScores",
    "TokenvizError",
    "WordScores",
    "along_text",
    "compare",
    "context_logprobs",
    "divergences",
    "draw_along_text",
    "draw_entropy_calibration",
    "draw_heatmap",
    "draw_model_matrix",
    "draw_unity_scatter",
    "entropy_calibration",
    "experiment",
    "heatmap_html",
    "heatmap_latex",
    "heatmap_latex_document",
    "heatmap_pages",
    "information",
    "keep_predictions",
    "literal",
    "load_model",
    "load_runs",
    "load_tokens",
    "load_units",
    "model_matrix",
    "pool",
    "read_text",
    "report_html",
    "save_figure",
    "save_heatmap",
    "save_report",
    "score",
    "score_to_file",
    "shared_limits",
    "summarise_divergences",
    "text_heatmap",
    "unity_scatter",
    "words",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tokenviz' has no attribute {name!r}")
    return getattr(import_module(f"tokenviz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
