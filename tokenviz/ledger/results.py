"""Results of a cell as one table or part by part: the shards' tables in order, and the passages that are missing."""

import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tokenviz.errors import LedgerError
from tokenviz.ledger.book import Cell, Ledger
from tokenviz.ledger.driver import move_aside
from tokenviz.ledger.shard_scores import read_end, read_shard, unread_rows
from tokenviz.ledger.shards import Shard
from tokenviz.scores import ScoreSpec, TokenScores
from tokenviz.texts import Text

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
    specs: list[ScoreSpec] = []
    seconds, n_rows, n_failed, seen = 0.0, 0, 0, set[str]()
    shards = ledger.shards(cell.text_sha256)
    left_out = {shard.sha256 for shard in shards if shard.sha256 in aside and shard.sha256 not in done}
    for shard in shards:
        if shard.sha256 in left_out:
            missing |= dict.fromkeys(range(shard.begin, shard.end), aside[shard.sha256])
            n_failed += shard.end - shard.begin
            continue
        with _moved_aside(ledger, cell, shard.sha256):
            footer, spec = read_end(ledger, cell, shard.sha256)
        specs.append(spec)
        missing |= {shard.begin + number: reason for number, reason in footer.unscored}
        seconds += footer.seconds * (shard.sha256 not in seen)
        n_rows += footer.n_rows
        seen.add(shard.sha256)
    if not specs:
        raise LedgerError(f"no shard of {cell.text!r} could be scored by {cell.model!r}: {next(iter(aside.values()))}")
    parts = partial(_parts, ledger, cell, text, _joined_spec(specs, cell), left_out)
    scores = TokenScores.joined(list(parts())) if n_rows <= LARGE else None
    return CellResult(scores, parts, seconds, dict(sorted(missing.items())), n_failed)


def _parts(ledger: Ledger, cell: Cell, text: Text, spec: ScoreSpec, left_out: Set[str]) -> Iterator[TokenScores]:
    """Yield the table of a cell part by part, with the passages of some shards as rows that were not read."""
    shards = ledger.shards(cell.text_sha256)
    with tempfile.TemporaryDirectory() as scratch:

        def read(shard: Shard) -> Iterator[TokenScores]:
            with _moved_aside(ledger, cell, shard.sha256):
                yield from read_shard(ledger, cell, shard.sha256, Path(scratch))

        for shard in shards:
            if shard.sha256 in left_out:
                like = next(read(next(one for one in shards if one.sha256 not in left_out)))
                passages = {number: text.passages[number] for number in range(shard.begin, shard.end) if text.passages[number]}
                yield replace(unread_rows(like, passages), spec=spec, spans=text.spans)
                continue
            for part in read(shard):
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
