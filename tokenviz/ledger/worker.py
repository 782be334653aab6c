"""The worker: an ordinary process that loads one model and scores its open shards, then perhaps another model's.

It needs only the ledger and the model: no driver, no engine, no other worker.
"""

import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenviz.base.display import counted
from tokenviz.base.errors import LedgerError, TokenvizError, of_full_disk
from tokenviz.base.progress import note, task, warn
from tokenviz.ledger.book import MOST_FAILURES, Cell, Ledger, Shard, result_name
from tokenviz.ledger.claims import Beacon
from tokenviz.ledger.shard_scores import write_shard

if TYPE_CHECKING:
    from tokenviz.models.loading import LoadedModel


@dataclass
class Worked:
    """The result of a worker.

    Attributes:
        shards: Number of shards that it finished.
        tokens: Number of tokens in them.
        failed: Number of shards that it failed on.
        left: Number of open shards that other workers have claimed.
    """

    shards: int = 0
    tokens: int = 0
    failed: int = 0
    left: int = 0


def work(ledger: Ledger, *, model: str | None = None, tokens_per_second: float | None = None) -> Worked:
    """Score open shards until none is left.

    Args:
        ledger: The ledger from `open_ledger`.
        model: The label of the model to begin with; by default one that the fewest workers have.
        tokens_per_second: The most tokens per second, to simulate many workers on few cores; by default no limit.

    Raises:
        LedgerError: The ledger has no such model, or cannot be used.
        ModelError: A model cannot be loaded, or is not the one in the ledger.
        DiskError: There is no room for a result.
    """
    with Beacon(ledger.storage) as beacon:
        return _Worker(ledger, beacon, tokens_per_second).run(model)


class _Worker:
    def __init__(self, ledger: Ledger, beacon: Beacon, tokens_per_second: float | None) -> None:
        self._ledger, self._beacon, self._limit = ledger, beacon, tokens_per_second
        self._failed: set[tuple[str, str]] = set()
        self._done = Worked()

    def run(self, model: str | None) -> Worked:
        if model is not None and all(cell.model != model for cell in self._ledger.cells()):
            known = ", ".join(dict.fromkeys(cell.model for cell in self._ledger.cells())) or "none"
            raise LedgerError(f"the ledger {self._ledger.address!r} has no model {model!r}: it has {known}")
        loaded: LoadedModel | None = None
        while (label := self._next_model(model)) is not None:
            if loaded is None or loaded.label != label:
                loaded = None  # frees the model first: there may be no room for two
                loaded = self._load(label)
            self._beacon.said["model"] = label
            self._beacon.write()
            self._score_all(loaded, label)
            model = None
        self._done.left = sum(len(self._open(cell)) for cell in self._ledger.cells())
        return self._done

    def _next_model(self, wanted: str | None) -> str | None:
        """Return the model to continue with: the wanted one, or one with open shards that the fewest workers have."""
        cells = self._ledger.cells()
        open_ = {cell.model for cell in cells if next(self._candidates(cell), None) is not None}
        if wanted in open_:
            return wanted
        busy = Counter(str(about.get("model", "")) for about in self._beacon.alive().values())
        return min(open_, key=lambda label: (busy[label], label), default=None)

    def _load(self, label: str) -> "LoadedModel":
        from tokenviz.base.errors import ModelError
        from tokenviz.models.loading import load, resolve
        from tokenviz.scoring.scorer import check_possible

        resolved = resolve(label)
        cells = [cell for cell in self._ledger.cells() if cell.model == label]
        for cell in cells:
            if cell.identity != resolved.identity:
                raise ModelError(
                    f"the model {label!r} of this machine ({resolved.identity[:20]}) is not the ledger's "
                    f"({cell.identity[:20]}): copy the one that the ledger was planned with"
                )
        loaded = load(resolved)
        for cell in cells:
            check_possible(loaded, **cell.settings)
        return loaded

    def _score_all(self, loaded: "LoadedModel", label: str) -> None:
        """Score open shards of a model until none is left."""
        cells = [cell for cell in self._ledger.cells() if cell.model == label]
        total = sum(len(self._ledger.shards(cell.text_sha256)) for cell in cells)
        done = sum(len(self._ledger.done(cell)) for cell in cells)
        with tempfile.TemporaryDirectory() as scratch, task(f"{label} scores shards", total, "shards") as advance:
            advance(done)
            for cell in cells:
                while (shard := self._claim(cell)) is not None:
                    try:
                        self._score(loaded, cell, shard, Path(scratch))
                    finally:
                        self._beacon.release()
                    advance(1)

    def _score(self, loaded: "LoadedModel", cell: Cell, shard: Shard, scratch: Path) -> None:
        from tokenviz.scoring.memory import RAISED

        target = scratch / "shard.parquet"
        begun = time.monotonic()
        try:
            footer = write_shard(loaded, self._ledger, cell, shard, target, worker=self._beacon.name)
            if self._limit:
                time.sleep(max(0.0, footer.summary["n_tokens"] / self._limit - (time.monotonic() - begun)))
            self._ledger.storage.add(result_name(cell, shard.sha256), target)
        except (TokenvizError, MemoryError, *RAISED) as error:
            if isinstance(error, LedgerError) or of_full_disk(error):
                raise  # the next shard would fail as well
            self._failed.add((cell.fingerprint, shard.sha256))
            self._done.failed += 1
            reason = str(error) if isinstance(error, TokenvizError) else f"{type(error).__name__}: {error}"
            self._ledger.fail(cell, shard.sha256, self._beacon.name, reason)
            warn(f"passages {shard.begin} to {shard.end - 1} of {cell.text} by {cell.model} failed: {reason}")
            return
        finally:
            target.unlink(missing_ok=True)
        self._done.shards += 1
        self._done.tokens += footer.summary["n_tokens"]
        self._beacon.said |= {"tokens": self._done.tokens, "shards": self._done.shards}

    def _open(self, cell: Cell) -> list[Shard]:
        """Return the shards of a cell that are neither done nor set aside, each content once."""
        done, failures = self._ledger.done(cell), self._ledger.failures(cell)
        by_content = {shard.sha256: shard for shard in self._ledger.shards(cell.text_sha256)}
        return [
            shard
            for name, shard in by_content.items()
            if name not in done and len(failures.get(name, ())) < MOST_FAILURES and (cell.fingerprint, name) not in self._failed
        ]

    def _candidates(self, cell: Cell) -> Iterator[Shard]:
        """Yield the open shards that no other worker has claimed, in this worker's own order.

        Whether a claim counts takes two calls. Only those are looked at that come before the first shard that is free: with
        them all, a thousand workers would make two thousand calls each for every shard.
        """
        claims, open_ = self._ledger.marks("claims", cell), self._open(cell)
        turn = zlib.crc32(self._beacon.name.encode()) % len(open_) if open_ else 0
        for shard in [*open_[turn:], *open_[:turn]]:
            if not any(self._beacon.fresh(cell.fingerprint, shard.sha256, worker) for worker in claims.get(shard.sha256, ())):
                yield shard

    def _claim(self, cell: Cell) -> Shard | None:
        """Claim the next open shard of a cell; return None where there is none."""
        for shard in self._candidates(cell):
            if self._beacon.claim(cell.fingerprint, shard.sha256):
                if not self._ledger.storage.exists(result_name(cell, shard.sha256)):
                    return shard
                self._beacon.release()
        return None


def say(worked: Worked) -> None:
    """Print a worker's result for the user."""
    note(f"{counted(worked.shards, 'shard')} with {counted(worked.tokens, 'token')} done, {worked.failed} failed")
    if worked.left:
        whose = "is left to the worker that is at it" if worked.left == 1 else "are left to other workers that are at them"
        note(f"{counted(worked.left, 'shard')} {whose}")
