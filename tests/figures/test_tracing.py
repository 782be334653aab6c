"""Where a file comes from: every format of figures, tables and numbers, and files that are not ours."""

import json
import re
from pathlib import Path

import pytest
from conftest import Once, Run
from kept_runs import COMMAND, COMMIT, keep_pair
from PIL import Image
from tables import long_pair, make_scores

from tokenviz.base.errors import PaperError
from tokenviz.figures.heatmap.files import save_heatmap
from tokenviz.figures.origin import provenance_of
from tokenviz.paper.manifest import Order
from tokenviz.paper.pulling import pull

FORMATS = ("png", "svg", "pdf", "html", "tex", "tex-document")


@pytest.fixture
def pulled(once: Once, project: Path) -> tuple[list[str], Path]:
    """The runs of two models, and what was pulled of them in every format."""

    def make() -> list[str]:
        runs = keep_pair(*long_pair(40, name='a (text) \\ with "signs" ü 日本 </meta>'))
        pull(Order(experiment="trial", formats=FORMATS, figures=("heatmap", "scatter")), project / "paper")
        return runs

    return once("a paper in every format", make), project / "paper"


def test_every_figure_says_its_run_in_every_format(pulled: tuple[list[str], Path]) -> None:
    (run_a, run_b, pair), folder = pulled
    suffixes: dict[str, set[str]] = {}
    for path in (folder / "figures").iterdir():
        about = provenance_of(path)
        assert about["text"] == 'a (text) \\ with "signs" ü 日本 </meta>'
        assert (about["experiment"], about["commit"], about["command"]) == ("trial", COMMIT, COMMAND)
        assert "n = 39" in about["caption"]
        specs = about.get("specs") or [about["spec"]]
        assert [spec["model"] for spec in specs] == about["models"]
        assert {"dtype", "bos", "context", "stride", "identity", "versions"} <= set(specs[0])
        suffixes.setdefault(about["run_id"], set()).add(path.name.rpartition("_")[2].partition(".")[2])
        assert about["again"].startswith(f"tokenviz redraw {about['run_id']} --figure ")
    assert suffixes == {run: {"png", "svg", "pdf", "html", "tex"} for run in (run_a, run_b, pair)}


def test_tables_and_numbers_say_their_runs(pulled: tuple[list[str], Path]) -> None:
    runs, folder = pulled
    for name in ("numbers.tex", "captions.tex", "tables/scores.tex", "tables/comparisons.tex"):
        about = provenance_of(folder / name)
        assert sorted(about["runs"]) == sorted(runs)
        assert (about["commits"], about["commands"]) == ([COMMIT], [COMMAND])
        assert about["again"] == f"tokenviz pull trial --format {','.join(FORMATS)} --figure heatmap,scatter --to FOLDER"


def test_a_figure_of_a_notebook_says_what_it_shows(tmp_path: Path) -> None:
    paths = save_heatmap(make_scores([["A", " cat"]]), tmp_path / "own", formats=["png", "svg", "pdf", "html", "tex"])
    for path in paths:
        about = provenance_of(path)
        assert (about["figure"], about["measure"], about["models"], about["text"]) == (
            "heatmap",
            "logprob",
            ["model-a"],
            "text",
        )


def test_a_file_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    [path] = save_heatmap(make_scores([["A", " cat"]]), tmp_path / "own", formats=["pdf"])
    assert provenance_of(path.rename(tmp_path / "own.png"))["figure"] == "heatmap"


def test_line_ends_of_another_system_do_no_harm(tmp_path: Path) -> None:
    [path] = save_heatmap(make_scores([["A", " cat"]]), tmp_path / "own", formats=["tex"])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert provenance_of(path)["figure"] == "heatmap"


def test_a_picture_that_was_saved_anew_has_lost_it(tmp_path: Path) -> None:
    [path] = save_heatmap(make_scores([["A", " cat"]]), tmp_path / "own", formats=["png"])
    with Image.open(path) as image:
        image.convert("RGB").save(tmp_path / "anew.png")
    with pytest.raises(PaperError, match=r"another program rewrote it"):
        provenance_of(tmp_path / "anew.png")


def test_trace_prints_what_an_author_asks(pulled: tuple[list[str], Path], run: Run) -> None:
    (run_a, _, _), folder = pulled
    [path] = (folder / "figures").glob("*_a_heatmap.pdf")
    code, out, err = run("trace", str(path))
    assert (code, err) == (0, "")
    lines = dict(re.split(r" {2,}", line, maxsplit=1) for line in out.splitlines())
    assert lines["run"].startswith(f"{run_a} (fingerprint ")
    assert lines["model"] == "a"
    assert lines["commit"] == COMMIT
    assert lines["run made by"] == COMMAND
    assert lines["made again by"] == f"tokenviz redraw {run_a} --figure heatmap --format pdf --no-title"
    assert "dtype=float32" in lines["settings of a"]
    code, out, _ = run("trace", str(path), "--json")
    assert json.loads(out) == provenance_of(path)
