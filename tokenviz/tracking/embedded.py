"""The embedded store: SQLite and a folder of artifacts in `mlruns/`.

It is made under a lock (two processes making it at once break it), and is set to write-ahead logging. Its absolute paths are
mended when it is opened for writing, so that the folder may be moved or copied; what only reads takes old paths for what they
mean now, and changes nothing. One that may not be written is read from a copy of its database.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlparse

from filelock import FileLock

from tokenviz import durable
from tokenviz.errors import StoreError
from tokenviz.project import project_root
from tokenviz.tracking.condition import connect_for_reading, examine


def embedded_folder() -> Path:
    """The folder of the embedded store."""
    return (project_root() / "mlruns").resolve()


def database_of(folder: Path) -> Path:
    """The database of an embedded store."""
    return folder / "mlflow.db"


def artifacts_of(folder: Path) -> Path:
    """Where an embedded store keeps its runs' files."""
    return folder / "artifacts"


def sqlite_uri(database: Path) -> str:
    """A database, as MLflow takes it."""
    return f"sqlite:///{database}"


def local_folder(artifact_uri: str) -> Path | None:
    """The folder of an artifact location; None for one that is no plain path, as ours are."""
    return None if urlparse(artifact_uri).scheme else Path(artifact_uri)


def make_ready(folder: Path) -> Path:
    """Make the store where there is none yet, and mend its paths.

    Args:
        folder: The store's.

    Returns:
        Its database.

    Raises:
        StoreError: It cannot be written, or is not in a condition to be; see `condition.examine`. It stays as it is then.
    """
    _refuse_misread(folder)
    database = database_of(folder)
    with store_lock(folder), sqlite_errors(database):
        examine(database, artifacts_of(folder)).require_ready()
        artifacts_of(folder).mkdir(parents=True, exist_ok=True)
        make_schema(database, artifacts_of(folder))
        mend_paths(database, folder)
    return database


@contextmanager
def store_lock(folder: Path) -> Iterator[None]:
    """Hold the right to make or mend a store; its folder is made where there is none.

    Raises:
        StoreError: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            yield
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write the store in {str(folder)!r}: {error.strerror or error}") from error


@contextmanager
def sqlite_errors(database: Path) -> Iterator[None]:
    """Whatever SQLite raises of a store's database, as an error of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(unusable(database, str(error))) from error


def require_readable(folder: Path) -> set[str]:
    """See that a store that exists can be read as it is.

    Returns:
        The folders that its paths begin with and that it is in no more.

    Raises:
        StoreError: It cannot be; see `condition.examine`.
    """
    _refuse_misread(folder)
    database = database_of(folder)
    with sqlite_errors(database):
        examine(database, artifacts_of(folder), only_read=True).require_ready()
        with closing(connect_for_reading(database)) as connection:
            return _old_places(connection, folder)


def is_writable(folder: Path) -> bool:
    """Whether a store that exists may be written by this process."""
    return all(os.access(path, os.W_OK) for path in (folder, artifacts_of(folder), database_of(folder)))


def copy_for_reading(folder: Path) -> Path:
    """Copy a store's database, and mend the paths in the copy.

    Args:
        folder: The store's; it is not written.

    Returns:
        A temporary folder with the copy, for the caller to remove.

    Raises:
        StoreError: There is no store, or another version of MLflow made it.
    """
    _refuse_misread(folder)
    database = database_of(folder)
    copy = Path(tempfile.mkdtemp(prefix="tokenviz-"))
    try:
        copy_database(database, database_of(copy))
        with sqlite_errors(database):
            examine(database, artifacts_of(folder), copy=database_of(copy), only_read=True).require_ready()
            mend_paths(database_of(copy), folder)
    except (sqlite3.Error, OSError) as error:
        shutil.rmtree(copy, ignore_errors=True)
        if isinstance(error, StoreError):
            raise
        raise StoreError(unusable(database, str(error))) from error
    return copy


def run_stages(database: Path) -> dict[str, str]:
    """Every run of a store, whoever made it, by its id: "active", or "deleted" where it is only marked as removed."""
    with sqlite_errors(database), closing(connect_for_reading(database)) as connection:
        return dict(connection.execute("SELECT run_uuid, lifecycle_stage FROM runs"))


def copy_database(database: Path, copy: Path) -> None:
    """Copy a database as it is at one moment, also while somebody writes it."""
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection,
            closing(sqlite3.connect(copy)) as target,
        ):
            connection.backup(target)
    except sqlite3.DatabaseError:  # damaged ones are copied as they are
        # Write-ahead logging needs a file beside the database even to read it: where none can be made, nobody writes.
        copy.unlink(missing_ok=True)
        for suffix in ("", "-wal"):
            if database.with_name(database.name + suffix).exists():
                shutil.copyfile(database.with_name(database.name + suffix), copy.with_name(copy.name + suffix))


def make_schema(database: Path, artifacts: Path) -> None:
    """Make a database where there is none, whole or not at all.

    Raises:
        StoreError: It cannot be made.
    """
    if database.exists() and database.stat().st_size:
        return
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.exc import SQLAlchemyError

    name_artifacts(artifacts)
    try:
        # Next to its place, and then put there whole: a database that is half made would be taken for a damaged one.
        unfinished = database.with_name(f"{database.name}.partial")
        for left_over in database.parent.glob(f"{unfinished.name}*"):
            left_over.unlink()
        SqlAlchemyStore(sqlite_uri(unfinished), str(artifacts))._dispose_engine()
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.execute("PRAGMA journal_mode=wal")
        durable.put(unfinished, database)
    except (MlflowException, SQLAlchemyError) as error:
        raise StoreError(unusable(database, str(error))) from error


def name_artifacts(artifacts: Path) -> None:
    """Tell MLflow where files go: else it puts an empty ./mlruns into whatever the working directory is."""
    from mlflow.tracking._tracking_service.utils import _SERVER_ARTIFACT_ROOT_ENV_VAR

    os.environ[_SERVER_ARTIFACT_ROOT_ENV_VAR] = str(artifacts)


def _refuse_misread(folder: Path) -> None:
    if set(str(folder)) & set("%?"):
        raise StoreError(
            f"MLflow cannot keep a store in {str(folder)!r}: it reads % and ? in a path as part of an address and writes "
            "elsewhere; rename the folder"
        )


def unusable(database: Path, reason: str) -> str:
    """What to say of a database that SQLite or MLflow cannot use."""
    what = reason.splitlines()[0].removeprefix("(sqlite3.OperationalError) ")[:200]
    todo = advice(what) or "'tokenviz doctor' says what is wrong"
    return f"the store {str(database)!r} cannot be opened: {what}; {todo}"


def advice(reason: str) -> str:
    """What to do when an embedded store fails for a reason; empty where that is not known."""
    return next((words for sign, words in _ADVICE.items() if sign in reason), "")


_ADVICE = {
    "disk is full": "make room on the disk and repeat the command, which goes on from there",
    "No space left": "make room on the disk and repeat the command, which goes on from there",
    "Disk quota exceeded": "make room on the disk and repeat the command, which goes on from there",
    "disk I/O error": "see whether the disk is full, and repeat the command, which goes on from there",
    "readonly": "give yourself the right to write it",
    "malformed": "'tokenviz doctor' says what is wrong, and what to do",
    "not a database": "'tokenviz doctor' says what is wrong, and what to do",
    "locked": "another program has it open: end that one, or wait",
}


def mend_paths(database: Path, folder: Path) -> None:
    """Point every artifact location of ours at where the folder is now. MLflow stores absolute paths, and a moved
    store lists no artifacts, without an error."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for old in _old_places(connection, folder):
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
            ):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (f"{folder}/", len(old) + 2, len(old) + 1, f"{old}/"),
                )


def _old_places(connection: sqlite3.Connection, folder: Path) -> set[str]:
    """Return the store folders that paths of ours begin with, other than the one where the store is now."""
    rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
    return {root for number, location in rows if (root := _root_of(location, f"artifacts/{number}"))} - {str(folder)}


def _root_of(location: str | None, suffix: str) -> str | None:
    """The store folder of a local artifact location that ends as ours do; None for any other."""
    if not location or not location.endswith(f"/{suffix}"):
        return None
    root = location.removesuffix(f"/{suffix}")
    return root if local_folder(root) else None
