"""Pair runs: one model on minimal pairs, as a table of decisions and its accuracy by group."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from tokenviz.comparing.accuracy import accuracies
from tokenviz.figures.accuracy import pair_accuracy
from tokenviz.figures.saving import save_figure
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.jobs import Content, Job, Outcome, Run
from tokenviz.harness.kinds.files import PICTURES, dataset_of, tables_folder, text_params
from tokenviz.harness.kinds.markdown import escaped, frame_table, links_line
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.session import Session
from tokenviz.progress import warn
from tokenviz.records.run import RecordedRun, table_file
from tokenviz.tables import write_csv
from tokenviz.tracking.runs import FinishedRun, fingerprint_of
from tokenviz.units.pairs import PAIRS_VERSION, RULES, Pairs, pair_table

PAIRS_TABLE = table_file("pairs")


@dataclass(frozen=True, eq=False)
class PairsRun(Run):
    """One model on minimal pairs, as a run.

    Attributes:
        model: The model spec's label.
        text: The name of the pairs.
        groups: The group of each pair.
    """

    model: str
    text: str
    groups: tuple[str, ...]

    @cached_property
    def table(self) -> pd.DataFrame:
        """The decisions, read from the run; see `pair_table`."""
        return self.read("pairs")

    @property
    def accuracies(self) -> pd.DataFrame:
        """The accuracy by rule and group, with the model's name."""
        found = accuracies(self.table, self.groups, RULES)
        found.insert(0, "model", self.model)
        return found


@dataclass(frozen=True, eq=False)
class PairsJob(Job[pd.DataFrame, PairsRun]):
    """Decide minimal pairs by one model's scores.

    Attributes:
        session: The grid's.
        pairs: The pairs.
        scored: The score run of the model on the pairs' text.
    """

    session: Session
    pairs: Pairs
    scored: ScoreRun
    kind = "pairs"
    table = PAIRS_TABLE

    @property
    def name(self) -> str:
        return f"pairs · {self.scored.text} · {self.scored.model}"

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "version": PAIRS_VERSION, "score": self.scored.fingerprint}
        return fingerprint_of(parts | {"pairs": self.pairs.sha256})

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model": self.scored.model, "text": self.scored.text}

    @property
    def refers(self) -> Mapping[str, str]:
        return {"run_scores": self.scored.fingerprint}

    def holds(self, run: FinishedRun) -> bool:
        """A score run that was computed again takes its decisions along: they name it."""
        return run.params.get("run_scores") == self.scored.run_id

    def compute(self) -> pd.DataFrame:
        table = pair_table(self.pairs, self.scored.scores)
        differs = int(table["first_differs"].sum())
        if differs:
            warn(
                f"{differs} of {len(table)} pairs of {self.scored.text} differ in their first token, which has no prediction "
                f"by {self.scored.model} without a BOS and counts for neither sentence: --bos always gives it one"
            )
        return table

    def write(self, result: pd.DataFrame, files: Path) -> Content:
        return record_pairs(result, self, files)

    def read(self, run: RecordedRun) -> pd.DataFrame:
        return run.frame("pairs")

    def draw(self, result: pd.DataFrame) -> Drawing:
        found = accuracies(result, self.pairs.groups, RULES[:1]).assign(model=self.scored.model)
        more = {"pairs_sha256": self.pairs.sha256, "scores": self.scored.fingerprint}
        return Drawing(draw_pairs, (found, self.session.about(self.fingerprint, self.kind, more)))

    def run(self, outcome: Outcome[pd.DataFrame]) -> PairsRun:
        about = self.about_run(outcome, self.session.runs)
        run = PairsRun(**about, model=self.scored.model, text=self.scored.text, groups=self.pairs.groups)
        if outcome.result is not None:
            run.__dict__["table"] = outcome.result  # fills the cached property
        return run


def record_pairs(table: pd.DataFrame, job: PairsJob, folder: Path) -> Content:
    """Write the decisions and the accuracies into a folder; return the rest of its run."""
    tables, pairs = tables_folder(folder), job.pairs
    table.to_parquet(folder / PAIRS_TABLE, index=False)
    write_csv(table, tables / "pairs.csv")
    found = accuracies(table, pairs.groups, RULES)
    write_csv(found, tables / "accuracies.csv")
    metrics: dict[str, float] = {}
    for row in found[found["group"] == "all"].to_dict(orient="records"):
        name = f"accuracy_by_{row['rule']}"
        metrics |= {name: float(row["accuracy"]), f"{name}_low": float(row["low"]), f"{name}_high": float(row["high"])}
    metrics |= {
        "n_pairs": float(len(table)),
        "n_groups": float(len(set(pairs.groups))),
        "n_ties": float((table["correct_sum"] == 0.5).sum()),
        "n_identical": float(table["identical"].sum()),
        "n_first_differs": float(table["first_differs"].sum()),
    }
    params: dict[str, object] = {"model": job.scored.model, **text_params(pairs.text)}
    params |= {"pairs_sha256": pairs.sha256, "pairs_version": PAIRS_VERSION, "n_skipped": len(pairs.skipped)}
    note = (
        f"{links_line({'Figure': 'accuracy.png'})}**{escaped(job.scored.model)}** on the minimal pairs of "
        f"**{escaped(job.scored.text)}**: the share of pairs in which the good sentence wins, by its sum of log-probs, by the "
        f"mean per token and by the mean per byte. A tie counts half ({metrics['n_ties']:.0f}, of which "
        f"{metrics['n_identical']:.0f} pairs of the same sentence twice). 95 % intervals: Wilson's by group, over all from the "
        f"differences between groups.\n\n{frame_table(found)}\n\n`tables/pairs.csv` has every decision."
    )
    return Content(params, metrics, note, dataset=dataset_of(pairs.text))


def draw_pairs(found: pd.DataFrame, about: Mapping[str, object], folder: Path) -> None:
    """Draw the accuracy by group.

    Args:
        found: From `accuracies`, with the model's name.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    title = "Accuracy over minimal pairs"
    save_figure(pair_accuracy(found), folder / "accuracy", title=title, description=json.dumps(about), formats=PICTURES)
