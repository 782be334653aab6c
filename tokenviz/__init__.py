"""tokenviz: see what causal language models predict, token by token, and keep it as tracked runs.

    import tokenviz as tv

    model = tv.load_model("smollm2-135m")
    scores = tv.score(model, "The goal of a correlation analysis is to compute a correlation coefficient.")
    print(scores.to_frame())

Importing this package loads none of the heavy libraries; each public name loads what it needs when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from tokenviz.comparing.comparison import Comparison, compare
    from tokenviz.comparing.information import information
    from tokenviz.dumps.importing import import_scores
    from tokenviz.errors import TokenvizError
    from tokenviz.figures.definition import text_heatmap
    from tokenviz.figures.files import save_heatmap
    from tokenviz.figures.report import save_report
    from tokenviz.figures.saving import save_figure
    from tokenviz.figures.scatter import unity_scatter
    from tokenviz.harness.decorator import experiment
    from tokenviz.harness.grid import Grid
    from tokenviz.harness.results import GridResult
    from tokenviz.models.chat import chat_text
    from tokenviz.models.checkpoints import checkpoints_of
    from tokenviz.models.loading import load_model
    from tokenviz.records.frames import load_runs, load_tokens
    from tokenviz.records.loading import load_comparison, load_scores
    from tokenviz.scores import BosMode, TokenScores
    from tokenviz.scoring.divergence import divergences
    from tokenviz.scoring.scorer import score
    from tokenviz.scoring.watching import watch
    from tokenviz.spans import Span
    from tokenviz.texts import Text, literal, read_text
    from tokenviz.units.items import read_items
    from tokenviz.units.pairs import pair_table, read_pairs
    from tokenviz.units.prompts import continuations, prompt_table, read_prompts
    from tokenviz.units.reading_times import read_reading_times
    from tokenviz.units.spans import span_table
    from tokenviz.units.tidy import tidy_table
    from tokenviz.units.word_scores import words

_HOMES = {
    "BosMode": "scores",
    "Comparison": "comparing.comparison",
    "Grid": "harness.grid",
    "GridResult": "harness.results",
    "Span": "spans",
    "Text": "texts",
    "TokenScores": "scores",
    "TokenvizError": "errors",
    "chat_text": "models.chat",
    "checkpoints_of": "models.checkpoints",
    "compare": "comparing.comparison",
    "continuations": "units.prompts",
    "divergences": "scoring.divergence",
    "experiment": "harness.decorator",
    "import_scores": "dumps.importing",
    "information": "comparing.information",
    "literal": "texts",
    "load_comparison": "records.loading",
    "load_model": "models.loading",
    "load_runs": "records.frames",
    "load_scores": "records.loading",
    "load_tokens": "records.frames",
    "pair_table": "units.pairs",
    "prompt_table": "units.prompts",
    "read_items": "units.items",
    "read_pairs": "units.pairs",
    "read_prompts": "units.prompts",
    "read_reading_times": "units.reading_times",
    "read_text": "texts",
    "save_figure": "figures.saving",
    "save_heatmap": "figures.files",
    "save_report": "figures.report",
    "score": "scoring.scorer",
    "span_table": "units.spans",
    "text_heatmap": "figures.definition",
    "tidy_table": "units.tidy",
    "unity_scatter": "figures.scatter",
    "watch": "scoring.watching",
    "words": "units.word_scores",
}

__all__ = [
    "BosMode",
    "Comparison",
    "Grid",
    "GridResult",
    "Span",
    "Text",
    "TokenScores",
    "TokenvizError",
    "chat_text",
    "checkpoints_of",
    "compare",
    "continuations",
    "divergences",
    "experiment",
    "import_scores",
    "information",
    "literal",
    "load_comparison",
    "load_model",
    "load_runs",
    "load_scores",
    "load_tokens",
    "pair_table",
    "prompt_table",
    "read_items",
    "read_pairs",
    "read_prompts",
    "read_reading_times",
    "read_text",
    "save_figure",
    "save_heatmap",
    "save_report",
    "score",
    "span_table",
    "text_heatmap",
    "tidy_table",
    "unity_scatter",
    "watch",
    "words",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tokenviz' has no attribute {name!r}")
    return getattr(import_module(f"tokenviz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
