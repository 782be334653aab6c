"""The files of a ledger and their content, and the shards of texts that they are about."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from tokenviz.base.errors import LedgerError
from tokenviz.base.progress import task
from tokenviz.data.parquet import FORMAT_VERSION
from tokenviz.data.scores import SCORING_VERSION
from tokenviz.data.texts import Text
from tokenviz.ledger.storage import Storage
from tokenviz.scoring import windows
from tokenviz.scoring.windows import parts_of

# Shards: consecutive whole passages of one text; the cuts depend on the text alone.
#
# Shard 17 of a text has the same passages for every model, so that comparisons can go shard by shard. A shard consists of whole
# parts (`tokenviz.scoring.windows`), so that its log-probs are those of the whole text, to the last bit.

SHARD_BYTES = 4 << 20
"""Approximate size of a shard in bytes of UTF-8: a minute of a small model on a processor, some seconds on a GPU."""


@dataclass(frozen=True)
class Shard:
    """One shard of a text.

    Attributes:
        begin: Its first passage in the text.
        end: One past its last passage.
        characters: Number of characters in its passages.
        sha256: SHA-256 of the JSON array of its passages. Shards with the same passages are one.
    """

    begin: int
    end: int
    characters: int
    sha256: str


def cut_shards(passages: Sequence[str], *, shard_bytes: int, part_characters: int) -> list[Shard]:
    """Cut a text into shards.

    Args:
        passages: The text's passages.
        shard_bytes: The largest size, in bytes of UTF-8, of a shard of several parts; a part is never cut.
        part_characters: The most characters in a part of several passages, as in `parts_of`.

    Returns:
        Shards that hold each passage once, in order.
    """
    shards: list[Shard] = []
    begin = end = size = 0
    for first, last in parts_of(passages, part_characters):
        more = sum(len(passage.encode()) for passage in passages[first:last])
        if size and size + more > shard_bytes:
            shards.append(_shard(passages, begin, end))
            begin, size = first, 0
        end, size = last, size + more
    return [*shards, _shard(passages, begin, end)]


def _shard(passages: Sequence[str], begin: int, end: int) -> Shard:
    own = passages[begin:end]
    return Shard(begin, end, sum(map(len, own)), sha256_of(own))


def sha256_of(passages: Sequence[str]) -> str:
    """Return the SHA-256 of passages, as `Text.sha256` does for a corpus."""
    return sha256(json.dumps(list(passages), ensure_ascii=False).encode()).hexdigest()


# The files of a ledger, and their content.
#
#     ledger.json                          the format, the versions that numbers depend on, and how texts are cut
#     texts/TEXT.json                      a text's name and shards, by its SHA-256
#     texts/TEXT/SHARD.json.gz             the passages of a shard, so that a worker needs only the ledger and the model
#     cells/CELL.json                      one model on one text, by the score run's fingerprint
#     results/CELL/SHARD.parquet           the token table of a shard; it exists when the shard is done, and not before
#     claims/CELL/SHARD.WORKER             the worker on a shard; only advisory, see `claims`
#     failed/CELL/SHARD.WORKER             a worker that failed on a shard, and the reason
#     workers/WORKER                       a worker that is running
#
# Passages are numbered from 0 in each shard's table.

FORMAT = 1
MOST_FAILURES = 3  # failures of a shard on different workers, after which it is set aside
_HEADER = "ledger.json"
_TABLE = ".parquet"


@dataclass(frozen=True)
class Cell:
    """One model on one text.

    Attributes:
        fingerprint: Fingerprint of the score run.
        model: The model spec's label.
        identity: The hash that pins the model's weights.
        text: The text's name.
        text_sha256: SHA-256 of the text.
        settings: The settings of scoring: bos, context, stride and top_k.
        weights_bytes: That the model's weights take in memory; 0 where that is not known.
    """

    fingerprint: str
    model: str
    identity: str
    text: str
    text_sha256: str
    settings: Mapping[str, Any]
    weights_bytes: int = 0


class Ledger:
    """A ledger at any path that fsspec knows."""

    def __init__(self, storage: Storage, header: Mapping[str, Any]) -> None:
        """Keep an open storage and its header; use `open_ledger` or `plan_ledger` instead."""
        self.storage = storage
        self.shard_bytes, self.part_characters = int(header["shard_bytes"]), int(header["part_characters"])
        self._shards: dict[str, list[Shard]] = {}

    @property
    def address(self) -> str:
        """The address of the ledger."""
        return self.storage.address

    def cells(self) -> list[Cell]:
        """Return all cells, in the order of models and texts."""
        found = [self._json(f"cells/{name}") for name in self.storage.names("cells") if name.endswith(".json")]
        try:
            cells = [Cell(**one) for one in found if one is not None]
        except TypeError as error:
            raise LedgerError(f"the ledger {self.address!r} holds a cell of another version: {error}") from error
        return sorted(cells, key=lambda cell: (cell.model, cell.text))

    def shards(self, text_sha256: str) -> list[Shard]:
        """Return the shards of a text, in order.

        Raises:
            LedgerError: The ledger does not have the text.
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
            LedgerError: The passages are missing, or do not match the shard's hash.
        """
        name = f"texts/{text_sha256}/{shard.sha256}.json.gz"
        data = self.storage.read(name)
        try:
            found = tuple(json.loads(gzip.decompress(data))) if data is not None else ()
        except (OSError, EOFError, ValueError):  # errors of gzip and json
            found = ()
        if not found or sha256_of(found) != shard.sha256:
            raise LedgerError(
                f"{name!r} of the ledger {self.address!r} is {'missing' if data is None else 'torn'}: repeat the command that "
                "planned it"
            )
        return found

    def done(self, cell: Cell) -> set[str]:
        """Return the hashes of a cell's shards that have results."""
        return {
            name.removesuffix(_TABLE) for name in self.storage.names(f"results/{cell.fingerprint}") if name.endswith(_TABLE)
        }

    def failures(self, cell: Cell) -> dict[str, list[str]]:
        """Return the workers that failed on a cell's shards, by shard."""
        return self.marks("failed", cell)

    def marks(self, kind: str, cell: Cell) -> dict[str, list[str]]:
        """Return the workers with a mark on a cell's shards, "claims" or "failed", by shard."""
        found: dict[str, list[str]] = {}
        for name in sorted(self.storage.names(f"{kind}/{cell.fingerprint}")):
            shard, _, worker = name.partition(".")
            found.setdefault(shard, []).append(worker)
        return found

    def reason(self, cell: Cell, shard: str, worker: str) -> str:
        """Return the reason why a worker failed."""
        return str((self._json(f"failed/{cell.fingerprint}/{shard}.{worker}") or {}).get("reason", "unknown"))

    def set_aside(self, cell: Cell) -> dict[str, str]:
        """Return the shards that failed too often, with the reason."""
        found = self.failures(cell)
        return {
            shard: self.reason(cell, shard, workers[-1]) for shard, workers in found.items() if len(workers) >= MOST_FAILURES
        }

    def forget_failures(self, cells: Iterable[Cell]) -> int:
        """Remove the failures of shards that were set aside, so that they are tried again; return their number."""
        count = 0
        for cell in cells:
            aside = self.set_aside(cell)
            count += len(aside)
            for shard, workers in self.failures(cell).items():
                for worker in workers if shard in aside else ():
                    self.storage.remove(f"failed/{cell.fingerprint}/{shard}.{worker}")
        return count

    def fail(self, cell: Cell, shard: str, worker: str, reason: str) -> None:
        """Record that a worker failed."""
        content = json.dumps({"worker": worker, "reason": " ".join(reason.split())[:1000]}, ensure_ascii=False)
        self.storage.replace(f"failed/{cell.fingerprint}/{shard}.{worker}", content.encode())

    def _json(self, name: str) -> Any:
        data = self.storage.read(name)
        try:
            return None if data is None else json.loads(data)
        except ValueError as error:
            raise LedgerError(f"{name!r} of the ledger {self.address!r} is torn: remove it and repeat the command") from error


def result_name(cell: Cell, shard: str) -> str:
    """Return the name of a result's file."""
    return f"results/{cell.fingerprint}/{shard}{_TABLE}"


def open_ledger(address: str) -> Ledger:
    """Open an existing ledger.

    Raises:
        LedgerError: There is no ledger, or it is of another version.
    """
    storage = Storage(address)
    ledger = _opened(storage)
    if ledger is None:
        raise LedgerError(f"no ledger at {address!r}: 'tokenviz run NAME --engine local --ledger {address}' makes one")
    return ledger


def plan_ledger(
    address: str,
    cells: Sequence[Cell],
    texts: Sequence[Text],
    *,
    shard_bytes: int | None = None,
    part_characters: int | None = None,
) -> tuple[Ledger, list[Cell]]:
    """Open or make a ledger, and add some cells to it. Existing cells stay.

    Args:
        address: A folder, or any address that fsspec knows.
        cells: The cells to score.
        texts: The texts of the cells.
        shard_bytes: Size of a shard in bytes, as in `cut_shards`; by default that of the ledger, or about 4 MiB.
        part_characters: Size of the parts of a new ledger, as in `parts_of`; with other parts than the default the bits differ
            from those of plain scoring.

    Returns:
        The ledger, and the cells as the ledger has them.

    Raises:
        LedgerError: The ledger is of another version, cuts texts differently, holds another text of the same name, or cannot be
            written.
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
            "part_characters": part_characters or windows.PART_CHARACTERS,
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
    """Write a text's shards to the ledger, their list last, so that the list exists only when all shards do."""
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
