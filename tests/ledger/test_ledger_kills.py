"""Workers and drivers that are killed at random moments: nothing is lost, nothing is doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from kept import look
from ledgers import EXPERIMENT, WORDS
from tables import assert_same_bits

import tokenviz as tv
from tokenviz.data.texts import read_text
from tokenviz.ledger.book import open_ledger
from tokenviz.ledger.driver import cell_result

pytestmark = pytest.mark.slow

# Small parts in the driver; its workers cut as the ledger's header says.
COMMAND = "from tokenviz.scoring import windows; windows.PART_CHARACTERS = 400; from tokenviz.cli.app import main; main()"
KILLS = int(os.environ.get("TOKENVIZ_KILLS", "8"))
PATIENCE = 600  # seconds; a machine that has other work to do is slow, and none of these is a matter of speed


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "trial.py").write_text(EXPERIMENT)
    random.seed(3)
    # About a shard each, and more of them than are done while workers are killed: a fast machine is not done before.
    passages = [" ".join(random.choices(WORDS[:14], k=random.randint(20, 90))) for _ in range(max(150, 12 * KILLS))]
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
    monkeypatch.setattr("tokenviz.scoring.windows.PART_CHARACTERS", 400)
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


def children(driver: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The workers of a driver that run; quicker than a look at every process of the machine."""
    try:
        # One that was killed stays a zombie until its driver looks, and cannot be killed once more.
        return [one for one in psutil.Process(driver.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def held_at_the_first_shard(project: Path, driver: "subprocess.Popen[str]") -> Iterator[list[psutil.Process]]:
    """Stop the workers as soon as a shard is done, so that the work cannot end before its driver does."""
    deadline = time.monotonic() + PATIENCE
    while not shards_done(project):
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "no shard was done"
        time.sleep(0.005)
    workers = children(driver)
    for worker in workers:
        worker.suspend()
    try:
        assert workers
        ledger = open_ledger(str(project / "shards"))
        (cell,) = ledger.cells()
        assert len(ledger.done(cell)) < len(ledger.shards(cell.text_sha256))
        yield workers
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.resume()


def test_workers_killed_at_random_moments_lose_and_double_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    killed = 0
    driver = start(project)
    deadline = time.monotonic() + KILLS * PATIENCE / 8
    while killed < KILLS:
        # The first kills fall into the start of a worker, before its first shard.
        wait_for_a_moment(project, driver, seconds=chance.uniform(0.2, 5.0), shards=chance.randint(1, 4))
        if driver.poll() is not None:  # it gives up where worker after worker dies: the same command goes on
            out, err = driver.communicate()
            assert driver.returncode == 1, (killed, out, err)  # 0 would be done, with kills left
            driver = start(project)
        if running := children(driver):
            with suppress(psutil.NoSuchProcess):
                chance.choice(running).kill()
                killed += 1
        assert time.monotonic() < deadline, f"{killed} kills, {shards_done(project)} shards done"
    out, err = driver.communicate(timeout=PATIENCE)
    if driver.returncode == 1:  # of the kills before
        driver = start(project)
        out, err = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, err
    assert json.loads(out)["missing"] == 0
    check(project, monkeypatch)


def test_a_killed_driver_costs_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = start(project)
    with held_at_the_first_shard(project, driver) as workers:
        driver.kill()
        driver.communicate()
        assert {worker.pid for worker in workers} <= {worker.pid for worker in workers_of(project)}  # they go on
    again = start(project)
    out, err = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, err
    assert json.loads(out)["missing"] == 0
    check(project, monkeypatch)


def test_two_drivers_at_once_do_the_work_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drivers = [start(project, workers=1) for _ in range(2)]
    said = [driver.communicate(timeout=PATIENCE) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    assert len({json.loads(out)["scores"][0]["run_id"] for out, _ in said}) == 1
    check(project, monkeypatch)


def test_an_interrupted_driver_ends_its_workers(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = start(project)
    with held_at_the_first_shard(project, driver):
        driver.send_signal(signal.SIGINT)  # workers that were stopped end as soon as they go on
    _, err = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 130
    assert err.splitlines()[-1].endswith("interrupted; what was finished stays, and the same command goes on from there")
    assert workers_of(project) == []
    assert list((project / "shards" / "claims").glob("*/*")) == []
    again = start(project)
    assert again.communicate(timeout=PATIENCE)
    assert again.returncode == 0
    check(project, monkeypatch)


def test_a_shard_at_which_every_worker_is_killed_is_set_aside(project: Path) -> None:
    """As the system does with a process for which it has no memory."""
    (project / "words.jsonl").write_text(json.dumps({"text": " ".join(random.choices(WORDS[:14], k=20_000))}))
    driver = start(project, workers=1)
    killed: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    while driver.poll() is None and time.monotonic() < deadline:
        for claim in (project / "shards" / "claims").glob("*/*"):
            pid = int(claim.name.rsplit("-", 2)[-2])
            if pid in {child.pid for child in children(driver)} - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.005)
    _, err = driver.communicate(timeout=PATIENCE)
    assert len(killed) == 3
    assert driver.returncode == 1
    why = "3 workers were killed at it (the last by signal 9; out of memory?)"
    assert f"is set aside: {why}" in err
    assert err.splitlines()[-1] == f"error: no shard of 'words' could be scored by 'glass-en': {why}"
