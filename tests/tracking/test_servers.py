"""A tracking server that is down, hangs, is slow or dies half-way: scoring goes on, and nothing is lost or doubled."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from arithmetic import make_two_models
from kept import Kept, faults, look
from kills import draw_in_no_time
from matplotlib.figure import Figure
from servers import Proxy, at_random, mlflow_server

import tokenviz as tv
from tokenviz.base.errors import StoreError
from tokenviz.base.progress import collecting
from tokenviz.figures.report.overview import OVERVIEW
from tokenviz.harness.grid import Grid
from tokenviz.harness.results import GridResult
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.records.run import TOKENS_TABLE
from tokenviz.tracking.finding import fetch, files_of, find_runs
from tokenviz.tracking.store import open_store
from tokenviz.tracking.transfer import Synced, sync

pytestmark = pytest.mark.slow
TEXTS = ["abcdabcd", "ddccbbaa"]


@dataclass
class Place:
    """A project whose tracking server is behind a proxy.

    Attributes:
        project: The working directory.
        proxy: Between the two.
        served: The server's store.
        experiment: The name of this test's.
        notes: What the last grid said.
    """

    project: Path
    proxy: Proxy
    served: Path
    experiment: str
    notes: list[str]

    def run(self, texts: list[str] = TEXTS) -> GridResult:
        with collecting() as self.notes, running(ExperimentContext(self.experiment, "What is asked.")):
            grid = Grid(["first", "second"], [tv.literal(text) for text in texts], top_k=2)
            grid.score()
            grid.compare()
            return grid.summarise("Found.", figures={"overview": Figure})

    def kept(self) -> Kept:
        """What the server has, and what waits here."""
        kept = look(self.served, self.experiment)
        waiting = [str(path) for path in (self.project / "mlruns" / "outbox").glob("*/*") if path.name != "store.txt"]
        return replace(kept, outbox=waiting)

    def sync(self) -> Synced:
        return sync(open_store())

    def check(self, expected: Kept) -> None:
        """Every run is there once, and holds what it would hold without a server."""
        assert faults(expected, self.kept()) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder) as address:
        yield address, folder


@pytest.fixture
def place(
    server: tuple[str, Path], project: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    make_two_models(project)
    draw_in_no_time(monkeypatch)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")  # a busy machine may take a while
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    with Proxy(server[0]) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        yield Place(project, proxy, server[1], request.node.name, [])


@pytest.fixture
def expected(place: Place, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """What the grid leaves in an embedded store."""
    with monkeypatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI")
        place.run()
    return look(place.project / "mlruns", place.experiment)


def test_a_server_that_answers_gets_what_an_embedded_store_would(place: Place, expected: Kept) -> None:
    result = place.run()
    assert (result.waiting, place.notes) == (0, [])
    place.check(expected)
    assert expected.models == {"first": 1, "second": 1}
    assert place.run().summary_run_id == result.summary_run_id
    place.check(expected)


def test_a_server_that_is_down_gets_everything_later_once(place: Place, expected: Kept) -> None:
    place.proxy.stop()
    result = place.run()
    assert (result.waiting, result.experiment_id, result.summary_run_id) == (7, "", "")
    outbox = place.project / "mlruns" / "outbox"
    (note,) = place.notes
    assert note == (
        f"the tracking server {place.proxy.address!r} cannot be used now (Connection refused): results wait in {outbox} until "
        "it can, or 'tokenviz sync' delivers them"
    )
    with pytest.raises(StoreError, match=r"does not answer \(Connection refused\): nothing was delivered$"):
        place.sync()
    assert [run.run_id for run in place.run().scores] == [""] * 4  # what waits is not computed again
    assert len(place.kept().outbox) == 7
    place.proxy.listen()
    assert place.sync() == Synced(7, 0, (), 0, {})
    assert place.sync().delivered == 0
    # What the summary's page, tables and description lead to has its id now.
    store = open_store()
    summary, *cells = sorted(find_runs(place.experiment, store=store), key=lambda run: run.tags["kind"] != "summary")
    names = (OVERVIEW, "tables/scores.csv", "tables/comparisons.csv")
    page, *tables = [fetch(store, summary.run_id, name, place.project).read_text(encoding="utf-8") for name in names]
    assert f'"experiment_id":"{summary.experiment_id}"' in page
    assert all(f'"{run.run_id}"' in page for run in cells)
    for table, kind in zip(tables, ("score", "comparison"), strict=True):
        assert set(re.findall(r"[0-9a-f]{32}", table)) == {run.run_id for run in cells if run.tags["kind"] == kind}
    note = store.client.get_run(summary.run_id).data.tags["mlflow.note.content"]
    assert all(f"/runs/{run.run_id}/artifacts/figures/" in note for run in cells)
    assert "later:" not in "".join((page, *tables, note))
    again = place.run()
    assert all(run.reused for run in (*again.scores, *again.comparisons))
    assert again.summary_run_id == summary.run_id
    assert place.kept().statuses == {"FINISHED": 7}
    place.check(expected)


def test_a_grid_finds_what_waits_and_delivers_it(place: Place, expected: Kept) -> None:
    place.proxy.stop()
    place.run()
    place.proxy.listen()
    result = place.run()
    assert (result.waiting, place.notes) == (0, [])
    place.check(expected)


@pytest.mark.parametrize("texts", [TEXTS[:1], ["abcd" * times for times in range(1, 9)]], ids=["few", "many"])
def test_a_server_that_hangs_costs_the_same_for_any_number_of_cells(
    place: Place, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    place.proxy.fault = lambda method, path, number: "hang"
    result = place.run(texts)
    assert result.waiting == len(result.scores) + len(result.comparisons) + 1
    assert "cannot be used now (no answer within 1 s)" in place.notes[0]
    assert len(place.proxy.requests) <= 2  # asked at the start, and at most once more, after ten times as long


@pytest.mark.parametrize("fault", ["hang", "503", "cut", "drop"])
def test_a_server_that_fails_half_way_delays_nothing_for_long(
    place: Place, expected: Kept, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "hang":
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    place.proxy.fault = lambda method, path, number: fault if number >= 40 else ""
    begun = time.monotonic()
    result = place.run()
    took = time.monotonic() - begun
    assert 0 < result.waiting < 7
    assert took < 15
    assert len(place.proxy.faults) <= 4  # whatever is still to be delivered: the server is not asked again for each
    place.proxy.fault = lambda method, path, number: ""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    synced = place.sync()
    assert (synced.delivered, synced.complete) == (result.waiting, True)
    place.run()
    place.check(expected)


def test_a_server_that_is_back_soon_gets_all_in_the_same_grid(place: Place, expected: Kept) -> None:
    place.proxy.fault = lambda method, path, number: "drop" if 40 <= number < 42 else ""
    result = place.run()
    assert result.waiting == 0
    assert place.notes[1] == f"the tracking server {place.proxy.address!r} answers again"
    place.check(expected)


def test_answers_that_are_lost_double_nothing(place: Place, expected: Kept) -> None:
    lost: Counter[str] = Counter()

    def lose(method: str, path: str, number: int) -> str:
        """The first two answers of every kind of call that writes, and of the search."""
        kind = path if path.startswith("/api/2.0/mlflow/") else f"{method} artifact"
        lost[kind] += 1
        return "lose" if lost[kind] <= 2 and "search" not in kind else ""

    place.proxy.fault = lose
    for _ in range(8):
        place.run()
    place.proxy.fault = lambda method, path, number: ""
    place.sync()
    place.run()
    assert {"runs/create", "runs/log-batch", "runs/log-inputs", "runs/update", "experiments/create", "logged-models"} <= {
        kind.removeprefix("/api/2.0/mlflow/") for kind in lost
    }
    assert place.proxy.faults.count("lose") > 12
    place.check(expected)


@pytest.mark.parametrize("seed", range(4))
def test_faults_at_random_lose_and_double_nothing(place: Place, expected: Kept, seed: int) -> None:
    place.proxy.fault = at_random(seed, 0.15, ["503", "429", "cut", "lose", "drop", "slow"])
    while len(place.proxy.faults) < 15:
        place.run()
    place.proxy.fault = lambda method, path, number: ""
    place.sync()
    place.run()
    place.check(expected)


def test_scores_that_a_failing_server_does_not_give_back_are_computed_again(place: Place, expected: Kept) -> None:
    with running(ExperimentContext(place.experiment, "What is asked.")):
        Grid(["first", "second"], [tv.literal(text) for text in TEXTS], top_k=2).score()
    place.proxy.fault = lambda method, path, number: "cut" if method == "GET" and path.endswith("tokens.parquet") else ""
    result = place.run()
    assert (result.waiting, len(result.comparisons)) == (0, 2)
    failed = f"the tracking server {place.proxy.address!r} failed: IncompleteRead"
    assert place.notes[:4] == [
        f"{failed}: {run.text!r} is scored by {run.model!r} again" for run in sorted(result.scores, key=lambda run: run.text)
    ]
    place.check(expected)


def test_a_server_of_mlflow_2_gives_its_files(place: Place, expected: Kept) -> None:
    place.proxy.fault = lambda method, path, number: "404" if "/logged-models" in path else ""  # which MLflow 2 does not have
    (run, *_) = place.run().scores
    assert place.notes == []
    (asked,) = (path for _, path, _ in place.proxy.requests if "/logged-models" in path)
    assert asked.endswith("/logged-models/search")
    assert (place.kept().finished.keys(), place.kept().models) == (expected.finished.keys(), {})
    place.proxy.requests.clear()
    store = open_store()
    assert OVERVIEW not in files_of(store, run.run_id)
    assert TOKENS_TABLE in files_of(store, run.run_id)
    assert tv.load_scores(run.run_id).token_id.tolist() == run.scores.token_id.tolist()
    assert place.proxy.faults == []


def test_a_slow_server_is_waited_for(place: Place, expected: Kept) -> None:
    place.proxy.fault = lambda method, path, number: "slow" if number % 10 == 0 else ""
    assert place.run().waiting == 0
    place.check(expected)


def test_a_run_that_the_server_does_not_take_keeps_no_other_from_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[int] = []

    def refuse(method: str, path: str, number: int) -> str:
        if path.endswith("runs/log-inputs") and len(refused) < 2:  # also when it is asked once more
            refused.append(number)
            return "400"
        return ""

    place.proxy.fault = refuse
    result = place.run()
    # The comparison of the text and the summary name a run that is not there, and wait with it.
    assert (result.waiting, sum(not run.run_id for run in result.scores)) == (3, 1)
    (said,) = [note for note in place.notes if "HTTP 400" in note]
    assert said.endswith("until 'tokenviz sync' delivers it")
    assert place.sync() == Synced(3, 0, (), 0, {})


def test_a_failing_server_leaves_json_clean_and_the_last_word_right(place: Place) -> None:
    (place.project / "experiments" / "trial.py").write_text(
        "from tokenviz import Grid, experiment, literal\n\n@experiment\ndef trial():\n"
        "    grid = Grid(['first'], [literal('abcd')], top_k=2)\n    grid.score()\n    return grid.summarise('')\n"
    )
    place.proxy.stop()

    def tokenviz(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "tokenviz", *arguments], capture_output=True, text=True, check=False, timeout=120
        )

    done = tokenviz("run", "trial", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["waiting"] == 2
    assert "cannot be used now (Connection refused)" in done.stderr
    done = tokenviz("run", "trial")
    assert done.stderr.splitlines()[-1] == (
        "2 of 2 results wait in the outbox until the tracking server takes them: repeat the command, or 'tokenviz sync'"
    )
    place.proxy.listen()
    done = tokenviz("sync")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"2 results delivered to {place.proxy.address}\n", "")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("401", r"^the tracking server '.*' refuses these credentials \(HTTP 401\): set MLFLOW_TRACKING_USERNAME and "),
        (
            "404",
            r"^'.*', which MLFLOW_TRACKING_URI names, answers, but not as an MLflow server \(HTTP 404\): check the address",
        ),
    ],
)
def test_an_answer_that_will_not_change_ends_the_command_before_anything_is_computed(
    place: Place, status: str, message: str
) -> None:
    place.proxy.fault = lambda method, path, number: status
    with pytest.raises(StoreError, match=message):
        place.run()
    assert len(place.proxy.requests) == 1


def test_a_page_that_is_no_answer_of_mlflow_is_said(place: Place) -> None:
    place.proxy.fault = lambda method, path, number: "200"
    with pytest.raises(StoreError, match=r"answers, but not as an MLflow server"):
        place.run()


def test_a_file_is_called_lost_only_where_the_server_says_so(place: Place, tmp_path: Path) -> None:
    run = place.run().scores[0]
    asked: list[str] = []

    def drop(method: str, path: str, number: int) -> str:
        if "artifacts" in path:
            asked.append(path)
            return "drop"
        return ""

    with pytest.raises(StoreError, match=r"has lost its file 'tables/none\.csv'"):
        fetch(run.runs.store, run.run_id, "tables/none.csv", tmp_path)
    place.proxy.fault = drop
    with pytest.raises(StoreError, match=r"^the tracking server .* failed: "):
        fetch(run.runs.store, run.run_id, "tables/tokens.parquet", tmp_path)
    assert len(asked) >= 3
