"""The regressions of a reading-time run as an R script with its table, for users of lme4 to check and change."""

from dataclasses import dataclass

import pandas as pd

from tokenviz.comparing.reading_times import ReadingGains

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
