"""The driver: has workers fill a ledger, follows by listing its files, and reads back what it holds as one table."""

import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tokenviz.base.display import counted
from tokenviz.base.errors import LedgerError
from tokenviz.base.progress import note, task, warn
from tokenviz.data.scores import ScoreSpec, TokenScores
from tokenviz.data.texts import Text
from tokenviz.ledger.book import MOST_FAILURES, Cell, Ledger, result_name
from tokenviz.ledger.claims import Beacon
from tokenviz.ledger.engines import Ended, Engine
from tokenviz.ledger.shard_scores import Footer, read_end, read_footer, read_shard, unread_rows

# The driver: starts workers that fill a ledger, and follows their progress by listing its files.
#
# Repeating the command resumes the work. A driver that ends loses nothing: its workers continue, and the next driver finds what
# is done.

_POLL, _POLL_REMOTE = 0.5, 10.0  # seconds between two looks at a folder of this machine, and at a remote one
# Workers that end one after the other without a shard done in between: by themselves, and by a signal.
_REFUSALS, _KILLS = 3, 10
_FAILED = 3  # a worker's exit code where shards failed


def drive(ledger: Ledger, cells: Sequence[Cell], engine: Engine) -> None:
    """Finish every shard of some cells, or set it aside.

    Args:
        ledger: The ledger from `plan_ledger`.
        cells: Cells of the ledger.
        engine: The engine that starts the workers.

    Raises:
        LedgerError: Workers end without finishing anything, or the ledger cannot be used.
    """
    again = ledger.forget_failures(cells)
    if again:
        note(f"trying again what an earlier command set aside: {counted(again, 'shard')}")
    watch = _Watch(ledger, cells)
    poll = _POLL if ledger.storage.is_local else _POLL_REMOTE
    deaths: list[Ended] = []
    held: Counter[tuple[str, str]] = Counter()
    try:
        with Beacon(ledger.storage) as beacon, task(watch.title, watch.total, "characters", details=watch.details) as advance:
            while True:
                news = watch.look()
                advance(news)
                watch.workers = max(engine.alive(), sum("model" in about for about in beacon.alive().values()))
                if news:
                    deaths.clear()
                    held.clear()
                ended = [one for one in engine.ended() if one.code not in (0, _FAILED)]
                deaths += ended
                _set_killers_aside(ledger, cells, ended, held)
                models = watch.open_models()
                if not models:
                    break
                refused = sum(one.code > 0 for one in deaths) >= _REFUSALS or len(deaths) >= _KILLS
                if refused and not engine.alive():
                    raise LedgerError(
                        f"{len(deaths)} workers ended one after the other without finishing a shard: "
                        f"{deaths[-1].said or 'killed'}; what is done stays, and the same command goes on from there"
                    )
                if not refused and (deaths or not engine.alive()):
                    engine.start(ledger, models)
                time.sleep(poll)
    finally:
        engine.stop()
    for cell in cells:
        for shard, reason in ledger.set_aside(cell).items():
            warn(f"shard {shard[:12]} of {cell.text} by {cell.model} is set aside: {reason}")


class _Watch:
    """The progress of a ledger's cells, as far as it has been seen."""

    def __init__(self, ledger: Ledger, cells: Sequence[Cell]) -> None:
        self._ledger, self._cells = ledger, cells
        self._seen: dict[tuple[str, str], Footer] = {}
        self._sizes = {cell.fingerprint: _sizes(ledger, cell) for cell in cells}
        self._foreign: set[str] = set()
        self._failed = 0
        self._begun, self._tokens_before = time.monotonic(), 0
        self.workers = 0
        self.total = sum(sum(sizes.values()) for sizes in self._sizes.values())
        models, texts = {cell.model for cell in cells}, {cell.text for cell in cells}
        sizes = (
            counted(len(models), "model"),
            counted(len(texts), "text"),
            counted(sum(map(len, self._sizes.values())), "shard"),
        )
        self.title = "{} on {}, in {}".format(*sizes)
        self._first = True

    def look(self) -> int:
        """List the results; return the characters of the new ones. Torn results are moved aside."""
        characters = 0
        for cell in self._cells:
            sizes = self._sizes[cell.fingerprint]
            for shard in sorted(self._ledger.done(cell)):
                if (cell.fingerprint, shard) in self._seen:
                    continue
                if shard not in sizes:
                    self._say_foreign(cell, shard)
                    continue
                try:
                    self._seen[cell.fingerprint, shard] = read_footer(self._ledger, cell, shard)
                except LedgerError as error:
                    move_aside(self._ledger, cell, shard, str(error))
                    continue
                characters += sizes[shard]
        if self._first:
            self._first, self._tokens_before = False, self._tokens
        return characters

    def open_models(self) -> list[str]:
        """Return the models with shards that are neither done nor set aside."""
        models: dict[str, None] = {}
        self._failed = 0
        for cell in self._cells:
            aside = self._ledger.set_aside(cell)
            self._failed += len(aside)
            if any(
                (cell.fingerprint, shard) not in self._seen for shard in self._sizes[cell.fingerprint] if shard not in aside
            ):
                models[cell.model] = None
        return list(models)

    def details(self) -> str:
        """Return details of the progress, for the user."""
        rate = (self._tokens - self._tokens_before) / max(1e-9, time.monotonic() - self._begun)
        workers, failed = counted(self.workers, "worker"), counted(self._failed, "shard")
        return f"{self._tokens:,} tokens, {rate:,.0f} tokens/s, {workers}, {failed} failed"

    @property
    def _tokens(self) -> int:
        return sum(int(footer.summary["n_tokens"]) for footer in list(self._seen.values()))

    def _say_foreign(self, cell: Cell, shard: str) -> None:
        name = result_name(cell, shard)
        if name not in self._foreign:
            self._foreign.add(name)
            warn(f"{name!r} of the ledger is no result of a shard of {cell.text}: it is left where it is, and not read")


def _sizes(ledger: Ledger, cell: Cell) -> dict[str, int]:
    """Return the characters of each shard."""
    sizes: dict[str, int] = {}
    for shard in ledger.shards(cell.text_sha256):
        sizes[shard.sha256] = sizes.get(shard.sha256, 0) + shard.characters
    return sizes


def move_aside(ledger: Ledger, cell: Cell, shard: str, why: str) -> None:
    """Move a file that is not a valid result out of the results, so that the shard is open again; the file is kept."""
    name = result_name(cell, shard)
    content = ledger.storage.read(name)
    if content is not None:
        ledger.storage.add(f"torn/{cell.fingerprint}/{shard}.{uuid.uuid4().hex[:8]}", content)
    ledger.storage.remove(name)
    warn(f"{why}: it is moved to 'torn', and the shard is scored again")


def _set_killers_aside(ledger: Ledger, cells: Sequence[Cell], ended: list[Ended], held: Counter[tuple[str, str]]) -> None:
    """Set aside a shard on which several workers were killed with nothing done in between: it may need too much memory.

    Args:
        ledger: The ledger with the workers' claims.
        cells: The cells of the shards.
        ended: Workers that have just ended.
        held: Number of workers killed on each shard; it is updated.
    """
    killed = {str(one.pid): -one.code for one in ended if one.code < 0 and one.pid}
    for cell in cells if killed else ():
        for shard, workers in ledger.marks("claims", cell).items():
            for worker in workers:
                pid = worker.rsplit("-", 2)[-2]
                if pid not in killed:
                    continue
                held[cell.fingerprint, shard] += 1
                if held[cell.fingerprint, shard] >= MOST_FAILURES:
                    for number in range(MOST_FAILURES):
                        reason = f"{MOST_FAILURES} workers were killed at it (the last by signal {killed[pid]}; out of memory?)"
                        ledger.fail(cell, shard, f"{worker}-{number}", reason)


# Results of a cell as one table or part by part: the shards' tables in order, and the passages that are missing.

LARGE = 2_000_000
"""Rows of a table that is still read as a whole: about a gigabyte. A larger one is read part by part."""


@dataclass(frozen=True, eq=False)
class CellResult:
    """One model on one text, from a ledger.

    Attributes:
        scores: The table of the whole text. A passage that is missing is one row without a score. None where it has more than
            `LARGE` rows.
        parts: Reads the same table part by part, in whole passages.
        seconds: Total duration of all workers, in seconds.
        missing: Passages without scores, with the reason.
        n_failed: Number of these in shards that were set aside, which another command may try again.
    """

    scores: TokenScores | None
    parts: Callable[[], Iterator[TokenScores]]
    seconds: float
    missing: dict[int, str]
    n_failed: int


def cell_result(ledger: Ledger, cell: Cell, text: Text) -> CellResult:
    """Read and check the shards of a cell, and join them where they are not too many.

    Args:
        ledger: The ledger from `plan_ledger`.
        cell: A cell whose shards are all done, or set aside.
        text: The cell's text.

    Raises:
        LedgerError: A result is missing or torn, the shards do not fit each other, or none could be scored. What is read part
            by part raises it as well, where it comes to a part that is not what was written.
    """
    aside, done = ledger.set_aside(cell), ledger.done(cell)
    missing: dict[int, str] = {}
    footers: dict[str, Footer] = {}
    specs: list[ScoreSpec] = []
    n_rows = n_failed = 0
    for shard in ledger.shards(cell.text_sha256):
        if shard.sha256 in aside and shard.sha256 not in done:
            missing |= dict.fromkeys(range(shard.begin, shard.end), aside[shard.sha256])
            n_failed += shard.end - shard.begin
            continue
        if shard.sha256 not in footers:
            with _moved_aside(ledger, cell, shard.sha256):
                footers[shard.sha256], spec = read_end(ledger, cell, shard.sha256)
            specs.append(spec)
        footer = footers[shard.sha256]
        missing |= {shard.begin + number: reason for number, reason in footer.unscored}
        n_rows += footer.n_rows
    if not specs:
        raise LedgerError(f"no shard of {cell.text!r} could be scored by {cell.model!r}: {next(iter(aside.values()))}")
    parts = partial(_parts, ledger, cell, text, _joined_spec(specs, cell), footers)
    scores = TokenScores.joined(list(parts())) if n_rows <= LARGE else None
    seconds = sum(footer.seconds for footer in footers.values())
    return CellResult(scores, parts, seconds, dict(sorted(missing.items())), n_failed)


def _parts(ledger: Ledger, cell: Cell, text: Text, spec: ScoreSpec, footers: Mapping[str, Footer]) -> Iterator[TokenScores]:
    """Yield the table of a cell part by part; the passages of shards without a footer are rows that were not read."""
    with tempfile.TemporaryDirectory() as scratch:

        def read(footer: Footer) -> Iterator[TokenScores]:
            with _moved_aside(ledger, cell, footer.shard):
                yield from read_shard(ledger, cell, footer, Path(scratch))

        for shard in ledger.shards(cell.text_sha256):
            if shard.sha256 not in footers:
                like = next(read(next(iter(footers.values()))))
                own = enumerate(text.passages[shard.begin : shard.end], shard.begin)
                passages = {number: passage for number, passage in own if passage}
                yield replace(unread_rows(like, passages), spec=spec, spans=text.spans)
                continue
            for part in read(footers[shard.sha256]):
                yield replace(part, passage=part.passage + shard.begin, spec=spec, spans=text.spans)


@contextmanager
def _moved_aside(ledger: Ledger, cell: Cell, shard: str) -> Iterator[None]:
    """Move a result aside that turns out to be torn."""
    try:
        yield
    except LedgerError as error:
        move_aside(ledger, cell, shard, str(error))
        raise LedgerError(f"{error}: repeat the command, which scores the shard again") from error


def _joined_spec(specs: Sequence[ScoreSpec], cell: Cell) -> ScoreSpec:
    """Return one spec for shards from several machines: devices and versions may differ, and all are named."""
    first = specs[0]
    devices = " and ".join(sorted({spec.device for spec in specs}))
    versions = {name: " and ".join(sorted({spec.versions.get(name, "") for spec in specs})) for name in first.versions}
    joined = [replace(spec, device=devices, versions=versions) for spec in specs]
    if any(spec != joined[0] for spec in joined):
        raise LedgerError(
            f"the shards of {cell.text!r} by {cell.model!r} were computed in ways that do not fit together (batching, head or "
            "model): give a ledger of its own to each kind of machine"
        )
    return joined[0]
