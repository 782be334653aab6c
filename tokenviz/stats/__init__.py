"""Statistics on arrays, without models or texts: arrays go in, frozen estimates come out.

    from tokenviz.stats import pearson_r, fisher

    fisher(pearson_r(x, y))

Every number is an `Estimate`: its value, n, unit, and its interval with the method. The definitions are in
`tokenviz.stats.definitions`, resampling in `tokenviz.stats.resampling`, and all intervals, in closed form and from resamples,
in `tokenviz.stats.intervals`. Importing this package loads nothing heavy; each name loads what it needs.
"""

from typing import TYPE_CHECKING

from tokenviz import lazy_names

if TYPE_CHECKING:
    from tokenviz.stats.definitions import Calibration as Calibration
    from tokenviz.stats.definitions import calibrate as calibrate
    from tokenviz.stats.definitions import concordance as concordance
    from tokenviz.stats.definitions import concordance_accuracy as concordance_accuracy
    from tokenviz.stats.definitions import d_av as d_av
    from tokenviz.stats.definitions import d_z as d_z
    from tokenviz.stats.definitions import deming_intercept as deming_intercept
    from tokenviz.stats.definitions import deming_slope as deming_slope
    from tokenviz.stats.definitions import kendall_tau as kendall_tau
    from tokenviz.stats.definitions import location_shift as location_shift
    from tokenviz.stats.definitions import mean_difference as mean_difference
    from tokenviz.stats.definitions import median_difference as median_difference
    from tokenviz.stats.definitions import pearson_r as pearson_r
    from tokenviz.stats.definitions import rms_difference as rms_difference
    from tokenviz.stats.definitions import scale_shift as scale_shift
    from tokenviz.stats.definitions import share_greater as share_greater
    from tokenviz.stats.definitions import spearman_rho as spearman_rho
    from tokenviz.stats.differences import SignFlips as SignFlips
    from tokenviz.stats.differences import correlation_difference as correlation_difference
    from tokenviz.stats.differences import sign_flip_test as sign_flip_test
    from tokenviz.stats.estimate import LEVEL as LEVEL
    from tokenviz.stats.estimate import Estimate as Estimate
    from tokenviz.stats.estimate import printed as printed
    from tokenviz.stats.estimate import rounded as rounded
    from tokenviz.stats.estimate import rounded_interval as rounded_interval
    from tokenviz.stats.intervals import adjusted_level as adjusted_level
    from tokenviz.stats.intervals import clustered as clustered
    from tokenviz.stats.intervals import fisher as fisher
    from tokenviz.stats.intervals import many_intervals as many_intervals
    from tokenviz.stats.intervals import student as student
    from tokenviz.stats.intervals import wilson as wilson
    from tokenviz.stats.resampling import Resampling as Resampling
    from tokenviz.stats.summaries import Summary as Summary

_HOMES = {
    "Calibration": "tokenviz.stats.definitions",
    "Estimate": "tokenviz.stats.estimate",
    "LEVEL": "tokenviz.stats.estimate",
    "Resampling": "tokenviz.stats.resampling",
    "SignFlips": "tokenviz.stats.differences",
    "Summary": "tokenviz.stats.summaries",
    "adjusted_level": "tokenviz.stats.intervals",
    "calibrate": "tokenviz.stats.definitions",
    "clustered": "tokenviz.stats.intervals",
    "concordance": "tokenviz.stats.definitions",
    "concordance_accuracy": "tokenviz.stats.definitions",
    "correlation_difference": "tokenviz.stats.differences",
    "d_av": "tokenviz.stats.definitions",
    "d_z": "tokenviz.stats.definitions",
    "deming_intercept": "tokenviz.stats.definitions",
    "deming_slope": "tokenviz.stats.definitions",
    "fisher": "tokenviz.stats.intervals",
    "kendall_tau": "tokenviz.stats.definitions",
    "location_shift": "tokenviz.stats.definitions",
    "many_intervals": "tokenviz.stats.intervals",
    "mean_difference": "tokenviz.stats.definitions",
    "median_difference": "tokenviz.stats.definitions",
    "pearson_r": "tokenviz.stats.definitions",
    "printed": "tokenviz.stats.estimate",
    "rms_difference": "tokenviz.stats.definitions",
    "rounded": "tokenviz.stats.estimate",
    "rounded_interval": "tokenviz.stats.estimate",
    "scale_shift": "tokenviz.stats.definitions",
    "share_greater": "tokenviz.stats.definitions",
    "sign_flip_test": "tokenviz.stats.differences",
    "spearman_rho": "tokenviz.stats.definitions",
    "student": "tokenviz.stats.intervals",
    "wilson": "tokenviz.stats.intervals",
}
__all__ = list(_HOMES)

if not TYPE_CHECKING:  # type checkers then report a misspelt name as an error
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
