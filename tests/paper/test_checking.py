"""`tokenviz pull --check`: what is missing, edited or stale, for a paper's CI."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Once, Run
from kept_runs import keep_comparison, keep_scores, pulled_pair
from tables import long_pair

from tokenviz.base.errors import PaperError
from tokenviz.paper.checking import Problem, check
from tokenviz.paper.manifest import Order
from tokenviz.paper.pulling import pull

ORDER = Order(experiment="trial", figures=("heatmap", "scatter"), formats=("png",), where="kind!=summary", prefix="our")


@pytest.fixture
def folder(once: Once, project: Path) -> Path:
    """What was pulled of two models on one text."""
    return pulled_pair(once, project, ORDER)


def test_what_was_just_pulled_is_clean(folder: Path) -> None:
    checked = check("trial", folder)
    assert (checked.clean, checked.n_files, checked.problems, checked.not_asked) == (True, 8, (), "")


def test_missing_and_edited_files_are_told_apart(folder: Path) -> None:
    (folder / "numbers.tex").write_text((folder / "numbers.tex").read_text() + "% mine\n")
    (folder / "figures/text_a_b_scatter.png").unlink()
    assert check("trial", folder).problems == (
        Problem("figures/text_a_b_scatter.png", "missing", "it was pulled, and is gone"),
        Problem("numbers.tex", "edited", "it is not what was pulled"),
    )


def test_a_run_that_took_anothers_place_makes_its_files_stale(folder: Path) -> None:
    a, b = long_pair(40)
    old = json.loads((folder / "manifest.json").read_text())["files"]["figures/text_a_b_scatter.png"]["runs"][0]
    new = keep_comparison(a, b, replaces=True)
    checked = check("trial", folder)
    assert not checked.clean
    found = {problem.path: problem for problem in checked.problems}
    assert set(found) == {
        "figures/text_a_b_heatmap.png", "figures/text_a_b_scatter.png", "tables/scores.tex", "tables/comparisons.tex",
        "numbers.tex", "captions.tex",
    }  # fmt: skip
    assert {problem.state for problem in found.values()} == {"stale"}
    assert found["figures/text_a_b_scatter.png"].why == f"run {new} has taken the place of {old}"
    pull(ORDER, folder)
    assert check("trial", folder).clean


def test_a_run_since_the_pull_is_missing(folder: Path) -> None:
    pull(replace(ORDER, formats=("png", "tex-document")), folder)
    other = long_pair(30, name="other", seed=2)[0]
    run = keep_scores(other)
    found = {problem.path: problem for problem in check("trial", folder).problems}
    for path in ("figures/other_a_heatmap.png", "figures/other_a_heatmap-document.tex"):
        assert found[path] == Problem(path, "missing", f"run {run} has it since the pull")
    assert {path for path, problem in found.items() if problem.state == "stale"} == {
        "tables/scores.tex", "tables/comparisons.tex", "numbers.tex", "captions.tex",
    }  # fmt: skip


def test_a_run_that_is_gone_leaves_stale_files(folder: Path) -> None:
    from tokenviz.tracking.store import open_store

    manifest = json.loads((folder / "manifest.json").read_text())
    [run] = manifest["files"]["figures/text_a_b_scatter.png"]["runs"]
    open_store().client.delete_run(run)
    found = {problem.path: problem for problem in check("trial", folder).problems}
    assert found["figures/text_a_b_scatter.png"] == Problem(
        "figures/text_a_b_scatter.png", "stale", "its run is gone, superseded, or not meant any more"
    )
    assert found["tables/comparisons.tex"].state == "stale"
    assert "figures/text_a_heatmap.png" not in found


def test_another_version_of_tokenviz_would_draw_otherwise(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.paper.plan.__version__", "99")
    found = check("trial", folder).problems
    assert {problem.path for problem in found} == {
        f"figures/text_{name}.png" for name in ("a_heatmap", "b_heatmap", "a_b_heatmap", "a_b_scatter")
    }
    assert {(problem.state, problem.why) for problem in found} == {("stale", "it would be drawn otherwise now")}


def test_checking_writes_nothing(folder: Path) -> None:
    (folder / "numbers.tex").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    check("trial", folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_without_the_runs_the_files_are_checked_all_the_same(
    folder: Path, project: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    (folder / "captions.tex").write_text("mine")
    elsewhere = project / "elsewhere"
    (elsewhere / "experiments").mkdir(parents=True)
    shutil.move(folder, elsewhere / "paper")
    monkeypatch.chdir(elsewhere)
    code, out, err = run("pull", "trial", "--to", "paper", "--check")
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "edited   captions.tex  (it is not what was pulled)",
        f"unknown  whether files are stale: there is no store in {str(elsewhere / 'mlruns')!r} yet: run an experiment, or "
        "go to the project that has one",
    ]


def test_the_command_ends_with_1_for_whatever_is_wrong(folder: Path, run: Run) -> None:
    code, out, err = run("pull", "trial", "--to", "paper", "--check")
    assert (code, out, err) == (0, "8 files are what the runs say\n", "")
    (folder / "numbers.tex").unlink()
    code, out, err = run("pull", "trial", "--to", "paper", "--check")
    assert (code, out, err) == (1, "missing  numbers.tex  (it was pulled, and is gone)\n", "")
    code, out, err = run("pull", "trial", "--to", "paper", "--check", "--json")
    assert code == 1
    assert json.loads(out) == {
        "n_files": 8,
        "problems": [{"path": "numbers.tex", "state": "missing", "why": "it was pulled, and is gone"}],
        "not_asked": "",
    }


@pytest.mark.parametrize(
    "option", [("--where", "model=a"), ("--format", "pdf"), ("--font-size", "9"), ("--overwrite",), ("--prefix", "tv")]
)
def test_options_of_a_pull_do_not_stand_beside_check(run: Run, option: tuple[str, ...]) -> None:
    code, out, err = run("pull", "trial", "--to", "paper", "--check", *option)
    assert (code, out) == (2, "")
    assert f"--check takes from the manifest how the folder was pulled: leave out {option[0]}" in " ".join(err.split())


def test_a_folder_of_another_experiment_is_refused(folder: Path) -> None:
    message = f"{str(folder)!r} holds what was pulled from 'trial', not from 'another'"
    with pytest.raises(PaperError, match=f"^{re.escape(message)}$"):
        check("another", folder)
