"""Runs of an embedded store, read from its database with sqlite3.

MLflow's client makes an object of every number, which takes many times as long: too long for ten thousand runs. Importing it
takes a second, which is most of the time that finding a run takes.
"""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenviz.tracking.condition import connect_for_reading
from tokenviz.tracking.embedded import sqlite_errors


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


_COLUMNS = "run_uuid, CAST(experiment_id AS TEXT), name, status, start_time, end_time, artifact_uri"
_HAS_TAG = "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = ? AND value = ?)"
_FINGERPRINT_BEGINS = (
    "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'tokenviz.fingerprint' "
    "AND substr(value, 1, ?) = ?)"
)
_NEWEST_FIRST = "ORDER BY start_time DESC, run_uuid"
_IS_OURS = "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'tokenviz.kind' AND value != '')"


def read_runs(
    database: Path, experiments: Sequence[str], *, tags: Sequence[tuple[str, str]], finished: bool, page: int
) -> Iterator[Row]:
    """Yield the runs of this package in some experiments, newest first, in the order of MLflow's pages.

    Args:
        database: The store's database.
        experiments: Ids of the experiments.
        tags: Tags that every run must have: pairs of name, without prefix, and value.
        finished: Whether only finished runs are wanted.
        page: Number of runs that are read at once.

    Raises:
        StoreError: The database cannot be read.
    """
    conditions = [_active(experiments), _IS_OURS]
    conditions += ["status = 'FINISHED'"] * finished + [_HAS_TAG] * len(tags)
    values: list[Any] = list(map(int, experiments))
    for name, value in tags:
        values += [f"tokenviz.{name}", value]
    query = f"SELECT {_COLUMNS} FROM runs WHERE {' AND '.join(conditions)} {_NEWEST_FIRST}"
    with sqlite_errors(database), closing(connect_for_reading(database)) as connection:
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
    with sqlite_errors(database), closing(connect_for_reading(database)) as connection:
        values = [*map(int, experiments), len(reference), reference, most]
        return list(_whole(connection, connection.execute(query, values).fetchall()))


def read_experiments(database: Path) -> dict[str, str]:
    """Return the names of the experiments that are not removed, by their ids.

    Raises:
        StoreError: The database cannot be read.
    """
    with sqlite_errors(database), closing(connect_for_reading(database)) as connection:
        found = connection.execute("SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active'")
        return {str(number): str(name) for number, name in found}


def read_location(database: Path, run_id: str) -> str | None:
    """Return the location of a run's files in MLflow's database; None where there is no such run.

    Raises:
        StoreError: The database cannot be read.
    """
    with sqlite_errors(database), closing(connect_for_reading(database)) as connection:
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
