"""Runs: logged whole, found by fingerprint, closed whatever happens."""

import json
import math
import subprocess
from pathlib import Path

import pytest

from tokenviz.errors import StoreError
from tokenviz.tracking.runs import Runs, fingerprint_of
from tokenviz.tracking.store import open_store


@pytest.fixture
def runs(project: Path) -> Runs:
    return Runs(open_store(), "an experiment", "What it asks.")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "a.csv").write_text("x\n1\n")
    return folder


def log(runs: Runs, files: Path, fingerprint: str, **changes: object) -> str:
    content = {"params": {"a": None, "b": [1, 2], "c": "text"}, "metrics": {"m": 0.5, "undetermined": math.nan}}
    content |= {"curves": {"token/logprob": [(1, -0.5), (3, -2.0)]}, "note": "**Found.**", "files": files}
    with runs.open("a name", fingerprint=fingerprint, grid="g1", tags={"kind": "score"}) as run:
        run.log(**{**content, **changes})  # type: ignore[arg-type]
    return run.run_id


def test_a_run_holds_what_was_logged(runs: Runs, files: Path) -> None:
    run = runs.client.get_run(log(runs, files, "f"))
    assert run.info.run_name == "a name"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a": "null", "b": "[1, 2]", "c": "text"}
    assert run.data.tags["tokenviz.fingerprint"] == "f"
    assert run.data.tags["tokenviz.grid"] == "g1"
    assert run.data.tags["tokenviz.kind"] == "score"
    assert run.data.tags["mlflow.note.content"] == "**Found.**"
    assert run.data.tags["mlflow.user"]
    assert [file.path for file in runs.client.list_artifacts(run.info.run_id, "tables")] == ["tables/a.csv"]


def test_an_undetermined_number_is_absent_not_zero(runs: Runs, files: Path) -> None:
    metrics = runs.client.get_run(log(runs, files, "f")).data.metrics
    assert metrics["m"] == 0.5
    assert "undetermined" not in metrics


def test_a_curve_has_its_steps_and_a_cap(runs: Runs, files: Path) -> None:
    run_id = log(runs, files, "f", curves={"token/logprob": [(step, -float(step)) for step in range(1, 1500)]})
    history = runs.client.get_metric_history(run_id, "token/logprob")
    assert [(point.step, point.value) for point in history] == [(step, -float(step)) for step in range(1, 1001)]


def test_a_finished_run_is_found_by_its_fingerprint(runs: Runs, files: Path) -> None:
    run_id = log(runs, files, "f")
    found = runs.find("f")
    assert found is not None
    assert (found.run_id, found.metrics["m"], found.params["c"]) == (run_id, 0.5, "text")
    assert runs.find("g") is None


def test_another_experiment_does_not_share_runs(runs: Runs, files: Path) -> None:
    log(runs, files, "f")
    assert Runs(runs.store, "another", "").find("f") is None


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED"), (ValueError, "FAILED")])
def test_an_unfinished_run_is_closed_and_does_not_count(runs: Runs, error: type[BaseException], status: str) -> None:
    with pytest.raises(error), runs.open("a name", fingerprint="f", grid="g", tags={}) as run:
        raise error
    assert runs.client.get_run(run.run_id).info.status == status
    assert runs.find("f") is None


def test_a_run_is_running_while_it_is_made(runs: Runs) -> None:
    with runs.open("a name", fingerprint="f", grid="g", tags={}) as run:
        assert runs.client.get_run(run.run_id).info.status == "RUNNING"
        assert runs.find("f") is None


def test_a_new_run_supersedes_the_older_one_and_keeps_it(runs: Runs, files: Path) -> None:
    old = log(runs, files, "f")
    new = log(runs, files, "f")
    found = runs.find("f")
    assert found is not None
    assert found.run_id == new
    tags = runs.client.get_run(old).data.tags
    assert tags["tokenviz.superseded_by"] == new
    assert "tokenviz.fingerprint" not in tags
    assert "tokenviz.grid" not in tags


def test_a_run_may_belong_to_several_grids(runs: Runs, files: Path) -> None:
    log(runs, files, "f")
    for grid in ("g2", "g1", "g2"):
        found = runs.find("f")
        assert found is not None
        runs.join_grid(found, grid)
    assert runs.find("f").tags["grid"] == "g1 g2"  # type: ignore[union-attr]


def test_a_lost_file_is_said(runs: Runs, files: Path, tmp_path: Path) -> None:
    run_id = log(runs, files, "f")
    with pytest.raises(StoreError, match=r"has lost its file 'tables/b\.csv'.*--force"):
        runs.fetch(run_id, "tables/b.csv", tmp_path)


def test_fingerprints_do_not_depend_on_order() -> None:
    assert fingerprint_of({"a": 1, "b": [1, 2]}) == fingerprint_of({"b": (1, 2), "a": 1})


def test_fingerprints_tell_none_from_zero() -> None:
    assert fingerprint_of({"a": None}) != fingerprint_of({"a": 0})


def test_a_description_that_is_too_long_is_cut_after_a_line_and_kept_whole(runs: Runs, files: Path, tmp_path: Path) -> None:
    note = "\n".join(f"| row {number} | {'x' * 40} |" for number in range(400))
    run_id = log(runs, files, "f", note=note)
    shown = runs.client.get_run(run_id).data.tags["mlflow.note.content"]
    assert len(shown) <= 8000
    body, _, hint = shown.rpartition("\n\n")
    assert note.startswith(body + "\n")
    assert hint == "(cut here: MLflow keeps no more; Artifacts › description.md has the whole)"
    assert runs.fetch(run_id, "description.md", tmp_path).read_text(encoding="utf-8") == note


def test_a_parameter_that_is_too_long_is_kept_in_a_file(runs: Runs, files: Path, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(1000)]
    run_id = log(runs, files, "f", params={"texts": texts, "bos": "auto"})
    params = runs.client.get_run(run_id).data.params
    assert params["texts"].startswith("see params.json (sha256 ")
    assert params["bos"] == "auto"
    assert json.loads(runs.fetch(run_id, "params.json", tmp_path).read_text(encoding="utf-8"))["texts"] == texts


def test_a_failed_run_says_why(runs: Runs) -> None:
    with pytest.raises(ValueError, match="no room"), runs.open("a", fingerprint="f", grid="g", tags={}) as run:
        raise ValueError("no room")
    assert runs.client.get_run(run.run_id).data.tags["mlflow.note.content"] == "Failed: no room"


def test_a_run_that_supersedes_another_takes_its_place_in_every_grid(runs: Runs, files: Path) -> None:
    log(runs, files, "f")
    found = runs.find("f")
    assert found is not None
    runs.join_grid(found, "g2")
    new = log(runs, files, "f")
    assert runs.client.get_run(new).data.tags["tokenviz.grid"] == "g2 g1"


def test_a_run_carries_the_commit_of_the_project(runs: Runs, files: Path, project: Path) -> None:
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    tags = runs.client.get_run(log(runs, files, "f")).data.tags
    assert tags["mlflow.source.git.commit"] == commit
