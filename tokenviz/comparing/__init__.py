"""Comparing two models on one text: units that both can be read over, and statistics of these units."""

from typing import TYPE_CHECKING

from tokenviz import lazy_names

if TYPE_CHECKING:
    from tokenviz.comparing.agreement import correlate as correlate
    from tokenviz.comparing.comparison import pool as pool
    from tokenviz.comparing.distances import closest as closest
    from tokenviz.comparing.distances import engine_differences as engine_differences
    from tokenviz.comparing.distances import summarise_divergences as summarise_divergences
    from tokenviz.comparing.studies import condition_means as condition_means

_HOMES = {
    "closest": "tokenviz.comparing.distances",
    "condition_means": "tokenviz.comparing.studies",
    "correlate": "tokenviz.comparing.agreement",
    "engine_differences": "tokenviz.comparing.distances",
    "pool": "tokenviz.comparing.comparison",
    "summarise_divergences": "tokenviz.comparing.distances",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:  # type checkers then report a misspelt name as an error
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
