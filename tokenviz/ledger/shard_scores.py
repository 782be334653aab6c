"""The token table of one shard: computed, written with sums in its footer, read and checked."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenviz.base.display import counted
from tokenviz.base.errors import LedgerError, ScoringError
from tokenviz.base.progress import warn
from tokenviz.data.parquet import ALL_COLUMNS, Digest, save_parts
from tokenviz.data.scores import UNREAD, ScoreSpec, TokenScores
from tokenviz.data.summary import ScoreSummary
from tokenviz.data.texts import Text
from tokenviz.ledger.book import Cell, Ledger, Shard, result_name

if TYPE_CHECKING:
    from tokenviz.models.loading import LoadedModel

_KEY = "tokenviz.shard"


@dataclass(frozen=True)
class Footer:
    """The metadata in a shard's result.

    Attributes:
        cell: Fingerprint of the score run.
        shard: SHA-256 of the shard.
        n_rows: Number of rows of the table.
        summary: The numbers of the table.
        sums: Sums over the scored tokens: log-probs, their squares, entropies, and the number of first choices.
        digest: SHA-256 of the table's columns.
        unscored: Passages that cannot be scored, from 0, with the reason.
        versions: Versions of the packages that computed.
        device: The device that computed.
        worker: The worker that computed.
        seconds: Duration in seconds.
    """

    cell: str
    shard: str
    n_rows: int
    summary: Mapping[str, Any]
    sums: Mapping[str, float]
    digest: str
    unscored: tuple[tuple[int, str], ...]
    versions: Mapping[str, str]
    device: str
    worker: str
    seconds: float


def write_shard(model: "LoadedModel", ledger: Ledger, cell: Cell, shard: Shard, target: Path, *, worker: str) -> Footer:
    """Score a shard into a file on this disk.

    Args:
        model: The cell's model.
        ledger: The ledger with the passages.
        cell: The cell.
        shard: The shard.
        target: The file to write.
        worker: The name of the worker.

    Raises:
        TokenvizError: The shard cannot be scored, or the file cannot be written.
    """
    begun = time.perf_counter()
    text = Text(cell.text, ledger.passages(cell.text_sha256, shard), (), cell.text_sha256)
    gathered = _Gathered()
    made: list[Footer] = []

    def footer() -> dict[str, str]:
        made.append(
            Footer(
                cell=cell.fingerprint,
                shard=shard.sha256,
                worker=worker,
                seconds=time.perf_counter() - begun,
                **gathered.found(),
            )
        )
        return {_KEY: json.dumps(asdict(made[0]), ensure_ascii=False)}

    settings = {**cell.settings, "part_characters": ledger.part_characters}
    save_parts(gathered.each(_parts(model, text, settings)), target, footer=footer)
    return made[0]


def read_footer(ledger: Ledger, cell: Cell, shard: str) -> Footer:
    """Read the metadata of a result; only the end of the file is read.

    Raises:
        LedgerError: The file is torn, or the result of another shard.
    """
    return read_end(ledger, cell, shard)[0]


def read_end(ledger: Ledger, cell: Cell, shard: str) -> tuple[Footer, ScoreSpec]:
    """Read the metadata of a result and the settings of its table; only the end of the file is read.

    Raises:
        LedgerError: The file is torn, or the result of another shard.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = result_name(cell, shard)
    try:
        with ledger.storage.opened(name) as file:
            found = pq.read_metadata(file).metadata or {}
        about, spec = json.loads(found[_KEY.encode()]), ScoreSpec.of(json.loads(found[b"tokenviz"]))
        about["unscored"] = tuple((int(number), str(reason)) for number, reason in about["unscored"])
        footer = Footer(**about)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"{name!r} of the ledger {ledger.address!r} is torn or no result") from error
    if (footer.cell, footer.shard) != (cell.fingerprint, shard):
        raise LedgerError(f"{name!r} of the ledger {ledger.address!r} is the result of another shard")
    return footer, spec


def read_shard(ledger: Ledger, cell: Cell, footer: Footer, scratch: Path) -> Iterator[TokenScores]:
    """Read a result part by part; only one needs to be in memory.

    Args:
        ledger: The ledger.
        cell: The cell.
        footer: The metadata of the result, from `read_end`.
        scratch: A folder for a copy of a remote file.

    Raises:
        LedgerError: The file is torn, or contradicts its footer, which is known only after its last part.
    """
    name, copy = result_name(cell, footer.shard), scratch / "result.parquet"
    digest, n_rows = Digest(), 0
    try:
        for part in TokenScores.parts(ledger.storage.fetch(name, copy)):
            digest.add(part, ALL_COLUMNS)
            n_rows += len(part) if part.text_sha256 == cell.text_sha256 else 0
            yield part
    except ScoringError as error:
        raise LedgerError(f"{name!r} of the ledger {ledger.address!r} is torn: {error}") from error
    finally:
        copy.unlink(missing_ok=True)
    if digest.hex() != footer.digest or n_rows != footer.n_rows:
        raise LedgerError(f"{name!r} of the ledger {ledger.address!r} is not what its footer says")


def unread_rows(like: TokenScores, passages: Mapping[int, str]) -> TokenScores:
    """Return rows of passages that were not scored, one row each, so that the table still holds the whole text.

    Args:
        like: A table of the same text and spec.
        passages: The passages by number.
    """
    numbers, slices = np.array(list(passages), np.int64), tuple(passages.values())
    n, k = len(slices), like.spec.top_k
    lengths = np.array([len(one) for one in slices], np.int64)
    zeros, nan = np.zeros(n, np.int64), np.full(n, np.nan)
    return replace(
        like, passage=numbers, position=zeros, token_id=np.full(n, UNREAD, np.int64), token=slices, start=zeros.copy(),
        end=lengths, first_character=zeros.copy(), n_bytes=np.array([len(one.encode()) for one in slices], np.int64),
        unknown=np.zeros(n, np.bool_), logprob=nan, rank=nan.copy(), entropy=nan.copy(),
        top_ids=np.full((n, k), -1, np.int64), top_logprobs=np.full((n, k), np.nan), top_tokens=(("",) * k,) * n,
        opens=np.zeros(n, np.int8), space_logprob=nan.copy(), punctuation_logprob=nan.copy(),
    )  # fmt: skip


def _parts(model: "LoadedModel", text: Text, settings: Mapping[str, Any]) -> Iterator[tuple[TokenScores, dict[int, str]]]:
    """Yield the tables of a shard's parts, each with its passages that cannot be scored, and the reasons."""
    from tokenviz.scoring.scorer import scored_parts
    from tokenviz.scoring.windows import parts_of

    how = {name: value for name, value in settings.items() if name != "part_characters"}
    for begin, end in parts_of(text.passages, settings["part_characters"]):
        some = replace(text, passages=text.passages[begin:end])
        most = some.characters + 1  # more than any part has

        def scored(passages: Sequence[str], some: Text = some, most: int = most) -> TokenScores:
            (table,) = scored_parts(model, replace(some, passages=passages), part_characters=most, **how)
            return table

        bad: dict[int, str] = {}
        try:
            table = scored(some.passages)
        except ScoringError as error:
            bad = _poisoned(some.passages, scored)
            if not bad or (len(bad) == sum(map(bool, text.passages)) > 1):
                raise  # the passages are not the cause
            warn(f"{cell_words(model.label, text.name)}: {counted(len(bad), 'passage')} cannot be scored: {error}")
            rest = scored(tuple("" if number in bad else passage for number, passage in enumerate(some.passages)))
            rows = unread_rows(rest, {number: some.passages[number] for number in bad})
            both = TokenScores.joined([rest, rows]) if len(rest) else rows
            table = both.taken(np.argsort(both.passage, kind="stable"))
        yield replace(table, passage=table.passage + begin), {begin + number: reason for number, reason in bad.items()}


def cell_words(model: str, text: str) -> str:
    """Return a cell's name for readers."""
    return f"{model} on {text}"


def _poisoned(passages: Sequence[str], scored: Any) -> dict[int, str]:
    """Return the passages that cannot be scored by themselves, found by bisection, with the reason."""
    bad: dict[int, str] = {}
    left = [(0, len(passages))]
    while left:
        begin, end = left.pop()
        try:
            scored(passages[begin:end])
        except ScoringError as error:
            if end - begin == 1:
                bad[begin] = str(error)
            else:
                middle = (begin + end) // 2
                left += [(begin, middle), (middle, end)]
    return dict(sorted(bad.items()))


class _Gathered:
    """Collects the content of the footer from the parts as they are written."""

    def __init__(self) -> None:
        self._summaries: list[ScoreSummary] = []
        self._sums = dict.fromkeys(("logprob", "logprob_squared", "entropy", "first_choices"), 0.0)
        self._digest = Digest()
        self._unscored: list[tuple[int, str]] = []
        self._rows = 0
        self._last: TokenScores | None = None

    def each(self, parts: Iterator[tuple[TokenScores, dict[int, str]]]) -> Iterator[TokenScores]:
        for table, bad in parts:
            scored = table.scored
            logprob, rank = table.logprob[scored], table.rank[scored]
            for name, values in {
                "logprob": logprob, "logprob_squared": logprob**2, "entropy": table.entropy[scored], "first_choices": rank == 1,
            }.items():  # fmt: skip
                self._sums[name] = math.fsum([self._sums[name], float(values.sum())])
            self._summaries.append(table.summary())
            self._digest.add(table, ALL_COLUMNS)
            self._unscored += list(bad.items())
            self._rows += len(table)
            self._last = table
            yield table

    def found(self) -> dict[str, Any]:
        assert self._last is not None
        return {
            "n_rows": self._rows,
            "summary": {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in asdict(ScoreSummary.joined(self._summaries)).items()
            },
            "sums": dict(self._sums),
            "digest": self._digest.hex(),
            "unscored": tuple(self._unscored),
            "versions": self._last.spec.versions,
            "device": self._last.spec.device,
        }
