"""Repairs of an embedded store that a user must ask for: migration to this MLflow, and rebuilding the database.

Both work on a new database next to the existing one, and move it into place when it is complete. The previous database is kept
under another name, unchanged.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tokenviz.base import disk
from tokenviz.base.errors import StoreError
from tokenviz.base.progress import task
from tokenviz.tracking import embedded
from tokenviz.tracking.condition import Condition, check_whole, examine, run_folders
from tokenviz.tracking.embedded import (
    artifacts_of,
    copy_database,
    database_of,
    embedded_folder,
    mend_paths,
    name_artifacts,
    sqlite_errors,
    sqlite_uri,
    store_lock,
)
from tokenviz.tracking.embedded_runs import OwnRecord, keep_record, read_record, record_from, restore, runs_without_record
from tokenviz.tracking.logged_models import link_runs
from tokenviz.tracking.staged_runs import CHECKSUMS, damaged
from tokenviz.tracking.store import prepare_environment, server_uri

_ZEROS = "\0" * 16  # what SQLite returns for a part of a text whose page is gone
FromFiles = Callable[[Path, Sequence[OwnRecord]], OwnRecord | None]


@dataclass(frozen=True)
class Rebuilt:
    """The result of rebuilding a database.

    Attributes:
        from_records: Number of runs restored from their own records.
        from_database: Number of runs restored from the readable part of the damaged database.
        from_files: Number of runs restored from their tables and figures, as far as these tell.
        left: One line for each folder that could not be restored, with the reason.
        kept: The present path of the previous database; None where it stayed in place, or there was none.
    """

    from_records: int
    from_database: int
    from_files: int
    left: tuple[str, ...]
    kept: Path | None

    @property
    def count(self) -> int:
        """Number of restored runs."""
        return self.from_records + self.from_database + self.from_files


def migrate() -> Path:
    """Migrate a store that an older MLflow made to the schema of this one.

    Returns:
        The present path of the previous database, which is unchanged.

    Raises:
        StoreError: There is no older store, or it cannot be migrated. It is not changed then.
    """
    with _alone("migrate") as (folder, database):
        condition = examine(database, artifacts_of(folder))
        if condition.kind != "older":
            raise StoreError(condition.message or f"the store in {str(folder)!r} needs no migration: nothing was changed")
        unfinished = _cleared(database, "migrating")
        copy_database(database, unfinished)
        _upgrade(unfinished, database)
        found = examine(unfinished, artifacts_of(folder))
        if found.kind != "ready" or (torn := check_whole(unfinished)):
            reason = found.message or torn
            raise StoreError(f"the store {str(database)!r} could not be migrated, and was left as it is: {reason}")
        mend_paths(unfinished, folder)
        kept = _swap(unfinished, database, "before-migration")
        for run_id in runs_without_record(database, artifacts_of(folder)):
            keep_record(database, artifacts_of(folder), run_id)
        link_runs(database)
    return kept


def rebuild(from_files: FromFiles) -> Rebuilt:
    """Insert the runs whose files are there into the database, as far as they are missing there.

    Args:
        from_files: Makes a run's record from the run's folder, for runs of earlier versions, which have none; it is also given
            the records of the runs before it.

    Returns:
        The numbers of restored runs.

    Raises:
        StoreError: There is nothing to make a database from, or it belongs to another application or another MLflow.
    """
    with _alone("rebuild") as (folder, database):
        artifacts = artifacts_of(folder)
        condition = examine(database, artifacts)
        if condition.kind in ("older", "newer", "foreign"):
            raise StoreError(condition.message)
        folders = run_folders(artifacts)
        if not folders:
            nothing = f"there are no runs' files in {str(artifacts)!r} to make a database from: nothing was changed"
            raise StoreError(condition.message or nothing)
        if condition.kind == "ready":
            mend_paths(database, folder)
            return _fill(database, _unknown(database, folders), from_files, None, None)
        unfinished = _cleared(database, "rebuilding")
        embedded.make_schema(unfinished, artifacts)
        with _readable_rest(database) as rest:
            done = _fill(unfinished, folders, from_files, rest, database)
        kept = _swap(unfinished, database, condition.kind)
        return Rebuilt(done.from_records, done.from_database, done.from_files, done.left, kept if kept.exists() else None)


@contextmanager
def _alone(what: str) -> Iterator[tuple[Path, Path]]:
    """Yield the embedded store's folder and database while no other process opens it for writing."""
    if server_uri():
        raise StoreError(f"MLFLOW_TRACKING_URI names a server, whose store tokenviz does not {what}: unset it for mlruns/")
    prepare_environment()
    folder = embedded_folder()
    database = database_of(folder)
    if not folder.is_dir():
        raise StoreError(f"there is no store in {str(folder)!r} to {what}")
    name_artifacts(artifacts_of(folder))
    with store_lock(folder), sqlite_errors(database):
        yield folder, database


def _cleared(database: Path, purpose: str) -> Path:
    """Return the path for a database under construction; remove what an interrupted command has left there."""
    unfinished = database.with_name(f"{database.name}.{purpose}")
    for left_over in database.parent.glob(f"{unfinished.name}*"):
        left_over.unlink()
    return unfinished


def _upgrade(unfinished: Path, database: Path) -> None:
    # The functions that `mlflow db upgrade` calls; the command itself prints a log of alembic.
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from mlflow.store.db.utils import _upgrade_db
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    engine = create_engine(sqlite_uri(unfinished))
    try:
        _upgrade_db(engine)
    except (MlflowException, SQLAlchemyError, CommandError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"the store {str(database)!r} could not be migrated, and was left as it is: {reason}") from error
    finally:
        engine.dispose()


def _swap(unfinished: Path, database: Path, name: str) -> Path:
    """Move a database into place; return the path of the previous one."""
    with closing(sqlite3.connect(unfinished)) as connection:
        connection.execute("PRAGMA journal_mode=delete")  # all of it in one file
    disk.sync(unfinished)
    _let_go(database)
    kept = database.with_name(f"{database.name}.{name}-{datetime.now():%Y%m%d-%H%M%S}")
    # The log goes first: the old database is incomplete without it, and it does not fit the new database.
    for suffix in ("-shm", "-wal", ""):
        there = database.with_name(database.name + suffix)
        if there.exists():
            disk.put(there, kept.with_name(kept.name + suffix))
    disk.put(unfinished, database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
    return kept


def _let_go(database: Path) -> None:
    """Close MLflow's connections of this process: they would continue with the file under its other name."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    engine = SqlAlchemyStore._engine_map.get(sqlite_uri(database))
    if engine is not None:
        engine.dispose()


def _unknown(database: Path, folders: dict[str, Path]) -> dict[str, Path]:
    """Return folders of runs that a database lacks, or has as running although their records say that they ended."""
    with closing(sqlite3.connect(database)) as connection:
        known = dict(connection.execute("SELECT run_uuid, status FROM runs"))
    return {
        run_id: folder
        for run_id, folder in folders.items()
        if run_id not in known
        or (known[run_id] == "RUNNING" and (record := read_record(folder)) is not None and record.finished)
    }


@contextmanager
def _readable_rest(database: Path) -> Iterator[sqlite3.Connection | None]:
    """Open what is readable of a damaged database, in a copy: reading the original might change it."""
    if not database.exists() or not database.stat().st_size:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tokenviz-") as place:
        for suffix in ("", "-wal"):
            if (part := database.with_name(database.name + suffix)).exists():
                shutil.copyfile(part, Path(place, f"rest.db{suffix}"))
        with closing(sqlite3.connect(Path(place, "rest.db"))) as connection:
            connection.execute("PRAGMA writable_schema = ON")  # a torn definition of one table then does not hide the others
            yield connection


def _fill(
    database: Path, folders: dict[str, Path], from_files: FromFiles, rest: sqlite3.Connection | None, damaged_one: Path | None
) -> Rebuilt:
    counts = {"records": 0, "database": 0, "files": 0}
    left: list[str] = []
    done: list[OwnRecord] = []
    silent: list[Path] = []
    with (
        task("restoring", len(folders), "runs") as advance,
        closing(sqlite3.connect(database)) as connection,
    ):

        def put_in(folder: Path, record: OwnRecord, source: str) -> None:
            try:
                with connection:
                    restore(connection, record, folder)
            except (sqlite3.Error, KeyError, TypeError, ValueError, AttributeError) as error:
                left.append(f"{folder}: its record cannot be read ({error})")
                return
            done.append(record)
            counts[source] += 1

        for folder in folders.values():
            if (record := read_record(folder)) is not None:
                put_in(folder, record, "records")
                advance(1)
            elif (record := _from_rest(rest, folder.name)) is not None:
                put_in(folder, record, "database")
                advance(1)
            else:
                silent.append(folder)
        # A comparison names the runs that it compares, so that scores come first.
        silent.sort(key=lambda folder: (folder / "artifacts" / "tables" / "statistics.parquet").exists())
        others = run_folders(embedded.artifacts_of(database.parent)) if silent else {}
        known = [record for run_id, folder in others.items() if run_id not in folders and (record := read_record(folder))]
        for folder in silent:
            files = folder / "artifacts"
            if not (files / CHECKSUMS).is_file() or damaged(files, {}):
                left.append(f"{folder}: its files are not whole, as a command leaves them that ended too early")
            else:
                try:
                    if (record := from_files(folder, [*known, *done])) is not None:
                        put_in(folder, record, "files")
                    else:
                        left.append(f"{folder}: nothing in it says what run it is of")
                except StoreError as error:
                    left.append(f"{folder}: {error}")
            advance(1)
    for record in done:
        keep_record(database, next(iter(folders.values())).parent.parent, record.run_id)
    link_runs(database)
    return Rebuilt(counts["records"], counts["database"], counts["files"], tuple(left), None)


def _from_rest(rest: sqlite3.Connection | None, run_id: str) -> OwnRecord | None:
    """Return a finished run from a damaged database; None where a part of it cannot be read, or is corrupted."""
    if rest is None:
        return None
    try:
        record = record_from(rest, run_id)
    except (sqlite3.Error, UnicodeDecodeError):
        return None
    if record is None or not record.finished:
        return None
    values = [value for rows in record.rows.values() for row in rows for value in row.values()]
    zeros = any(isinstance(value, bytes) or (isinstance(value, str) and _ZEROS in value) for value in values)
    return None if zeros or not record.rows["tags"] or not record.rows["params"] else record


def condition_of_store(*, only_read: bool = False) -> Condition:
    """Return the condition of the embedded store, as `examine` does."""
    folder = embedded_folder()
    with sqlite_errors(database_of(folder)):
        return examine(database_of(folder), artifacts_of(folder), only_read=only_read)
