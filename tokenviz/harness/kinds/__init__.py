"""The kinds of runs, one per file: the fingerprint, how a run is computed, written, read and drawn, and its class.

A new kind is a new file here, and a line in the grid (or in an experiment's own loop) that hands its jobs to the scheduler. The
file's `KIND` defines how its recorded runs are read, drawn and computed again (`tokenviz.harness.kind`).
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from tokenviz.harness.kind import Kind
from tokenviz.tracking.finding import FoundRun

_OTHERS = "measure"  # the kind of runs with any other tag: runs of a measure have its name


@cache
def kinds() -> dict[str, Kind[Any]]:
    """Return every kind of run by its tag: the `KIND` of each file here."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    found = [module.KIND for module in modules if hasattr(module, "KIND")]
    return {kind.name: kind for kind in found}


def kind_named(tag: str) -> Kind[Any]:
    """Return the kind of runs with a tag."""
    return kinds().get(tag, kinds()[_OTHERS])


def kind_of(run: FoundRun) -> Kind[Any]:
    """Return the kind of a recorded run."""
    return kind_named(run.tags.get("kind", ""))
