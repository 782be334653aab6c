"""Runs of an embedded store, as its database and their own records (`run.json`) have them."""

import json
import math
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenviz.base import disk
from tokenviz.base.errors import RefusedError, StoreError
from tokenviz.tracking.condition import reading, run_folders, writing
from tokenviz.tracking.embedded import sqlite_errors

# A run's own record: `run.json` next to the files of each run of an embedded store, with its content in the database.
#
# A lost database can be restored from these records. A record holds the rows of MLflow's tables unchanged, so that a restored
# run is equal in every field. MLflow has no such export for a store in a database.

RECORD = "run.json"
_FORMAT = 1
_OF_RUN = {  # the tables that hold a run, and the condition for its rows
    "experiments": "experiment_id = (SELECT experiment_id FROM runs WHERE run_uuid = ?)",
    "experiment_tags": "experiment_id = (SELECT experiment_id FROM runs WHERE run_uuid = ?)",
    "runs": "run_uuid = ?",
    "tags": "run_uuid = ?",
    "params": "run_uuid = ?",
    "metrics": "run_uuid = ?",
    "latest_metrics": "run_uuid = ?",
    "datasets": "dataset_uuid IN (SELECT source_id FROM inputs WHERE destination_id = ?)",
    "inputs": "destination_id = ?",
    "input_tags": "input_uuid IN (SELECT input_uuid FROM inputs WHERE destination_id = ?)",
}
_NOTE = "mlflow.note.content"
_SAME_DATASET = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?"
_IS_OURS = "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'tokenviz.kind' AND value != '')"

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class OwnRecord:
    """The content of a run in the database.

    Attributes:
        run_id: MLflow's id of the run.
        rows: Rows by table; each row is a mapping by column.
    """

    run_id: str
    rows: Rows

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment."""
        return str(self.rows["experiments"][0]["name"])

    @property
    def started(self) -> int:
        """Time of the start, in milliseconds since 1970."""
        return int(self.rows["runs"][0]["start_time"] or 0)

    @property
    def finished(self) -> bool:
        """Whether the run ended with status FINISHED."""
        return bool(self.rows["runs"][0]["status"] == "FINISHED")


def record_from(connection: sqlite3.Connection, run_id: str) -> OwnRecord | None:
    """Read a run's content from a database; None where the database does not have the run.

    Raises:
        sqlite3.Error: The database cannot be read.
    """
    rows = {table: list(_rows(connection, table, condition, run_id)) for table, condition in _OF_RUN.items()}
    return OwnRecord(run_id, rows) if rows["runs"] and rows["experiments"] else None


def _rows(connection: sqlite3.Connection, table: str, condition: str, run_id: str) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM {table} WHERE {condition}", [run_id])
    names = [column[0] for column in cursor.description]
    for values in cursor:
        yield dict(zip(names, values, strict=True))


def write_record(folder: Path, record: OwnRecord) -> None:
    """Write a run's record to the run's folder, in place of an existing one.

    Raises:
        OSError: The folder cannot be written.
    """
    content = json.dumps(record.rows, ensure_ascii=False)
    text = json.dumps({"format": _FORMAT, "run_id": record.run_id, "sha256": sha256(content.encode()).hexdigest()})
    disk.write(folder / RECORD, f'{text[:-1]}, "rows": {content}}}\n')


def read_record(folder: Path) -> OwnRecord | None:
    """Read the record in a run's folder; None where there is none that is complete and of this run."""
    try:
        content = json.loads((folder / RECORD).read_bytes())
        rows = content["rows"]
        whole = sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest() == content["sha256"]
        known = content["format"] == _FORMAT and content["run_id"] == folder.name == rows["runs"][0]["run_uuid"]
        return OwnRecord(folder.name, rows) if whole and known and set(rows) >= set(_OF_RUN) else None
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None


def keep_record(database: Path, artifacts: Path, run_id: str, **changes: object) -> None:
    """Rewrite a run's record after a change of the run.

    Args:
        database: The database that holds the run.
        artifacts: The store's folder of files; a run whose files are elsewhere, or that has none, gets no record.
        run_id: MLflow's id of the run.
        **changes: Columns of the run that the database is about to get.

    Raises:
        sqlite3.Error: The database cannot be read.
        OSError: The folder cannot be written.
    """
    with reading(database) as connection:
        record = record_from(connection, run_id)
    if record is not None:
        folder = artifacts / str(record.rows["runs"][0]["experiment_id"]) / run_id
        if (folder / "artifacts").is_dir():
            rows = {**record.rows, "runs": [{**record.rows["runs"][0], **changes}]}
            write_record(folder, OwnRecord(run_id, rows))


def runs_without_record(database: Path, artifacts: Path) -> list[str]:
    """Return the finished runs of this package that have files and no record: an earlier version made them."""
    folders = {run_id for run_id, folder in run_folders(artifacts).items() if not (folder / RECORD).is_file()}
    if not folders:
        return []
    with reading(database) as connection:
        found = connection.execute(f"SELECT run_uuid FROM runs WHERE status = 'FINISHED' AND {_IS_OURS} ORDER BY start_time")
        return [run_id for (run_id,) in found if run_id in folders]


def restore(connection: sqlite3.Connection, record: OwnRecord, folder: Path) -> None:
    """Insert a run into a database from its record; an existing run with its id is replaced.

    Args:
        connection: A connection to the database. The caller commits.
        record: The run's record.
        folder: The run's present folder.

    Raises:
        sqlite3.Error: The database refuses the rows.
    """
    rows = {table: [dict(row) for row in found] for table, found in record.rows.items()}
    before = rows["experiments"][0]["experiment_id"]
    number = _experiment(connection, rows["experiments"][0], folder.parent)
    for table in ("experiments", "experiment_tags", "runs", "datasets"):
        for row in rows[table]:
            row["experiment_id"] = number
    rows["runs"][0]["artifact_uri"] = str(folder / "artifacts")
    for row in rows["tags"]:
        if row["key"] == _NOTE:  # the description links to pages of the run
            row["value"] = row["value"].replace(f"#/experiments/{before}/runs/", f"#/experiments/{number}/runs/")
    for row in rows["datasets"]:
        found = connection.execute(_SAME_DATASET, [number, row["name"], row["digest"]]).fetchone()
        for one in rows["inputs"]:
            if found and one["source_id"] == row["dataset_uuid"]:
                one["source_id"] = found[0]
    for table in ("input_tags", "inputs", "tags", "params", "metrics", "latest_metrics", "runs"):
        connection.execute(f"DELETE FROM {table} WHERE {_OF_RUN[table]}", [record.run_id])
    for table in _OF_RUN:
        if table != "experiments":
            kept = "IGNORE" if table in ("experiment_tags", "datasets") else "REPLACE"  # several runs share these rows
            _insert(connection, table, rows[table], kept)


def _experiment(connection: sqlite3.Connection, row: Mapping[str, Any], folder: Path) -> int:
    """Return the id of an experiment by its name; make it where there is none, with its old id if that is free."""
    found = connection.execute("SELECT experiment_id FROM experiments WHERE name = ?", [row["name"]]).fetchone()
    if found:
        return int(found[0])
    number = row["experiment_id"]
    (taken,) = connection.execute("SELECT count(*) FROM experiments WHERE experiment_id = ?", [number]).fetchone()
    if taken:
        (number,) = connection.execute("SELECT max(experiment_id) + 1 FROM experiments").fetchone()
    place = str(folder.parent / str(number))
    _insert(connection, "experiments", [{**row, "experiment_id": number, "artifact_location": place}])
    return int(number)


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]], kept: str = "ABORT") -> None:
    """Insert rows of equal columns, those that the table has: another version of MLflow may have other columns."""
    if rows:
        columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name in rows[0]]
        names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
        values = [[row[name] for name in columns] for row in rows]
        connection.executemany(f"INSERT OR {kept} INTO {table} ({names}) VALUES ({marks})", values)


# A new run, written with sqlite3 in two transactions: MLflow's client takes a hundred statements, and many times as long.


@dataclass(frozen=True)
class NewRun:
    """A run that is to be written, within MLflow's limits.

    Attributes:
        run_id: Id of the run.
        experiment_id: Id of its experiment.
        name: Name for readers.
        started: Start, in milliseconds since 1970.
        tags: Tags, with their prefixes.
        params: Settings.
        points: Numbers and curves: name, value, time in milliseconds since 1970, and step. A value may be NaN.
        dataset: The text, as in `RunRecord`; empty for none.
    """

    run_id: str
    experiment_id: str
    name: str
    started: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: Sequence[tuple[str, float, int, int]]
    dataset: Mapping[str, str]


def begin_run(database: Path, new: NewRun) -> str:
    """Write a run that is not finished, with all of its rows, as MLflow's client does.

    Args:
        database: The store's database.
        new: The run.

    Returns:
        The location of its files.

    Raises:
        RefusedError: The experiment was removed.
        sqlite3.Error: The database cannot be written.
    """
    with writing(database) as connection:
        connection.execute("BEGIN IMMEDIATE")  # the text's dataset is looked for and made in one step
        found = "SELECT artifact_location FROM experiments WHERE experiment_id = ? AND lifecycle_stage = 'active'"
        (location,) = connection.execute(found, [new.experiment_id]).fetchone() or (None,)
        if location is None:
            raise RefusedError(f"the experiment of {new.name!r} was removed meanwhile: repeat the command, which restores it")
        place = f"{location}/{new.run_id}/artifacts"
        for table, rows in _rows_of(new, place).items():
            _insert(connection, table, rows)
        if new.dataset:
            _insert_dataset(connection, new)
    return place


def finish_run(database: Path, run_id: str, ended: int) -> None:
    """Call a run finished.

    Args:
        database: The store's database.
        run_id: The run's id.
        ended: End, in milliseconds since 1970.

    Raises:
        StoreError: The run was removed for good.
        sqlite3.Error: The database cannot be written.
    """
    with writing(database) as connection:
        finished = "UPDATE runs SET status = 'FINISHED', end_time = ? WHERE run_uuid = ?"
        if not connection.execute(finished, [ended, run_id]).rowcount:
            raise StoreError(f"the run {run_id} was removed while it was written: repeat the command")


def _rows_of(new: NewRun, place: str) -> Rows:
    run: dict[str, Any] = {
        "run_uuid": new.run_id,
        "name": new.name,
        "experiment_id": int(new.experiment_id),
        "artifact_uri": place,
    }
    run |= {"start_time": new.started, "status": "RUNNING", "lifecycle_stage": "active", "source_type": "UNKNOWN"}
    run |= {"source_name": "", "source_version": "", "entry_point_name": "", "user_id": new.tags.get("mlflow.user", "unknown")}
    points: dict[tuple[Any, ...], dict[str, Any]] = {}
    latest: dict[str, dict[str, Any]] = {}
    for name, number, time, step in new.points:
        undetermined = math.isnan(number)
        point: dict[str, Any] = {"key": name, "value": 0.0 if undetermined else number, "timestamp": time, "step": step}
        point |= {"is_nan": undetermined, "run_uuid": new.run_id}
        points[name, point["value"], time, step, undetermined] = point
        last = latest.get(name)
        if last is None or (step, time, point["value"]) > (last["step"], last["timestamp"], last["value"]):
            latest[name] = point

    def named(values: Mapping[str, str]) -> list[dict[str, Any]]:
        return [{"key": key, "value": value, "run_uuid": new.run_id} for key, value in values.items()]

    tags = named({**new.tags, "mlflow.runName": new.name})
    return {
        "runs": [run],
        "tags": tags,
        "params": named(new.params),
        "metrics": list(points.values()),
        "latest_metrics": list(latest.values()),
    }


def _insert_dataset(connection: sqlite3.Connection, new: NewRun) -> None:
    """Insert that a run used a text, and the text where no run of the experiment has used it."""
    number, name, digest = int(new.experiment_id), new.dataset["name"], new.dataset["digest"]
    found = connection.execute(_SAME_DATASET, [number, name, digest]).fetchone()
    dataset = found[0] if found else uuid.uuid4().hex
    if not found:
        row: dict[str, Any] = {"dataset_uuid": dataset, "experiment_id": number, "name": name, "digest": digest}
        row |= {f"dataset_{field}": new.dataset[field] for field in ("source_type", "source", "profile")}
        _insert(connection, "datasets", [row])
    used = {"source_type": "DATASET", "source_id": dataset, "destination_type": "RUN", "destination_id": new.run_id}
    _insert(connection, "inputs", [{"input_uuid": uuid.uuid4().hex, **used}])


# Runs of an embedded store, read from its database with sqlite3.
#
# MLflow's client makes an object of every number, which takes many times as long: too long for ten thousand runs. Importing it
# takes a second, which is most of the time that finding a run takes.


@dataclass(frozen=True)
class Row:
    """A run as MLflow stores it.

    Attributes:
        run_id: Id of the run.
        experiment_id: Id of its experiment.
        name: Name for readers.
        status: "FINISHED", "RUNNING", "FAILED" or "KILLED".
        started: Start, in milliseconds since 1970.
        ended: End, in milliseconds since 1970; None while it is running.
        artifact_uri: Location of its files.
        tags: Tags, with their prefixes.
        params: Settings.
        metrics: The last value of each number.
    """

    run_id: str
    experiment_id: str
    name: str
    status: str
    started: int
    ended: int | None
    artifact_uri: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]

    @classmethod
    def of(cls, run: Any) -> "Row":
        """Return a run of MLflow's client as a row."""
        info, data = run.info, run.data
        head = (info.run_id, info.experiment_id, info.run_name, info.status, info.start_time, info.end_time, info.artifact_uri)
        return cls(*head, dict(data.tags), dict(data.params), dict(data.metrics))


_COLUMNS = "run_uuid, CAST(experiment_id AS TEXT), name, status, start_time, end_time, artifact_uri"
_HAS_TAG = "run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value = ?)"
_FINGERPRINT_BEGINS = (
    "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'tokenviz.fingerprint' "
    "AND substr(value, 1, ?) = ?)"
)
_NEWEST_FIRST = "ORDER BY start_time DESC, run_uuid"


def read_runs(
    database: Path, experiments: Sequence[str], *, tags: Sequence[tuple[str, str]], status: str = "", page: int
) -> Iterator[Row]:
    """Yield the runs of this package in some experiments, newest first, in the order of MLflow's pages.

    Args:
        database: The store's database.
        experiments: Ids of the experiments.
        tags: Tags that every run must have: pairs of name, without prefix, and value.
        status: The status that every run must have, such as "FINISHED"; by default any.
        page: Number of runs that are read at once.

    Raises:
        StoreError: The database cannot be read.
    """
    conditions = [_active(experiments), *["status = ?"] * bool(status), *[_HAS_TAG] * len(tags), _IS_OURS]
    values: list[Any] = [*map(int, experiments), *[status] * bool(status)]
    for name, value in tags:
        values += [f"tokenviz.{name}", value]
    query = f"SELECT {_COLUMNS} FROM runs WHERE {' AND '.join(conditions)} {_NEWEST_FIRST}"
    with sqlite_errors(database), reading(database) as connection:
        chosen = connection.execute(query, values).fetchall()
        for begin in range(0, len(chosen), page):
            yield from _whole(connection, chosen[begin : begin + page])


def read_begun(database: Path, experiments: Sequence[str], reference: str, *, by_fingerprint: bool, most: int) -> list[Row]:
    """Return the runs of some experiments whose id or fingerprint begins with some digits, newest first.

    Args:
        database: The store's database.
        experiments: Ids of the experiments.
        reference: The digits.
        by_fingerprint: Whether the fingerprint begins with them, not the id.
        most: The most runs to return.

    Raises:
        StoreError: The database cannot be read.
    """
    begins = _FINGERPRINT_BEGINS if by_fingerprint else "substr(run_uuid, 1, ?) = ?"
    query = f"SELECT {_COLUMNS} FROM runs WHERE {_active(experiments)} AND {begins} {_NEWEST_FIRST} LIMIT ?"
    with sqlite_errors(database), reading(database) as connection:
        values = [*map(int, experiments), len(reference), reference, most]
        return list(_whole(connection, connection.execute(query, values).fetchall()))


def read_run(database: Path, run_id: str) -> Row | None:
    """Return a run, whatever its status and origin; None where there is no such run.

    Raises:
        StoreError: The database cannot be read.
    """
    query = f"SELECT {_COLUMNS} FROM runs WHERE run_uuid = ?"
    with sqlite_errors(database), reading(database) as connection:
        return next(_whole(connection, connection.execute(query, [run_id]).fetchall()), None)


def read_experiments(database: Path) -> dict[str, str]:
    """Return the names of the experiments that are not removed, by their ids.

    Raises:
        StoreError: The database cannot be read.
    """
    with sqlite_errors(database), reading(database) as connection:
        found = connection.execute("SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active'")
        return {str(number): str(name) for number, name in found}


def read_location(database: Path, run_id: str) -> str | None:
    """Return the location of a run's files in MLflow's database; None where there is no such run.

    Raises:
        StoreError: The database cannot be read.
    """
    with sqlite_errors(database), reading(database) as connection:
        found = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", [run_id]).fetchone()
        return str(found[0]) if found else None


def _active(experiments: Sequence[str]) -> str:
    return f"lifecycle_stage = 'active' AND experiment_id IN ({', '.join('?' * len(experiments))})"


def _whole(connection: sqlite3.Connection, heads: list[tuple[Any, ...]]) -> Iterator[Row]:
    ids = [head[0] for head in heads]

    def by_run(columns: str, table: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {run_id: {} for run_id in ids}
        query = f"SELECT run_uuid, key, {columns} FROM {table} WHERE run_uuid IN ({', '.join('?' * len(ids))})"
        for run_id, key, *values in connection.execute(query, ids):
            found[run_id][key] = values[0] if len(values) == 1 else math.nan if values[1] else values[0]
        return found

    tags, params, metrics = by_run("value", "tags"), by_run("value", "params"), by_run("value, is_nan", "latest_metrics")
    for head in heads:
        values: tuple[Any, ...] = (*head, tags[head[0]], params[head[0]], metrics[head[0]])
        yield Row(*values)
