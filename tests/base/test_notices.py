"""What a reader is told besides results: through logging in Python, once each on the command line, as lines in a log."""

import logging
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from nbclient import NotebookClient

import tokenviz as tv
from tokenviz.base import progress
from tokenviz.base.progress import Notice, collecting, note, shown, task, tell, warn
from tokenviz.data.texts import corpus
from tokenviz.harness.grid import Grid
from tokenviz.harness.session import ExperimentContext, running

NOWHERE = "http://127.0.0.1:9"


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)


def test_without_any_set_up_python_prints_warnings_and_keeps_information_back() -> None:
    done = python("from tokenviz.base.progress import note, warn\nnote('for information')\nwarn('a warning [of] \\x1b[31m')")
    assert (done.stdout, done.stderr) == ("", "a warning [of] ␛[31m\n")


def test_who_sets_logging_up_has_both_with_their_levels() -> None:
    set_up = "import logging\nlogging.basicConfig(level=logging.INFO)\nfrom tokenviz.base.progress import note, warn\n"
    assert python(f"{set_up}note('a')\nwarn('b')").stderr == "INFO:tokenviz:a\nWARNING:tokenviz:b\n"


@pytest.mark.slow
def test_importing_sets_no_logging_up() -> None:
    done = python("import logging, tokenviz.harness.grid\nlogger = logging.getLogger('tokenviz')\n"
                  "print(logger.handlers, logger.level, logging.root.handlers)")  # fmt: skip
    assert done.stdout == "[] 0 []\n"


def test_what_is_shown_is_said_once_whatever_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    with shown():
        for _ in range(2):
            note("for information")
            warn("a [bold]warning")
    assert capsys.readouterr().err == "for information\na [bold]warning\n"


def test_what_is_shown_is_not_said_by_the_users_own_logging_as_well(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with shown():
        warn("one")
    warn("two")  # afterwards everything is as before
    assert [record.getMessage() for record in caplog.records] == ["two"]
    assert capsys.readouterr().err == "one\n"
    assert (logging.getLogger("tokenviz").level, logging.getLogger("tokenviz").handlers) == (logging.NOTSET, [])


def test_notices_of_another_process_keep_their_level(caplog: pytest.LogCaptureFixture) -> None:
    with collecting() as notices:
        note("a")
        warn("b")
        warn("b")
    assert notices == ["a", "b"]
    for notice in pickle.loads(pickle.dumps(notices)):
        tell(notice)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", "b")]
    assert not Notice("a").warning


# ---- a notebook ----------------------------------------------------------------------------------------------------

CELLS = [
    "import tokenviz as tv\nfrom tokenviz.harness.session import ExperimentContext, running",
    "with running(ExperimentContext('trial')):\n    grid = tv.Grid(['model'], [tv.literal('abcd', name='letters')], top_k=2)\n"
    "    runs = grid.score()\nruns",
    "tv.text_heatmap(tv.score(tv.load_model('model'), 'ab')).save('ab.png')\n"
    "from tokenviz.base.progress import note, warn\nnote('for information')\nwarn('last')",
]  # fmt: skip


def outputs(project: Path) -> list[dict[str, str]]:
    """What a notebook shows of each cell: by stream, and under "result" its last value."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(project)}}).execute()
    found = []
    for cell in notebook.cells:
        said: dict[str, str] = {}
        for output in cell.outputs:
            name = output.get("name", "result")
            said[name] = said.get(name, "") + (output.get("text") or output["data"]["text/plain"])
        found.append(said)
    return found


@pytest.fixture
def model(project: Path) -> Path:
    return make_bigram_folder(project / "model", BIGRAM_WEIGHTS)


@pytest.mark.slow
@pytest.mark.usefixtures("model")
def test_a_notebook_shows_that_a_server_is_away(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    first, grid, last = outputs(project)
    assert first == {}
    assert grid["stderr"].startswith(
        f"the tracking server '{NOWHERE}' cannot be used now (Connection refused): results wait in "
    )
    assert grid["stderr"].count("cannot be used now") == 1
    assert re.fullmatch(
        r"\[ScoreRun\('letters' by 'model': in no store yet, waits in '.*/outbox/.*' for 'tokenviz sync'\)\]", grid["result"]
    )
    assert last == {"stderr": "last\n"}


@pytest.mark.slow
@pytest.mark.usefixtures("model")
def test_a_notebook_shows_warnings_after_a_store_was_made(project: Path) -> None:
    _, grid, last = outputs(project)
    assert re.fullmatch(r"\[ScoreRun\('letters' by 'model': run [0-9a-f]{32}\)\]", grid["result"])
    assert "stderr" not in grid
    assert last == {"stderr": "last\n"}  # MLflow and its migrations set logging up for themselves


@pytest.mark.usefixtures("model")
def test_every_kind_of_run_says_what_it_is_of(project: Path) -> None:
    make_bigram_folder(project / "other", BIGRAM_WEIGHTS[::-1])
    with running(ExperimentContext("trial")):
        grid = Grid(["model", "other"], [tv.literal("abcdabcd", name="letters")], top_k=2)
        grid.score()
        (run,) = grid.compare()
    assert repr(run) == f"ComparisonRun('letters' by 'model' and 'other': run {run.run_id})"


# ---- a log ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines after tenths of seconds, where a user has them after tens of seconds."""
    monkeypatch.setattr(progress, "_FIRST_LINE", 0.2)
    monkeypatch.setattr(progress, "_NEXT_LINE", 0.2)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.usefixtures("hurried")
def test_long_work_says_what_how_far_and_how_long_yet(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(), task("scoring [all] pairs", 8, "pairs") as outer, task("one reads another", 2000, "tokens") as advance:
        outer(2)
        advance(1000)
        time.sleep(0.5)
    lines = lines_of(capsys)
    assert 1 <= len(lines) <= 2
    assert re.fullmatch(
        r"scoring \[all\] pairs: 2 of 8 pairs, 0:00:00 so far, about 0:00:01 to go; "
        r"one reads another: 1,000 of 2,000 tokens, 0:00:00 so far, about 0:00:00 to go",
        lines[0],
    )


@pytest.mark.usefixtures("hurried")
def test_long_work_says_what_it_can(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(), task("converting it", None, "steps"), task("downloading it", 3e8, "bytes") as advance:
        advance(1e8)
        time.sleep(0.3)
    assert lines_of(capsys)[0].startswith(
        "converting it: 0:00:00 so far; downloading it: 100 of 300 MB, 0:00:00 so far, about "
    )


@pytest.mark.usefixtures("hurried")
def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown():
        for _ in range(10):
            with task("drawing", 1, "figures") as advance:
                advance(1)
                time.sleep(0.05)
    assert lines_of(capsys) == []


def test_cutting_and_reading_report_all_they_do(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: dict[str, float] = {}

    @contextmanager
    def counting(description: str, total: float | None, unit: str) -> Iterator[Callable[[float], None]]:
        def advance(amount: float) -> None:
            done[description] = done.get(description, 0) + amount

        yield advance

    monkeypatch.setattr("tokenviz.scoring.windows.task", counting)
    monkeypatch.setattr("tokenviz.scoring.windows._STEP", 5)
    loaded = tv.load_model(str(model))
    tv.score(loaded, corpus(["abc", "ab", "dcba", "a"], name="letters"))
    assert done == {f"cutting letters into tokens of {loaded.label}": 10}


class _Terminal:
    is_terminal = True


@pytest.mark.usefixtures("hurried")
def test_a_terminal_has_bars_and_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    terminal: Any = _Terminal()
    with progress._lines_of(progress.Progress(disable=True), terminal):
        time.sleep(0.3)
    assert lines_of(capsys) == []
