"""Item runs: one model on the items of a study, as a tidy table with all columns of the researcher's own, and means."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from tokenviz.comparing.conditions import condition_means
from tokenviz.figures.regions import region_means
from tokenviz.figures.saving import save_figure
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.jobs import Content, Job, Outcome, Run
from tokenviz.harness.kinds.files import PICTURES, dataset_of, tables_folder, text_params
from tokenviz.harness.kinds.markdown import escaped, frame_table, links_line
from tokenviz.harness.kinds.score import ScoreRun
from tokenviz.harness.session import Session
from tokenviz.records.run import RecordedRun, table_file
from tokenviz.tables import write_csv
from tokenviz.tracking.runs import FinishedRun, fingerprint_of
from tokenviz.units.items import Items
from tokenviz.units.tidy import ITEMS_VERSION, By, tidy_table

ITEMS_TABLE = table_file("items")


@dataclass(frozen=True, eq=False)
class ItemsRun(Run):
    """One model on a table of items, as a run.

    Attributes:
        model: The model spec's label.
        text: The name of the items.
    """

    model: str
    text: str

    @cached_property
    def table(self) -> pd.DataFrame:
        """The tidy table, read from the run; see `tidy_table`."""
        return self.read("items")


@dataclass(frozen=True, eq=False)
class ItemsJob(Job[pd.DataFrame, ItemsRun]):
    """Join one model's scores with the items they are of.

    Attributes:
        session: The grid's.
        items: The items.
        scored: The score run of the model on the items' text.
        by: What the rows are; see `tidy_table`.
        previous: For how many units before each the numbers are repeated.
        frequency: A language of the package wordfreq; None for no frequencies.
    """

    session: Session
    items: Items
    scored: ScoreRun
    by: By
    previous: int
    frequency: str | None
    kind = "items"
    table = ITEMS_TABLE

    @property
    def name(self) -> str:
        return f"items · {self.scored.text} · {self.scored.model}"

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "version": ITEMS_VERSION, "score": self.scored.fingerprint}
        parts |= {"items": self.items.sha256, "by": self.by, "previous": self.previous, "frequency": self.frequency}
        return fingerprint_of(parts)

    @property
    def tags(self) -> Mapping[str, str]:
        return {"model": self.scored.model, "text": self.scored.text}

    @property
    def refers(self) -> Mapping[str, str]:
        return {"run_scores": self.scored.fingerprint}

    @property
    def has_figures(self) -> bool:
        return self.by in ("region", "item")

    def holds(self, run: FinishedRun) -> bool:
        """A score run that was computed again takes its table of items along: it names it."""
        return run.params.get("run_scores") == self.scored.run_id

    def compute(self) -> pd.DataFrame:
        return tidy_table(self.items, self.scored.scores, by=self.by, previous=self.previous, frequency=self.frequency)

    def write(self, result: pd.DataFrame, files: Path) -> Content:
        return record_items(result, self, files)

    def read(self, run: RecordedRun) -> pd.DataFrame:
        return run.frame("items")

    def draw(self, result: pd.DataFrame) -> Drawing:
        means, _ = condition_means(result, item=self.items.item, condition=self.items.condition)
        more = {"items_sha256": self.items.sha256, "scores": self.scored.fingerprint}
        return Drawing(draw_items, (means, self.session.about(self.fingerprint, self.kind, more)))

    def run(self, outcome: Outcome[pd.DataFrame]) -> ItemsRun:
        run = ItemsRun(**self.about_run(outcome, self.session.runs), model=self.scored.model, text=self.scored.text)
        if outcome.result is not None:
            run.__dict__["table"] = outcome.result  # fills the cached property
        return run


def record_items(table: pd.DataFrame, job: ItemsJob, folder: Path) -> Content:
    """Write a tidy table and its means into a folder; return the rest of its run."""
    tables, items = tables_folder(folder), job.items
    table.to_parquet(folder / ITEMS_TABLE, index=False)
    write_csv(table, tables / "items.csv")
    metrics = {
        "mean_surprisal_bits": float(table["surprisal_bits"].mean()),
        "n_items": float(len(items)),
        "n_units": float(len(table)),
        "n_missing": float(table["logprob"].isna().sum()),
        "n_crossings": float(table["crossings"].sum()),
    }
    shown = []
    if job.has_figures:
        means, differences = condition_means(table, item=items.item, condition=items.condition)
        write_csv(means, tables / "means.csv")
        shown.append(f"Mean surprisal in bits over items; low and high: 95 % interval (Student's t).\n\n{frame_table(means)}")
        if len(differences):
            write_csv(differences, tables / "differences.csv")
            shown.append(f"Differences within items, b minus a.\n\n{frame_table(differences)}")
    params: dict[str, object] = {"model": job.scored.model, **text_params(items.text), "by": job.by}
    params |= {"previous": job.previous, "items_sha256": items.sha256, "items_version": ITEMS_VERSION}
    params |= {"item_column": items.item, "condition_column": items.condition, "n_skipped": len(items.skipped)}
    if job.frequency is not None:
        params["frequency"] = job.frequency
    links = {"Figure": "regions.png"} if job.has_figures else {}
    left_out = f"\n\n{len(items.skipped)} rows were left out: {escaped('; '.join(items.skipped[:20]))}" if items.skipped else ""
    note = "\n\n".join(
        [
            f"{links_line(links)}**{escaped(job.scored.model)}** on the items of **{escaped(job.scored.text)}**: {len(items)} "
            f"items, {len(table)} rows by {job.by}; {metrics['n_crossings']:.0f} tokens cross a border and belong to the later "
            f"unit; {metrics['n_missing']:.0f} rows have a token without a prediction.{left_out}",
            *shown,
            f"`{ITEMS_TABLE}` and `tables/items.csv` hold every row, with all columns of the items' own table.",
        ]
    )
    return Content(params, metrics, note, dataset=dataset_of(items.text))


def draw_items(means: pd.DataFrame, about: Mapping[str, object], folder: Path) -> None:
    """Draw mean surprisal by region and condition.

    Args:
        means: From `condition_means`.
        about: What made it, for the files' metadata.
        folder: To draw in.
    """
    import json

    title = "Mean surprisal by region and condition"
    save_figure(region_means(means), folder / "regions", title=title, description=json.dumps(about), formats=PICTURES)
