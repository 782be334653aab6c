"""The session that the jobs of one grid share: experiment, settings, models in memory, store, origin of the code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tokenviz.figures.origin import Origin
from tokenviz.figures.saving import PAGE_FORMATS, FigureFormat
from tokenviz.harness.context import ExperimentContext
from tokenviz.harness.ledgers import LedgerRun
from tokenviz.harness.measures import Settings
from tokenviz.models.loading import LoadedModel
from tokenviz.tracking.provenance import Provenance
from tokenviz.tracking.runs import Runs


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
        formats: Formats of the figures that are drawn into its runs, besides HTML.
    """

    experiment: ExperimentContext
    grid: str
    settings: Settings
    memory: ModelMemory
    runs: Runs
    provenance: Provenance
    ledger: LedgerRun | None = None
    formats: tuple[FigureFormat, ...] = PAGE_FORMATS

    def about(self, fingerprint: str, kind: str, more: Mapping[str, object]) -> dict[str, object]:
        """Return a figure file's metadata about the run that it belongs to.

        Args:
            fingerprint: The run's fingerprint.
            kind: The run's kind.
            more: Further metadata, such as the settings of a score.
        """
        commit = self.provenance.context.get("mlflow.source.git.commit", "")
        return Origin(fingerprint, self.experiment.name, kind, commit, self.provenance.command).about(more)
