"""Runs in papers: figures, tables and numbers are pulled into a paper's folder, checked, traced and drawn again."""

from typing import TYPE_CHECKING

from tokenviz import lazy_names

if TYPE_CHECKING:
    from tokenviz.paper.checking import check as check
    from tokenviz.paper.manifest import Order as Order
    from tokenviz.paper.pulling import pull as pull
    from tokenviz.paper.pulling import redraw as redraw

_HOMES = {
    "Order": "tokenviz.paper.manifest",
    "check": "tokenviz.paper.checking",
    "pull": "tokenviz.paper.pulling",
    "redraw": "tokenviz.paper.pulling",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:  # type checkers then report a misspelt name as an error
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
