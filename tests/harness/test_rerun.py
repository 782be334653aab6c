"""`tokenviz rerun`: a run beside its computation of now."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder, make_two_models
from conftest import Run
from kills import draw_in_no_time

import tokenviz as tv
import tokenviz.scoring.scorer
from tokenviz.data.texts import corpus
from tokenviz.harness import rebuilding
from tokenviz.harness.measures import DIVERGENCES, Measure, Measured, context_effect
from tokenviz.harness.results import GridResult
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.tracking.finding import find_run, find_runs, remove
from tokenviz.tracking.staged_runs import CHECKSUMS, LIST_TAG, TABLE_TAG, checksum, write_checksums
from tokenviz.tracking.store import open_for_reading, open_store


@pytest.fixture
def made(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., GridResult]:
    draw_in_no_time(monkeypatch)
    make_two_models(project)

    def make(*texts: tv.Text) -> GridResult:
        with running(ExperimentContext("trial")):
            grid = tv.Grid(["first", "second"], texts or (tv.literal("abcdabcd"),), top_k=2)
            grid.score()
            grid.compare(measures=[DIVERGENCES])
            grid.measure(context_effect([1, 2]))
            return grid.summarise("Found.")

    return make


def test_scores_agree_to_the_last_bit(made: Callable[..., GridResult], run: Run) -> None:
    score = made().scores[0]
    code, out, err = run("rerun", score.run_id[:10])
    name = f"{score.text} · first"
    assert (code, out, err) == (0, f"agrees  {score.run_id[:8]}  {name}: every log-prob is the same to the last bit\n", "")
    code, out, _ = run("rerun", score.run_id, "--json")
    document = json.loads(out)
    (one,) = document["runs"]
    assert (code, document["agrees"], one["largest_logprob_difference"], one["changed"]) == (0, True, 0, {})
    assert one["metrics"]["mean_logprob"] == [float(score.scores.logprob[1:].mean())] * 2
    assert "scoring_seconds" not in one["metrics"]


def test_a_summary_stands_for_its_grid(made: Callable[..., GridResult]) -> None:
    passages = ["", "abcd", "", "dcba", ""]
    result = made(tv.literal("abab"), corpus(passages, name="many", passage_ids=list("vwxyz")))
    done = rebuilding.rerun(result.summary_run_id, open_for_reading())
    assert {one.run.run_id for one in done} == {run.run_id for run in (*result.scores, *result.comparisons, *result.measures)}
    assert [one.largest for one in done] == [0] * 10
    assert all(one.agrees(0) for one in done)
    assert all(len(one.metrics) >= 3 for one in done)
    assert [one.left_out for one in done] == [()] * 10
    divergences = {one.run.run_id: one.metrics["mean_kl_ab"] for one in done if one.run.tags["kind"] == "comparison"}
    assert divergences == {run.run_id: (run.metrics["mean_kl_ab"],) * 2 for run in result.comparisons}


@pytest.mark.parametrize(
    ("lost", "why"),
    [("runs", "the store has none of its runs any more"), ("grid", "its files, which it was restored from, name no grid")],
)
def test_a_summary_without_runs_is_refused(made: Callable[..., GridResult], run: Run, lost: str, why: str) -> None:
    summary = made().summary_run_id
    store = open_store()
    if lost == "runs":
        remove(store, [one for one in find_runs("trial") if one.run_id != summary])
    else:
        store.client.delete_tag(summary, "tokenviz.grid")
    name = find_run(summary, store).name
    code, out, err = run("rerun", summary)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"error: the grid of run {summary} ({name!r}) cannot be computed again: {why}; 'tokenviz runs' lists what there is"
    )


def test_another_model_of_the_same_name_is_noticed(made: Callable[..., GridResult], project: Path, run: Run) -> None:
    result = made()
    weights = BIGRAM_WEIGHTS.copy()
    weights[0, 1] *= 2
    make_bigram_folder(project / "first", weights)
    code, out, _ = run("rerun", result.scores[0].run_id)
    # After a, b had 2 of 15 and has 4 of 17; the table's row of a is read twice.
    assert code == 1
    assert f"log-probs differ by {math.log(4 / 17 / (2 / 15)):.2g} nats at most" in out
    assert "    mean_logprob: " in out
    assert "    changed since: first: identity sha256:" in out
    done = rebuilding.rerun(result.comparisons[0].run_id, open_for_reading())[0]
    assert not done.agrees(1e-4)
    assert "pearson_r" in done.differing(1e-4)
    assert run("rerun", result.scores[1].run_id)[0] == 0


def test_a_tolerance_says_what_counts(made: Callable[..., GridResult], monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    result = made()
    score = tokenviz.scoring.scorer.score

    def shifted(*arguments: Any, **settings: Any) -> tv.TokenScores:
        scores = score(*arguments, **settings)
        return replace(scores, logprob=scores.logprob - np.where(scores.position == 2, 1e-3, 0))

    monkeypatch.setattr("tokenviz.scoring.scorer.score", shifted)
    assert run("rerun", result.scores[0].run_id)[0] == 1
    assert run("rerun", result.scores[0].run_id, "--tolerance", "0.002")[0] == 0


def test_a_text_that_is_not_what_the_table_says_is_refused(made: Callable[..., GridResult], run: Run, project: Path) -> None:
    result = made()
    path = project / "mlruns" / "artifacts" / "1" / result.scores[0].run_id / "artifacts" / "tables" / "tokens.parquet"
    table = tv.TokenScores.load(path)
    replace(table, token=("x", *table.token[1:])).save(path)
    write_checksums(path.parent.parent)
    for tag, file in ((TABLE_TAG, path), (LIST_TAG, path.parent.parent / CHECKSUMS)):  # the store vouches for it
        open_store().client.set_tag(result.scores[0].run_id, f"tokenviz.{tag}", checksum(file))
    code, _, err = run("rerun", result.scores[0].run_id)
    assert code == 1
    assert err == (
        f"error: the table of run {result.scores[0].run_id} does not hold the text that it names: 'tokenviz doctor' says what "
        "is damaged\n"
    )


def test_what_was_measured_of_a_model_is_measured_again(made: Callable[..., GridResult], project: Path, run: Run) -> None:
    measured = made().measures[0]
    assert run("rerun", measured.run_id)[1].endswith(": every log-prob is the same to the last bit\n")
    weights = BIGRAM_WEIGHTS.copy()
    weights[0, 1] *= 2
    make_bigram_folder(project / "first", weights)
    code, out, _ = run("rerun", measured.run_id)
    assert code == 1
    assert f"log-probs differ by {math.log(4 / 17 / (2 / 15)):.2g} nats at most" in out
    assert "    mean_logprob_1: " in out
    assert "    changed since: identity sha256:" in out


def test_a_measure_whose_text_is_kept_nowhere_is_refused(made: Callable[..., GridResult], run: Run) -> None:
    result = made()
    store = open_for_reading()
    for one in result.scores:
        store.client.delete_run(one.run_id)
    code, _, err = run("rerun", result.measures[0].run_id)
    assert code == 1
    assert err.startswith(f"error: no score run of the experiment 'trial' holds the text {result.scores[0].text!r} of run ")
    assert err.count("\n") == 1


def test_a_measure_of_somebodys_own_is_refused_with_what_to_do(made: Callable[..., GridResult], run: Run) -> None:
    made()
    own = Measure("own", 1, lambda model, text, settings: Measured(pd.DataFrame({"x": [1.0]}), {"n": 1.0}))
    with running(ExperimentContext("trial")):
        (measured, _) = tv.Grid(["first", "second"], [tv.literal("abcdabcd")], top_k=2).measure(own)
    code, _, err = run("rerun", measured.run_id)
    assert code == 1
    assert err.startswith(
        f"error: run {measured.run_id} of kind 'own' does not say enough to be computed again by itself: repeat '"
    )
    assert err.endswith(" --force' and compare the runs\n")
