"""Figures drawn again from a run's tables alone."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from arithmetic import make_two_models
from conftest import Run
from kills import draw_in_no_time, draw_quickly
from run_records import filled, make_record

from tokenviz.base.errors import PaperError
from tokenviz.cli.paper import _FIGURES
from tokenviz.data.texts import literal
from tokenviz.figures.heatmap.measures import run_limits
from tokenviz.figures.named import FIGURES, Look
from tokenviz.figures.origin import provenance_of
from tokenviz.harness.grid import Grid
from tokenviz.harness.kinds import kinds, training
from tokenviz.harness.measures import position_measure
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.paper.manifest import Order
from tokenviz.paper.pulling import pull, redraw
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import open_store


@pytest.mark.slow
def test_no_model_library_is_loaded(runs: list[str], project: Path) -> None:
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "tokenviz",
        "redraw",
        runs[2],
        "--figure",
        "scatter",
        "--format",
        "png",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=project)
    assert done.stdout == "text_a_b_scatter.png\n"
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "matplotlib" in loaded
    assert loaded & {"torch", "transformers", "safetensors", "mlflow"} == set()


@pytest.mark.parametrize("which", [0, 2])
def test_the_command_draws_with_the_look_that_was_asked_for(runs: list[str], run: Run, which: int, project: Path) -> None:
    code, out, err = run(
        "redraw", runs[which], "--figure", "heatmap", "--measure", "surprisal_bits", "--width", "3.3in", "--limits", "0,12",
        "--colours", "cividis", "--font-size", "7", "--format", "svg,pdf", "--to", "drawn",
    )  # fmt: skip
    assert (code, err) == (0, "")
    stem = "text_a_heatmap" if which == 0 else "text_a_b_heatmap"
    assert out == f"drawn/{stem}.svg\ndrawn/{stem}.pdf\n"
    about = provenance_of(project / f"drawn/{stem}.svg")
    assert (about["measure"], about["limits"], about["limits_of"]) == ("surprisal_bits", [0, 12], "fixed")
    assert (about["width_inches"], about["font_size"], about["colours"]) == (3.3, 7, "cividis")
    assert about["run_id"] == runs[which]


@pytest.mark.parametrize("figure", ["heatmap", "difference", "scatter", "along_text", "gaps", "calibration"])
def test_the_command_that_a_file_names_makes_it_again(runs: list[str], run: Run, project: Path, figure: str) -> None:
    [path] = redraw(runs[2], figure=figure, look=Look(width="acl", font_size=7.5), folder=project / "one")
    command = shlex.split(provenance_of(path)["again"])
    assert command[:2] == ["tokenviz", "redraw"]
    code, out, _ = run(*command[1:], "--to", "two")
    assert (code, out) == (0, f"two/{path.name}\n")
    assert (project / "two" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("form", ["svg", "pdf", "html", "tex"])
def test_limits_of_two_words_in_an_older_file_are_shown_as_the_one_word_that_is_taken_now(
    runs: list[str], run: Run, project: Path, form: str
) -> None:
    [path] = redraw(runs[0], look=Look(limits="-12.0,-1e-05", width="3in"), formats=[form], folder=project / "one")
    new, old = path.read_bytes(), b"--limits -12.0 -1e-05 --width 3in"
    assert new.count(old.replace(b"0 -", b"0,-")) == 1
    path.write_bytes(new.replace(old.replace(b"0 -", b"0,-"), old))
    code, out, _ = run("trace", str(path))
    [command] = [line.partition("  ")[2].strip() for line in out.splitlines() if line.startswith("made again by")]
    assert (code, json.loads(run("trace", str(path), "--json")[1])["again"]) == (0, command)
    assert run(*shlex.split(command)[1:], "--to", "two")[0] == 0
    assert (project / "two" / path.name).read_bytes() == new


def test_limits_that_are_pulled_are_those_of_all_and_drawn_again_to_the_byte(runs: list[str], run: Run, project: Path) -> None:
    code, _, _ = run("pull", "trial", "--to", "paper", "--limits", "shared", "--format", "png", "--figure", "heatmap")
    assert code == 0
    found = {path.name: provenance_of(path) for path in sorted((project / "paper/figures").iterdir())}
    assert len(found) > 1
    assert {about["limits_of"] for about in found.values()} == {"set"}
    [limits] = {tuple(about["limits"]) for about in found.values()}
    assert limits[0] < limits[1]
    for path in sorted((project / "paper/figures").iterdir()):
        assert run(*shlex.split(found[path.name]["again"])[1:], "--to", "again")[0] == 0
        assert (project / "again" / path.name).read_bytes() == path.read_bytes()
    assert run("pull", "trial", "--to", "paper", "--check")[0] == 0
    assert run("pull", "trial", "--to", "paper", "--limits", "p5", "--format", "png", "--figure", "heatmap")[0] == 0
    about = provenance_of(sorted((project / "paper/figures").iterdir())[0])
    assert about["limits_of"] == "5th to 95th percentile"
    assert "5th to 95th percentile of the text; beyond them lie" in about["caption"]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("-7.5,-0.25", {"score": "fixed", "comparison": "fixed", "difference": "text", "ahead": "text", "entropy": "text"}),
        (
            "p5",
            dict.fromkeys(["score", "comparison", "difference", "ahead", "entropy"], "5th to 95th percentile"),
        ),
    ],
)
def test_figures_have_the_limits_of_their_run_however_they_are_had(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, limits: str, said: dict[str, str]
) -> None:
    draw_in_no_time(monkeypatch)
    monkeypatch.setattr(
        "tokenviz.harness.kinds.measure.draw_measure", lambda *given: draw_quickly(None, {}, None, None, given[-1])
    )
    with running(ExperimentContext("trial", limits=run_limits(limits))):
        grid = Grid(make_two_models(project), [literal("abcdabcddcba")], top_k=0)
        runs = {"score": grid.score()[0].run_id, "comparison": grid.compare()[0].run_id}
        runs["ahead"] = grid.measure(position_measure("ahead", lambda logits, ids: logits.max(-1).values))[0].run_id
    runs["difference"] = runs["comparison"]

    def of_file(path: str) -> str:
        about = provenance_of(project / path)
        assert about["limits"] == [-7.5, -0.25] or about["limits_of"] != "fixed"
        return str(about["limits_of"])

    found: dict[str, dict[str, str]] = {"redraw": {}, "pull": {}, "fetch": {}}
    assert run("pull", "trial", "--to", "paper", "--figure", "heatmap,difference", "--format", "html")[0] == 0
    assert run("pull", "trial", "--to", "paper", "--check")[0] == 0
    pulled = {path: provenance_of(path)["run_id"] for path in (project / "paper/figures").iterdir()}
    for name, run_id in runs.items():
        figure = "difference" if name == "difference" else "heatmap"
        command = ["redraw", run_id, "--figure", figure, "--format", "html"]
        code, out, _ = run(*command, "--to", "drawn")
        assert code == 0
        found["redraw"][name] = of_file(out.strip())
        [path] = [path for path, of in pulled.items() if of == run_id and path.stem.endswith(figure)]
        found["pull"][name] = of_file(str(path))
        assert run("runs", "fetch", run_id, f"figures/{figure}.tex")[0] == 0
        found["fetch"][name] = of_file(f"{figure}.tex")
        if name != "ahead":
            assert of_file(run(*command, "--limits", "text")[1].strip()) == "text"
    for how in found.values():
        how["entropy"] = of_file(run("redraw", runs["score"], "--measure", "entropy", "--format", "html")[1].strip())
    assert found == {"redraw": said, "pull": said, "fetch": said}


def test_what_was_pulled_is_drawn_again_to_the_byte(runs: list[str], run: Run, project: Path) -> None:
    order = Order(experiment="trial", figures=("heatmap",), formats=("png", "tex"), measure="entropy", width="3in")
    pull(order, project / "paper")
    for path in sorted((project / "paper/figures").iterdir()):
        code, out, _ = run(*shlex.split(provenance_of(path)["again"])[1:], "--to", "again")
        assert (code, out) == (0, f"again/{path.name}\n")
        assert (project / "again" / path.name).read_bytes() == path.read_bytes()


def test_the_beginning_of_an_id_is_enough(runs: list[str], project: Path) -> None:
    redraw(runs[0][:20], folder=project / "out")
    assert [path.name for path in (project / "out").iterdir()] == ["text_a_heatmap.pdf"]


def keep_summary() -> str:
    record = make_record("s", experiment="trial", name="summary · trial", tags={"kind": "summary"})
    return Runs(open_store(), "trial", "").keep("s", filled(record))


def keep_measure(fingerprint: str = "m") -> str:
    record = make_record(fingerprint, experiment="trial", tags={"kind": "context_effect", "model": "a", "text": "x"})
    return Runs(open_store(), "trial", "").keep(fingerprint, filled(record))


def test_a_run_without_a_figure_is_one_line(runs: list[str]) -> None:
    end = "has no figure: its numbers and tables are had by tokenviz pull and runs show"
    for run_id, name in (
        (keep_summary(), "'summary · trial') of kind 'summary'"),
        (keep_measure(), "'a name') of kind 'context_effect'"),
    ):
        with pytest.raises(PaperError, match=f"^{re.escape(f'run {run_id} ({name} {end}')}$"):
            redraw(run_id)


def test_the_help_names_the_figures_of_every_kind() -> None:
    own = [*training._PLOTS, *(name for kind in kinds().values() for name in getattr(kind, "plots", ()))]
    assert sorted(_FIGURES.split(", ")) == sorted([*FIGURES, *own])


def test_a_run_of_another_program_is_one_line(project: Path, run: Run) -> None:
    client = open_store().client
    made = client.create_run(client.create_experiment("another"), run_name="theirs").info.run_id
    client.set_terminated(made)
    for command in (["redraw", made], ["runs", "fetch", made, "figures/heatmap.png"]):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert err.endswith(f"error: run {made} ('theirs') is none of tokenviz: name one that 'tokenviz runs' lists\n")


def test_a_file_that_no_run_has_is_answered_with_names_that_work(runs: list[str], run: Run, project: Path) -> None:
    code, out, err = run("runs", "fetch", runs[0], "figures/nothing.png")
    plots = ".png .svg .pdf"
    assert (code, out) == (1, "")
    assert err == (
        f"error: run {runs[0]} ('a name') of kind 'score' has no file 'figures/nothing.png': 'tokenviz runs show {runs[0]}' "
        "lists its files, and these can be drawn: figures/heatmap with .png .svg .pdf .html .tex -document.tex .ansi, "
        f"figures/along_text with {plots}, figures/calibration with {plots}\n"
    )
    for ending in (".tex", "-document.tex", ".ansi"):
        assert run("runs", "fetch", runs[0], f"figures/heatmap{ending}") == (0, f"heatmap{ending}\n", "")
    assert "\\documentclass" in (project / "heatmap-document.tex").read_text()
    assert "\\documentclass" not in (project / "heatmap.tex").read_text()
