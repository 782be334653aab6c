"""The origin of a figure: metadata about the run that its numbers belong to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tokenviz.comparing.comparison import Comparison
from tokenviz.models.describing import description_of
from tokenviz.scores import TokenScores


@dataclass(frozen=True)
class Origin:
    """The run that a figure belongs to.

    Attributes:
        fingerprint: Hash of everything that the run's numbers depend on; finds the run in any store that has it.
        experiment: Name of the MLflow experiment.
        kind: Kind of the run.
        commit: Commit of the code that made it; empty where it is not known.
        command: The command line that made it.
        run_id: MLflow's id; empty for a figure that is drawn before a store has given the run one.
    """

    fingerprint: str
    experiment: str
    kind: str
    commit: str
    command: str
    run_id: str = ""

    def about(self, more: Mapping[str, object]) -> dict[str, object]:
        """Return a file's metadata: the run, and further entries."""
        known = {"run_id": self.run_id} if self.run_id else {}
        known |= {"fingerprint": self.fingerprint, "experiment": self.experiment, "kind": self.kind}
        return {**known, **more, "commit": self.commit, "command": self.command}


def of_scores(scores: TokenScores) -> dict[str, object]:
    """Return metadata of a model's figure besides its run: the text and every setting."""
    return {"text_sha256": scores.text_sha256, "spec": _settings(scores)}


def of_pair(comparison: Comparison) -> dict[str, object]:
    """Return metadata of two models' figure besides its run: the text, and every setting of both."""
    specs = [_settings(table) for table in (comparison.a, comparison.b)]
    return {"text_sha256": comparison.a.text_sha256, "specs": specs}


def _settings(scores: TokenScores) -> dict[str, object]:
    return {**asdict(scores.spec), "model_description": description_of(scores.spec)}
