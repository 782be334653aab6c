"""The session that the jobs of one grid share: the experiment, settings, models in memory, the store, a ledger's scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tokenviz.base.errors import LedgerError
from tokenviz.data.texts import Text
from tokenviz.figures.heatmap.measures import Chosen, written_limits
from tokenviz.figures.origin import Origin
from tokenviz.figures.typeset.saving import FigureFormat
from tokenviz.harness.measures import Settings
from tokenviz.ledger.book import Cell, Ledger, plan_ledger
from tokenviz.ledger.driver import CellResult, cell_result, drive
from tokenviz.ledger.engines import engine_of
from tokenviz.models.loading import LoadedModel, ResolvedModel, memory_bytes
from tokenviz.tracking.provenance import Provenance
from tokenviz.tracking.runs import Runs

# The running experiment: its name, description and arguments, for the grid inside it.


@dataclass(frozen=True)
class LedgerRequest:
    """A request to score in shards by workers, instead of whole texts in this process.

    Attributes:
        address: The ledger: a folder, or an address that fsspec knows.
        engine: What starts the workers: "local", "slurm" or "ray".
        workers: The most workers; None for as many as the engine finds.
        shard_bytes: For a new ledger, the approximate size of a shard in bytes of UTF-8; None for 4 MiB.
    """

    address: str
    engine: str = "local"
    workers: int | None = None
    shard_bytes: int | None = None


@dataclass(frozen=True)
class ExperimentContext:
    """A running experiment.

    Attributes:
        name: Name of the command and of the MLflow experiment.
        description: The function's docstring, for the experiment's page.
        params: Every argument by name.
        force: Whether finished cells are computed again.
        file: The file that defines it; None outside any experiment.
        limits: Limits of the heatmaps' colours, as in `text_heatmap`; no number depends on them.
        formats: Formats in which every figure is drawn into the runs, besides what their pages show.
        ledger: The ledger to score with, in shards; None to score in this process. No number depends on it.
    """

    name: str
    description: str = ""
    params: dict[str, object] = field(default_factory=dict)
    force: bool = False
    file: Path | None = None
    limits: Chosen = "text"
    formats: tuple[FigureFormat, ...] = ()
    ledger: LedgerRequest | None = None


_current: ContextVar[ExperimentContext | None] = ContextVar("running experiment", default=None)
_INTERACTIVE = ExperimentContext("interactive", "Grids made outside any experiment, in a notebook or a shell.")


def current_experiment() -> ExperimentContext:
    """Return the running experiment; outside one (in a notebook), the experiment "interactive"."""
    return _current.get() or _INTERACTIVE


@contextmanager
def running(experiment: ExperimentContext) -> Iterator[None]:
    """Make an experiment the current one inside the block."""
    token = _current.set(experiment)
    try:
        yield
    finally:
        _current.reset(token)


# A grid's score runs through a ledger: unfinished ones are planned, scored by workers, and read.

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


# The session that the jobs of one grid share: experiment, settings, models in memory, store, origin of the code.


class ModelMemory:
    """Loads models by their labels and keeps those of the last call: there may be no room for more."""

    def __init__(self, load: Callable[[str], LoadedModel]) -> None:
        """Keep the function; nothing is loaded yet.

        Args:
            load: Returns the model of a label.
        """
        self._load = load
        self._models: dict[str, LoadedModel] = {}

    def models(self, *labels: str) -> list[LoadedModel]:
        """Return the models of some labels; drop all others before any is loaded.

        Raises:
            TokenvizError: A model cannot be loaded.
        """
        self._models = {label: model for label, model in self._models.items() if label in labels}
        for label in labels:
            if label not in self._models:
                self._models[label] = self._load(label)
        return [self._models[label] for label in labels]


@dataclass(frozen=True, eq=False)
class Session:
    """The state that the jobs of one grid share.

    Attributes:
        experiment: The running experiment.
        grid: The grid's id.
        settings: The settings with which its models score.
        memory: Its models in memory.
        runs: The MLflow experiment's runs.
        provenance: User, command and commit.
        ledger: The ledger that holds the scores of its models; None where they are computed in this process.
        formats: Formats in which every figure is drawn into its runs, besides what their pages show.
    """

    experiment: ExperimentContext
    grid: str
    settings: Settings
    memory: ModelMemory
    runs: Runs
    provenance: Provenance
    ledger: LedgerRun | None = None
    formats: tuple[FigureFormat, ...] = ()

    @property
    def drawn(self) -> dict[str, str]:
        """Return how figures of its runs are drawn, as tags: limits of the colours other than each text's."""
        limits = self.experiment.limits
        return {} if limits == "text" else {"limits": written_limits(limits)}

    def about(self, fingerprint: str, kind: str, more: Mapping[str, object]) -> dict[str, object]:
        """Return a figure file's metadata about the run that it belongs to.

        Args:
            fingerprint: The run's fingerprint.
            kind: The run's kind.
            more: Further metadata, such as the settings of a score.
        """
        commit = self.provenance.context.get("mlflow.source.git.commit", "")
        return Origin(fingerprint, self.experiment.name, kind, commit, self.provenance.command).about(more)
