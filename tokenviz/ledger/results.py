"""Results of a cell as one table: the shards' tables concatenated, and the passages that are missing."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tokenviz.errors import LedgerError
from tokenviz.ledger.book import Cell, Ledger
from tokenviz.ledger.driver import move_aside
from tokenviz.ledger.shard_scores import read_footer, read_shard, unread_rows
from tokenviz.scores import ScoreSpec, TokenScores
from tokenviz.texts import Text


@dataclass(frozen=True, eq=False)
class CellResult:
    """One model on one text, from a ledger.

    Attributes:
        scores: The table of the whole text. A passage that is missing is one row without a score.
        seconds: Total duration of all workers, in seconds.
        missing: Passages without scores, with the reason.
        n_failed: Number of these in shards that were set aside, which another command may try again.
    """

    scores: TokenScores
    seconds: float
    missing: dict[int, str]
    n_failed: int


def cell_result(ledger: Ledger, cell: Cell, text: Text) -> CellResult:
    """Read and check the shards of a cell, and join them.

    Args:
        ledger: The ledger from `plan_ledger`.
        cell: A cell whose shards are all done, or set aside.
        text: The cell's text.

    Raises:
        LedgerError: A result is missing or torn, the shards do not fit each other, or none could be scored.
    """
    aside = ledger.set_aside(cell)
    tables: dict[int, TokenScores] = {}
    missing: dict[int, str] = {}
    seconds, n_failed, seen = 0.0, 0, set[str]()
    shards = ledger.shards(cell.text_sha256)
    with tempfile.TemporaryDirectory() as scratch:
        for shard in shards:
            if shard.sha256 in aside and shard.sha256 not in ledger.done(cell):
                missing |= dict.fromkeys(range(shard.begin, shard.end), aside[shard.sha256])
                n_failed += shard.end - shard.begin
                continue
            try:
                footer, table = read_footer(ledger, cell, shard.sha256), read_shard(ledger, cell, shard.sha256, Path(scratch))
            except LedgerError as error:
                move_aside(ledger, cell, shard.sha256, str(error))
                raise LedgerError(f"{error}: repeat the command, which scores the shard again") from error
            tables[shard.begin] = replace(table, passage=table.passage + shard.begin)
            missing |= {shard.begin + number: reason for number, reason in footer.unscored}
            seconds += footer.seconds * (shard.sha256 not in seen)
            seen.add(shard.sha256)
    if not tables:
        raise LedgerError(f"no shard of {cell.text!r} could be scored by {cell.model!r}: {next(iter(aside.values()))}")
    spec = _joined_spec([table.spec for table in tables.values()], cell)
    like = next(iter(tables.values()))
    for shard in shards:
        if shard.begin not in tables:
            tables[shard.begin] = unread_rows(
                like, {number: text.passages[number] for number in range(shard.begin, shard.end) if text.passages[number]}
            )
    ordered = [replace(tables[begin], spec=spec) for begin in sorted(tables)]
    scores = replace(TokenScores.joined(ordered), spans=text.spans)
    return CellResult(scores, seconds, dict(sorted(missing.items())), n_failed)


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
