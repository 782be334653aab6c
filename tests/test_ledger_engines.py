"""Slurm and Ray fill a ledger with the bits of one process: a real controller with one node, a real cluster on one machine."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from slurm import slurm
from test_ledger import SETTINGS, assert_same_bits, ledger_of, refused, small_parts, text, trial  # noqa: F401  fixtures

import tokenviz as tv
from tokenviz.errors import LedgerError
from tokenviz.ledger import driver
from tokenviz.ledger.driver import drive
from tokenviz.ledger.engines import engine_of
from tokenviz.ledger.engines import slurm as slurm_engine
from tokenviz.ledger.results import cell_result
from tokenviz.models.loading import LoadedModel
from tokenviz.texts import Text


@pytest.mark.parametrize(("engine", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_names_its_extra(
    run: Run,
    trial: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    package: str,
) -> None:
    monkeypatch.setattr(f"tokenviz.ledger.engines.{engine}.find_spec", lambda name: None)
    said = refused(run, "run", "shard_trial", "--ledger", "shards", "--engine", engine)
    assert said == (
        f"the engine {engine!r} needs the package {package}, which is not installed: pip install 'tokenviz-harness[{engine}]'"
    )
    assert not (trial / "shards").exists()


def test_without_slurm_on_this_machine_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LedgerError, match=r"^the engine 'slurm' needs Slurm's commands \(sbatch, sinfo\) on this machine"):
        engine_of("slurm", workers=1)


@pytest.mark.parametrize(
    ("limit", "minutes"), [("infinite", 1440), ("1-02:03:04", 1440), ("2:30:00", 150), ("30:00", 30), ("0:30", 1)]
)
def test_the_limit_of_a_partition_in_minutes(limit: str, minutes: int) -> None:
    assert slurm_engine._minutes(limit) == minutes


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pytest.importorskip("submitit")
    for name in [name for name in os.environ if name.startswith(("SBATCH_", "SLURM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(driver, "_POLL", 0.3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with slurm(tmp_path / "slurm") as config:
        monkeypatch.setenv("SLURM_CONF", str(config))
        yield config


@pytest.mark.slow
def test_slurm_fills_a_ledger_also_when_its_jobs_are_requeued(
    glass: LoadedModel,
    ledger_of,
    text: Text,
    cluster: Path,
) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    requeued: list[int] = []

    def requeue() -> None:
        """Put a running job back into the queue once the first shards are done, as preemption does."""
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            if len(ledger.done(cell)) >= 3:
                names = subprocess.run(
                    ["squeue", "-h", "-r", "-t", "R", "-o", "%i"], capture_output=True, text=True, check=True
                ).stdout.split()
                requeued.append(subprocess.run(["scontrol", "requeue", names[0]], check=False).returncode if names else -1)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=requeue)
    thread.start()
    drive(ledger, [cell], engine_of("slurm", workers=2))
    thread.join()
    assert requeued == [0]
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout.strip() == ""


@pytest.fixture
def ray_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Three nodes of one core each on this machine."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(tv.__file__).parent.parent))
    monkeypatch.setattr(driver, "_POLL", 0.3)
    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "num_cpus": 0, "include_dashboard": False})
    try:
        cluster.workers = [cluster.add_node(**small) for _ in range(2)]
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, of files that it leaves open
def test_ray_fills_a_ledger_also_when_a_node_is_killed(glass: LoadedModel, ledger_of, text: Text, ray_cluster: Any) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    killed: list[bool] = []

    def kill() -> None:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and not killed:
            if len(ledger.done(cell)) >= 3:
                ray_cluster.remove_node(ray_cluster.workers[0], allow_graceful=False)
                killed.append(True)
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    drive(ledger, [cell], engine_of("ray", workers=2))
    thread.join()
    assert killed
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_ray_at_the_address_is_said_before_anything_is_started(
    run: Run, trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_gcs_server_request_timeout_seconds", "2")
    said = refused(run, "run", "shard_trial", "--ledger", "shards", "--engine", "ray")
    assert said.startswith("no Ray cluster at '127.0.0.1:1': start one with 'ray start --head', or set RAY_ADDRESS (")
    assert not (trial / "shards").exists()


@pytest.mark.slow
def test_a_slurm_without_the_partition_is_said_before_anything_is_started(
    run: Run,
    trial: Path,
    cluster: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "gpu")
    said = refused(run, "run", "shard_trial", "--ledger", "shards", "--engine", "slurm")
    assert said.startswith("Slurm ")
    assert "'gpu'" in said
    assert not (trial / "shards").exists()
