"""Recomputing runs from their own tables, to check whether the numbers agree. The results are not stored."""

from tokenviz.harness.again import Again, NotEnoughError, Rerun
from tokenviz.harness.kinds import kind_of
from tokenviz.progress import task, warn
from tokenviz.records.reader import Reader
from tokenviz.tracking.finding import FoundRun, find_run, find_runs
from tokenviz.tracking.store import Store


def rerun(reference: str, store: Store) -> list[Rerun]:
    """Compute a run again, or for a summary those of its grid's runs that record enough.

    Args:
        reference: The run's reference, as in `find_run`.
        store: The run's store; nothing is written to it.

    Raises:
        StoreError: There is no such run, a table is missing, or the run does not record enough to be computed by itself.
        TokenvizError: Its model cannot be loaded.
    """
    found = find_run(reference, store)
    whole = found.tags.get("kind") == "summary"
    runs = _members(found, store) if whole else [found]
    again, done = Again(Reader(store)), []
    with task("computing again", len(runs), "runs") as advance:
        for run in runs:
            try:
                done.append(kind_of(run).rerun(run, again))
            except NotEnoughError:
                if not whole:
                    raise
            advance(1)
    if len(done) < len(runs):
        warn(f"{len(runs) - len(done)} of {len(runs)} runs do not say enough to be computed again")
    return done


def _members(summary: FoundRun, store: Store) -> list[FoundRun]:
    """Return a grid's runs: those of one model together, so that it is loaded once, and comparisons last."""
    grid = summary.tags.get("grid", "")
    members = [run for run in find_runs(summary.experiment, store=store) if grid in run.tags.get("grid", "").split()]
    members = [run for run in members if run.tags["kind"] != "summary"]
    return sorted(members, key=lambda run: run.tags.get("model", "\U0010ffff"))
