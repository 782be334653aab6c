"""What the models of runs are, in words: for tables and files that name a model by its spec."""

from collections.abc import Sequence

from tokenviz.errors import StoreError
from tokenviz.models.describing import description_in
from tokenviz.tracking.finding import FoundRun, find_run
from tokenviz.tracking.store import Store

_NAMES = ("model", "model_a", "model_b")


def descriptions_of(runs: Sequence[FoundRun], store: Store) -> dict[str, str]:
    """Return what each model of some runs is, by its label; a model that nobody knows more of is left out.

    A comparison of an older version does not say it: then its score runs do, or the catalogue by their weights.

    Args:
        runs: Newest first: where two runs say different things of one label, the first of them counts.
        store: Where they are.
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
        except StoreError:  # it was removed: then nobody knows
            continue
        if said:
            found[label] = said
    return found
