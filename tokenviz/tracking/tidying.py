"""Removal of what is no longer needed in a store: superseded runs, runs that never finished, old views."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenviz.errors import StoreError
from tokenviz.tracking.faults import store_errors
from tokenviz.tracking.finding import FoundRun, find_runs, remove
from tokenviz.tracking.store import Store
from tokenviz.tracking.views import grid_of_view

_NAMED_BY = ("run_a", "run_b", "run_scores")  # parameters that name another run


@dataclass(frozen=True)
class Untidy:
    """The runs and views that would be removed.

    Attributes:
        runs: Runs, each with the reason.
        views: Views of grids without a run: the experiment's id, the tag, and the experiment's name.
    """

    runs: Sequence[tuple[FoundRun, str]]
    views: Sequence[tuple[str, str, str]]


def find_untidy(store: Store, experiment: str | None = None) -> Untidy:
    """Find what a second `--force`, ended processes and removed runs leave behind; nothing is changed.

    A run that a current run names is kept, such as the two scores of a comparison.

    Args:
        store: The open store.
        experiment: Name of an MLflow experiment; by default all experiments are searched.

    Raises:
        StoreError: There is no such experiment, or the store fails.
    """
    every = find_runs(experiment, every=True, store=store)
    current = [run for run in every if run.current]
    needed = {run.params.get(name, "") for run in current for name in _NAMED_BY}
    there = {run.run_id for run in current}
    found = []
    for run in every:
        if run.run_id in needed or run.status == "RUNNING":
            continue
        if run.tags.get("superseded_by") in there:
            found.append((run, "a newer run has taken its place"))
        elif run.status != "FINISHED":
            found.append((run, "it ended before it was whole"))
    grids = {grid for run in current for grid in run.tags.get("grid", "").split()}
    with store_errors(store):
        experiments = store.client.search_experiments()
    views = [
        (str(one.experiment_id), tag, str(one.name))
        for one in experiments
        if experiment in (None, one.name)
        for tag in sorted(one.tags)
        if (grid := grid_of_view(tag)) and grid not in grids
    ]
    return Untidy(found, views)


def tidy(store: Store, untidy: Untidy) -> None:
    """Remove what was found: runs in MLflow's way, so that they can be restored; views for good.

    Raises:
        StoreError: The store may not be written, or fails.
    """
    if store.copy is not None:
        raise StoreError(f"the store in {str(store.folder)!r} may not be written: nothing was removed")
    remove(store, [run for run, _ in untidy.runs])
    with store_errors(store):
        for experiment_id, tag, _ in untidy.views:
            store.client.delete_experiment_tag(experiment_id, tag)
