"""The server of docs/server.md, set up with the commands of that page: PostgreSQL, files through the server, users."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg2
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder, make_two_models
from kept import look
from kills import draw_in_no_time
from run_records import filled, make_record
from servers import free_port, postgres, postgres_binaries, served

from tokenviz import Grid, literal
from tokenviz.base.errors import RefusedError
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import damaged
from tokenviz.tracking.store import open_store
from tokenviz.tracking.transfer import Imported, import_runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres_binaries() is None, reason="PostgreSQL is not installed"),
]
ROOT = Path(__file__).resolve().parents[2]
ADMIN = "the-first-password-of-admin"
SECRETS = (ADMIN, "the-password-of-the-database")
TRIAL = """from tokenviz import Grid, experiment, literal

@experiment
def trial():
    grid = Grid(["first"], [literal("abcd" * times) for times in range(1, 5)], top_k=2)
    grid.score()
    return grid.summarise("Found.")
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Shared:
    """A server as the page has it.

    Attributes:
        address: Of the server.
        blocks: The page's commands by heading, its folders and ports replaced by the test's.
        folder: In the place of /srv/mlflow.
        environment: In which the server's commands run.
    """

    address: str
    blocks: dict[str, list[str]]
    folder: Path
    environment: dict[str, str]


def code_blocks() -> dict[str, list[str]]:
    """What stands between fences on the page, by heading."""
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for section in page.split("\n## ")[1:]:
        found[section.partition("\n")[0]] = re.findall(r"^```\w+\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("srv")
    # Not among pytest's folders: PostgreSQL runs as another user, and each session of pytest closes their parent to others.
    with (
        tempfile.TemporaryDirectory(prefix="postgres-") as cluster,
        postgres(Path(cluster)) as (database_port, superuser),
    ):
        port = free_port()
        replaced = {
            "/srv/mlflow/venv/bin": str(Path(sys.executable).parent),
            "/srv/mlflow": str(folder),
            "5432": str(database_port),
            "5000": str(port),
            "sudo -u postgres ": "",
        }
        blocks = code_blocks()
        for texts in blocks.values():
            for old, new in replaced.items():
                texts[:] = [text.replace(old, new) for text in texts]
        environment = {**os.environ, **superuser, "PATH": f"{postgres_binaries()}:{os.environ['PATH']}"}
        install, *make = blocks["The database"][0].splitlines()
        assert "postgresql" in install
        subprocess.run(
            ["bash", "-ec", "\n".join(make)], input="the-password-of-the-database\n" * 2, text=True, env=environment,
            check=True, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _, rights, secrets, start = blocks["The server"]
        (folder / "auth.ini").write_text(rights)
        (folder / "secrets").write_text(secrets)
        (folder / "secrets").chmod(0o600)
        with served(["bash", "-ec", start], port, folder) as address:
            yield Shared(address, blocks, folder, environment)


def tokenviz(shared: Shared, user: str, password: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ, "MLFLOW_TRACKING_URI": shared.address, "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
    }  # fmt: skip
    command = [sys.executable, "-m", "tokenviz", "run", "trial"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def as_admin(shared: Shared, code: str) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": ADMIN}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_versions_of_the_page_are_those_that_are_tested() -> None:
    pinned = dict(re.findall(r"'([\w-]+)(?:\[auth\])?==([\d.]+)'", code_blocks()["The server"][0]))
    assert pinned == {"mlflow": version("mlflow"), "psycopg2-binary": version("psycopg2-binary")}


def test_a_grid_of_several_processes_on_a_shared_server(
    shared: Shared, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bigram_folder(project / "first", BIGRAM_WEIGHTS)
    (project / "experiments" / "trial.py").write_text(TRIAL)
    add = f"from mlflow.server.auth.client import AuthServiceClient as A; A({shared.address!r}).create_user"
    as_admin(shared, f"{add}('ann', 'password of ann')")
    as_admin(shared, f"{add}('eve', 'password of eve')")

    workers = [tokenviz(shared, "ann", "password of ann") for _ in range(3)]
    ended = [(*worker.communicate(timeout=300), worker.returncode) for worker in workers]
    assert [error for _, error, code in ended if code != 0] == []

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)
    from mlflow import MlflowClient

    client = MlflowClient(shared.address)
    experiment = client.get_experiment_by_name("trial").experiment_id
    runs = client.search_runs([experiment])
    assert Counter(run.info.status for run in runs) == {"FINISHED": 5}
    assert Counter(Counter(run.data.tags["tokenviz.fingerprint"] for run in runs).values()) == {1: 5}
    assert {run.info.artifact_uri.partition(":")[0] for run in runs} == {"mlflow-artifacts"}
    models = client.search_logged_models([experiment])
    scored = [run.info.run_id for run in runs if run.data.tags["tokenviz.kind"] == "score"]
    assert [(model.name, model.status) for model in models] == [("first", "READY")]
    assert sorted(point.run_id for point in models[0].metrics) == sorted(scored)
    assert len(scored) > 1
    for run in runs:
        copy = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path / run.info.run_id)))
        assert damaged(copy, {}) == []
        assert {path.name for path in copy.rglob("*.csv")} & {"tokens.csv", "scores.csv"}
    assert list((project / "mlruns" / "outbox").glob("*/*/*")) == []

    # The page's own lines give somebody else the right to go on with the experiment.
    as_admin(shared, shared.blocks["Users"][0])
    others = [tokenviz(shared, "anna", "a password of at least 12 characters"), tokenviz(shared, "eve", "password of eve")]
    others += [tokenviz(shared, "ann", "not hers")]
    said = [(worker.communicate(timeout=300)[1], worker.returncode) for worker in others]
    assert said[0][1] == 0
    assert said[0][0].startswith("4 of 4 runs were finished already and were not computed again")
    assert said[1] == (
        f"error: the tracking store {shared.address!r} failed: HTTP 403: this user may not write the experiment 'trial'; have "
        "its owner give the permission EDIT, or use other credentials\n",
        1,
    )
    refused = (
        f"error: the tracking server {shared.address!r} refuses these credentials (HTTP 401): set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN\n"
    )
    assert said[2] == (refused, 1)
    assert len(client.search_runs([experiment])) == 5


def connect(shared: Shared) -> Any:
    there = {name.removeprefix("PG").lower(): shared.environment[name] for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD")}
    return closing(psycopg2.connect(dbname="mlflow", **there))


def call_while_another_adds(shared: Shared, table: str, row: dict[str, object], call: Callable[[], T]) -> T:
    """Call while another process has added a row, not yet committed: the server's own insert waits for that, and then fails."""
    places = ", ".join(["%s"] * len(row))
    with connect(shared) as other, ThreadPoolExecutor(1) as thread:
        other.cursor().execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", tuple(row.values()))
        called = thread.submit(call)
        with connect(shared) as looking, looking.cursor() as cursor:
            waiting: list[tuple[str]] = []
            while not waiting and not called.done():
                time.sleep(0.05)
                cursor.execute("SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                waiting = cursor.fetchall()
                looking.rollback()
        assert f"INSERT INTO {table} " in str(waiting)
        other.commit()
        return called.result(timeout=60)


@pytest.fixture
def as_administrator(shared: Shared, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared.address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)


@pytest.mark.usefixtures("as_administrator")
def test_a_tag_that_another_process_sets_at_the_same_moment(shared: Shared) -> None:
    runs = Runs(open_store(), "at once", "What is asked.")
    experiment = runs.try_experiment_id()
    row = {"key": "a view", "value": "of the other", "experiment_id": experiment}
    call_while_another_adds(shared, "experiment_tags", row, lambda: runs.offer({"a view": "of this one"}))
    assert runs.client.get_experiment(experiment).tags["a view"] == "of this one"


@pytest.mark.usefixtures("as_administrator")
def test_a_text_that_another_process_names_at_the_same_moment(shared: Shared) -> None:
    runs = Runs(open_store(), "at once", "What is asked.")
    text = {"name": "a text", "digest": "d", "source_type": "local", "source": "s"}
    row = {"dataset_uuid": "u", "experiment_id": runs.try_experiment_id(), "name": "a text", "digest": "d"}
    row |= {"dataset_source_type": "local", "dataset_source": "s"}
    run_id = call_while_another_adds(
        shared, "datasets", row, lambda: runs.keep("f", filled(make_record("f", dataset=text, experiment="at once")))
    )
    run = runs.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["a text"]


def test_an_experiment_that_another_process_of_this_user_is_just_making(
    shared: Shared, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = f"from mlflow.server.auth.client import AuthServiceClient as A; A({shared.address!r}).create_user"
    as_admin(shared, f"{add}('bob', 'password of bob')")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared.address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "password of bob")
    runs = Runs(open_store(), "new", "What is asked.")
    asked = threading.Event()
    is_new = runs._is_new
    monkeypatch.setattr(runs, "_is_new", lambda: asked.set() or is_new())
    experiment = runs.try_experiment_id()
    with connect(shared) as database, ThreadPoolExecutor(1) as thread:
        # The experiment is there, and the right of its maker to write it not yet.
        granted = "FROM role_permissions WHERE resource_pattern = %s"
        database.cursor().execute(f"CREATE TEMPORARY TABLE later AS SELECT * {granted}", (experiment,))
        database.cursor().execute(f"DELETE {granted}", (experiment,))
        database.commit()
        begun = thread.submit(runs.begin)
        assert asked.wait(timeout=60)
        database.cursor().execute("INSERT INTO role_permissions SELECT * FROM later")
        database.commit()
        begun.result(timeout=60)
        # A right that never comes is not waited for without end, also where the server's clock is ahead.
        database.cursor().execute(f"DELETE {granted}", (experiment,))
        database.commit()
        monkeypatch.setattr("tokenviz.tracking.runs._GRANTED", 0.3)
        monkeypatch.setattr(runs, "_is_new", lambda: True)
        with pytest.raises(RefusedError, match="this user may not write the experiment 'new'"):
            runs.begin()
    assert runs.client.get_experiment(experiment).tags["mlflow.note.content"] == "What is asked."


def test_runs_are_copied_to_the_server_and_back(
    shared: Shared, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_in_no_time(monkeypatch)
    make_two_models(project)
    with running(ExperimentContext("copied", "What is asked.")):
        grid = Grid(["first", "second"], [literal("abcdabcd")], top_k=2)
        grid.score()
        grid.compare()
        grid.summarise("Found.")
    expected = look(project / "mlruns", "copied")
    environment = {**os.environ, "MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": ADMIN}
    lines = shared.blocks["Copying runs between stores"][0].replace("https://tracking.example.org", shared.address)
    there = f"{lines}MLFLOW_TRACKING_URI={shared.address} tokenviz runs export back --experiment copied\n"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", there * 2], env={**environment, "PATH": path}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "4 runs of mlruns in copies",
        f"4 runs imported into {shared.address}; 0 were there already",
        f"4 runs of {shared.address} in back",
        "4 runs of mlruns in copies",
        f"0 runs imported into {shared.address}; 4 were there already",
        f"4 runs of {shared.address} in back",
    ]
    third = project / "third"
    (third / "experiments").mkdir(parents=True)
    monkeypatch.chdir(third)
    assert import_runs(open_store(), project / "back") == Imported(4, 0, ())
    assert look(third / "mlruns", "copied").content == expected.content


def test_the_server_answers_to_its_own_names_only(shared: Shared) -> None:
    for host, status in (("tracking.example.org", 401), ("evil.example.org", 403)):
        request = urllib.request.Request(f"{shared.address}/api/2.0/mlflow/experiments/search", headers={"Host": host})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        with refused.value as answer:
            assert answer.code == status


def test_passwords_are_in_no_list_of_processes(shared: Shared) -> None:
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert any("basic-auth" in line for line in lines)
    assert [line for line in lines for secret in SECRETS if secret in line] == []


def test_the_backup_holds_database_and_files(shared: Shared) -> None:
    environment = {**shared.environment, "PGPASSWORD": "the-password-of-the-database"}
    subprocess.run(["bash", "-ec", shared.blocks["Backups"][0]], env=environment, check=True, timeout=120)
    listed = subprocess.run(
        ["pg_restore", "--list", shared.folder / "backup.dump"], env=environment, capture_output=True, text=True, check=True
    )
    assert "TABLE DATA public runs mlflow" in listed.stdout
    files = subprocess.run(
        ["tar", "-tf", shared.folder / "backup.tar"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert "tokens.parquet" in files
