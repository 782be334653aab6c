"""A store that may not be written, lies on a full disk, or was made by another version: one clear line, nothing lost."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import Run
from disks import read_only, small_disk
from run_records import filled, make_record

import tokenviz as tv
from tokenviz.base.errors import StoreError
from tokenviz.tracking.condition import _revisions
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import open_for_reading, open_store


@pytest.fixture
def kept(project: Path) -> str:
    return Runs(open_store(), "an experiment", "").keep("f", filled(make_record("f", tags={"kind": "score", "model": "a"})))


@pytest.fixture
def frozen(kept: str, project: Path) -> Iterator[str]:
    """A store with one run that may not be written."""
    with read_only(project / "mlruns"):
        yield kept


def test_a_store_that_may_not_be_written_is_read(frozen: str, run: Run, tmp_path: Path) -> None:
    assert list(tv.load_runs()["run_id"]) == [frozen]
    assert frozen[:8] in run("runs")[1]
    assert run("runs", "show", frozen)[0] == 0
    copies = tmp_path / "copies"
    assert run("runs", "export", str(copies))[:2] == (0, f"1 run of mlruns in {copies}\n")
    out = run("doctor")[1]
    assert "; read-only\n" in out
    assert "→ give yourself the right to write it, to run experiments\n" in out


def test_a_store_that_may_not_be_written_is_not(frozen: str, run: Run, project: Path) -> None:
    before = {path: path.read_bytes() for path in (project / "mlruns").rglob("*") if path.is_file()}
    code, out, err = run("runs", "remove", frozen, "--yes")
    assert (code, out) == (1, "")
    assert err == f"error: the store in '{project}/mlruns' may not be written: nothing was removed\n"
    with pytest.raises(StoreError, match=r"^cannot write the store in '.*': (Read-only file system|Permission denied)$"):
        open_store()
    assert {path: path.read_bytes() for path in (project / "mlruns").rglob("*") if path.is_file()} == before


def revisions() -> list[str]:
    """Of MLflow's schema, the newest first."""
    import mlflow.store.db_migrations
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(mlflow.store.db_migrations.__file__).parent))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]


def test_the_revisions_are_those_that_alembic_finds() -> None:
    assert (revisions()[0], frozenset(revisions())) == _revisions()


def test_a_store_without_a_table_that_reading_does_not_need_is_read_and_is_not_written(
    kept: str, run: Run, project: Path
) -> None:
    database = project / "mlruns" / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP TABLE webhook_events")
    before = database.read_bytes()
    assert kept[:8] in run("runs")[1]
    message = f"the store's database '{database}' is damaged (its table 'webhook_events' is missing); nothing was changed."
    code, out, err = run("runs", "remove", kept, "--yes")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")
    assert message in run("doctor")[1]
    assert run("doctor", "--quick")[0] == 0
    with pytest.raises(StoreError, match="is missing"):
        open_store()
    with pytest.raises(StoreError, match="is missing"):
        open_for_reading().client  # noqa: B018  that it is opened is the matter
    assert database.read_bytes() == before


@pytest.mark.parametrize("age", ["older", "newer"])
def test_a_store_of_another_version_is_one_line_and_stays_as_it_is(kept: str, run: Run, project: Path, age: str) -> None:
    database = project / "mlruns" / "mlflow.db"
    revision = revisions()[1] if age == "older" else "ffffffffffff"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    if age == "older":
        message = (
            f"the store '{database}' was made by an older MLflow (schema {revision}); nothing was changed. 'tokenviz doctor "
            f"--migrate' copies it and migrates it to MLflow {version('mlflow')}; the older MLflow can then open the copy only"
        )
    else:
        message = (
            f"the store '{database}' was made by a newer MLflow than {version('mlflow')} (schema {revision}); nothing was "
            "changed. Use it with the MLflow that made it, or a newer one"
        )
    for command in (["runs"], ["sync"], ["runs", "show", kept], ["rerun", kept]):
        assert run(*command) == (1, "", f"error: {message}\n")
    with read_only(project / "mlruns"), pytest.raises(StoreError) as refused:
        open_for_reading()
    assert str(refused.value) == message
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (revision,)


def test_a_torn_database_is_one_line(kept: str, run: Run, project: Path) -> None:
    database = project / "mlruns" / "mlflow.db"
    database.write_bytes(database.read_bytes()[:5000])
    code, out, err = run("runs")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: the store's database '{database}' is damaged (")
    assert "The files of 1 run are there: 'tokenviz doctor --rebuild'" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_disk_that_fills_up_anywhere_is_one_line_and_the_same_command_finishes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "12m") as disk:
        command = [sys.executable, Path(__file__).parents[1] / "support" / "full_disks.py", disk]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["wrong"] == {}
    assert (report["levels"], report["full"] > 15) == (20, True)
    assert 20 < report["finished"] < 80  # of four runs, at the levels together: it filled up before, between and after them
