"""Item runs: one model on the items of a study, as a tidy table with all columns of the study's own table, and means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from tokenviz.comparing.studies import condition_means
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.named import Plot
from tokenviz.figures.plots.studies import region_means
from tokenviz.harness.kind import Content, FamilyTable, Outcome, Quantity
from tokenviz.harness.kinds.scored import ScoredJob, ScoredKind, ScoredRun, ScoredTable
from tokenviz.harness.kinds.writing import dataset_of, escaped, frame_table, links_line, text_params
from tokenviz.records.loading import Reader
from tokenviz.stats.estimate import Estimate
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import fingerprint_of
from tokenviz.units.items import Items
from tokenviz.units.sums import note_unscored
from tokenviz.units.tidy import ITEMS_VERSION, By, numbers_again, tidy_table

_AVERAGED: tuple[By, ...] = ("region", "item")  # what a row is, where conditions share rows
_METHOD = "Student’s t over items"


@dataclass(frozen=True, eq=False)
class ItemsRun(ScoredRun):
    """A run of one model on a table of items; its table is that of `tidy_table`.

    Attributes:
        names: The name of each item: its id, with its condition after a slash.
    """

    names: tuple[str, ...]
    kind = "items"


class ItemsKind(ScoredKind):
    """The kind of recorded item runs."""

    name = "items"
    tables = (
        FamilyTable(
            "items_means",
            r"Mean surprisal (bits) of each region by condition over $n$ items, with 95\,\% intervals "
            "(Student's $t$ over items).",
            ("region", "condition"),
            "bits",
        ),
        FamilyTable(
            "items_differences",
            r"Difference in surprisal (bits) between conditions within the same $n$ items, b minus a, with 95\,\% intervals "
            "(Student's $t$ over items).",
            ("region", "a", "b"),
            r"b $-$ a",
        ),
    )
    definitions: ClassVar = {
        "mean_surprisal_bits": "mean surprisal of all units of the items, bits",
        "n_items": "items",
        "n_units": "units of the items",
        "n_missing": "units with a token without a prediction",
        "n_crossings": "tokens that cross the border of two units",
    }
    steps = ("rank",)
    plots: ClassVar = {
        "regions": Plot(
            lambda made, width, size, _: region_means(_means(made)[0], width=width, font_size=size),
            lambda made, _: _caption(made),
            7.0,
        )
    }

    def drawn(self, params: Mapping[str, object]) -> bool:
        return params["by"] in _AVERAGED

    def metrics(self, made: ScoredTable) -> dict[str, float]:
        table = made.table
        return {
            "mean_surprisal_bits": float(table["surprisal_bits"].mean()),
            "n_items": float(table["passage"].nunique()),
            "n_units": float(len(table)),
            "n_missing": float(table["logprob"].isna().sum()),
            "n_crossings": float(table["crossings"].sum()),
        }

    def frames(self, made: ScoredTable) -> dict[str, pd.DataFrame]:
        if not self.drawn(made.params):
            return {}
        means, differences = _means(made)
        return {"means": means, **({"differences": differences} if len(differences) else {})}

    def quantities(self, run: FoundRun, reader: Reader) -> Sequence[Quantity]:
        frames = self.frames(self.read(run, reader))
        found = []
        for row in frames["means"].to_dict("records") if "means" in frames else ():
            labels = (str(row["region"]), str(row["condition"]))
            name = " ".join(filter(None, ("mean_surprisal_bits of", *labels)))
            what = f"mean surprisal{_of(labels[0])}{_under(labels[1])}"
            found.append(Quantity(name, _estimate(row, what), "items_means", labels))
        for row in frames["differences"].to_dict("records") if "differences" in frames else ():
            region, a, b = (str(row[key]) for key in ("region", "condition_a", "condition_b"))
            name = " ".join(filter(None, ("difference_bits of", region, b, "minus", a)))
            what = f"surprisal{_of(region)}{_under(b)} minus that{_under(a)}, within items"
            found.append(Quantity(name, _estimate(row, what), "items_differences", (region, a, b)))
        return found

    def compute_again(self, made: ScoredTable, text: Text, scores: TokenScores) -> pd.DataFrame:
        params = made.params
        return numbers_again(
            made.table,
            scores,
            text.passages,
            by=params["by"],  # type: ignore[arg-type]  # as a job of the kind wrote it
            previous=int(params["previous"]),
            frequency=params.get("frequency"),
        )


def _means(made: ScoredTable) -> tuple[pd.DataFrame, pd.DataFrame]:
    return condition_means(made.table, item=made.params["item_column"], condition=made.params["condition_column"])


def _of(region: str) -> str:
    return f" of the region “{region}”" if region else ""


def _under(condition: str) -> str:
    return f" in the condition “{condition}”" if condition else ""


def _estimate(row: Mapping[Any, Any], definition: str) -> Estimate:
    reason = "" if row["n"] else "no item has a number"
    bits: Literal["bits"] = "bits"
    return Estimate(row["mean"], int(row["n"]), definition, bits, row["low"], row["high"], _METHOD, reason)


def _caption(made: ScoredTable) -> str:
    means, _ = _means(made)
    counts = sorted({int(n) for n in means["n"]})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    what = "region and condition" if made.params["by"] == "region" else "condition"
    return (
        f"Mean surprisal (bits) by {what} of the items of “{made.text}” by {made.model}, {n} items. Bars are 95 % intervals "
        f"({_METHOD})."
    )


KIND = ItemsKind()


@dataclass(frozen=True, eq=False)
class ItemsJob(ScoredJob[ItemsRun]):
    """Join one model's scores with the items.

    Attributes:
        items: The items.
        by: What a row is, as in `tidy_table`.
        previous: Number of preceding units whose numbers are repeated in each row.
        frequency: A language of the package wordfreq; None for no frequencies.
    """

    items: Items
    by: By
    previous: int
    frequency: str | None
    of = KIND

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "version": ITEMS_VERSION, "score": self.scored.fingerprint}
        parts |= {"items": self.items.sha256, "by": self.by, "previous": self.previous, "frequency": self.frequency}
        return fingerprint_of(parts)

    @cached_property
    def params(self) -> Mapping[str, object]:
        items = self.items
        params: dict[str, object] = {"model": self.scored.model, **text_params(items.text), "by": self.by}
        params |= {"previous": self.previous, "items_sha256": items.sha256, "items_version": ITEMS_VERSION}
        params |= {"item_column": items.item, "condition_column": items.condition, "n_skipped": len(items.skipped)}
        return params | ({"frequency": self.frequency} if self.frequency is not None else {})

    def compute(self) -> ScoredTable:
        made = tidy_table(self.items, self.scored.scores, by=self.by, previous=self.previous, frequency=self.frequency)
        note_unscored(made, self.scored.text, self.by)
        return self.made(made)

    def write(self, result: ScoredTable, files: Path) -> Content:
        frames = self.write_tables(result, files)
        metrics = self.of.metrics(result)
        words = {
            "means": "Mean surprisal in bits over items; low and high: 95 % interval (Student's t).",
            "differences": "Differences within items, b minus a.",
        }
        skipped = self.items.skipped
        left_out = f"\n\n{len(skipped)} rows were left out: {escaped('; '.join(skipped[:20]))}" if skipped else ""
        note = "\n\n".join(
            [
                f"{links_line({'Figure': 'regions.png'} if self.has_figures else {})}**{escaped(self.scored.model)}** on the "
                f"items of **{escaped(self.scored.text)}**: {len(self.items)} items, {len(result.table)} rows by {self.by}; "
                f"{metrics['n_crossings']:.0f} tokens cross a border and belong to the later unit; "
                f"{metrics['n_missing']:.0f} rows have a token without a prediction.{left_out}",
                *(f"{words[name]}\n\n{frame_table(frame)}" for name, frame in frames.items()),
                f"`{self.table}` and `tables/items.csv` hold every row, with all columns of the items' own table.",
            ]
        )
        return Content(dict(self.params), metrics, note, dataset=dataset_of(self.items.text))

    def run(self, outcome: Outcome[ScoredTable]) -> ItemsRun:
        run = ItemsRun(**self.about_scored(outcome), names=tuple(self.items.text.passage_ids))
        if outcome.result is not None:
            run.__dict__["table"] = outcome.result.table  # fills the cached property
        return run
