"""Statistics that know no models and no texts: arrays in, frozen estimates out.

    from tokenviz.stats import pearson_r, fisher

    fisher(pearson_r(x, y))

Every number is an `Estimate`: its value, n, unit, and its interval with how that was found. Definitions are in
`tokenviz.stats.definitions`, intervals in closed form in `tokenviz.stats.formulas`, resampling and its intervals in
`tokenviz.stats.resampling` and `tokenviz.stats.intervals`. Importing this loads nothing heavy; each name loads what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenviz.stats.calibration import Calibration, calibrate
    from tokenviz.stats.definitions import (
        concordance,
        kendall_tau,
        mean_difference,
        median_difference,
        pearson_r,
        rms_difference,
        share_greater,
        spearman_rho,
    )
    from tokenviz.stats.estimate import Estimate, printed, rounded, rounded_interval
    from tokenviz.stats.formulas import clustered, fisher, student, wilson
    from tokenviz.stats.resampling import Resampling
    from tokenviz.stats.summaries import Summary

_HOMES = {
    "Calibration": "calibration",
    "Estimate": "estimate",
    "Resampling": "resampling",
    "Summary": "summaries",
    "calibrate": "calibration",
    "clustered": "formulas",
    "concordance": "definitions",
    "fisher": "formulas",
    "kendall_tau": "definitions",
    "mean_difference": "definitions",
    "median_difference": "definitions",
    "pearson_r": "definitions",
    "printed": "estimate",
    "rms_difference": "definitions",
    "rounded": "estimate",
    "rounded_interval": "estimate",
    "share_greater": "definitions",
    "spearman_rho": "definitions",
    "student": "formulas",
    "wilson": "formulas",
}

__all__ = [
    "Calibration",
    "Estimate",
    "Resampling",
    "Summary",
    "calibrate",
    "clustered",
    "concordance",
    "fisher",
    "kendall_tau",
    "mean_difference",
    "median_difference",
    "pearson_r",
    "printed",
    "rms_difference",
    "rounded",
    "rounded_interval",
    "share_greater",
    "spearman_rho",
    "student",
    "wilson",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tokenviz.stats' has no attribute {name!r}")
    return getattr(import_module(f"tokenviz.stats.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
