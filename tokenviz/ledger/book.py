"""The files of a ledger, and what each says.

    ledger.json                          its format, the versions that move numbers, and how texts are cut
    texts/TEXT.json                      a text's name and shards, by its sha256
    texts/TEXT/SHARD.json.gz             the passages of a shard, so that a worker needs nothing but the ledger and the model
    cells/CELL.json                      one model on one text, by the score run's fingerprint
    results/CELL/SHARD.parquet           the token table of a shard: there is one when the work is done, and not before
    claims/CELL/SHARD.WORKER             who is at it; of no weight, see `claims`
    failed/CELL/SHARD.WORKER             who failed at it, and why
    workers/WORKER                       who is alive

Passages are numbered from 0 in each shard's table.
"""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tokenviz.errors import LedgerError
from tokenviz.ledger.shards import SHARD_BYTES, Shard, cut_shards, sha256_of
from tokenviz.ledger.storage import Storage
from tokenviz.progress import task
from tokenviz.scores import FORMAT_VERSION, SCORING_VERSION
from tokenviz.scoring import parts
from tokenviz.texts import Text

FORMAT = 1
MOST_FAILURES = 3  # of a shard, on different workers: then it is set aside
_HEADER = "ledger.json"
_TABLE = ".parquet"


@dataclass(frozen=True)
class Cell:
    """One model on one text.

    Attributes:
        fingerprint: Of the score run.
        model: The model spec's label.
        identity: What pins its weights.
        text: The text's name.
        text_sha256: The text's hash.
        settings: How it is scored: bos, context, stride and top_k.
    """

    fingerprint: str
    model: str
    identity: str
    text: str
    text_sha256: str
    settings: Mapping[str, Any]


class Ledger:
    """A ledger on any path that fsspec knows."""

    def __init__(self, storage: Storage, header: Mapping[str, Any]) -> None:
        """Take an opened one; see `open_ledger` and `plan_ledger`."""
        self.storage = storage
        self.shard_bytes, self.part_characters = int(header["shard_bytes"]), int(header["part_characters"])
        self._shards: dict[str, list[Shard]] = {}

    @property
    def address(self) -> str:
        """Where it is."""
        return self.storage.address

    def cells(self) -> list[Cell]:
        """List what there is to do, in the order of models and texts."""
        found = [self._json(f"cells/{name}") for name in self.storage.names("cells") if name.endswith(".json")]
        try:
            cells = [Cell(**one) for one in found if one is not None]
        except TypeError as error:
            raise LedgerError(f"the ledger {self.address!r} holds a cell of another version: {error}") from error
        return sorted(cells, key=lambda cell: (cell.model, cell.text))

    def shards(self, text_sha256: str) -> list[Shard]:
        """List the shards of a text, in order.

        Raises:
            LedgerError: The ledger does not hold the text.
        """
        if text_sha256 not in self._shards:
            about = self._json(f"texts/{text_sha256}.json")
            if about is None:
                raise LedgerError(f"the ledger {self.address!r} lacks the text {text_sha256[:12]}: copy it whole")
            self._shards[text_sha256] = [Shard(**one) for one in about["shards"]]
        return self._shards[text_sha256]

    def passages(self, text_sha256: str, shard: Shard) -> tuple[str, ...]:
        """Read the passages of a shard.

        Raises:
            LedgerError: They are missing, or not what the shard's hash says.
        """
        name = f"texts/{text_sha256}/{shard.sha256}.json.gz"
        data = self.storage.read(name)
        try:
            found = tuple(json.loads(gzip.decompress(data))) if data is not None else ()
        except (OSError, EOFError, ValueError):  # what gzip and json raise
            found = ()
        if not found or sha256_of(found) != shard.sha256:
            raise LedgerError(
                f"{name!r} of the ledger {self.address!r} is {'missing' if data is None else 'torn'}: repeat the command that "
                "planned it"
            )
        return found

    def done(self, cell: Cell) -> set[str]:
        """The hashes of a cell's shards whose results are there."""
        return {
            name.removesuffix(_TABLE) for name in self.storage.names(f"results/{cell.fingerprint}") if name.endswith(_TABLE)
        }

    def failures(self, cell: Cell) -> dict[str, list[str]]:
        """Who failed at which of a cell's shards."""
        return self.marks("failed", cell)

    def marks(self, kind: str, cell: Cell) -> dict[str, list[str]]:
        """The workers that left a mark, "claims" or "failed", by shard."""
        found: dict[str, list[str]] = {}
        for name in sorted(self.storage.names(f"{kind}/{cell.fingerprint}")):
            shard, _, worker = name.partition(".")
            found.setdefault(shard, []).append(worker)
        return found

    def reason(self, cell: Cell, shard: str, worker: str) -> str:
        """Why a worker failed."""
        return str((self._json(f"failed/{cell.fingerprint}/{shard}.{worker}") or {}).get("reason", "unknown"))

    def set_aside(self, cell: Cell) -> dict[str, str]:
        """The shards that failed too often, and why."""
        found = self.failures(cell)
        return {
            shard: self.reason(cell, shard, workers[-1]) for shard, workers in found.items() if len(workers) >= MOST_FAILURES
        }

    def forget_failures(self, cells: Iterable[Cell]) -> int:
        """Give the shards that were set aside another try; return how many there were."""
        count = 0
        for cell in cells:
            aside = self.set_aside(cell)
            count += len(aside)
            for shard, workers in self.failures(cell).items():
                for worker in workers if shard in aside else ():
                    self.storage.remove(f"failed/{cell.fingerprint}/{shard}.{worker}")
        return count

    def fail(self, cell: Cell, shard: str, worker: str, reason: str) -> None:
        """Leave word that a worker failed."""
        content = json.dumps({"worker": worker, "reason": " ".join(reason.split())[:1000]}, ensure_ascii=False)
        self.storage.replace(f"failed/{cell.fingerprint}/{shard}.{worker}", content.encode())

    def _json(self, name: str) -> Any:
        data = self.storage.read(name)
        try:
            return None if data is None else json.loads(data)
        except ValueError as error:
            raise LedgerError(f"{name!r} of the ledger {self.address!r} is torn: remove it and repeat the command") from error


def result_name(cell: Cell, shard: str) -> str:
    """The name of a result's file."""
    return f"results/{cell.fingerprint}/{shard}{_TABLE}"


def open_ledger(address: str) -> Ledger:
    """Open a ledger that is there.

    Raises:
        LedgerError: There is none, or it is of another version.
    """
    storage = Storage(address)
    ledger = _opened(storage)
    if ledger is None:
        raise LedgerError(f"no ledger at {address!r}: 'tokenviz run NAME --engine local --ledger {address}' makes one")
    return ledger


def plan_ledger(
    address: str, cells: Sequence[Cell], texts: Sequence[Text], *, shard_bytes: int | None = None
) -> tuple[Ledger, list[Cell]]:
    """Open a ledger, or make it, and have it hold some cells. What is there already stays.

    Args:
        address: A folder, or any address that fsspec knows.
        cells: What is to be done.
        texts: The texts of the cells.
        shard_bytes: See `cut_shards`; by default those of the ledger, or about 4 MiB.

    Returns:
        The ledger, and its cells that are to be done.

    Raises:
        LedgerError: It is of another version, cuts texts otherwise, holds another text of the same name, or cannot be written.
    """
    storage = Storage(address)
    ledger = _opened(storage)
    if ledger is None:
        if storage.names(""):
            raise LedgerError(f"{address!r} is not empty, and no ledger: give a folder of its own")
        storage.check_writable()
        header = {
            "ledger": FORMAT,
            "scoring_version": SCORING_VERSION,
            "table_format": FORMAT_VERSION,
            "shard_bytes": shard_bytes or SHARD_BYTES,
            "part_characters": parts.PART_CHARACTERS,
        }
        storage.add(_HEADER, json.dumps(header, indent=1).encode())
        ledger = _opened(storage)
        assert ledger is not None
    else:
        storage.check_writable()
    if shard_bytes is not None and shard_bytes != ledger.shard_bytes:
        raise LedgerError(
            f"the ledger {address!r} has shards of {ledger.shard_bytes:,} bytes, and {shard_bytes:,} were asked for: leave "
            "that out, or give another --ledger"
        )
    _refuse_other_texts(ledger, texts)
    for text in texts:
        _add_text(ledger, text)
    for cell in cells:
        storage.add(f"cells/{cell.fingerprint}.json", json.dumps(asdict(cell), ensure_ascii=False).encode())
    return ledger, list(cells)


def _opened(storage: Storage) -> Ledger | None:
    data = storage.read(_HEADER)
    if data is None:
        return None
    try:
        header = json.loads(data)
        versions = (header["ledger"], header["scoring_version"], header["table_format"])
        ledger = Ledger(storage, header)
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"{_HEADER!r} in {storage.address!r} is none of a ledger of tokenviz: give another --ledger"
        ) from error
    own = (FORMAT, SCORING_VERSION, FORMAT_VERSION)
    if versions != own:
        said, mine = (".".join(map(str, one)) for one in (versions, own))
        raise LedgerError(
            f"the ledger {storage.address!r} is of version {said} (ledger, scoring, table) and this tokenviz of {mine}: "
            "finish it with the version that began it, or give another --ledger"
        )
    return ledger


def _refuse_other_texts(ledger: Ledger, texts: Sequence[Text]) -> None:
    held = {}
    for name in ledger.storage.names("texts"):
        if name.endswith(".json"):
            about = ledger._json(f"texts/{name}")
            held[about["name"]] = name.removesuffix(".json")
    for text in texts:
        if held.get(text.name, text.sha256) != text.sha256:
            raise LedgerError(
                f"the ledger {ledger.address!r} holds another text {text.name!r} (sha256 {held[text.name][:12]}, this one has "
                f"{text.sha256[:12]}): give the text of before, or another --ledger"
            )


def _add_text(ledger: Ledger, text: Text) -> None:
    """Put a text's shards in the ledger, the list of them last: where that is, everything is."""
    storage, about = ledger.storage, f"texts/{text.sha256}.json"
    if storage.exists(about):
        return
    shards = cut_shards(text.passages, shard_bytes=ledger.shard_bytes, part_characters=ledger.part_characters)
    with task(f"cutting {text.name} into shards", len(shards), "shards") as advance:
        for shard in shards:
            passages = json.dumps(list(text.passages[shard.begin : shard.end]), ensure_ascii=False)
            storage.add(f"texts/{text.sha256}/{shard.sha256}.json.gz", gzip.compress(passages.encode(), 5, mtime=0))
            advance(1)
    content = {"name": text.name, "sha256": text.sha256, "shards": [asdict(shard) for shard in shards]}
    storage.add(about, json.dumps(content, ensure_ascii=False).encode())
