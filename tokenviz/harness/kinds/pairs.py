"""Pair runs: one model on minimal pairs, as a table of decisions and its accuracy by group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pandas as pd

from tokenviz.base.progress import warn
from tokenviz.comparing.studies import accuracies
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.named import Plot
from tokenviz.figures.plots.studies import pair_accuracy
from tokenviz.figures.typeset.saving import FigureFormat
from tokenviz.harness.deliveries import Drawing
from tokenviz.harness.kind import Content, FamilyTable, Outcome, Quantity
from tokenviz.harness.kinds.scored import ScoredJob, ScoredKind, ScoredRun, ScoredTable, draw_scored
from tokenviz.harness.kinds.writing import dataset_of, escaped, frame_table, links_line, report_pairs, text_params
from tokenviz.records.loading import Reader
from tokenviz.stats.estimate import Estimate
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import fingerprint_of
from tokenviz.units.pairs import GROUP_COLUMNS, PAIRS_VERSION, Pairs, decide, pair_table
from tokenviz.units.sums import RULES

_LINKS = {"Figure": "accuracy.png", "report": "report.html"}
_STANDARDISED = {"d_z": "its standard deviation", "d_av": "the mean of the two sentences' standard deviations"}
_RULES = {"sum": "sum of log-probs", "per_token": "mean log-prob per token", "per_byte": "mean log-prob per byte"}


@dataclass(frozen=True, eq=False)
class PairsRun(ScoredRun):
    """A run of one model on minimal pairs; its table is that of `pair_table`.

    Attributes:
        groups: The group of each pair.
    """

    groups: tuple[str, ...]
    kind = "pairs"

    @property
    def accuracies(self) -> pd.DataFrame:
        """The accuracy by rule and group, with the model's name."""
        found = accuracies(self.table, self.groups, RULES)
        found.insert(0, "model", self.model)
        return found


class PairsKind(ScoredKind):
    """The kind of recorded pair runs."""

    name = "pairs"
    tables = (
        FamilyTable(
            "accuracies",
            "Share of minimal pairs in which the good sentence wins, by three rules: the greater sum of log-probs, mean per "
            r"token, mean per byte; a tie counts half. $n$ pairs; 95\,\% intervals: Wilson's by group, over all from the "
            "differences between groups.",
            ("rule", "group"),
            "accuracy",
        ),
    )
    definitions: ClassVar = {
        "n_pairs": "minimal pairs",
        "n_groups": "groups of minimal pairs",
        "n_ties": "pairs whose sentences have the same sum of log-probs",
        "n_identical": "pairs of the same sentence twice",
        "n_first_differs": "pairs that differ in their first token, which has no prediction",
    }
    plots: ClassVar = {
        "accuracy": Plot(
            lambda made, width, size, _: pair_accuracy(_by_sum(made), width=width, font_size=size),
            lambda made, _: _caption(made),
            7.0,
        )
    }

    def metrics(self, made: ScoredTable) -> dict[str, float]:
        metrics: dict[str, float] = {}
        found = self.frames(made)["accuracies"]
        for row in found[found["group"] == "all"].to_dict(orient="records"):
            name = f"accuracy_by_{row['rule']}"
            metrics |= {name: float(row["accuracy"]), f"{name}_low": float(row["low"]), f"{name}_high": float(row["high"])}
            metrics |= {f"{one}_by_{row['rule']}": float(row[one]) for one in _STANDARDISED}
        return metrics | {
            "n_pairs": float(len(made.table)),
            "n_groups": float(len(set(_groups(made)))),
            "n_ties": float((made.table["correct_sum"] == 0.5).sum()),
            "n_identical": float(made.table["identical"].sum()),
            "n_first_differs": float(made.table["first_differs"].sum()),
        }

    def frames(self, made: ScoredTable) -> dict[str, pd.DataFrame]:
        return {"accuracies": accuracies(made.table, _groups(made), RULES)}

    def quantities(self, run: FoundRun, reader: Reader) -> Sequence[Quantity]:
        found = []
        for row in self.frames(self.read(run, reader))["accuracies"].to_dict("records"):
            rule, group = str(row["rule"]), str(row["group"])
            name = f"accuracy_by_{rule}" + (f" of {group}" if group != "all" else "")
            what = f"share of{' all' if group == 'all' else ''} pairs{_of(group)} in which the good sentence has the greater "
            ends = (float(row["low"]), float(row["high"]))
            reason = "" if row["n"] else "no pair is decided"
            estimate = Estimate(
                float(row["accuracy"]), int(row["n"]), what + _RULES[rule], "share", *ends, str(row["interval"]), reason
            )
            found.append(Quantity(name, estimate, "accuracies", (rule.replace("_", " "), group)))
            for one, divisor in _STANDARDISED.items():
                value, n = float(row[one]), int(row["n"])
                words = f"mean margin (good minus bad){_of(group)} by the {_RULES[rule]}, divided by {divisor}"
                reason = "" if value == value else f"{n} pairs do not determine it"
                known = Estimate(value, n, words, "standard deviations", reason=reason)
                found.append(Quantity(f"{one}_by_{rule}" + (f" of {group}" if group != "all" else ""), known))
        return found

    def compute_again(self, made: ScoredTable, text: Text, scores: TokenScores) -> pd.DataFrame:
        own = list(made.table).index("model")
        return decide(made.table.iloc[:, :own], text.passages, scores)


def _groups(made: ScoredTable) -> tuple[str, ...]:
    column = made.params.get("group_column")
    if column is None:  # runs of older versions do not record it
        column = next((name for name in GROUP_COLUMNS if name in made.table), "")
    return tuple(made.table[column].astype(str)) if column else ("",) * len(made.table)


def _by_sum(made: ScoredTable) -> pd.DataFrame:
    return accuracies(made.table, _groups(made), RULES[:1]).assign(model=made.model)


def _of(group: str) -> str:
    return f" of the group “{group}”" if group != "all" else ""


def _caption(made: ScoredTable) -> str:
    groups = len(set(_groups(made)))
    by = f", by {groups} groups and over all" if groups > 1 else ""
    return (
        f"Share of the {len(made.table)} minimal pairs of “{made.text}” in which {made.model} gives the good sentence the "
        f"greater sum of log-probs{by}; a tie counts half. Bars are 95 % intervals: Wilson’s by group, over all from the "
        "differences between groups. The dashed line is chance."
    )


KIND = PairsKind()


@dataclass(frozen=True, eq=False)
class PairsJob(ScoredJob[PairsRun]):
    """Decide minimal pairs by one model's scores.

    Attributes:
        pairs: The pairs.
    """

    pairs: Pairs
    of = KIND

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "version": PAIRS_VERSION, "score": self.scored.fingerprint}
        return fingerprint_of(parts | {"pairs": self.pairs.sha256})

    @cached_property
    def params(self) -> Mapping[str, object]:
        pairs = self.pairs
        params: dict[str, object] = {"model": self.scored.model, **text_params(pairs.text), "group_column": pairs.group}
        return params | {"pairs_sha256": pairs.sha256, "pairs_version": PAIRS_VERSION, "n_skipped": len(pairs.skipped)}

    def compute(self) -> ScoredTable:
        table = pair_table(self.pairs, self.scored.scores)
        differs = int(table["first_differs"].sum())
        if differs:
            warn(
                f"{differs} of {len(table)} pairs of {self.scored.text} differ in their first token, which has no prediction "
                f"by {self.scored.model} without a BOS and counts for neither sentence: --bos always gives it one"
            )
        return self.made(table)

    def write(self, result: ScoredTable, files: Path) -> Content:
        found, metrics = self.write_tables(result, files)["accuracies"], self.of.metrics(result)
        note = (
            f"{links_line(_LINKS)}**{escaped(self.scored.model)}** on the minimal pairs of "
            f"**{escaped(self.scored.text)}**: the share of pairs in which the good sentence wins, by its sum of log-probs, by "
            f"the mean per token and by the mean per byte. A tie counts half ({metrics['n_ties']:.0f}, of which "
            f"{metrics['n_identical']:.0f} pairs of the same sentence twice). 95 % intervals: Wilson's by group, over all from "
            "the differences between groups. d_z is the mean margin (good minus bad) over its standard deviation, d_av over "
            f"the mean of the two sentences' standard deviations, of the same n.\n\n{frame_table(found)}\n\n"
            "`tables/pairs.csv` has every decision."
        )
        return Content(dict(self.params), metrics, note, dataset=dataset_of(self.pairs.text))

    def draw(self, result: ScoredTable) -> Drawing:
        plots = super().draw(result)
        return Drawing(draw_pairs, (*plots.arguments, self.scored.scores, self.pairs.groups))

    def run(self, outcome: Outcome[ScoredTable]) -> PairsRun:
        run = PairsRun(**self.about_scored(outcome), groups=self.pairs.groups)
        if outcome.result is not None:
            run.__dict__["table"] = outcome.result.table  # fills the cached property
        return run


def draw_pairs(
    kind: ScoredKind,
    made: ScoredTable,
    about: Mapping[str, object],
    formats: Sequence[FigureFormat],
    scores: TokenScores,
    groups: Sequence[str],
    folder: Path,
) -> None:
    """Draw the accuracies, and write a report of the pairs.

    Args:
        kind: The kind of the table.
        made: The decisions.
        about: What made it, for the files' metadata.
        formats: Formats of the figures besides HTML.
        scores: Scores of the pairs' text.
        groups: The group of each pair.
        folder: The folder for the figures.
    """
    draw_scored(kind, made, about, formats, folder)
    report_pairs([scores], [made.table], groups, folder, about)
