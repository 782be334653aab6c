"""An experiment that is ended while figures are drawn in processes beside it: a word, an exit code, nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from kept import look

import tokenviz as tv
from tokenviz.harness.deliveries import Deliveries, Drawers, _deaf_to_interrupts
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import damaged
from tokenviz.tracking.store import open_store

TEXTS = ["abcd" * times for times in range(1, 31)]
TRIAL = f"""from tokenviz import Grid, experiment, literal
from tokenviz.harness import deliveries

deliveries._MUCH = 0.0  # the figures of the third text are drawn in another process already


@experiment
def trial():
    grid = Grid(["first"], [literal(text) for text in {TEXTS}], top_k=2, formats=["png"])
    grid.score()
    return grid.summarise("Found.")
"""
WORDS = "error: interrupted; what was finished stays, and the same command goes on from there\n"


@pytest.fixture
def grid(project: Path) -> Path:
    make_bigram_folder(project / "first", BIGRAM_WEIGHTS)
    (project / "experiments" / "trial.py").write_text(TRIAL)
    return project


def start() -> "subprocess.Popen[str]":
    """The experiment, in a session of its own, as in a terminal."""
    command = [sys.executable, "-m", "tokenviz", "run", "trial"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def session(leader: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):  # gone meanwhile
            pass
    return found


def drawing(leader: int) -> list[psutil.Process]:
    found = []
    for process in session(leader):
        with suppress(psutil.NoSuchProcess):  # gone meanwhile
            if "loky.backend.popen_loky_posix" in process.cmdline():
                found.append(process)
    return found


def wait_for_drawing(process: "subprocess.Popen[str]") -> psutil.Process:
    """Wait until a process draws; return it."""
    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None, process.communicate(timeout=120)
        assert time.monotonic() < deadline
        for worker in drawing(process.pid):
            if worker.cpu_times().user > 0.5:  # it has imported what it needs
                return worker
        time.sleep(0.05)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a process that leaves none of its children behind, without lines of progress."""
    out, err = process.communicate(timeout=120)
    deadline = time.monotonic() + 5
    while session(process.pid):
        assert time.monotonic() < deadline, [child.cmdline() for child in session(process.pid)]
        time.sleep(0.1)
    return process.returncode, out, re.sub(r"^[\w /]+: \d+ of \d+ [a-z]+, \d+:\d\d:\d\d so far.*\n", "", err, flags=re.M)


def test_what_is_started_deaf_does_not_hear_interrupts_and_this_process_does() -> None:
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with _deaf_to_interrupts():
        deaf = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert deaf.stdout == "True\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_something_is_started_is_heard_afterwards(number: signal.Signals) -> None:
    started = []

    def interrupted() -> None:
        with _deaf_to_interrupts():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # as if another thread got it
            signal.raise_signal(number)
            started.append("all")

    before = signal.signal(number, signal.default_int_handler)  # a command's own would remember the interrupt
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert started == ["all"]


def test_what_is_left_to_draw_is_known_by_all_drawings_but_the_first_which_loads_fonts(project: Path) -> None:
    deliveries = Deliveries(Runs(open_store(), "trial", ""), Drawers(), expected=40)
    deliveries._seconds.append(9.0)
    assert deliveries._seconds_left() == 0
    deliveries._seconds += [0.5, 1.5]
    assert deliveries._seconds_left() == 40


@pytest.mark.slow
def test_processes_that_start_while_a_model_loads_end_with_the_command(grid: Path) -> None:
    make_bigram_folder(grid / "second", BIGRAM_WEIGHTS)
    trial = TRIAL.replace('["first"]', '["first", "second"]').replace("grid.score()", "grid.score(); grid.compare()")
    (grid / "experiments" / "trial.py").write_text(trial.replace("deliveries._MUCH = 0.0", "deliveries._MUCH = 1e9"))
    interrupted = start()
    deadline = time.monotonic() + 90
    while not drawing(interrupted.pid):
        assert interrupted.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(interrupted.pid, signal.SIGINT)
    assert ended(interrupted) == (130, "", WORDS)

    whole = start()
    os.kill(wait_for_drawing(whole).pid, signal.SIGKILL)
    assert ended(whole)[0] == 0
    kept = look(grid / "mlruns")
    assert kept.statuses == Counter(FINISHED=3 * len(TEXTS) + 1)
    assert Counter(map(len, kept.finished.values())) == {1: 3 * len(TEXTS) + 1}
    assert kept.outbox == []

    again = start()
    while again.poll() is None:
        assert not drawing(again.pid)  # nothing is left to compute, so nothing starts
        time.sleep(0.05)
    assert ended(again)[0] == 0


@pytest.mark.slow
def test_however_it_ends_while_figures_are_drawn_the_same_command_goes_on(grid: Path) -> None:
    interrupted = start()
    wait_for_drawing(interrupted)
    os.killpg(interrupted.pid, signal.SIGINT)
    assert ended(interrupted) == (130, "", WORDS)

    terminated = start()
    wait_for_drawing(terminated)
    os.killpg(terminated.pid, signal.SIGTERM)
    assert ended(terminated) == (130, "", WORDS)

    killed = start()
    wait_for_drawing(killed)
    os.kill(killed.pid, signal.SIGKILL)
    assert ended(killed)[:2] == (-9, "")

    last = start()
    os.kill(wait_for_drawing(last).pid, signal.SIGKILL)
    code, _, err = ended(last)
    assert code == 0, err
    note, *_ = err.splitlines()
    assert note == "a process that draws figures was ended from outside (out of memory?): they are drawn again"

    kept = look(grid / "mlruns")
    assert kept.statuses == Counter(FINISHED=len(TEXTS) + 1)
    assert Counter(map(len, kept.finished.values())) == {1: len(TEXTS) + 1}
    assert kept.outbox == []
    runs = [path.parent for path in (grid / "mlruns").rglob("checksums.sha256")]
    assert len(runs) == len(TEXTS) + 1
    assert [damaged(run, {}) for run in runs] == [[]] * len(runs)
    tables = [tv.TokenScores.load(path) for path in (grid / "mlruns").rglob("tokens.parquet")]
    assert len(tables) == len(TEXTS)
    for table in tables:
        model, text = tv.load_model(table.spec.model), next(text for text in TEXTS if tv.literal(text).name == table.text_name)
        np.testing.assert_array_equal(table.logprob, tv.score(model, text, top_k=2).logprob)
