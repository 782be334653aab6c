"""`load_scores` and `load_comparison`: one run of the tracking store, by its id, its name or its row."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tokenviz.errors import StoreError
from tokenviz.records.run import RecordedRun, StoredRun, WaitingRun
from tokenviz.records.tables import read_comparison, read_scores
from tokenviz.tracking.finding import find_run, find_runs, is_reference
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import Store, open_for_reading, open_store, server_uri

if TYPE_CHECKING:
    from tokenviz.comparing.comparison import Comparison
    from tokenviz.scores import TokenScores

_MOST_NAMED = 4


def load_scores(run: Any) -> "TokenScores":
    """Read the scores of a score run from the tracking store; no model is loaded.

    The table is compared with the recorded checksum and numbers, and refused if it has changed.

    Args:
        run: The run: the first digits of its id or fingerprint (at least four), its name, a row of `load_runs`, or a run of a
            `GridResult`. Results that wait in the outbox are found by fingerprint and name.

    Returns:
        The scores, equal to what `score` returned.

    Raises:
        StoreError: There is no such run or more than one, it is not a score run, or its table is missing or damaged.

    Example:
        >>> runs = tv.load_runs("precisions", where="kind=score and model=glass-en")  # of the example of `Grid`
        >>> scores = tv.load_scores(runs.iloc[0])  # or tv.load_scores("alice · glass-en"), or how the run's id begins
        >>> scores.text_name, len(scores), scores.spec.model
        ('alice', 10, 'glass-en')
    """
    return read_scores(recorded_run(run))


def load_comparison(run: Any) -> "Comparison":
    """Read the comparison of a comparison run from the tracking store; no model is loaded.

    It has the units and numbers that were recorded; nothing is computed again. Tables are compared with the recorded checksums
    and numbers, and refused if they have changed.

    Args:
        run: The run: the first digits of its id or fingerprint (at least four), its name, a row of `load_runs`, or a run of a
            `GridResult`.

    Returns:
        The comparison, equal to what `compare` returned.

    Raises:
        StoreError: There is no such run or more than one, it is not a comparison, or a table of it or of its two score runs is
            missing or damaged.

    Example:
        >>> runs = tv.load_runs("precisions", where="kind=comparison")  # of the example of `Grid`
        >>> comparison = tv.load_comparison(runs.iloc[0])
        >>> comparison.models, comparison.n, bool(comparison.pearson_r.value == runs["pearson_r"].item())
        (('glass-en', 'glass-en,dtype=bfloat16'), 9, True)
    """
    return read_comparison(recorded_run(run))


def recorded_run(run: Any) -> RecordedRun:
    """Find a run by any of the references that `load_scores` accepts.

    Raises:
        StoreError: There is no such run, or more than one.
    """
    recorded = getattr(run, "recorded", None)
    if isinstance(recorded, RecordedRun):
        return recorded
    reference = run if isinstance(run, str) else run.get("run_id") if isinstance(run, Mapping) else getattr(run, "run_id", None)
    if not isinstance(reference, str) or not reference:
        raise StoreError(
            f"a {type(run).__name__} names no run: give the id of one, its name, or one row of load_runs, such as runs.iloc[0]"
        )
    store = open_store() if server_uri() else open_for_reading()  # a server may not answer: results that wait for it are here
    waiting = _waiting(reference, store)
    if waiting is not None and store.silent:
        return waiting
    if store.silent:
        raise StoreError(
            f"the tracking server {store.name!r} does not answer ({store.silent}), and no {reference!r} waits for it"
        )
    try:
        if is_reference(reference):
            return StoredRun.of(find_run(reference, store), store)
    except StoreError:
        if waiting is None:
            raise
        return waiting
    named = [found for found in find_runs(store=store) if found.name == reference]
    if len(named) > 1:
        ids = ", ".join(found.run_id for found in named[:_MOST_NAMED]) + ", ..." * (len(named) > _MOST_NAMED)
        raise StoreError(f"{len(named)} runs have the name {reference!r}: give the id of one: {ids}")
    if named:
        return StoredRun.of(named[0], store)
    if waiting is not None:
        return waiting
    raise StoreError(f"no run has the id or the name {reference!r}: 'tokenviz runs' and tv.load_runs() list what there is")


def _waiting(reference: str, store: Store) -> RecordedRun | None:
    """Return results that wait in the outbox, by the beginning of their fingerprint or by their name; None for none."""
    for slip in Runs(store, "", "").outbox.slips():
        if slip.name == reference or (is_reference(reference) and slip.fingerprint.startswith(reference)):
            runs = Runs(store, slip.experiment, "")
            parcel = runs.outbox.parcel(slip.experiment, slip.fingerprint)
            return WaitingRun.of(parcel, runs) if parcel is not None else None
    return None
