"""`tokenviz runs export --html`: a grid as pages that need no server."""

import re
from pathlib import Path

import pytest
from arithmetic import make_two_models
from conftest import Run
from kept_runs import run_grid

from tokenviz.figures.report.overview import pictures_in
from tokenviz.harness.results import GridResult


@pytest.fixture
def result(project: Path, monkeypatch: pytest.MonkeyPatch) -> GridResult:
    monkeypatch.setattr("tokenviz.harness.grid.run_formats", lambda asked: ())
    monkeypatch.setattr("tokenviz.harness.kinds.comparison._FIGURES", ("heatmap",))
    make_two_models(project)
    return run_grid(["first", "second"], texts=["abcdabcd"], top_k=0)


def test_every_cell_has_its_figure(result: GridResult, run: Run, project: Path) -> None:
    code, out, err = run("runs", "export", "--html", "site")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"trial, [-\d]+ [:\d]+: 4 figures in site; open site/index.html\n", out)
    site = project / "site"
    page = (site / "index.html").read_text()
    for scored in result.scores:
        assert (site / "runs" / scored.run_id / "heatmap.html").is_file()
        assert len(pictures_in(page)[scored.run_id]) == 96
    assert (site / "runs" / result.comparisons[0].run_id / "report.html").is_file()
    tables = {path.name for path in (site / "tables").iterdir()}
    assert tables == {"scores.csv", "comparisons.csv"}
    assert all(f'href="tables/{name}"' in page for name in tables)
    # Nothing leads anywhere else: neither to a server nor to a place on this disk.
    assert not re.search(r"(href|src)=\"(https?:|/)", page)
    assert str(project) not in page


def test_a_figure_that_is_gone_or_changed_is_said_and_the_rest_written(result: GridResult, run: Run, project: Path) -> None:
    one, other = (project / "mlruns/artifacts" / result.experiment_id / run.run_id / "artifacts" for run in result.scores)
    (one / "figures" / "heatmap.html").write_text("another")
    code, out, err = run("runs", "export", "--html", "site", "--grid", result.grid)
    assert code == 1
    assert ": 3 figures in site;" in out
    assert err.startswith(f"the file 'figures/heatmap.html' of run {result.scores[0].run_id} (")
    assert "is not what was written" in err
    assert not (project / "site" / "runs" / result.scores[0].run_id / "heatmap.html").exists()
    assert (project / "site" / "runs" / result.scores[1].run_id / "heatmap.html").read_bytes() == (
        other / "figures" / "heatmap.html"
    ).read_bytes()


def test_what_is_there_already_stays(result: GridResult, run: Run, project: Path) -> None:
    (project / "site").mkdir()
    assert run("runs", "export", "--html", "site")[0] == 0  # an empty folder will do
    before = sorted(project.rglob("*"))
    code, out, err = run("runs", "export", "--html", "site")
    assert (code, out) == (1, "")
    assert err == "error: 'site' is there already and not empty: a site is written into a new folder\n"
    assert run("runs", "export", "--html", "site/index.html")[0] == 1
    assert sorted(project.rglob("*")) == before


def test_a_grid_that_is_not_there_is_one_line(result: GridResult, run: Run, project: Path) -> None:
    for arguments, words in (
        (["--grid", "0123456789ab"], "no grid '0123456789ab' in the store 'mlruns': 'tokenviz ui' prints the recent ones"),
        (["--experiment", "other"], "no grid of the experiment 'other' in the store 'mlruns'"),
    ):
        assert run("runs", "export", "--html", "site", *arguments) == (1, "", f"error: {words}\n")
    assert run("runs", "export", "site", "--grid", result.grid)[0] == 2
    assert run("runs", "export", "--html", "site", "--where", "r<1")[0] == 2
    assert not (project / "site").exists()


def test_a_site_that_cannot_be_written_leaves_nothing(result: GridResult, run: Run, project: Path) -> None:
    (project / "file").write_text("x")
    code, out, err = run("runs", "export", "--html", "file/site")
    assert (code, out) == (1, "")
    assert err.startswith("error: cannot write the site 'file/site': ")
    assert (project / "file").read_text() == "x"
