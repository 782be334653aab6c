"""Comparing two models on one text: units that both can be read over, and statistics of these units."""

from typing import TYPE_CHECKING

from tokenviz import lazy_names

if TYPE_CHECKING:
    from tokenviz.comparing.agreement import correlate as correlate
    from tokenviz.comparing.comparison import pool as pool
    from tokenviz.comparing.conditions import condition_means as condition_means
    from tokenviz.comparing.correlations import closest as closest
    from tokenviz.comparing.divergences import summarise_divergences as summarise_divergences
    from tokenviz.comparing.engines import engine_differences as engine_differences

_HOMES = {
    "closest": "tokenviz.comparing.correlations",
    "condition_means": "tokenviz.comparing.conditions",
    "correlate": "tokenviz.comparing.agreement",
    "engine_differences": "tokenviz.comparing.engines",
    "pool": "tokenviz.comparing.comparison",
    "summarise_divergences": "tokenviz.comparing.divergences",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:  # type checkers then report a misspelt name as an error
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
