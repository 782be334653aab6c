"""Delivery of results that wait in the outbox, independently of the command that computed them."""

from dataclasses import dataclass

from tokenviz.errors import RefusedError, StoreError
from tokenviz.progress import task, warn
from tokenviz.tracking.outbox import Outbox, waiting_stores
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import Store


@dataclass(frozen=True)
class Synced:
    """The result of delivering a store's outbox.

    Attributes:
        delivered: Number of runs that were delivered to the store.
        busy: Number of staged runs that another process is working on.
        undrawn: Commands to repeat, each once: their results are torn or lack figures.
        refused: Number of staged runs that the store refuses.
        elsewhere: Number of staged runs that wait for other stores, by the store's name.
    """

    delivered: int
    busy: int
    undrawn: tuple[str, ...]
    refused: int
    elsewhere: dict[str, int]

    @property
    def complete(self) -> bool:
        """Whether nothing is left that waits for this store."""
        return not (self.busy or self.undrawn or self.refused)


def sync(store: Store) -> Synced:
    """Deliver every staged run of a store's outbox once.

    Args:
        store: The store, open for writing.

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
                # Otherwise another process has delivered it in the meantime
                elif outbox.holds(slip.experiment, slip.fingerprint):
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
