"""The pages of grids as they are served: addresses, what a store lacks, and what is not let through."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from arithmetic import make_two_models
from flask import Flask
from flask.testing import FlaskClient
from kept_runs import TEXTS, run_grid
from kills import draw_in_no_time
from matplotlib.figure import Figure

import tokenviz as tv
from benchmarks.recording import Kept, keep, open_runs
from tokenviz.base.errors import StoreError
from tokenviz.figures.report.overview import pictures_in
from tokenviz.harness.experiments import print_result
from tokenviz.harness.grid import Grid
from tokenviz.harness.results import grid_link
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.pages.app import _first_page, add_pages, create_pages
from tokenviz.pages.grids import grids_of, overview_of
from tokenviz.tracking.store import Store, open_for_reading, open_store


@pytest.fixture
def models(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    draw_in_no_time(monkeypatch)
    return make_two_models(project)


def client() -> FlaskClient:
    return create_pages(open_for_reading()).test_client()


def test_the_newest_grid_is_first_and_each_cell_has_its_run(models: list[str]) -> None:
    run_grid(models[:1], experiment="older")
    result = run_grid(models, question="What is asked?\n\nAnd more.")
    browser = client()
    assert browser.get("/").headers["Location"] == "grids/"
    assert browser.get("/grids/").headers["Location"] == f"{result.grid}/"
    page = browser.get(f"/grids/{result.grid}/").text
    assert "<p>What is asked?</p>" in page
    assert re.findall(r'<li><a href="\.\./\w{12}/">(\w+), \d{4}-', page) == ["older"]
    overview = overview_of(open_for_reading(), grids_of(open_for_reading())[0])
    assert {cell.run_id for cell in overview.scores} == {run.run_id for run in result.scores}
    assert [(cell.a, cell.b, cell.text, cell.run_id, cell.r) for cell in overview.pairs] == [
        (run.a.model, run.b.model, run.a.text, run.run_id, run.metrics["pearson_r"]) for run in result.comparisons
    ]
    assert {cell.picture for cell in overview.scores} == set(pictures_in(page).values())
    assert all(len(cell.picture) == 96 for cell in overview.scores)


def test_the_page_among_the_summarys_files_has_the_same_cells(models: list[str], project: Path) -> None:
    result = run_grid(models)
    (page,) = project.glob("mlruns/artifacts/*/*/artifacts/overview.html")
    assert page.parent.parent.name == result.summary_run_id
    served = client().get(f"/grids/{result.grid}/").text
    assert pictures_in(page.read_text()) == pictures_in(served) != {}
    for run in (*result.scores, *result.comparisons):
        assert run.run_id in page.read_text()


def test_pictures_of_a_summary_without_a_page_are_drawn_from_the_tables(models: list[str], project: Path) -> None:
    result = run_grid(models)
    before = client().get(f"/grids/{result.grid}/").text
    (page,) = project.glob("mlruns/artifacts/*/*/artifacts/overview.html")
    page.unlink()
    assert pictures_in(client().get(f"/grids/{result.grid}/").text) == pictures_in(before)
    shutil.rmtree(project / "mlruns" / "artifacts" / result.experiment_id / result.scores[0].run_id)
    left = pictures_in(client().get(f"/grids/{result.grid}/").text)
    assert left.pop(result.scores[0].run_id) == ""
    assert left.items() < pictures_in(before).items()


def test_figures_are_served_as_documents_without_an_origin(models: list[str], project: Path) -> None:
    result = run_grid(models)
    figures = project / "mlruns/artifacts" / result.experiment_id / result.scores[0].run_id / "artifacts" / "figures"
    (figures / "heatmap.html").write_text("<p>a heatmap</p>")
    address = f"/grids/{result.grid}/runs/{result.scores[0].run_id}"
    browser = client()
    answer = browser.get(f"{address}/heatmap.html")
    assert (answer.status_code, answer.text) == (200, "<p>a heatmap</p>")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for page in (answer, browser.get(f"/grids/{result.grid}/")):
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox ")
        assert "allow-same-origin" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "{run}/nothing.html", "{run}/..%2Ftables%2Ftokens.csv", "{run}/tokens.parquet", "..%2F{run}/heatmap.html",
        "0123/heatmap.html", "{other}/heatmap.html",
    ],
)  # fmt: skip
def test_nothing_but_a_runs_figures_is_served(models: list[str], path: str) -> None:
    result = run_grid(models[:1])
    address = path.format(run=result.scores[0].run_id, other="0" * 32)
    answer = client().get(f"/grids/{result.grid}/runs/{address}")
    assert answer.status_code in (404, 503)
    assert "Traceback" not in answer.text


def test_a_grid_that_is_not_finished_shows_what_there_is(models: list[str]) -> None:
    with running(ExperimentContext("trial")):
        Grid(models, [tv.literal(text) for text in TEXTS], top_k=0).score()
    browser = client()
    page = browser.get(f"/grids/{browser.get('/grids/').headers['Location']}").text
    assert "This grid is not finished: here is what there is so far. Repeating its command goes on." in page
    assert len(pictures_in(page)) == 4
    (entry,) = grids_of(open_for_reading())
    assert entry.name.endswith(" (not finished)")


def test_a_benchmark_is_a_grid_of_one_run_and_has_no_summary_to_wait_for(project: Path) -> None:
    figure, frame = Figure(), pd.DataFrame({"n": [1]})
    with running(ExperimentContext("throughput", "How fast is it?")):
        run_id, _ = keep(Kept("throughput", "one case", {}, {"speed": 2.5}, frame, "", {}, figure), open_runs(), 1.7e9)
    (entry,) = grids_of(open_for_reading())
    assert re.fullmatch(r"throughput, 2023-11-\d\d \d\d:\d\d", entry.name)
    page = client().get(f"/grids/{entry.grid}/").text
    assert run_id in page
    assert "This grid is not finished" not in page


def test_a_grid_whose_runs_are_partly_gone_says_so(models: list[str]) -> None:
    result = run_grid(models)
    browser = client()
    assert "gone" not in browser.get(f"/grids/{result.grid}/").text
    gone = [result.scores[0].run_id, result.comparisons[1].run_id]
    for number, run_id in enumerate(gone, 1):
        open_store().client.delete_run(run_id)
        assert browser.get("/grids/").headers["Location"] == f"{result.grid}/"
        page = browser.get(f"/grids/{result.grid}/")
        assert page.status_code == 200
        said = (
            f"{number} of the grid&#39;s 6 runs {'is' if number == 1 else 'are'} gone. Repeating its command makes them again."
        )
        assert f'<p class="remark">{said}</p>' in page.text
        assert run_id not in page.text
    # Of one whose files alone are gone, the numbers are shown, and its figure is one line.
    shutil.rmtree(Path("mlruns", "artifacts", result.experiment_id, result.scores[1].run_id))
    assert result.scores[1].run_id in browser.get(f"/grids/{result.grid}/").text
    answer = browser.get(f"/grids/{result.grid}/runs/{result.scores[1].run_id}/heatmap.html")
    assert (answer.status_code, answer.text.count("\n")) == (404, 1)
    assert answer.text.startswith(f"run {result.scores[1].run_id} has lost its file 'figures/heatmap.html' (")


def test_mlflows_page_is_served_whatever_the_store_says(project: Path) -> None:
    index = project / "index.html"
    index.write_text("<html><head></head></html>")

    def failing() -> Store:
        raise StoreError("it fails")

    for store in (open_store, failing):
        page = _first_page(index, store).get_data(as_text=True)
        assert "mlflow.workflowType_v1" in page
        assert "[data-assistant-ui] { display: none !important }" in page


def test_a_store_without_runs_and_an_unknown_grid_are_one_line(models: list[str]) -> None:
    open_store()
    browser = client()
    assert browser.get("/grids/").text == (
        "No grid yet: run an experiment, such as make experiment, and load this page again.\n"
    )
    answer = browser.get("/grids/0123456789ab/")
    assert (answer.status_code, answer.text) == (
        404,
        "no grid '0123456789ab' in the store 'mlruns': 'tokenviz ui' prints the recent ones\n",
    )


def test_a_store_that_fails_is_not_taken_for_a_page_that_is_not_there() -> None:
    def failing() -> Store:
        raise StoreError("there is no grid of cells on this disk")

    app = Flask("pages")
    add_pages(app, "", failing, pages="")
    for address in ("/grids/", "/grids/0123456789ab/", f"/grids/0123456789ab/runs/{'0' * 32}/heatmap.html"):
        answer = app.test_client().get(address)
        assert (answer.status_code, answer.text) == (503, "there is no grid of cells on this disk\n")


def test_other_names_of_this_machine_are_refused(models: list[str]) -> None:
    open_store()
    assert client().get("/grids/", headers={"Host": "evil.example.org"}).status_code == 400
    assert client().get("/grids/", headers={"Host": "localhost:5000"}).status_code == 200


def test_a_grid_that_another_one_contains_keeps_its_own_runs(models: list[str]) -> None:
    small, large = run_grid(models[:1]), run_grid(models)
    store = open_for_reading()
    entries = {entry.grid: entry for entry in grids_of(store)}
    assert entries.keys() == {small.grid, large.grid}
    assert [len(overview_of(store, entries[one.grid]).scores) for one in (small, large)] == [2, 4]
    assert entries[small.grid].summary == small.summary_run_id


def test_the_printed_links_are_those_of_the_ui_that_runs(
    models: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from threading import Thread

    from werkzeug.serving import make_server

    from tokenviz.tracking.embedded import announce

    result = run_grid(models)
    assert grid_link(result) == f"http://127.0.0.1:5000/grids/{result.grid}/"
    store = open_for_reading()
    assert store.folder is not None
    with make_server("127.0.0.1", 0, create_pages(store), threaded=True) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        announce(store.folder, f"http://127.0.0.1:{server.port}")
        assert store.web_address == f"http://127.0.0.1:{server.port}"
        again = run_grid(models)
        assert grid_link(again) == f"http://127.0.0.1:{server.port}/grids/{result.grid}/"
        capsys.readouterr()
        print_result(again, as_json=False)
        assert re.findall(r"https?://[^/\s]+", capsys.readouterr().err) == [f"http://127.0.0.1:{server.port}"] * 4
        # A server of another store has taken the port.
        monkeypatch.setattr("tokenviz.pages.app.identity_of", lambda name: "another")
        assert store.web_address == "http://127.0.0.1:5000"
        server.shutdown()
    monkeypatch.undo()
    assert store.web_address == "http://127.0.0.1:5000"


@pytest.mark.parametrize("left", ["", "nonsense", "http://127.0.0.1:1", "file:///etc/passwd", "http://[", "\0"])
def test_what_a_ui_left_behind_leads_nowhere(models: list[str], left: str) -> None:
    store = open_store()
    assert store.folder is not None
    (store.folder / ".ui").write_text(left)
    assert store.web_address == "http://127.0.0.1:5000"
