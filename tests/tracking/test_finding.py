"""Runs and tables found again, as frames."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arithmetic import make_two_models
from kills import draw_in_no_time
from run_records import filled, make_record

import tokenviz as tv
from tokenviz.harness.results import GridResult
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.records.loading import load_units
from tokenviz.tracking.finding import FoundRun, find_runs
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import Store, open_store
from tokenviz.tracking.where import parse_where


def keep(fingerprint: str, **changes: Any) -> str:
    record = make_record(fingerprint, **changes)
    return Runs(open_store(), record.experiment, "").keep(fingerprint, filled(record))


@pytest.fixture
def kept(project: Any) -> list[str]:
    """Two runs of one experiment and one of another, oldest first."""
    return [
        keep("f", tags={"kind": "score", "model": "a", "text": "x"}, metrics={"n_scored": 3.0}),
        keep("g", tags={"kind": "comparison", "model_a": "a", "model_b": "b", "text": "x"}, metrics={"pearson_r": 0.5}),
        keep("h", experiment="another", tags={"kind": "score", "model": "b", "text": "it's"}),
    ]


def test_a_frame_has_a_row_a_run(kept: list[str]) -> None:
    frame = tv.load_runs().set_index("run_id")
    assert set(frame.index) == set(kept)
    score, pair = frame.loc[kept[0]], frame.loc[kept[1]]
    assert (score["experiment"], score["kind"], score["model"], score["text"]) == ("an experiment", "score", "a", "x")
    assert (pair["model"], pair["model_a"], pair["model_b"], pair["pearson_r"]) == ("", "a", "b", 0.5)
    assert np.isnan(score["pearson_r"])
    assert score["started"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert score["seconds"] == 60
    assert score["c"] == "text"  # a parameter


@pytest.mark.parametrize(
    ("experiment", "where", "expected"),
    [
        (None, None, [0, 1, 2]),
        ("an experiment", None, [0, 1]),
        (None, "kind=score", [0, 2]),
        (None, "model=a", [0, 1]),
        (None, "r>0.4", [1]),
        (None, "r<0.4", []),
        (None, 'text="it\'s"', [2]),
        ("another", "kind=score and model=b", [2]),
    ],
)
def test_only_what_is_meant_is_found(kept: list[str], experiment: str | None, where: str | None, expected: list[int]) -> None:
    assert {run.run_id for run in find_runs(experiment, where=where)} == {kept[i] for i in expected}


def test_superseded_and_open_runs_are_left_out_unless_asked_for(kept: list[str]) -> None:
    new = keep("f", replaces=True)
    client = open_store().client
    still = client.create_run(client.get_run(new).info.experiment_id, tags={"tokenviz.kind": "score"}).info.run_id
    assert {run.run_id for run in find_runs("an experiment")} == {new, kept[1]}
    assert {run.run_id for run in find_runs("an experiment", every=True)} == {new, still, *kept[:2]}


def plain(runs: list[FoundRun]) -> str:
    """Everything of runs, in one order; NaN equals itself."""
    return repr([[(k, sorted(v.items()) if isinstance(v, dict) else v) for k, v in vars(run).items()] for run in runs])


def test_the_database_is_read_as_mlflow_reads_it(kept: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    keep("f", replaces=True)
    client = open_store().client
    still = client.create_run("1", tags={"tokenviz.kind": "score"}, run_name="still 'open'").info.run_id
    client.log_metric(still, "nan", float("nan"))
    client.log_metric(still, "curve", 1.0, step=1)
    client.log_metric(still, "curve", 2.0, step=2)
    client.delete_run(keep("gone"))
    client.create_run("1")  # somebody else's
    for where in (None, "kind=score", "text=x", 'text="it\'s"', "model=a and kind=comparison"):
        for every in (False, True):
            read = find_runs(where=where, every=every)
            with monkeypatch.context() as patch:
                patch.setattr(Store, "database", None)
                assert plain(find_runs(where=where, every=every)) == plain(read)
    assert {run.run_id for run in find_runs(every=True)} >= {still, *kept}


def test_runs_of_others_are_left_out(kept: list[str]) -> None:
    client = open_store().client
    client.create_run(client.get_run(kept[0]).info.experiment_id)
    assert {run.run_id for run in find_runs(every=True)} == set(kept)


def test_more_runs_than_a_page_are_found(kept: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.tracking.finding._PAGE", 2)
    assert len(find_runs()) == 3


def test_what_a_run_could_meet_may_find_none(kept: list[str]) -> None:
    for where in ("text=nothing", "started>2999-01-01", "n_scored<\N{MINUS SIGN}3", "model~nobody"):
        assert len(tv.load_runs(where=where)) == 0


def test_a_minus_of_a_table_is_read(kept: list[str]) -> None:
    condition = parse_where("r<\N{MINUS SIGN}0.5")
    assert condition.holds({"pearson_r": -0.75})
    assert not condition.holds({"pearson_r": -0.25})


@pytest.fixture
def grid(project: Any, monkeypatch: pytest.MonkeyPatch) -> GridResult:
    draw_in_no_time(monkeypatch)
    make_two_models(project)
    with running(ExperimentContext("trial")):
        made = tv.Grid(["first", "second"], [tv.literal("abcdabcd"), tv.literal("ddcc")], top_k=2)
        made.score()
        made.compare()
        return made.summarise("")


def test_the_last_value_of_a_curve_is_no_number_of_a_run(grid: GridResult) -> None:
    runs = find_runs("trial", where="kind=score")
    assert all(run.curves == ("token/logprob",) for run in runs)
    assert not any("token/logprob" in run.metrics for run in runs)
    assert "token/logprob" not in tv.load_runs("trial")


def test_token_tables_are_joined(grid: GridResult) -> None:
    tokens = tv.load_tokens("trial")
    assert list(tokens.columns[:3]) == ["run_id", "model", "text"]
    for run in grid.scores:
        own = tokens[tokens["run_id"] == run.run_id].reset_index(drop=True)
        assert set(zip(own["model"], own["text"], strict=True)) == {(run.model, run.text)}
        np.testing.assert_array_equal(own["logprob"], run.scores.logprob)
        assert "".join(own["token"]) == "".join(run.scores.token)
    assert len(tokens) == 24
    assert set(tv.load_tokens(where="model=first")["model"]) == {"first"}


def test_aligned_tables_are_joined(grid: GridResult) -> None:
    units = load_units("trial")
    assert list(units.columns[:4]) == ["run_id", "model_a", "model_b", "text"]
    for run in grid.comparisons:
        own = units[units["run_id"] == run.run_id].reset_index(drop=True)
        expected = run.comparison.to_frame().rename(columns={"text": "unit"})
        pd.testing.assert_frame_equal(own[expected.columns], expected)
