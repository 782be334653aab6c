"""Runs computed again, from their own tables: do the numbers agree?

A run's token table holds the text, slice by slice, and the spec; nothing else is needed but the model. What was measured of
one model takes the text from a score run beside it. What is found is kept nowhere.
"""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tokenviz.comparing.alignment import Alignment
from tokenviz.comparing.comparison import compare
from tokenviz.errors import StoreError, TextError
from tokenviz.harness.jobs import Content
from tokenviz.harness.kinds.comparison import record_comparison
from tokenviz.harness.kinds.score import record_scores
from tokenviz.harness.measures import DIVERGENCES, Settings, known_measure
from tokenviz.harness.session import ModelMemory
from tokenviz.models.loading import load, resolve
from tokenviz.models.spec import ModelSpec
from tokenviz.progress import task, warn
from tokenviz.records.run import RecordedRun, StoredRun
from tokenviz.records.tables import read_scores
from tokenviz.scores import IMPORTED, TokenScores
from tokenviz.scoring.scorer import score
from tokenviz.texts import Text, corpus, literal
from tokenviz.tracking.finding import FoundRun, find_run, find_runs
from tokenviz.tracking.store import Store

_TIMES = ("scoring_seconds", "tokens_per_second")  # which are another each time
_KINDS = ("score", "comparison")


@dataclass(frozen=True)
class Rerun:
    """A run beside its computation of now.

    Attributes:
        run: As it was found.
        largest: The largest difference between log-probs of then and now, in nats, or between the values of a measure's table;
            infinite where they are not of the same tokens, or some are missing on one side only.
        metrics: Numbers of then and now, by name; NaN where there is none.
        left_out: Numbers that were not computed again.
        changed: What is not as it was, by name: then and now.
    """

    run: FoundRun
    largest: float
    metrics: Mapping[str, tuple[float, float]]
    left_out: tuple[str, ...]
    changed: Mapping[str, tuple[str, str]]

    def differing(self, tolerance: float) -> list[str]:
        """Numbers that differ by more than a tolerance, both absolutely and relatively."""
        return [name for name, (then, now) in self.metrics.items() if not _close(then, now, tolerance)]

    def agrees(self, tolerance: float) -> bool:
        """Whether log-probs differ by no more than a tolerance, in nats, and no number does."""
        return self.largest <= tolerance and not self.differing(tolerance)


def _close(then: float, now: float, tolerance: float) -> bool:
    return (math.isnan(then) and math.isnan(now)) or math.isclose(then, now, rel_tol=tolerance, abs_tol=tolerance)


def rerun(reference: str, store: Store) -> list[Rerun]:
    """Compute a run again; of a summary, those of its grid that say enough.

    Args:
        reference: See `find_run`.
        store: Where it is; nothing is written to it.

    Raises:
        StoreError: There is no such run, it has lost a table, or it does not say enough to be computed by itself.
        TokenvizError: Its model cannot be had.
    """
    found = find_run(reference, store)
    if found.tags.get("kind") == "summary":
        grid = found.tags.get("grid", "")
        members = [run for run in find_runs(found.experiment, store=store) if grid in run.tags.get("grid", "").split()]
        members = [run for run in members if run.tags["kind"] != "summary"]
        # Those of one model stand together, so that it is loaded once; comparisons come last, and use what is there.
        runs = sorted(filter(_is_enough, members), key=lambda run: run.tags.get("model", "\U0010ffff"))
        if len(runs) < len(members):
            warn(f"{len(members) - len(runs)} of {len(members)} runs do not say enough to be computed again")
    elif _is_enough(found):
        runs = [found]
    elif _is_imported(found.params):
        raise StoreError(
            f"run {found.run_id} holds log-probs that another engine computed ({found.params['source']}): nothing of it can be "
            "computed again"
        )
    else:
        command = found.tags.get("command", "its command")
        raise StoreError(
            f"run {found.run_id} of kind {found.tags.get('kind', '')!r} does not say enough to be computed again by itself: "
            f"repeat '{command} --force' and compare the runs"
        )
    again = _Again(store)
    with task("computing again", len(runs), "runs") as advance:
        done = []
        for run in runs:
            done.append(again.run(run))
            advance(1)
    return done


def _is_enough(run: FoundRun) -> bool:
    """Whether a run says all that is needed to compute it again."""
    return (run.tags.get("kind") in _KINDS and not _is_imported(run.params)) or known_measure(run.params) is not None


def _is_imported(params: Mapping[str, str]) -> bool:
    return params.get("source", "").startswith(IMPORTED)


class _Again:
    """Computes runs again, each model and table once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._memory = ModelMemory(lambda label: load(resolve(ModelSpec.parse(label))))
        self._tables: dict[str, tuple[TokenScores, TokenScores, Text]] = {}

    def run(self, run: FoundRun) -> Rerun:
        kinds = {"score": self._score, "comparison": self._comparison}
        return kinds.get(run.tags["kind"], self._measure)(run)

    def _score(self, run: FoundRun) -> Rerun:
        then, now, text = self._both(run.run_id, StoredRun.of(run, self._store))
        with tempfile.TemporaryDirectory() as folder:
            content = record_scores(now, text, 1.0, Path(folder))
        return _beside(run, content, [(then, now)])

    def _comparison(self, run: FoundRun) -> Rerun:
        recorded = StoredRun.of(run, self._store)
        pairs = [self._both(run.params[name], recorded.other(name)) for name in ("run_a", "run_b")]
        (_, a, text), (_, b, _) = pairs
        how: Alignment = {"by": run.params["by"], "punctuation": run.params.get("punctuation", "attached")}  # type: ignore[typeddict-item]
        measured = {}
        if "mean_kl_ab" in run.metrics:
            narrow = min(a.spec, b.spec, key=lambda spec: spec.context)  # of windows that both can read
            settings = Settings(a.spec.bos, narrow.context, narrow.stride, a.spec.top_k)
            measured[DIVERGENCES.name] = DIVERGENCES.take(*self._memory.models(a.spec.model, b.spec.model), text, settings)
        with tempfile.TemporaryDirectory() as folder:
            content = record_comparison(compare(a, b, **how), measured, Path(folder))
        return _beside(run, content, [(then, now) for then, now, _ in pairs])

    def _measure(self, run: FoundRun) -> Rerun:
        measure = known_measure(run.params)
        assert measure is not None
        params = run.params
        then = StoredRun.of(run, self._store).frame(measure.name)
        (model,) = self._memory.models(params["model"])
        context, stride, top_k = (json.loads(params[name]) for name in ("context", "stride", "top_k"))
        settings = Settings(params["bos"], context, stride, top_k)
        now = measure.take(model, self._text(run), settings)
        changed = {"measure_version": str(measure.version), "identity": model.resolved.identity}
        return Rerun(
            run=run,
            largest=_largest_of_frames(then, now.table),
            metrics={
                name: (run.metrics.get(name, math.nan), value)
                for name, value in now.metrics.items()
                if not _is_newer(name, run)
            },
            left_out=(),
            changed={name: (params[name], value) for name, value in changed.items() if params[name] != value},
        )

    def _text(self, run: FoundRun) -> Text:
        """The text of a run that has no table of its tokens, from a score run that has one."""
        for other in find_runs(run.experiment, where="kind=score", store=self._store):
            if other.params.get("text_sha256") == run.params["text_sha256"]:
                scores = read_scores(StoredRun.of(other, self._store))
                return _text_of(scores, other.run_id, int(other.params["n_passages"]))
        raise StoreError(
            f"no score run of the experiment {run.experiment!r} holds the text {run.params['text']!r} of run {run.run_id}: "
            f"repeat '{run.tags.get('command', 'its command')} --force' and compare the runs"
        )

    def _both(self, run_id: str, recorded: RecordedRun) -> tuple[TokenScores, TokenScores, Text]:
        """The table of then, that of now, and their text."""
        if run_id not in self._tables:
            then = read_scores(recorded)
            spec = then.spec
            text = _text_of(then, run_id, int(recorded.params["n_passages"]))
            if spec.imported:  # of a comparison: the other side is computed again, and held against this one as it is
                self._tables[run_id] = then, then, text
                return self._tables[run_id]
            (model,) = self._memory.models(spec.model)
            now = score(model, text, bos=spec.bos, context=spec.context, stride=spec.stride, top_k=spec.top_k)
            self._tables[run_id] = then, now, text
        return self._tables[run_id]


def _text_of(scores: TokenScores, run_id: str, n_passages: int) -> Text:
    """The text that a table was made of, put together from its tokens."""
    passages = [""] * n_passages
    for number, token in zip(scores.passage, scores.token, strict=True):
        passages[number] += token
    made = []
    try:
        made = [corpus(passages, name=scores.text_name)]
        made += [literal(passage, name=scores.text_name) for passage in passages[:1]]
    except TextError:
        pass  # a text without a character was never scored: the table is not what it was
    for text in made:
        if text.sha256 == scores.text_sha256:
            return replace(text, spans=scores.spans)
    raise StoreError(f"the table of run {run_id} does not hold the text that it names: 'tokenviz doctor' says what is damaged")


def _beside(run: FoundRun, content: Content, pairs: list[tuple[TokenScores, TokenScores]]) -> Rerun:
    names = [name for name in content.metrics if name not in _TIMES and not _is_newer(name, run)]
    return Rerun(
        run=run,
        largest=max(_largest(then, now) for then, now in pairs),
        metrics={name: (run.metrics.get(name, math.nan), content.metrics[name]) for name in names},
        left_out=tuple(name for name in run.metrics if name not in (*names, *_TIMES) and "/" not in name),
        changed={name: values for then, now in pairs for name, values in _changed(then, now).items()},
    )


def _is_newer(name: str, run: FoundRun) -> bool:
    """Whether a metric says what an interval was found from, which runs of earlier versions do not hold."""
    return name not in run.metrics and ("n_resampled_" in name or "effective_" in name or name.endswith("block_length"))


def _largest(then: TokenScores, now: TokenScores) -> float:
    same = np.array_equal(then.token_id, now.token_id) and np.array_equal(then.scored, now.scored)
    if not same:
        return math.inf
    return float(np.abs(then.logprob - now.logprob)[then.scored].max(initial=0.0))


def _largest_of_frames(then: pd.DataFrame, now: pd.DataFrame) -> float:
    """Infinite where anything but a float differs, or a number is missing on one side only."""
    floats = list(now.select_dtypes("float"))
    if list(then) != list(now) or not then.drop(columns=floats).equals(now.drop(columns=floats)):
        return math.inf
    before, after = then[floats].to_numpy(), now[floats].to_numpy()
    if not np.array_equal(np.isnan(before), np.isnan(after)):
        return math.inf
    return float(np.abs(np.nan_to_num(before) - np.nan_to_num(after)).max(initial=0.0))


def _changed(then: TokenScores, now: TokenScores) -> dict[str, tuple[str, str]]:
    """What moves numbers, and is not as it was."""
    fields = ("identity", "tokenizer", "dtype", "quantize", "device", "bos_ids", "batching", "head", "scoring_version")
    pairs = {f"{then.spec.model}: {name}": (str(getattr(then.spec, name)), str(getattr(now.spec, name))) for name in fields}
    packages = dict.fromkeys([*then.spec.versions, *now.spec.versions])
    pairs |= {name: (then.spec.versions.get(name, "–"), now.spec.versions.get(name, "–")) for name in packages}
    return {name: values for name, values in pairs.items() if values[0] != values[1]}
