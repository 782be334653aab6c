"""A run's own record: `run.json` next to the files of each run of an embedded store, with its content in the database.

A lost database can be restored from these records. A record holds the rows of MLflow's tables unchanged, so that a restored run
is equal in every field. MLflow has no such export for a store in a database.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenviz import durable
from tokenviz.tracking.condition import connect_for_reading, run_folders

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
    durable.write(folder / RECORD, f'{text[:-1]}, "rows": {content}}}\n')


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
    with closing(connect_for_reading(database)) as connection:
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
    with closing(connect_for_reading(database)) as connection:
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
        same = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?"
        found = connection.execute(same, [number, row["name"], row["digest"]]).fetchone()
        for one in rows["inputs"]:
            if found and one["source_id"] == row["dataset_uuid"]:
                one["source_id"] = found[0]
    for table in ("input_tags", "inputs", "tags", "params", "metrics", "latest_metrics", "runs"):
        connection.execute(f"DELETE FROM {table} WHERE {_OF_RUN[table]}", [record.run_id])
    for table in _OF_RUN:
        if table != "experiments":
            kept = "IGNORE" if table in ("experiment_tags", "datasets") else "REPLACE"  # several runs share these rows
            for row in rows[table]:
                _insert(connection, table, row, kept)


def _experiment(connection: sqlite3.Connection, row: Mapping[str, Any], folder: Path) -> int:
    """Return the id of an experiment by its name; make it where there is none, with its old id if that is free."""
    found = connection.execute("SELECT experiment_id FROM experiments WHERE name = ?", [row["name"]]).fetchone()
    if found:
        return int(found[0])
    number = row["experiment_id"]
    (taken,) = connection.execute("SELECT count(*) FROM experiments WHERE experiment_id = ?", [number]).fetchone()
    if taken:
        (number,) = connection.execute("SELECT max(experiment_id) + 1 FROM experiments").fetchone()
    _insert(connection, "experiments", {**row, "experiment_id": number, "artifact_location": str(folder.parent / str(number))})
    return int(number)


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any], kept: str = "ABORT") -> None:
    """Insert a row with the columns that the table has: another version of MLflow may have other columns."""
    columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name in row]
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
    connection.execute(f"INSERT OR {kept} INTO {table} ({names}) VALUES ({marks})", [row[name] for name in columns])
