"""tokenviz: see what causal language models predict, token by token, and keep it as tracked runs.

    import tokenviz as tv

    model = tv.load_model("smollm2-135m")
    scores = tv.score(model, "The goal of a correlation analysis is to compute a correlation coefficient.")
    print(scores.to_frame())

The public names are those of this module and of `tokenviz.comparing`, `.figures`, `.harness`, `.paper` and `.stats`; names in
deeper modules may move. Importing any of them loads none of the heavy libraries: each name loads what it needs when it is used.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from tokenviz.base.errors import TokenvizError as TokenvizError
    from tokenviz.comparing.comparison import Comparison as Comparison
    from tokenviz.comparing.comparison import compare as compare
    from tokenviz.data.scores import BosMode as BosMode
    from tokenviz.data.scores import TokenScores as TokenScores
    from tokenviz.data.spans import Span as Span
    from tokenviz.data.texts import Text as Text
    from tokenviz.data.texts import corpus as corpus
    from tokenviz.data.texts import literal as literal
    from tokenviz.data.texts import read_text as read_text
    from tokenviz.dumps.importing import import_scores as import_scores
    from tokenviz.figures.heatmap.definition import text_heatmap as text_heatmap
    from tokenviz.figures.plots.comparison import unity_scatter as unity_scatter
    from tokenviz.figures.report.page import save_report as save_report
    from tokenviz.figures.typeset.saving import save_figure as save_figure
    from tokenviz.harness.experiments import experiment as experiment
    from tokenviz.harness.grid import Grid as Grid
    from tokenviz.harness.results import GridResult as GridResult
    from tokenviz.models.chat import chat_text as chat_text
    from tokenviz.models.loading import load_model as load_model
    from tokenviz.models.spec import checkpoints_of as checkpoints_of
    from tokenviz.records.loading import load_comparison as load_comparison
    from tokenviz.records.loading import load_runs as load_runs
    from tokenviz.records.loading import load_scores as load_scores
    from tokenviz.records.loading import load_tokens as load_tokens
    from tokenviz.scoring.divergence import divergences as divergences
    from tokenviz.scoring.positions import position_values as position_values
    from tokenviz.scoring.scorer import score as score
    from tokenviz.scoring.watching import watch as watch
    from tokenviz.units.items import read_items as read_items
    from tokenviz.units.pairs import pair_table as pair_table
    from tokenviz.units.pairs import read_pairs as read_pairs
    from tokenviz.units.prompts import continuations as continuations
    from tokenviz.units.prompts import prompt_table as prompt_table
    from tokenviz.units.prompts import read_prompts as read_prompts
    from tokenviz.units.reading_times import read_reading_times as read_reading_times
    from tokenviz.units.sums import information as information
    from tokenviz.units.sums import span_table as span_table
    from tokenviz.units.tidy import tidy_table as tidy_table
    from tokenviz.units.word_scores import words as words

_HOMES = {
    "BosMode": "tokenviz.data.scores",
    "Comparison": "tokenviz.comparing.comparison",
    "Grid": "tokenviz.harness.grid",
    "GridResult": "tokenviz.harness.results",
    "Span": "tokenviz.data.spans",
    "Text": "tokenviz.data.texts",
    "TokenScores": "tokenviz.data.scores",
    "TokenvizError": "tokenviz.base.errors",
    "chat_text": "tokenviz.models.chat",
    "checkpoints_of": "tokenviz.models.spec",
    "compare": "tokenviz.comparing.comparison",
    "continuations": "tokenviz.units.prompts",
    "corpus": "tokenviz.data.texts",
    "divergences": "tokenviz.scoring.divergence",
    "experiment": "tokenviz.harness.experiments",
    "import_scores": "tokenviz.dumps.importing",
    "information": "tokenviz.units.sums",
    "literal": "tokenviz.data.texts",
    "load_comparison": "tokenviz.records.loading",
    "load_model": "tokenviz.models.loading",
    "load_runs": "tokenviz.records.loading",
    "load_scores": "tokenviz.records.loading",
    "load_tokens": "tokenviz.records.loading",
    "pair_table": "tokenviz.units.pairs",
    "position_values": "tokenviz.scoring.positions",
    "prompt_table": "tokenviz.units.prompts",
    "read_items": "tokenviz.units.items",
    "read_pairs": "tokenviz.units.pairs",
    "read_prompts": "tokenviz.units.prompts",
    "read_reading_times": "tokenviz.units.reading_times",
    "read_text": "tokenviz.data.texts",
    "save_figure": "tokenviz.figures.typeset.saving",
    "save_report": "tokenviz.figures.report.page",
    "score": "tokenviz.scoring.scorer",
    "span_table": "tokenviz.units.sums",
    "text_heatmap": "tokenviz.figures.heatmap.definition",
    "tidy_table": "tokenviz.units.tidy",
    "unity_scatter": "tokenviz.figures.plots.comparison",
    "watch": "tokenviz.scoring.watching",
    "words": "tokenviz.units.word_scores",
}
__all__ = list(_HOMES)


def lazy_names(namespace: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return a module's `__getattr__` and `__dir__`, which import each public name when it is first used.

    Args:
        namespace: The name of the module.
        homes: The module that defines each public name.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {namespace!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return get, lambda: sorted(homes)


if not TYPE_CHECKING:  # type checkers then report a misspelt name as an error
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
