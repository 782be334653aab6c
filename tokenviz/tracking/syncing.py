"""Delivering what waits in the outbox, long after it was computed."""

from dataclasses import dataclass

from tokenviz.errors import RefusedError, StoreError
from tokenviz.progress import task, warn
from tokenviz.tracking.outbox import Outbox, waiting_stores
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import Store


@dataclass(frozen=True)
class Synced:
    """What became of the parcels of a store.

    Attributes:
        delivered: Runs that are in the store now.
        busy: Parcels that another process is at work on.
        undrawn: Commands to repeat, each once: what they computed lacks its figures, or was torn.
        refused: Parcels that the store does not take.
        elsewhere: Parcels that wait for other stores, by the store's name.
    """

    delivered: int
    busy: int
    undrawn: tuple[str, ...]
    refused: int
    elsewhere: dict[str, int]

    @property
    def complete(self) -> bool:
        """Whether nothing waits for this store any more."""
        return not (self.busy or self.undrawn or self.refused)


def sync(store: Store) -> Synced:
    """Deliver every parcel of a store's outbox, each once.

    Args:
        store: Open for writing.

    Raises:
        StoreError: The store fails, or does not answer. What was delivered before stays delivered.
    """
    if store.silent:
        raise StoreError(f"the tracking server {store.name!r} does not answer ({store.silent}): nothing was delivered")
    outbox = Outbox(store.outbox_folder, store.name)
    outbox.tidy()
    slips = outbox.slips()
    delivered = busy = refused = 0
    undrawn: dict[str, None] = {}
    experiments: dict[str, Runs] = {}
    with task("delivering", len(slips), "runs") as advance:
        for slip in slips:
            runs = experiments.setdefault(slip.experiment, Runs(store, slip.experiment, slip.description))
            with outbox.claimed(slip.experiment, slip.fingerprint) as claim:
                if claim is None:
                    busy += 1
                elif outbox.holds(slip.experiment, slip.fingerprint):  # else another process has delivered it meanwhile
                    parcel = claim.left_over()
                    if parcel is None or not parcel.drawn:
                        undrawn[slip.tags.get("command", slip.name)] = None
                    else:
                        try:
                            runs.deliver(parcel)
                            delivered += 1
                        except RefusedError as error:
                            warn(str(error))
                            refused += 1
            advance(1)
    elsewhere = {name: count for name, count in waiting_stores(store.outbox_folder).items() if name != store.name}
    return Synced(delivered, busy, tuple(undrawn), refused, elsewhere)
