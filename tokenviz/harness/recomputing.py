"""Recomputing a recorded run: each model and table is loaded once, and the result is compared with the run.

A run's token table holds the text, slice by slice, and the spec; beyond it only the model is needed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tokenviz.base.errors import StoreError, TextError
from tokenviz.data.scores import TokenScores
from tokenviz.data.texts import Text, corpus, literal
from tokenviz.harness.session import ModelMemory
from tokenviz.models.loading import load_model
from tokenviz.records.loading import Reader
from tokenviz.records.run import RecordedRun
from tokenviz.tracking.finding import FoundRun

if TYPE_CHECKING:
    from tokenviz.harness.measures import Measure

TIMES = ("scoring_seconds", "tokens_per_second")
"""Numbers of a run that are different each time."""


@dataclass(frozen=True)
class Rerun:
    """A recorded run and its recomputation.

    Attributes:
        run: The recorded run.
        largest: The largest difference between the old and new log-probs, in nats, or between the old and new values of a
            measure's table; infinite where they are not of the same tokens, or some are missing on one side only.
        metrics: Pairs of old and new numbers, by name; NaN where there is none.
        left_out: Names of numbers that were not recomputed.
        changed: Properties that have changed, by name: old and new value.
    """

    run: FoundRun
    largest: float
    metrics: Mapping[str, tuple[float, float]]
    left_out: tuple[str, ...]
    changed: Mapping[str, tuple[str, str]]

    def differing(self, tolerance: float) -> list[str]:
        """Return the names of numbers that differ by more than a tolerance, both absolutely and relatively."""
        return [name for name, (then, now) in self.metrics.items() if not _close(then, now, tolerance)]

    def agrees(self, tolerance: float) -> bool:
        """Return whether neither log-probs, in nats, nor other numbers differ by more than a tolerance."""
        return self.largest <= tolerance and not self.differing(tolerance)


def _close(then: float, now: float, tolerance: float) -> bool:
    return (math.isnan(then) and math.isnan(now)) or math.isclose(then, now, rel_tol=tolerance, abs_tol=tolerance)


class NotEnoughError(StoreError):
    """A run does not record enough to be recomputed by itself."""

    @classmethod
    def of(cls, run: FoundRun) -> "NotEnoughError":
        """Return the default error for a run."""
        return cls(
            f"run {run.run_id} of kind {run.tags.get('kind', '')!r} does not say enough to be computed again by itself: "
            f"repeat '{run.tags.get('command', 'its command')} --force' and compare the runs"
        )


OwnMeasure = Callable[[FoundRun], "Measure | None"]


def no_measure(run: FoundRun) -> None:
    """Return None: the definition of a user-defined measure is not at hand."""


class Again:
    """Recomputes runs; each model and each table is loaded once."""

    def __init__(self, reader: Reader, own_measure: OwnMeasure = no_measure) -> None:
        """Keep the reader; nothing is loaded yet.

        Args:
            reader: Reads the recorded runs.
            own_measure: Returns the user-defined measure of a run; None where its definition is not at hand.
        """
        self.reader, self.own_measure = reader, own_measure
        self.memory = ModelMemory(load_model)
        self._tables: dict[str, tuple[TokenScores, TokenScores, Text]] = {}

    def both(self, run_id: str, recorded: RecordedRun) -> tuple[TokenScores, TokenScores, Text]:
        """Return the recorded token table of a score run, the recomputed one, and their text.

        Raises:
            TokenvizError: The table is missing or damaged, or the model cannot be loaded.
        """
        from tokenviz.scoring.scorer import score

        if run_id not in self._tables:
            then = self.reader.scores(run_id, recorded)
            spec = then.spec
            text = text_of(then, run_id, recorded.params)
            if spec.imported:  # in a comparison only the other side is recomputed; this table is used unchanged
                self._tables[run_id] = then, then, text
                return self._tables[run_id]
            (model,) = self.memory.models(spec.model)
            now = score(model, text, bos=spec.bos, context=spec.context, stride=spec.stride, top_k=spec.top_k)
            self._tables[run_id] = then, now, text
        return self._tables[run_id]


def text_of(scores: TokenScores, run_id: str, params: Mapping[str, object]) -> Text:
    """Return the text of a token table, put together from its tokens.

    Args:
        scores: The token table.
        run_id: Id of its run.
        params: The run's settings. One that was restored from its files does not say how many passages it has: then the last
            ones, where they are empty, are not found.

    Raises:
        StoreError: The table does not hold the text that it names.
    """
    count = params.get("n_passages", scores.passage.max() + 1)
    passages = [""] * int(str(count))
    for number, token in zip(scores.passage, scores.token, strict=True):
        passages[number] += token
    made = []
    try:
        made = [corpus(passages, name=scores.text_name)]
        made += [literal(passage, name=scores.text_name) for passage in passages[:1]]
    except TextError:
        pass  # a text without a character is never scored, so the table is damaged
    for text in made:
        if text.sha256 == scores.text_sha256:
            return replace(text, spans=scores.spans)
    raise StoreError(f"the table of run {run_id} does not hold the text that it names: 'tokenviz doctor' says what is damaged")


def held_against(
    run: FoundRun,
    metrics: Mapping[str, float],
    pairs: list[tuple[TokenScores, TokenScores]],
    *,
    largest: float = 0.0,
) -> Rerun:
    """Compare recomputed numbers and token tables with a run.

    Args:
        run: The recorded run.
        metrics: The recomputed numbers, by name.
        pairs: Pairs of old and new token tables.
        largest: The largest difference in a table that was made from them; by default 0.
    """
    names = [name for name in metrics if name not in TIMES and not is_newer(name, run)]
    return Rerun(
        run=run,
        largest=max(largest, *(_largest(then, now) for then, now in pairs)),
        metrics={name: (run.metrics.get(name, math.nan), metrics[name]) for name in names},
        left_out=tuple(name for name in run.metrics if name not in (*names, *TIMES) and "/" not in name),
        changed={name: values for then, now in pairs for name, values in _changed(then, now).items()},
    )


def is_newer(name: str, run: FoundRun) -> bool:
    """Return whether runs of earlier versions lack a metric: it describes an interval, standardises a margin, or is a count."""
    of_interval = "n_resampled_" in name or "effective_" in name or name.endswith(("block_length", "_low", "_high"))
    return name not in run.metrics and (of_interval or name.startswith(("d_z_by_", "d_av_by_", "n_unknown", "n_unread")))


def _largest(then: TokenScores, now: TokenScores) -> float:
    same = np.array_equal(then.token_id, now.token_id) and np.array_equal(then.scored, now.scored)
    if not same:
        return math.inf
    return float(np.abs(then.logprob - now.logprob)[then.scored].max(initial=0.0))


def largest_of_frames(then: pd.DataFrame, now: pd.DataFrame) -> float:
    """Return the largest difference of two tables; infinite where other columns differ, or one side lacks a number."""
    floats = list(now.select_dtypes("float"))
    if list(then) != list(now) or not then.drop(columns=floats).equals(now.drop(columns=floats)):
        return math.inf
    before, after = then[floats].to_numpy(), now[floats].to_numpy()
    if not np.array_equal(np.isnan(before), np.isnan(after)):
        return math.inf
    return float(np.abs(np.nan_to_num(before) - np.nan_to_num(after)).max(initial=0.0))


def _changed(then: TokenScores, now: TokenScores) -> dict[str, tuple[str, str]]:
    """Return what numbers depend on and has changed, by name: old and new value."""
    fields = ("identity", "tokenizer", "dtype", "quantize", "device", "bos_ids", "batching", "head", "scoring_version")
    pairs = {f"{then.spec.model}: {name}": (str(getattr(then.spec, name)), str(getattr(now.spec, name))) for name in fields}
    packages = dict.fromkeys([*then.spec.versions, *now.spec.versions])
    pairs |= {name: (then.spec.versions.get(name, "–"), now.spec.versions.get(name, "–")) for name in packages}
    return {name: values for name, values in pairs.items() if values[0] != values[1]}
