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
    from tokenviz.comparing.comparison import Comparison, compare
    from tokenviz.comparing.word_scores import WordScores, words
    from tokenviz.errors import TokenvizError
    from tokenviz.figures.heatmap import draw_heatmap
    from tokenviz.figures.html import heatmap_html
    from tokenviz.figures.plots import along_text, unity_scatter
    from tokenviz.harness.decorator import experiment
    from tokenviz.harness.grid import Grid
    from tokenviz.models.loading import LoadedModel, load_model
    from tokenviz.models.spec import ModelSpec
    from tokenviz.scores import BosMode, ScoreSpec, TokenScores
    from tokenviz.scoring.divergence import Divergences, divergences
    from tokenviz.scoring.scorer import score
    from tokenviz.scoring.streaming import score_to_file
    from tokenviz.texts import Text, literal, read_text

_HOMES = {
    "BosMode": "scores",
    "Comparison": "comparing.comparison",
    "Divergences": "scoring.divergence",
    "Grid": "harness.grid",
    "LoadedModel": "models.loading",
    "ModelSpec": "models.spec",
    "ScoreSpec": "scores",
    "Text": "texts",
    "TokenScores": "scores",
    "TokenvizError": "errors",
    "WordScores": "comparing.word_scores",
    "along_text": "figures.plots",
    "compare": "comparing.comparison",
    "divergences": "scoring.divergence",
    "draw_heatmap": "figures.heatmap",
    "experiment": "harness.decorator",
    "heatmap_html": "figures.html",
    "literal": "texts",
    "load_model": "models.loading",
    "read_text": "texts",
    "score": "scoring.scorer",
    "score_to_file": "scoring.streaming",
    "unity_scatter": "figures.plots",
    "words": "comparing.word_scores",
}

__all__ = [
    "BosMode",
    "Comparison",
    "Divergences",
    "Grid",
    "LoadedModel",
    "ModelSpec",
    "ScoreSpec",
    "Text",
    "TokenScores",
    "TokenvizError",
    "WordScores",
    "along_text",
    "compare",
    "divergences",
    "draw_heatmap",
    "experiment",
    "heatmap_html",
    "literal",
    "load_model",
    "read_text",
    "score",
    "score_to_file",
    "unity_scatter",
    "words",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tokenviz' has no attribute {name!r}")
    return getattr(import_module(f"tokenviz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
