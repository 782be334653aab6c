"""Where a figure comes from: what its file says of the run that its numbers belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from tokenviz.scores import TokenScores


@dataclass(frozen=True)
class Origin:
    """A run, as it is known before a store has given it an id: two stores may hold it, and one may have lost it.

    Attributes:
        fingerprint: Of everything that moves the run's numbers; finds it in a store.
        experiment: The MLflow experiment's name.
        kind: Of the run.
        commit: Of the code that made it; empty where that is not known.
        command: The command line that made it.
    """

    fingerprint: str
    experiment: str
    kind: str
    commit: str
    command: str

    def about(self, more: Mapping[str, object]) -> dict[str, object]:
        """For a file's metadata: the run, and what else there is to say of it."""
        known = {"fingerprint": self.fingerprint, "experiment": self.experiment, "kind": self.kind}
        return {**known, **more, "commit": self.commit, "command": self.command}


def of_scores(scores: TokenScores) -> dict[str, object]:
    """What the file of a model's figure says besides its run: the text and every setting."""
    return {"text_sha256": scores.text_sha256, "spec": asdict(scores.spec)}


def of_pair(text_sha256: str, fingerprints: Sequence[str]) -> dict[str, object]:
    """What the file of two models' figure says besides its run: the text and the two score runs."""
    return {"text_sha256": text_sha256, "scores": list(fingerprints)}
