"""The harness: the decorator that makes a command of a function, and the grid of models x texts with its runs."""

import os
from typing import TYPE_CHECKING

from tokenviz import lazy_names

if TYPE_CHECKING:
    from tokenviz.base.errors import ExperimentError as ExperimentError
    from tokenviz.harness.kinds.comparison import ComparisonRun as ComparisonRun
    from tokenviz.harness.kinds.measure import MeasureRun as MeasureRun
    from tokenviz.harness.kinds.score import ScoreRun as ScoreRun
    from tokenviz.harness.measures import DIVERGENCES as DIVERGENCES
    from tokenviz.harness.measures import Measure as Measure
    from tokenviz.harness.measures import Measured as Measured
    from tokenviz.harness.measures import candidates as candidates
    from tokenviz.harness.measures import context_effect as context_effect
    from tokenviz.harness.measures import position_measure as position_measure
    from tokenviz.scoring.watching import At as At
    from tokenviz.units.tidy import By as By

# Figures are drawn while the next text is scored: threads that wait for each other must not occupy cores for long. Sleeping at
# once is no better: to be woken takes so long that texts of 110 tokens take 1.24 times as long to score on two cores of an AMD
# EPYC. So they look 10,000 times before they sleep. torch reads this at import.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_HOMES = {
    "At": "tokenviz.scoring.watching",
    "By": "tokenviz.units.tidy",
    "ComparisonRun": "tokenviz.harness.kinds.comparison",
    "DIVERGENCES": "tokenviz.harness.measures",
    "ExperimentError": "tokenviz.base.errors",
    "Measure": "tokenviz.harness.measures",
    "MeasureRun": "tokenviz.harness.kinds.measure",
    "Measured": "tokenviz.harness.measures",
    "ScoreRun": "tokenviz.harness.kinds.score",
    "candidates": "tokenviz.harness.measures",
    "context_effect": "tokenviz.harness.measures",
    "position_measure": "tokenviz.harness.measures",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:  # type checkers then report a misspelt name as an error
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
