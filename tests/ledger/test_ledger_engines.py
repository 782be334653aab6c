"""Slurm and Ray fill a ledger with the bits of one process: a real controller with one node, a real cluster on one machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from conftest import Run
from ledgers import SETTINGS, ledger_of, refused, small_parts, text, trial  # noqa: F401  fixtures
from slurm import slurm
from tables import assert_same_bits

import tokenviz as tv
from tokenviz.base.errors import LedgerError
from tokenviz.data.texts import Text
from tokenviz.ledger import driver
from tokenviz.ledger.book import Cell, Ledger, open_ledger
from tokenviz.ledger.claims import Beacon
from tokenviz.ledger.driver import cell_result, drive
from tokenviz.ledger.engines import engine_of
from tokenviz.ledger.engines import local as local_engine
from tokenviz.ledger.engines import ray as ray_engine
from tokenviz.ledger.engines import slurm as slurm_engine
from tokenviz.ledger.shard_scores import read_footer
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.scorer import score_to_file


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
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LedgerError, match=r"^the engine 'slurm' needs Slurm's commands \(sbatch, sinfo\) on this machine"):
        engine_of("slurm", workers=1)


def test_a_ray_worker_has_as_many_gpus_as_its_weights_need() -> None:
    gigabyte = 10**9
    assert ray_engine.gpus_for("m", 0, 80 * gigabyte, most=8) == 1
    assert ray_engine.gpus_for("m", 72 * gigabyte, 80 * gigabyte, most=8) == 1
    assert ray_engine.gpus_for("m", 140 * gigabyte, 80 * gigabyte, most=8) == 2
    assert ray_engine.gpus_for("m", 140 * gigabyte, 0, most=8) == 1  # no worker could say how large a GPU is
    with pytest.raises(LedgerError) as error:
        ray_engine.gpus_for("m", 810 * gigabyte, 80 * gigabyte, most=8)
    assert str(error.value) == (
        "the model 'm' has 810.0 GB of weights and needs 12 GPUs of 80.0 GB on one node, and no node of the Ray cluster has "
        "more than 8: take larger machines, or a smaller model or dtype"
    )


@pytest.mark.parametrize(
    ("visible", "workers", "given"),
    [(None, None, ["0", "1", "2", "3"]), (None, 2, ["0,1", "2,3"]), ("4,5,7", 1, ["4,5,7"]), ("4,5", 3, ["4", "5", "4"])],
)
def test_workers_of_this_machine_share_its_gpus(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, workers: int | None, given: list[str]
) -> None:
    monkeypatch.setattr(local_engine, "_gpus", lambda: 4 if visible is None else len(visible.split(",")))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    engine = engine_of("local", workers=workers)
    shared = [engine.devices(place) for place in range(engine._wanted)]
    assert shared == given


@pytest.mark.parametrize(
    ("limit", "minutes"), [("infinite", 1440), ("1-02:03:04", 1440), ("2:30:00", 150), ("30:00", 30), ("0:30", 1)]
)
def test_the_limit_of_a_partition_in_minutes(limit: str, minutes: int) -> None:
    assert slurm_engine._minutes(limit) == minutes


@pytest.fixture
def slurm_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put commands of Slurm's names on the path, of which sinfo is a given script."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))

    def says(script: str) -> None:
        for name in ("sinfo", "sbatch"):
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)

    return says


def test_a_job_of_slurm_fits_every_node_of_its_partition(slurm_says: Callable[[str], None]) -> None:
    slurm_says("printf 'main|1-00:00:00|64+|64000|(null)\\nmain|2:00:00|4|32000+|gpu:a100:4\\n'")
    engine = engine_of("slurm", workers=3)
    assert (engine._minutes, engine._cores, engine._gpu, engine.room()) == (120, 4, False, 32_000 << 20)
    slurm_says("echo 'gpu|infinite|64|512000|gpu:a100:4'")
    engine = engine_of("slurm", workers=None)
    assert (engine._minutes, engine._cores, engine._gpu, engine.room()) == (1440, 8, True, 0)


def test_what_slurm_does_not_have_or_answer_is_one_line(
    slurm_says: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused_with(message: str) -> None:
        with pytest.raises(LedgerError) as error:
            engine_of("slurm", workers=1)
        assert str(error.value) == message

    slurm_says("case $* in *%l*) ;; *) printf 'main\\nlong\\nmain\\n';; esac")
    refused_with("Slurm has no partition: it has long, main")
    monkeypatch.setenv("SBATCH_PARTITION", "gpu")
    refused_with("Slurm has no partition 'gpu' (SBATCH_PARTITION): it has long, main")
    slurm_says("echo 'slurm_load_partitions: Unable to contact' >&2; exit 1")
    refused_with("Slurm does not answer to 'sinfo': slurm_load_partitions: Unable to contact")


def test_the_manifest_of_the_documentation_is_one_of_a_ray_job() -> None:
    """By what KubeRay's definition of the resource (ray.io/v1) requires and knows; no test has a Kubernetes to run it."""
    page = (Path(tv.__file__).parents[1] / "docs" / "scaling.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    manifest = yaml.safe_load(block)
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    spec = manifest["spec"]
    assert set(spec) == {"entrypoint", "shutdownAfterJobFinishes", "rayClusterSpec"}
    assert spec["entrypoint"].split()[:2] == ["tokenviz", "run"]
    cluster = spec["rayClusterSpec"]
    assert set(cluster) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    pins = (Path(tv.__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8")
    assert f"ray=={cluster['rayVersion']}\n" in pins
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    (workers,) = cluster["workerGroupSpecs"]
    required = {"groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    assert set(workers) == {*required, "replicas"}
    assert 0 <= workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (cluster["headGroupSpec"], workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert set(group["template"]["spec"]) == {"serviceAccountName", "containers"}
        (container,) = group["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= set(container) <= {"name", "image", "env", "resources"}
        assert all(set(one) == {"name", "value"} and isinstance(one["value"], str) for one in container.get("env", []))
        assert set(container["resources"]) == {"limits"}
        for quantity in container["resources"]["limits"].values():
            assert re.fullmatch(r"[0-9]+([KMGT]i?|m)?", str(quantity))
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


@contextmanager
def held(ledger: Ledger, cell: Cell, *, until: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
    """Do something to the workers once three shards are done, and until then keep half of the shards from them.

    They are claimed by a worker that does nothing, so that no machine is so fast that all is done before.
    """
    shards = sorted({shard.sha256 for shard in ledger.shards(cell.text_sha256)})
    with Beacon(ledger.storage) as beacon:
        claims = [f"claims/{cell.fingerprint}/{shard}.{beacon.name}" for shard in shards[len(shards) // 2 :]]
        for claim in claims:
            ledger.storage.replace(claim, json.dumps(beacon._about).encode())
        ended = threading.Event()

        def wait() -> None:
            try:
                while not ended.wait(0.05) and not until():
                    if len(ledger.done(cell)) >= 3:
                        act()
            finally:  # also where the act fails: the driver would wait for ever
                for claim in claims:
                    ledger.storage.remove(claim)

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
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
    requeued: list[str] = []

    def requeue() -> None:
        """Put a running job back into the queue once the first shards are done, as preemption does."""
        asked = ["squeue", "-h", "-r", "-t", "R", "-o", "%i"]
        running = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
        # A job may end meanwhile; there will be another.
        if running and subprocess.run(["scontrol", "requeue", running[0]], check=False).returncode == 0:
            requeued.append(running[0])

    with held(ledger, cell, until=lambda: bool(requeued), act=requeue):
        drive(ledger, [cell], engine_of("slurm", workers=2))
    assert requeued
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout.strip() == ""


@pytest.fixture
def ray_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Three nodes of one core each on this machine."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
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
        ray_cluster.remove_node(ray_cluster.workers[0], allow_graceful=False)
        killed.append(True)

    with held(ledger, cell, until=lambda: bool(killed), act=kill):
        drive(ledger, [cell], engine_of("ray", workers=2))
    assert killed
    assert_same_bits(cell_result(ledger, cell, text).scores, tv.score(glass, text, **SETTINGS))


DRIVE = """
import sys
from tokenviz.ledger.book import open_ledger
from tokenviz.ledger.driver import drive
from tokenviz.ledger.engines import engine_of

ledger = open_ledger(sys.argv[1])
drive(ledger, ledger.cells(), engine_of(sys.argv[2], workers=2))
"""


def left_half_done(ledger: Ledger, cell: Cell, engine: str, most: int) -> int:
    """Have an engine do some of so many shards until its driver, with the workers that are its children, is killed."""
    shards = list(dict.fromkeys(shard.sha256 for shard in ledger.shards(cell.text_sha256)))
    before = len(ledger.done(cell))
    with Beacon(ledger.storage) as beacon:  # keeps the rest from the workers
        claims = [f"claims/{cell.fingerprint}/{shard}.{beacon.name}" for shard in shards[most:]]
        for claim in claims:
            ledger.storage.replace(claim, json.dumps(beacon._about).encode())
        driver = psutil.Popen([sys.executable, "-c", DRIVE, ledger.address, engine], stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 600
            while len(ledger.done(cell)) < before + 3:
                assert driver.poll() is None, driver.communicate()
                assert time.monotonic() < deadline, f"{engine} did no shard"
                time.sleep(0.05)
        finally:
            for process in (driver, *driver.children(recursive=True)) if driver.is_running() else ():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            driver.communicate()
            for claim in claims:
                ledger.storage.remove(claim)
    return len(ledger.done(cell))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_half_done_ledger_is_copied_and_finished_by_another_engine(
    glass: LoadedModel, ledger_of, text: Text, tmp_path: Path, ray_cluster: Any, cluster: Path
) -> None:
    ledger, (cell,) = ledger_of("glass-en")
    n_shards = len({shard.sha256 for shard in ledger.shards(cell.text_sha256)})
    done = 0
    for number, engine in enumerate(("local", "ray")):
        before, done = done, left_half_done(ledger, cell, engine, most=n_shards * (number + 1) // 3)
        assert before < done < n_shards
        there = tmp_path / f"after-{engine}"
        shutil.copytree(ledger.address, there)
        ledger = open_ledger(str(there))
        assert len(ledger.done(cell)) >= done
    drive(ledger, [cell], engine_of("slurm", workers=2))
    score_to_file(glass, text, tmp_path / "one.parquet", **SETTINGS)
    found, expected = cell_result(ledger, cell, text).scores, tv.TokenScores.load(tmp_path / "one.parquet")
    assert found is not None
    assert_same_bits(found, expected)
    workers = {read_footer(ledger, cell, shard).worker for shard in ledger.done(cell)}
    assert len(workers) >= 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_ray_at_the_address_is_said_before_anything_is_started(
    run: Run, trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
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
