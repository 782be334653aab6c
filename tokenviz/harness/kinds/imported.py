"""Score runs of another engine's log-probs: the table comes from a dump, and cannot be computed again."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tokenviz.dumps.importing import IMPORT_VERSION, Imported
from tokenviz.figures.origin import of_scores
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.jobs import Content, Job, Outcome
from tokenviz.harness.kinds.score import ScoreRun, draw_scores, record_scores
from tokenviz.harness.session import Session
from tokenviz.records.run import TOKENS_TABLE, RecordedRun
from tokenviz.records.tables import read_scores
from tokenviz.scores import TokenScores
from tokenviz.tracking.runs import fingerprint_of

_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class ImportJob(Job[TokenScores, ScoreRun]):
    """Keep imported scores as a score run, which is read like any other.

    Attributes:
        session: The grid's session.
        imported: The scores and their text.
    """

    session: Session
    imported: Imported
    kind = "score"
    table = TOKENS_TABLE

    @property
    def name(self) -> str:
        return f"{self.imported.text.name} · {self.imported.scores.spec.model}"

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint_of_import(self.imported)

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model": self.imported.scores.spec.model, "text": self.imported.text.name}

    def compute(self) -> TokenScores:
        return self.imported.scores

    def write(self, result: TokenScores, files: Path) -> Content:
        return record_scores(result, self.imported.text, _NAN, files)

    def read(self, run: RecordedRun) -> TokenScores:
        return read_scores(run)

    def draw(self, result: TokenScores) -> Drawing:
        about = self.session.about(self.fingerprint, self.kind, of_scores(result))
        return Drawing(draw_scores, (result, about, self.session.experiment.limits, self.session.formats))

    def run(self, outcome: Outcome[TokenScores]) -> ScoreRun:
        about = self.about_run(outcome, self.session.runs)
        run = ScoreRun(**about, model=self.imported.scores.spec.model, text=self.imported.text.name)
        if outcome.result is not None:
            run.__dict__["scores"] = outcome.result  # fills the cached property
        return run


def fingerprint_of_import(imported: Imported) -> str:
    """Return the fingerprint of imported scores, from what the engine recorded; it differs from all runs computed here."""
    spec = imported.scores.spec
    parts: dict[str, object] = {"kind": "imported", "version": IMPORT_VERSION, "identity": spec.identity, "model": spec.model}
    return fingerprint_of(
        parts | {"text": imported.text.name, "text_sha256": imported.text.sha256, "tokenizer": spec.tokenizer}
    )
