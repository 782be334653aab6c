"""Workers and drivers that are killed at random moments: nothing is lost, nothing is doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from kept import look
from test_ledger import EXPERIMENT, WORDS, assert_same_bits

import tokenviz as tv
from tokenviz.ledger.book import open_ledger
from tokenviz.ledger.results import cell_result
from tokenviz.texts import read_text

pytestmark = pytest.mark.slow

# Small parts in the driver; its workers cut as the ledger's header says.
COMMAND = "from tokenviz.scoring import parts; parts.PART_CHARACTERS = 400; from tokenviz.cli.app import main; main()"
KILLS = int(os.environ.get("TOKENVIZ_KILLS", "8"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "trial.py").write_text(EXPERIMENT)
    random.seed(3)
    passages = [" ".join(random.choices(WORDS[:14], k=random.randint(20, 90))) for _ in range(150)]
    (tmp_path / "words.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in passages))
    return tmp_path


def start(project: Path, *, workers: int = 2) -> "subprocess.Popen[str]":
    arguments = ["run", "trial", "--json", "--ledger", "shards", "--workers", str(workers), "--shard-bytes", "400"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], cwd=project, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def workers_of(project: Path) -> list[psutil.Process]:
    """The workers of a project's ledger, whoever started them."""
    address = str(project / "shards")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "work" in line and address in line:
            found.append(process)
    return found


def check(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One finished run of every fingerprint; every row once; the bits of a plain score."""
    kept = look(project / "mlruns")
    assert {name: len(runs) for name, runs in kept.finished.items()} == dict.fromkeys(kept.finished, 1)
    assert len(kept.finished) == 2
    assert kept.statuses == {"FINISHED": 2}
    ledger = open_ledger(str(project / "shards"))
    (cell,) = ledger.cells()
    monkeypatch.setattr("tokenviz.scoring.parts.PART_CHARACTERS", 400)
    text = read_text(project / "words.jsonl")
    expected = tv.score("glass-en", text, top_k=2)
    assert_same_bits(cell_result(ledger, cell, text).scores, expected)
    table = next((project / "mlruns").rglob("tokens.parquet"))
    recorded = tv.TokenScores.load(table)
    assert_same_bits(recorded, expected)
    pairs = np.stack([recorded.passage, recorded.position])
    assert len(np.unique(pairs, axis=1).T) == len(recorded)


def shards_done(project: Path) -> int:
    return len(list((project / "shards" / "results").glob("*/*")))


def wait_for_a_moment(project: Path, driver: "subprocess.Popen[str]", *, seconds: float, shards: int) -> None:
    """Wait so many seconds, but for no more than so many new shards: a fast machine is not done between two kills."""
    begun, done = time.monotonic(), shards_done(project)
    while driver.poll() is None and time.monotonic() < begun + seconds and shards_done(project) < done + shards:
        time.sleep(0.002)


def test_workers_killed_at_random_moments_lose_and_double_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    killed, commands = 0, 0
    driver = start(project)
    deadline = time.monotonic() + 400
    while killed < KILLS and time.monotonic() < deadline:
        # The first kills fall into the start of a worker, before its first shard.
        wait_for_a_moment(project, driver, seconds=chance.uniform(0.2, 5.0), shards=chance.randint(1, 4))
        if driver.poll() is not None:  # it may have finished, or given up: the same command goes on
            commands += 1
            if driver.returncode == 0:
                break
            driver.communicate()
            driver = start(project)
        running = workers_of(project)
        if running:
            chance.choice(running).kill()
            killed += 1
    out, err = driver.communicate(timeout=300)
    while driver.returncode == 1 and commands < 9:
        commands += 1
        driver = start(project)
        out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err
    assert json.loads(out)["missing"] == 0
    assert killed >= 5
    check(project, monkeypatch)


def test_a_killed_driver_costs_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = start(project)
    results = project / "shards" / "results"
    deadline = time.monotonic() + 120
    while not list(results.glob("*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.kill()
    driver.communicate()
    assert workers_of(project)  # they go on
    again = start(project)
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert json.loads(out)["missing"] == 0
    check(project, monkeypatch)


def test_two_drivers_at_once_do_the_work_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drivers = [start(project, workers=1) for _ in range(2)]
    said = [driver.communicate(timeout=300) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    assert len({json.loads(out)["scores"][0]["run_id"] for out, _ in said}) == 1
    check(project, monkeypatch)


def test_an_interrupted_driver_ends_its_workers(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = start(project)
    results = project / "shards" / "results"
    deadline = time.monotonic() + 120
    while not list(results.glob("*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert err.splitlines()[-1].endswith("interrupted; what was finished stays, and the same command goes on from there")
    assert workers_of(project) == []
    assert list((project / "shards" / "claims").glob("*/*")) == []
    again = start(project)
    assert again.communicate(timeout=300)
    assert again.returncode == 0
    check(project, monkeypatch)
