"""Stores of older versions, damaged ones and lost ones: told apart, left alone, and brought back when that is asked for."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from arithmetic import make_two_models
from conftest import Run
from run_records import filled, make_record

import tokenviz as tv
from tokenviz.base.errors import StoreError
from tokenviz.harness.rebuilding import record_from_files, rerun
from tokenviz.harness.results import GridResult
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.tracking.condition import examine
from tokenviz.tracking.embedded_runs import OwnRecord, read_record
from tokenviz.tracking.finding import find_runs
from tokenviz.tracking.inspection import inspect_store
from tokenviz.tracking.repairs import Rebuilt, _let_go, migrate, rebuild
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import open_for_reading, open_store

OLDER = "bf29a5ff90ea"  # the schema of MLflow 3.5
TABLES = (
    "experiments", "experiment_tags", "runs", "tags", "params", "metrics", "latest_metrics", "datasets", "inputs",
    "logged_models", "logged_model_params", "logged_model_tags", "logged_model_metrics",
)  # fmt: skip
DATASET = {"name": "a text", "digest": "0" * 36, "source_type": "text", "source": "{}", "profile": '{"characters": 4}'}


def no_files(folder: Path, known: object) -> OwnRecord | None:
    return None


def all_rows(database: Path, where: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything that a store says of runs; its own folder by a name."""
    with closing(sqlite3.connect(database)) as connection:
        found = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
    found["experiments"] = [row for row in found["experiments"] if row[1] != "Default"]

    def plain(value: object) -> object:
        return value.replace(str(where), "HERE") if isinstance(value, str) else value

    return {table: sorted((tuple(map(plain, row)) for row in rows), key=repr) for table, rows in found.items()}


@pytest.fixture
def store(project: Path) -> Path:
    """The folder of a store with runs of two experiments: finished, superseded, removed, closed as killed, in two grids."""
    opened = open_store()
    first, second = Runs(opened, "first", "What it asks."), Runs(opened, "an other: 'é' %", "")
    scored = {"dataset": DATASET, "params": {"model": "m", "dtype": None}, "metrics": {"bits_per_byte": 2.5}}
    kept = [first.keep(name, filled(make_record(name, experiment="first", **scored))) for name in "abc"]
    again = scored | {"replaces": True, "note": "[x](artifacts/tables/a.csv) \U0001f600\0"}
    first.keep("a", filled(make_record("a", experiment="first", started=1_700_000_000_001, **again)))
    second.keep("a", filled(make_record("a", experiment=second.name, curves={"c": [(i, -i / 3) for i in range(50)]})))
    found = first.find("b")
    assert found is not None
    first.join_grid(found, "g2")
    first.offer({"mlflow.sharedViewState.x": "{}"})
    first.keep("d", filled(make_record("d", experiment="first")))
    from tokenviz.tracking.finding import find_run, remove

    remove(opened, [find_run(kept[2], opened)])
    with closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    return project / "mlruns"


def drop(folder: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        (folder / f"mlflow.db{suffix}").unlink(missing_ok=True)


def cut(folder: Path, length: int) -> None:
    database = folder / "mlflow.db"
    database.write_bytes(database.read_bytes()[:length])


LOSSES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda folder: drop(folder, "", "-wal", "-shm"),
    "emptied": lambda folder: (drop(folder, "-wal", "-shm"), cut(folder, 0)),
    "emptied, with a log": lambda folder: (cut(folder, 0), (folder / "mlflow.db-wal").write_bytes(b"7" * 4000)),
    "cut": lambda folder: (drop(folder, "-wal", "-shm"), cut(folder, 400_000)),
    "cut, with a log": lambda folder: (cut(folder, 400_000), (folder / "mlflow.db-wal").write_bytes(b"7" * 4000)),
    "no header": lambda folder: (folder / "mlflow.db").write_bytes(b"?" * 100 + (folder / "mlflow.db").read_bytes()[100:]),
    "no schema": lambda folder: (folder / "mlflow.db").write_bytes(
        (folder / "mlflow.db").read_bytes()[:100] + bytes(20_000) + (folder / "mlflow.db").read_bytes()[20_100:]
    ),
    "a table is gone": lambda folder: execute(folder, "DROP TABLE params"),
}


def execute(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def contents(folder: Path) -> dict[Path, bytes]:
    """The database and its log; what SQLite puts next to them to read them is nobody's."""
    found = {path: path.read_bytes() for path in folder.glob("mlflow.db*") if not path.name.endswith("-shm")}
    return {path: content for path, content in found.items() if content or path.name == "mlflow.db"}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lost_or_damaged_database_is_said_left_alone_and_made_again(store: Path, run: Run, loss: str) -> None:
    before = all_rows(store / "mlflow.db", store)
    assert [len(rows) for table, rows in before.items() if table.startswith("logged")] == [1, 1, 2, 1]
    _let_go(store / "mlflow.db")
    LOSSES[loss](store)
    found = contents(store)
    for command in (["runs"], ["doctor"], ["ui", "--port", "5999"], ["runs", "show", "abcd"]):
        code, out, err = run(*command)
        assert code == 1
        said = out if command == ["doctor"] else err
        assert f"the store's database '{store}/mlflow.db' is " in said
        assert "runs are there" in said
        assert "tokenviz doctor --rebuild" in said
        assert "remove" not in said
    with pytest.raises(StoreError, match="--rebuild"):
        open_store()
    assert contents(store) == found
    assert run("doctor", "--rebuild")[0] == 0
    assert all_rows(store / "mlflow.db", store) == before
    aside = [path.read_bytes() for path in store.glob("mlflow.db.*") if not path.name.endswith(("-wal", "-shm"))]
    assert aside == [content for path, content in found.items() if path.name == "mlflow.db"]
    assert {check.state for check in inspect_store()} <= {"ok", "note"}
    runs = Runs(open_store(), "first", "")
    again = runs.find("a")
    assert again is not None
    assert runs.keep("a", filled(make_record("a", experiment="first"))) == again.run_id


def test_a_database_that_lost_its_latest_changes_gets_them_back(store: Path, run: Run) -> None:
    before = all_rows(store / "mlflow.db", store)
    (lost, open_one) = (one.run_id for one in find_runs("first")[:2])
    execute(store, *(f"DELETE FROM {table} WHERE run_uuid = '{lost}'" for table in ("runs", "tags", "params", "metrics")))
    execute(store, f"UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = '{open_one}'")
    execute(store, f"DELETE FROM metrics WHERE run_uuid = '{open_one}'")
    code, _, err = run("runs")
    assert code == 0
    assert err == (
        f"the database of '{store}' does not know 1 run whose files are there: 'tokenviz doctor' says what can be done\n"
    )
    assert "lost runs" in run("doctor")[1]
    assert run("doctor", "--rebuild")[:2] == (
        0,
        "2 runs put into the database again: 2 from their own records, 0 from what was left of the database, 0 from their "
        "tables and figures\n",
    )
    assert all_rows(store / "mlflow.db", store) == before
    assert list(store.glob("mlflow.db.*")) == []
    assert run("doctor", "--rebuild")[1].startswith("0 runs")


def test_nothing_that_cannot_be_read_is_called_ready(store: Path) -> None:
    """Cut anywhere, with the log or without: nothing is lost without a word."""
    runs = Runs(open_store(), "first", "")
    database, log = store / "mlflow.db", store / "mlflow.db-wal"
    runs.keep("late", filled(make_record("late", experiment="first")))
    whole, logged = database.read_bytes(), log.read_bytes()
    assert logged  # what was last written is in the log alone
    known = set(find_ids(database))
    chance = random.Random(5)
    lengths = [0, 1, 16, 99, 100, 4095, 4096, 4097, 400_000, len(whole) - 4096, len(whole) - 1]
    lengths += [chance.randrange(len(whole)) for _ in range(40)]
    place = store.parent / "place"
    place.mkdir()
    kinds = set()
    for length in lengths:
        for rest in (logged, None, logged[: chance.randrange(len(logged))]):
            for path in place.iterdir():
                path.unlink()
            (place / "mlflow.db").write_bytes(whole[:length])
            if rest is not None:
                (place / "mlflow.db-wal").write_bytes(rest)
            found = examine(place / "mlflow.db", store / "artifacts")
            kinds.add(found.kind)
            if found.kind == "ready":
                assert length >= len(whole) - 4096 * (rest == logged) or set(find_ids(place / "mlflow.db")) == known
            else:
                assert found.kind in ("damaged", "lost")
                assert "--rebuild" in found.message
    assert {"damaged", "lost"} <= kinds


def find_ids(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [run_id for (run_id,) in connection.execute("SELECT run_uuid FROM runs")]


def test_what_a_damaged_database_still_says_of_runs_without_a_record_is_used(store: Path) -> None:
    before = all_rows(store / "mlflow.db", store)
    records = list(store.glob("artifacts/*/*/run.json"))
    for path in records[:3]:
        path.unlink()
    execute(store, "DROP TABLE webhooks")  # no longer MLflow's
    done = rebuild(no_files)
    assert (done.from_records + done.from_database, done.from_files) == (len(records), 0)
    assert done.from_database == 3
    assert all_rows(store / "mlflow.db", store) == before


@pytest.mark.parametrize("spoiled", ["{", "{}", "changed", "of another run", "deep", "rows"])
def test_a_record_that_is_not_whole_is_not_believed(store: Path, spoiled: str) -> None:
    first, second, *_ = sorted(store.glob("artifacts/*/*/run.json"))
    content = json.loads(first.read_text())
    if spoiled == "changed":
        content["rows"]["runs"][0]["name"] = "another name"
    elif spoiled == "rows":
        content["rows"] = {"runs": 3}
    new = {"of another run": second.read_text(), "deep": "[" * 100_000, "{": "{", "{}": "{}"}.get(spoiled, json.dumps(content))
    first.write_text(new)
    assert read_record(first.parent) is None
    assert read_record(second.parent) is not None
    drop(store, "", "-wal", "-shm")
    done = rebuild(no_files)
    assert done.left == (f"{first.parent}: nothing in it says what run it is of",)
    assert done.count == len(list(store.glob("artifacts/*/*/run.json"))) - 1


def test_experiments_that_have_changed_places_are_told_apart_by_name(
    store: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss that nobody noticed, a new database gives old numbers to new experiments."""
    other = project / "other"
    (other / "experiments").mkdir(parents=True)
    monkeypatch.chdir(other)
    new = Runs(open_store(), "new", "")
    new.keep("n", filled(make_record("n", experiment="new", note="[x](artifacts/tables/a.csv)")))
    for folder in (store / "artifacts").glob("*/*"):
        shutil.copytree(folder, other / "mlruns" / "artifacts" / folder.parent.name / folder.name)
    rebuild(no_files)
    experiments = {run.experiment for run in find_runs(every=True)}
    assert experiments == {"first", "an other: 'é' %", "new"}
    found = next(run for run in find_runs("first") if run.tags.get("fingerprint") == "a")
    note = open_store().client.get_run(found.run_id).data.tags["mlflow.note.content"]
    assert f"#/experiments/{found.experiment_id}/runs/{found.run_id}/" in note
    assert found.experiment_id != "1"


def make_older(folder: Path, revision: str = OLDER) -> Path:
    """A store as an older MLflow leaves it, with one run."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    run_id = "1234" * 8
    files = folder / "artifacts" / "1" / run_id / "artifacts"
    files.mkdir(parents=True)
    (files / "a.csv").write_text("x\n")
    engine = create_engine(f"sqlite:///{folder / 'mlflow.db'}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(f"sqlite:///{folder / 'mlflow.db'}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    execute(
        folder,
        f"INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) VALUES (1, 'old', "
        f"'{folder}/artifacts/1', 'active')",
        "INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id) VALUES "
        f"('{run_id}', 'an old run', 'FINISHED', 1700000000000, 1700000060000, 'active', '{files}', 1)",
        f"INSERT INTO tags (key, value, run_uuid) VALUES ('tokenviz.kind', 'score', '{run_id}')",
        f"INSERT INTO params (key, value, run_uuid) VALUES ('model', 'gpt2', '{run_id}')",
    )
    return folder / "mlflow.db"


@pytest.mark.parametrize("revision", [OLDER, "4465047574b1"])
def test_a_store_of_an_older_mlflow_is_migrated_when_asked_and_kept_as_it_was(project: Path, run: Run, revision: str) -> None:
    database = make_older(project / "mlruns", revision)
    before = database.read_bytes()
    for command in (["runs"], ["runs", "show", "1234"], ["sync"], ["ui", "--port", "5999"], ["pull", "old", "--to", "paper"]):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert err.startswith(f"error: the store '{database}' was made by an older MLflow (schema {revision}); nothing was ")
        assert err.count("\n") == 1
    for refused in (open_store, open_for_reading, tv.load_runs, lambda: rebuild(no_files)):
        with pytest.raises(StoreError, match="'tokenviz doctor --migrate' copies it"):
            refused()
    assert database.read_bytes() == before
    code, out, _ = run("doctor", "--migrate")
    (kept,) = (project / "mlruns").glob("mlflow.db.before-migration-*")
    assert (code, out.splitlines()[-1].strip()) == (0, str(kept))
    assert kept.read_bytes() == before
    assert [one.name for one in find_runs()] == ["an old run"]
    assert read_record(project / "mlruns" / "artifacts" / "1" / ("1234" * 8)) is not None
    assert run("doctor", "--migrate")[0] == 1
    assert run("runs")[0] == 0


def test_a_migration_that_fails_leaves_everything_as_it_was(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = make_older(project / "mlruns")
    execute(project / "mlruns", "CREATE TABLE label_schemas (in_the_way INTEGER)")  # a later revision makes it
    before = database.read_bytes()
    with pytest.raises(StoreError, match=r"could not be migrated, and was left as it is: .*already exists"):
        migrate()
    assert database.read_bytes() == before


def test_another_applications_database_is_left_alone(store: Path, run: Run) -> None:
    drop(store, "", "-wal", "-shm")
    execute(
        store, "CREATE TABLE alembic_version (version_num TEXT)", "CREATE TABLE flights (number TEXT)",
        "INSERT INTO alembic_version VALUES ('0123')",
    )  # fmt: skip
    before = (store / "mlflow.db").read_bytes()
    message = (
        f"error: '{store}/mlflow.db' is the database of another application (tables alembic_version, flights); nothing was "
        "changed. Move it to where it belongs, then 'tokenviz doctor --rebuild' makes the store again from the files of 6 "
        "runs\n"
    )
    for command in (["runs"], ["sync"], ["doctor", "--rebuild"], ["doctor", "--migrate"]):
        assert run(*command) == (1, "", message)
    assert (store / "mlflow.db").read_bytes() == before


def test_what_reads_a_moved_store_finds_its_files_and_changes_nothing(
    store: Path, project: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    moved = project / "moved"
    moved.mkdir()
    shutil.move(store, moved / "mlruns")
    (moved / "experiments").mkdir()
    monkeypatch.chdir(moved)
    before = all_rows(moved / "mlruns" / "mlflow.db", store)
    found = find_runs("first")[0]
    assert run("runs")[0] == run("doctor")[0] == 0
    assert "tables/a.csv" in run("runs", "show", found.run_id)[1]
    assert run("runs", "export", "copies")[0] == 0
    assert (moved / "copies" / found.run_id / "files" / "tables" / "a.csv").is_file()
    assert all_rows(moved / "mlruns" / "mlflow.db", store) == before
    open_store()
    assert all_rows(moved / "mlruns" / "mlflow.db", moved / "mlruns") == before


def test_runs_of_a_version_without_records_get_them_before_new_ones_are_made(store: Path) -> None:
    def rows() -> dict[str, dict[str, object]]:
        found = {path.parent.name: read_record(path.parent) for path in store.glob("artifacts/*/*/run.json")}
        return {run_id: {**record.rows, "experiment_tags": None} for run_id, record in found.items() if record}

    records = rows()
    assert len(records) > 3
    for path in store.glob("artifacts/*/*/run.json"):
        path.unlink()
    find_runs()
    assert rows() == {}
    Runs(open_store(), "first", "What it asks.").begin()
    assert rows() == records


@pytest.mark.parametrize("lost", ["all", "the comparison"])
def test_runs_without_a_record_and_a_database_are_made_from_their_tables_and_figures(
    project: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    make_two_models(project)

    def made() -> GridResult:
        with running(ExperimentContext("trial", "What is asked.", {})):
            grid = tv.Grid(["first", "second"], [tv.literal("abcdabcdabcd")], top_k=2)
            grid.score()
            grid.compare()
            return grid.summarise("Found.")

    made()
    store = project / "mlruns"
    before = {run.run_id: run for run in find_runs("trial")}
    _let_go(store / "mlflow.db")
    for path in store.glob("artifacts/*/*/run.json"):
        if lost == "all" or before[path.parent.name].tags["kind"] == "comparison":
            path.unlink()
    if lost == "all":
        drop(store, "", "-wal", "-shm")
    else:
        (gone,) = (run_id for run_id, run in before.items() if run.tags["kind"] == lost.removeprefix("the "))
        execute(store, *(f"DELETE FROM {table} WHERE run_uuid = '{gone}'" for table in ("runs", "tags", "params", "metrics")))
    done = rebuild(record_from_files)
    after = {run.run_id: run for run in find_runs("trial")}
    assert done.from_files == (len(before) - 1 if lost == "all" else 1)  # the summary has drawn nothing
    for run_id, run in after.items():
        same = ("kind", "model", "model_a", "model_b", "text", "fingerprint", "table_sha256", "command")
        assert {name: run.tags.get(name) for name in same} == {name: before[run_id].tags.get(name) for name in same}
        told = {name: value for name, value in before[run_id].metrics.items() if not name.endswith("_seconds")}
        told.pop("tokens_per_second", None)
        assert {name: run.metrics[name] for name in told} == told
        lost_params = ("hardware_", "n_passages", "intervals", "undetermined", "comparison_version")
        params = {name: value for name, value in before[run_id].params.items() if not name.startswith(lost_params)}
        assert run.params.items() >= params.items()
    for run_id in after if lost == "all" else ():
        (recomputed,) = rerun(run_id, open_for_reading())
        assert recomputed.agrees(0)
    again = made()
    assert all(run.reused for run in (*again.scores, *again.comparisons))


def test_what_its_files_do_not_tell_of_a_run_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_two_models(project)
    (project / "pairs.csv").write_text("good,bad\nabcd,abca\nabab,abba\n")
    pairs = tv.read_pairs(project / "pairs.csv")
    for name in ("one", "two"):
        with running(ExperimentContext(name)):
            grid = tv.Grid(["first"], [pairs.text], top_k=0)
            grid.score()
    (decided,) = grid.decide(pairs)
    before = {run.run_id: run for run in find_runs()}
    store = project / "mlruns"
    _let_go(store / "mlflow.db")
    drop(store, "", "-wal", "-shm")
    for path in store.glob("artifacts/*/*/run.json"):
        path.unlink()
    (folder,) = store.glob(f"artifacts/*/{decided.run_id}")
    newer = (
        f"{folder}: its run.json is gone, and nothing else has the settings of a run of kind 'pairs': "
        f"repeat '{before[decided.run_id].tags['command']}'"
    )
    done = rebuild(record_from_files)
    assert (done.from_files, done.left) == (2, (newer,))
    restored = {run.run_id: run for run in find_runs()}
    assert {run_id: run.experiment for run_id, run in restored.items()} == {
        run_id: run.experiment for run_id, run in before.items() if run_id != decided.run_id
    }
    (scored,) = find_runs("one")
    (folder,) = store.glob(f"artifacts/*/{scored.run_id}")
    twin = Path(shutil.copytree(folder, folder.with_name("f" * 32)))
    (twin / "run.json").unlink()
    assert set(rebuild(record_from_files).left) == {newer, f"{twin}: it is the same as run {scored.run_id}, which is there"}


def test_there_must_be_something_to_make_a_database_from(project: Path) -> None:
    with pytest.raises(StoreError, match="there is no store in"):
        rebuild(no_files)
    open_store()
    with pytest.raises(StoreError, match="there are no runs' files in"):
        rebuild(no_files)
    with pytest.raises(StoreError, match="needs no migration"):
        migrate()


def test_a_server_is_neither_migrated_nor_rebuilt(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for repair, what in ((migrate, "migrate"), (lambda: rebuild(no_files), "rebuild")):
        with pytest.raises(StoreError, match=f"names a server, whose store tokenviz does not {what}"):
            repair()


def test_rebuilt_counts() -> None:
    assert Rebuilt(1, 2, 3, (), None).count == 6
