"""Descriptions of the models of runs, for tables and files that name a model by its spec."""

from collections.abc import Sequence

from tokenviz.errors import StoreError
from tokenviz.models.describing import description_in
from tokenviz.tracking.finding import FoundRun, find_run
from tokenviz.tracking.store import Store

_NAMES = ("model", "model_a", "model_b")


def descriptions_of(runs: Sequence[FoundRun], store: Store) -> dict[str, str]:
    """Return the descriptions of the models of some runs, by label; a model without a description is left out.

    A comparison of an older version does not record them; then its score runs do, or the catalogue by the weights.

    Args:
        runs: Runs, newest first: where two runs describe one label differently, the first counts.
        store: The runs' store.
    """
    found: dict[str, str] = {}
    for run in runs:
        for name in _NAMES:
            label, said = run.params.get(name, ""), description_in(run.params, name)
            if label and said:
                found.setdefault(label, said)
    missing = {
        label: run.params[f"run_{name[-1]}"]
        for run in runs
        for name in _NAMES[1:]
        if (label := run.params.get(name, "")) and label not in found and run.params.get(f"run_{name[-1]}")
    }
    for label, run_id in missing.items():
        try:
            said = description_in(find_run(run_id, store).params)
        except StoreError:  # it was removed, so the description is unknown
            continue
        if said:
            found[label] = said
    return found
