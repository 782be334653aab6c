"""Reading-time runs: what one model's surprisal adds to regressions of reading times, with the same in R."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar

import pandas as pd

from tokenviz.base.display import write_csv
from tokenviz.base.errors import ExperimentError
from tokenviz.comparing.studies import ReadingGains, gain_table, reading_gains
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text
from tokenviz.figures.named import Plot
from tokenviz.figures.plots.studies import likelihood_gains
from tokenviz.harness.kind import Content, FamilyTable, Outcome, Quantity
from tokenviz.harness.kinds.scored import ScoredJob, ScoredKind, ScoredRun, ScoredTable
from tokenviz.harness.kinds.writing import dataset_of, escaped, frame_table, links_line, text_params
from tokenviz.records.loading import Reader
from tokenviz.stats.regression import REGRESSION_VERSION, REGRESSIONS, Regression, gain_per_observation
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.runs import fingerprint_of
from tokenviz.units.items import Items
from tokenviz.units.reading_times import SUBJECT, TIME, ReadingTimes, join_times
from tokenviz.units.tidy import ITEMS_VERSION, By, numbers_again, tidy_table

SCRIPT = "regression.R"


@dataclass(frozen=True, eq=False)
class ReadingTimesRun(ScoredRun):
    """A run of one model on the reading times of a study; its table is that of `join_times`.

    Attributes:
        params: The run's parameters.
    """

    params: Mapping[str, str]
    kind = "reading_times"

    @property
    def gains(self) -> pd.DataFrame:
        """The gain of each regression, as in `gain_table`, with the model's name."""
        found = gain_table(_gains(self.made).by_item)
        found.insert(0, "model", self.model)
        return found

    @cached_property
    def made(self) -> ScoredTable:
        """The table with the run's parameters."""
        return ScoredTable(self.table, self.params)


@lru_cache(maxsize=4)
def _gains(made: ScoredTable) -> ReadingGains:
    """Fit the regressions of a run; a table is fitted once, however often its numbers are read."""
    params = made.params
    regressions: Sequence[Regression] = params["regressions"].split(", ")  # type: ignore[assignment]  # as a job of the kind wrote it
    return reading_gains(
        made.table, item=params["item_column"], regressions=regressions, folds=int(params["folds"]), seed=int(params["seed"])
    )


class ReadingTimesKind(ScoredKind):
    """The kind of recorded reading-time runs."""

    name = "reading_times"
    tables = (
        FamilyTable(
            "reading_times",
            r"Gain in log-likelihood (nats per observation) by surprisal over a baseline of length and, where known, "
            r"frequency, of the unit and those before it, on items left out; $n$ observations, 95\,\% intervals (Student's "
            r"$t$ over items).",
            ("regression",),
            "gain",
        ),
    )
    definitions: ClassVar = {
        "n_items": "items with readings",
        "n_readings": "readings",
        "n_without": "readings for which a predictor is missing, which take no part",
    }
    plots: ClassVar = {
        "gains": Plot(
            lambda made, width, size, _: likelihood_gains(
                gain_table(_gains(made).by_item).assign(model=made.model), width=width, font_size=size
            ),
            lambda made, _: _caption(made),
            7.0,
        )
    }

    def metrics(self, made: ScoredTable) -> dict[str, float]:
        found = _gains(made)
        metrics: dict[str, float] = {}
        for row in gain_table(found.by_item).to_dict("records"):
            name = f"gain_{row['regression']}"
            metrics |= {name: float(row["gain"]), f"{name}_low": float(row["low"]), f"{name}_high": float(row["high"])}
        return metrics | {
            "n_items": float(found.by_item["item"].nunique()),
            "n_readings": float(len(found.rows)),
            "n_without": float(found.without),
        }

    def frames(self, made: ScoredTable) -> dict[str, pd.DataFrame]:
        found = _gains(made)
        return {"gains": gain_table(found.by_item), "slopes": found.slopes, "gains_by_item": found.by_item}

    def quantities(self, run: FoundRun, reader: Reader) -> Sequence[Quantity]:
        found = []
        by_item = _gains(self.read(run, reader)).by_item
        for name, own in by_item.groupby("regression", sort=False):
            estimate = gain_per_observation(own["gain"].to_numpy(float), own["n"].to_numpy(float), str(name))
            found.append(Quantity(f"gain_{name}", estimate, "reading_times", (str(name).replace("_", " "),)))
        return found

    def compute_again(self, made: ScoredTable, text: Text, scores: TokenScores) -> pd.DataFrame:
        table, params = made.table, made.params
        keys = ["passage", "unit_number"]
        by: By = "region" if params["by"] == "region" else "item"
        again = numbers_again(
            table.drop_duplicates(keys).reset_index(drop=True), scores, text.passages, by=by,
            previous=int(params["previous"]), frequency=params.get("frequency"),
        )  # fmt: skip
        place = table.groupby(keys, sort=False).ngroup()
        own = {name: table[name] for name in (TIME, SUBJECT) if name in table}
        return again.iloc[place].reset_index(drop=True).assign(**own)


def _caption(made: ScoredTable) -> str:
    found = _gains(made)
    return (
        f"What the surprisal of {made.model} adds to regressions of the reading times of “{made.text}”: gain in log-likelihood "
        f"per observation over a baseline ({', '.join(found.baseline)}) on items left out, "
        f"{found.by_item['item'].nunique()} items, {len(found.rows)} readings. Bars are 95 % intervals (Student’s t over "
        "items). The dashed line is no gain."
    )


KIND = ReadingTimesKind()


def check_regressions(regressions: Sequence[str], folds: int) -> None:
    """Refuse regressions or a number of folds that cannot be fitted.

    Raises:
        ExperimentError: There is no such regression, none at all, or fewer than two folds.
    """
    unknown = [name for name in regressions if name not in REGRESSIONS]
    if unknown or not regressions:
        asked = f"the regression {unknown[0]!r} is" if unknown else "no regression is"
        raise ExperimentError(f"{asked} {'not known' if unknown else 'asked for'}: take {' or '.join(REGRESSIONS)}")
    if folds < 2:
        raise ExperimentError(f"a cross-validation with {folds} folds is not possible: take at least 2")


@dataclass(frozen=True, eq=False)
class ReadingTimesJob(ScoredJob[ReadingTimesRun]):
    """Regress reading times on one model's surprisal.

    Attributes:
        items: The study.
        times: Its reading times.
        previous: Number of preceding units that are predictors as well.
        frequency: A language of the package wordfreq; None for no frequencies.
        regressions: Names of the regressions.
        folds: Number of folds of items.
        seed: Seed of the random assignment of items to folds.
    """

    items: Items
    times: ReadingTimes
    previous: int
    frequency: str | None
    regressions: Sequence[Regression]
    folds: int
    seed: int
    of = KIND

    @cached_property
    def fingerprint(self) -> str:
        parts: dict[str, object] = {"kind": self.kind, "version": (REGRESSION_VERSION, ITEMS_VERSION)}
        parts |= {"score": self.scored.fingerprint, "items": self.items.sha256, "times": self.times.sha256}
        parts |= {"previous": self.previous, "frequency": self.frequency, "regressions": list(self.regressions)}
        return fingerprint_of(parts | {"by": self.times.by, "folds": self.folds, "seed": self.seed})

    @cached_property
    def params(self) -> Mapping[str, object]:
        items, times = self.items, self.times
        params: dict[str, object] = {"model": self.scored.model, **text_params(items.text), "by": times.by}
        params |= {
            "previous": self.previous,
            "regressions": ", ".join(self.regressions),
            "folds": self.folds,
            "seed": self.seed,
        }
        params |= {"items_sha256": items.sha256, "times_sha256": times.sha256, "regression_version": REGRESSION_VERSION}
        params |= {"item_column": items.item, "n_skipped": len(items.skipped) + len(times.skipped)}
        return params | ({"frequency": self.frequency} if self.frequency is not None else {})

    def compute(self) -> ScoredTable:
        table = tidy_table(self.items, self.scored.scores, by=self.times.by, previous=self.previous, frequency=self.frequency)
        made = self.made(join_times(table, self.times))
        _gains(made)  # refuses what cannot be fitted, before anything is written
        return made

    def write(self, result: ScoredTable, files: Path) -> Content:
        frames, found, metrics = self.write_tables(result, files), _gains(result), self.of.metrics(result)
        in_r = regression_in_r(found, self.items.item)
        write_csv(in_r.readings, files / "tables" / "readings.csv")
        (files / SCRIPT).write_text(in_r.script, encoding="utf-8")
        skipped = [*self.items.skipped, *self.times.skipped]
        left_out = f"\n\n{len(skipped)} rows were left out: {escaped('; '.join(skipped[:20]))}" if skipped else ""
        note = (
            f"{links_line({'Figure': 'gains.png'})}What the surprisal of **{escaped(self.scored.model)}** adds to regressions "
            f"of the reading times of **{escaped(self.scored.text)}**: {metrics['n_readings']:.0f} readings of "
            f"{metrics['n_items']:.0f} items. The baseline has {', '.join(found.baseline)}, to which "
            f"{', '.join(found.added)} are added. "
            f"{found.without} readings have no value of one of them, and take no part.{left_out}\n\n"
            f"Gain in log-likelihood (nats per observation) on items left out; low and high: 95 % interval (Student's t over "
            f"items).\n\n{frame_table(frames['gains'])}\n\nSlopes on all items, in milliseconds per bit.\n\n"
            f"{frame_table(frames['slopes'])}\n\n`Rscript {SCRIPT}`, in the folder of the run's files, computes the same in R: "
            "least squares with the same folds, and the mixed model by lme4."
        )
        return Content(dict(self.params), metrics, note, dataset=dataset_of(self.items.text))

    def run(self, outcome: Outcome[ScoredTable]) -> ReadingTimesRun:
        written = {name: str(value) for name, value in self.params.items()}
        run = ReadingTimesRun(**self.about_scored(outcome), params=written)
        if outcome.result is not None:  # fills the cached properties
            run.__dict__.update(table=outcome.result.table, made=outcome.result)
        return run


# The regressions of a reading-time run as an R script with its table, for users of lme4 to check and change.

_SCRIPT = """\
# What surprisal adds to regressions of reading times, in R.
# In the folder of the run's files: Rscript regression.R
readings <- read.csv("tables/readings.csv", na.strings = "", stringsAsFactors = FALSE)
baseline <- c({baseline})
added <- c({added})

# Ordinary least squares on the means of units over their readers, with the folds of the run.
means <- aggregate(readings["reading_time"], readings[c("item", "unit", "fold", baseline, added)], mean)
log_density <- function(predictors, train, test) {{
  fit <- lm(reformulate(predictors, "reading_time"), data = train)
  dnorm(test$reading_time, predict(fit, test), sigma(fit), log = TRUE)
}}
means$gain <- NA
for (fold in unique(means$fold)) {{
  held <- means$fold == fold
  means$gain[held] <- log_density(c(baseline, added), means[!held, ], means[held, ]) -
    log_density(baseline, means[!held, ], means[held, ])
}}
cat(sprintf("ols_on_means: gain of %.8f nats per observation, n = %d\\n", mean(means$gain), nrow(means)))
summary(lm(reformulate(c(baseline, added), "reading_time"), data = means))

# A mixed model of single readings, by maximum likelihood; the test is on all items.
library(lme4)
intercepts <- c({intercepts})
without <- lmer(reformulate(c(baseline, intercepts), "reading_time"), data = readings, REML = FALSE)
with_surprisal <- lmer(reformulate(c(baseline, added, intercepts), "reading_time"), data = readings, REML = FALSE)
summary(with_surprisal)
anova(without, with_surprisal)
"""


@dataclass(frozen=True, eq=False)
class InR:
    """An R script, and the table that it reads as `tables/readings.csv`."""

    script: str
    readings: pd.DataFrame


def regression_in_r(found: ReadingGains, item: str) -> InR:
    """Write regressions as an R script.

    Args:
        found: The regressions that were fitted here.
        item: The column of items.
    """
    rows = found.rows
    columns = {"item": rows[item].astype(str), "unit": rows["passage"].astype(str) + "/" + rows["unit_number"].astype(str)}
    if "subject" in rows:
        columns["subject"] = rows["subject"].astype(str)
    columns |= {name: rows[name] for name in ("fold", "reading_time", *found.baseline, *found.added)}
    intercepts = ["(1 | item)", *(["(1 | subject)"] if "subject" in rows else [])]
    script = _SCRIPT.format(baseline=_strings(found.baseline), added=_strings(found.added), intercepts=_strings(intercepts))
    return InR(script, pd.DataFrame(columns))


def _strings(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
