"""The embedded store: made once, moved freely, refused when it is not ours to write."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from run_records import filled, make_record

from tokenviz.base.errors import StoreError
from tokenviz.tracking.condition import kept_open, reading, writing
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import Store, open_store


def log_one_run(store: Store, fingerprint: str = "f1") -> str:
    return Runs(store, "an experiment", "What it asks.").keep(fingerprint, filled(make_record(fingerprint)))


def artifacts(store: Store, run_id: str) -> list[str]:
    return [file.path for file in store.client.list_artifacts(run_id, "tables")]


def test_a_new_store_lies_in_mlruns_and_nowhere_else(project: Path) -> None:
    store = open_store()
    log_one_run(store)
    assert store.folder == project / "mlruns"
    assert {path.name for path in project.iterdir()} == {"experiments", "mlruns"}
    assert {"mlflow.db", "artifacts"} <= {path.name for path in (project / "mlruns").iterdir()}


def test_the_database_uses_write_ahead_logging(project: Path) -> None:
    open_store()
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_store_is_found_from_a_folder_below_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "notebooks").mkdir()
    monkeypatch.chdir(project / "notebooks")
    assert open_store().folder == project / "mlruns"


@pytest.mark.parametrize("keep_the_old", [True, False], ids=["copied", "moved"])
def test_a_store_works_in_another_folder(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, keep_the_old: bool
) -> None:
    run_id = log_one_run(open_store())
    elsewhere = tmp_path_factory.mktemp("else where") / "projet é"
    shutil.copytree(project, elsewhere)
    if not keep_the_old:
        shutil.rmtree(project / "mlruns")
    monkeypatch.chdir(elsewhere)
    store = open_store()
    assert artifacts(store, run_id) == ["tables/a.csv"]
    new = log_one_run(store, "f2")
    assert artifacts(store, new) == ["tables/a.csv"]
    assert (elsewhere / "mlruns" / "artifacts" / "1" / new / "artifacts" / "tables" / "a.csv").is_file()
    assert not (project / "mlruns" / "artifacts" / "1" / new).exists()


def test_a_location_that_is_not_ours_is_left_alone(project: Path) -> None:
    store = open_store()
    store.client.create_experiment("elsewhere", artifact_location="s3://bucket/artifacts/1")
    open_store()
    assert store.client.get_experiment_by_name("elsewhere").artifact_location == "s3://bucket/artifacts/1"


@pytest.mark.slow
def test_two_processes_may_make_the_store_at_once(project: Path) -> None:
    code = "from tokenviz.tracking.store import open_store; open_store().client.search_experiments()"
    workers = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(worker.communicate(timeout=120)[1], worker.returncode) for worker in workers] == [("", 0)] * 3


def test_a_store_of_another_version_is_refused_untouched(project: Path) -> None:
    open_store()
    database = project / "mlruns" / "mlflow.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(StoreError, match=r"was made by a newer MLflow than .*; nothing was changed"):
        open_store()
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("ffffffffffff",)


def test_a_file_that_is_no_database_is_refused_and_kept(project: Path) -> None:
    database = project / "mlruns" / "mlflow.db"
    database.parent.mkdir()
    database.write_text("not a database, but somebody's file")
    with pytest.raises(StoreError, match=r"mlflow\.db' is no database; nothing was changed\. Move it away to begin"):
        open_store()
    assert database.read_text() == "not a database, but somebody's file"


def test_a_file_in_the_place_of_the_folder_is_refused(project: Path) -> None:
    (project / "mlruns").write_text("")
    with pytest.raises(StoreError, match="cannot write the store"):
        open_store()


def test_a_deleted_experiment_is_restored(project: Path) -> None:
    store = open_store()
    first = Runs(store, "an experiment", "")
    store.client.delete_experiment(first.experiment_id)
    assert Runs(store, "an experiment", "").experiment_id == first.experiment_id


@pytest.mark.parametrize("name", ["a%41b", "a?b"])
def test_a_path_that_mlflow_would_misread_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name / "experiments").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(StoreError, match=r"it reads % and \? in a path as part of an address and writes elsewhere"):
        open_store()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_project_with_a_space_and_a_number_sign_in_its_name_stays_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "my proj #1 ü"
    (project / "experiments").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    log_one_run(open_store())
    assert (project / "mlruns" / "mlflow.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [project.name]


def test_a_connection_that_is_kept_does_not_stay_with_a_database_that_was_replaced(tmp_path: Path) -> None:
    database, new = tmp_path / "mlflow.db", tmp_path / "new.db"
    for path, number in ((database, 1), (new, 2)):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"CREATE TABLE numbers AS SELECT {number} AS number")
    with kept_open(database):
        with reading(database) as kept, writing(database) as same:
            assert same is kept
        new.replace(database)
        with writing(database) as connection:
            connection.execute("UPDATE numbers SET number = number + 1")
        with pytest.raises(sqlite3.OperationalError, match="no such table: words"), reading(database) as connection:
            connection.execute("SELECT * FROM words")
        with reading(database) as after:
            assert after is not connection
            assert after.execute("SELECT number FROM numbers").fetchone() == (3,)
        database.unlink()
        with pytest.raises(sqlite3.OperationalError, match="unable to open database file"), reading(database):
            pass
