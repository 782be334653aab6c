"""A grid's score runs through a ledger: unfinished ones are planned, scored by workers, and read."""

from collections.abc import Sequence
from dataclasses import asdict

from tokenviz.errors import LedgerError
from tokenviz.harness.context import LedgerRequest
from tokenviz.harness.measures import Settings
from tokenviz.ledger.book import Cell, Ledger, plan_ledger
from tokenviz.ledger.driver import drive
from tokenviz.ledger.engines import engine_of
from tokenviz.ledger.results import CellResult, cell_result
from tokenviz.models.loading import ResolvedModel, memory_bytes
from tokenviz.texts import Text

Wanted = tuple[str, ResolvedModel, Text]
"""A score run's fingerprint, its model and its text."""


class LedgerRun:
    """One grid's use of a ledger."""

    def __init__(self, request: LedgerRequest) -> None:
        """Find the engine; nothing is read or written yet.

        Raises:
            LedgerError: There is no such engine, or it is not available.
        """
        self._request = request
        self._engine = engine_of(request.engine, workers=request.workers)
        self._ledger: Ledger | None = None
        self._cells: dict[str, Cell] = {}

    def fill(self, wanted: Sequence[Wanted], settings: Settings) -> None:
        """Score the shards of some score runs.

        Args:
            wanted: The runs that are not finished.
            settings: The grid's settings of scoring.

        Raises:
            LedgerError: The ledger cannot be used, or its workers make no progress.
        """
        cells = {
            fingerprint: Cell(
                fingerprint=fingerprint,
                model=model.spec.label,
                identity=model.identity,
                text=text.name,
                text_sha256=text.sha256,
                settings=asdict(settings),
                weights_bytes=memory_bytes(model),
            )
            for fingerprint, model, text in wanted
        }
        if not cells:
            return
        self._refuse_large([model for _, model, _ in wanted])
        texts = list({text.sha256: text for _, _, text in wanted}.values())
        self._ledger, _ = plan_ledger(self._request.address, list(cells.values()), texts, shard_bytes=self._request.shard_bytes)
        self._cells |= cells
        drive(self._ledger, list(cells.values()), self._engine)

    def _refuse_large(self, models: Sequence[ResolvedModel]) -> None:
        """Refuse a model whose weights alone exceed the memory of every worker."""
        room = self._engine.room()
        for model in models:
            weights = memory_bytes(model)
            if 0 < room < weights:
                raise LedgerError(
                    f"the model {model.spec.label!r} has {weights / 1e9:,.1f} GB of weights, and no worker of the engine "
                    f"{self._request.engine!r} has more than {room / 1e9:,.1f} GB of memory: take larger machines, or a "
                    "smaller model"
                )

    def result(self, wanted: Wanted, settings: Settings) -> CellResult:
        """Read a score run's table.

        Args:
            wanted: The run.
            settings: The grid's settings of scoring.

        Raises:
            LedgerError: The shards cannot be scored, as in `fill`; or a shard is torn.
        """
        fingerprint, _, text = wanted
        if fingerprint not in self._cells:  # the staged run of an earlier command has disappeared since
            self.fill([wanted], settings)
        assert self._ledger is not None
        return cell_result(self._ledger, self._cells[fingerprint], text)
