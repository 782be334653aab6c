"""Where a figure comes from: what its file says of the run that its numbers belong to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tokenviz.comparing.comparison import Comparison
from tokenviz.models.describing import description_of
from tokenviz.scores import TokenScores


@dataclass(frozen=True)
class Origin:
    """A run.

    Attributes:
        fingerprint: Of everything that moves the run's numbers; finds it in any store that holds it.
        experiment: The MLflow experiment's name.
        kind: Of the run.
        commit: Of the code that made it; empty where that is not known.
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
        """For a file's metadata: the run, and what else there is to say of it."""
        known = {"run_id": self.run_id} if self.run_id else {}
        known |= {"fingerprint": self.fingerprint, "experiment": self.experiment, "kind": self.kind}
        return {**known, **more, "commit": self.commit, "command": self.command}


def of_scores(scores: TokenScores) -> dict[str, object]:
    """What the file of a model's figure says besides its run: the text and every setting."""
    return {"text_sha256": scores.text_sha256, "spec": _settings(scores)}


def of_pair(comparison: Comparison) -> dict[str, object]:
    """What the file of two models' figure says besides its run: the text, and every setting of both."""
    specs = [_settings(table) for table in (comparison.a, comparison.b)]
    return {"text_sha256": comparison.a.text_sha256, "specs": specs}


def _settings(scores: TokenScores) -> dict[str, object]:
    return {**asdict(scores.spec), "model_description": description_of(scores.spec)}
