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
        concordance_accuracy,
        d_av,
        d_z,
        deming_intercept,
        deming_slope,
        kendall_tau,
        location_shift,
        mean_difference,
        median_difference,
        pearson_r,
        rms_difference,
        scale_shift,
        share_greater,
        spearman_rho,
    )
    from tokenviz.stats.dependent import correlation_difference
    from tokenviz.stats.estimate import LEVEL, Estimate, printed, rounded, rounded_interval
    from tokenviz.stats.flips import SignFlips, sign_flip_test
    from tokenviz.stats.formulas import clustered, fisher, student, wilson
    from tokenviz.stats.intervals import adjusted_level, many_intervals
    from tokenviz.stats.resampling import Resampling
    from tokenviz.stats.summaries import Summary

_HOMES = {
    "LEVEL": "estimate",
    "Calibration": "calibration",
    "Estimate": "estimate",
    "Resampling": "resampling",
    "SignFlips": "flips",
    "Summary": "summaries",
    "adjusted_level": "intervals",
    "calibrate": "calibration",
    "clustered": "formulas",
    "concordance": "definitions",
    "concordance_accuracy": "definitions",
    "correlation_difference": "dependent",
    "d_av": "definitions",
    "d_z": "definitions",
    "deming_intercept": "definitions",
    "deming_slope": "definitions",
    "fisher": "formulas",
    "kendall_tau": "definitions",
    "location_shift": "definitions",
    "many_intervals": "intervals",
    "mean_difference": "definitions",
    "median_difference": "definitions",
    "pearson_r": "definitions",
    "printed": "estimate",
    "rms_difference": "definitions",
    "rounded": "estimate",
    "rounded_interval": "estimate",
    "scale_shift": "definitions",
    "share_greater": "definitions",
    "sign_flip_test": "flips",
    "spearman_rho": "definitions",
    "student": "formulas",
    "wilson": "formulas",
}

__all__ = [
    "LEVEL",
    "Calibration",
    "Estimate",
    "Resampling",
    "SignFlips",
    "Summary",
    "adjusted_level",
    "calibrate",
    "clustered",
    "concordance",
    "concordance_accuracy",
    "correlation_difference",
    "d_av",
    "d_z",
    "deming_intercept",
    "deming_slope",
    "fisher",
    "kendall_tau",
    "location_shift",
    "many_intervals",
    "mean_difference",
    "median_difference",
    "pearson_r",
    "printed",
    "rms_difference",
    "rounded",
    "rounded_interval",
    "scale_shift",
    "share_greater",
    "sign_flip_test",
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
