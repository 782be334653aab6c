"""`tokenviz runs tidy`: what goes, what stays, and that it is listed first."""

from pathlib import Path

import pytest
from arithmetic import make_two_models
from conftest import Run
from kept_runs import run_grid
from kills import draw_in_no_time

from tokenviz.tracking.entities import grid_of_view
from tokenviz.tracking.finding import find_runs, remove
from tokenviz.tracking.inspection import find_untidy
from tokenviz.tracking.store import open_store

ONE = ["abcdabcd"]


@pytest.fixture
def models(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    draw_in_no_time(monkeypatch)
    return make_two_models(project)


def test_a_tidy_store_stays_as_it_is(models: list[str], run: Run) -> None:
    run_grid(models, texts=ONE)
    assert run("runs", "tidy", "--yes") == (0, "", "nothing to tidy\n")
    assert len(find_runs(every=True)) == 4


def test_what_a_second_force_leaves_behind_is_listed_and_goes(models: list[str], run: Run) -> None:
    first = run_grid(models, texts=ONE)
    second = run_grid(models, texts=ONE, force=True)
    old = {run.run_id for run in (*first.scores, *first.comparisons)} | {first.summary_run_id}
    new = {run.run_id for run in (*second.scores, *second.comparisons)} | {second.summary_run_id}
    assert not old & new
    code, out, err = run("runs", "tidy", stdin=b"n\n")
    assert (code, out) == (1, "")
    *listed, asked = err.splitlines()
    assert {line.partition(" ")[0] for line in listed} == old
    assert all(line.endswith(": a newer run has taken its place") for line in listed)
    assert asked == "Remove 4 runs and 0 views? [y/N] nothing was removed"
    assert {run.run_id for run in find_runs(every=True)} == old | new
    code, out, err = run("runs", "tidy", stdin=b"y\n")
    assert (code, out) == (0, "4 runs and 0 views removed\n")
    assert "mlflow runs restore --run-id ID" in err
    assert {run.run_id for run in find_runs(every=True)} == new
    again = run_grid(models, texts=ONE)
    assert all(run.reused for run in (*again.scores, *again.comparisons))


def test_what_ended_too_early_and_views_of_grids_that_are_gone_go(models: list[str], run: Run) -> None:
    kept, gone = run_grid(models, texts=ONE), run_grid(models, texts=["dcbadcba"])
    store = open_store()
    remove(store, [run for run in find_runs() if gone.grid in run.tags["grid"].split()])
    dead = store.client.create_run(kept.experiment_id, tags={"tokenviz.kind": "score"}).info.run_id
    store.client.set_terminated(dead, "KILLED")
    busy = store.client.create_run(kept.experiment_id, tags={"tokenviz.kind": "score"}).info.run_id
    code, out, err = run("runs", "tidy", "--yes")
    assert (code, out) == (0, "1 run and 2 views removed\n")
    assert [line for line in err.splitlines() if line.startswith(("view", dead))] == [
        f"{dead}  {store.client.get_run(dead).info.run_name}: it ended before it was whole",
        f"view {gone.grid}-curves of trial: its grid has no run",
        f"view {gone.grid}-runs of trial: its grid has no run",
    ]
    assert {grid_of_view(tag) for tag in store.client.get_experiment(kept.experiment_id).tags} - {""} == {kept.grid}
    assert busy in {run.run_id for run in find_runs(every=True)}


def test_a_run_that_a_current_one_names_stays(models: list[str]) -> None:
    first = run_grid(models, texts=ONE)
    client = open_store().client
    (scored, other) = (run.run_id for run in first.scores)
    client.set_tag(scored, "tokenviz.superseded_by", other)  # its comparison has not been made again
    assert find_untidy(open_store()).runs == []
    remove(open_store(), [run for run in find_runs() if run.tags["kind"] == "comparison"])
    assert [(run.run_id, reason) for run, reason in find_untidy(open_store()).runs] == [
        (scored, "a newer run has taken its place")
    ]


@pytest.mark.parametrize(
    "tag", ["mlflow.sharedViewState.tokenviz-scores", "mlflow.note.content", "mlflow.sharedViewState.mine"]
)
def test_views_of_no_grid_are_not_meant(tag: str) -> None:
    assert grid_of_view(tag) == ""
