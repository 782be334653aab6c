"""The embedded store: SQLite and a folder of artifacts in `mlruns/`.

It is made under a lock (two processes making it at once break it), is set to write-ahead logging, and has its absolute paths
mended on every opening, so that the folder may be moved or copied. One that may not be written is read from a copy of its
database.
"""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

from filelock import FileLock

from tokenviz.errors import StoreError
from tokenviz.project import project_root


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
        StoreError: It cannot be written, or another version of MLflow made it.
    """
    _refuse_misread(folder)
    database = database_of(folder)
    try:
        artifacts_of(folder).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            make_schema(database, artifacts_of(folder))
            _mend_paths(database, folder)
    except sqlite3.Error as error:
        raise StoreError(_unusable(database, str(error))) from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write the store in {str(folder)!r}: {error.strerror or error}") from error
    return database


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
        _copy_database(database, database_of(copy))
        make_schema(database_of(copy), artifacts_of(folder))
        _mend_paths(database_of(copy), folder)
    except (sqlite3.Error, OSError) as error:
        shutil.rmtree(copy, ignore_errors=True)
        if isinstance(error, StoreError):
            raise
        raise StoreError(_unusable(database, str(error))) from error
    return copy


def run_stages(database: Path) -> dict[str, str]:
    """Every run of a store, whoever made it, by its id: "active", or "deleted" where it is only marked as removed."""
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT run_uuid, lifecycle_stage FROM runs"))


def _copy_database(database: Path, copy: Path) -> None:
    try:
        # What somebody else is writing meanwhile is copied as it was at one moment.
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection,
            closing(sqlite3.connect(copy)) as target,
        ):
            connection.backup(target)
    except sqlite3.OperationalError:
        # Write-ahead logging needs a file beside the database even to read it: where none can be made, nobody writes.
        copy.unlink(missing_ok=True)
        for suffix in ("", "-wal"):
            if database.with_name(database.name + suffix).exists():
                shutil.copyfile(database.with_name(database.name + suffix), copy.with_name(copy.name + suffix))


def make_schema(database: Path, artifacts: Path) -> None:
    """Make a database where there is none, whole or not at all; else see that it is this MLflow's.

    Raises:
        StoreError: It is no database, or another version's.
    """
    # Without this MLflow puts an empty ./mlruns into whatever the working directory is.
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking._tracking_service.utils import _SERVER_ARTIFACT_ROOT_ENV_VAR
    from sqlalchemy.exc import SQLAlchemyError

    os.environ[_SERVER_ARTIFACT_ROOT_ENV_VAR] = str(artifacts)
    try:
        if not database.exists():
            # Beside its place, and then put there whole: a database that is half made would be taken for another version's.
            unfinished = database.with_name(f"{database.name}.partial")
            for left_over in database.parent.glob(f"{unfinished.name}*"):
                left_over.unlink()
            SqlAlchemyStore(sqlite_uri(unfinished), str(artifacts))._dispose_engine()
            with closing(sqlite3.connect(unfinished)) as connection:
                connection.execute("PRAGMA journal_mode=wal")
            unfinished.replace(database)
        SqlAlchemyStore(sqlite_uri(database), str(artifacts))
    except (MlflowException, SQLAlchemyError) as error:
        raise StoreError(_unusable(database, str(error))) from error


def _refuse_misread(folder: Path) -> None:
    if set(str(folder)) & set("%?"):
        raise StoreError(
            f"MLflow cannot keep a store in {str(folder)!r}: it reads % and ? in a path as part of an address and writes "
            "elsewhere; rename the folder"
        )


def _unusable(database: Path, reason: str) -> str:
    if "schema" in reason or "revision" in reason:
        return (
            f"the store {str(database)!r} was made by another version of MLflow; nothing was changed. Copy it, then run "
            f"'mlflow db upgrade sqlite:///{database}' if it is older, or install the version that made it"
        )
    what = reason.splitlines()[0].removeprefix("(sqlite3.OperationalError) ")[:200]
    return f"the store {str(database)!r} cannot be opened: {what}; {advice(what) or 'move it away to begin a new one'}"


def advice(reason: str) -> str:
    """What to do when an embedded store fails for a reason; empty where that is not known."""
    return next((words for sign, words in _ADVICE.items() if sign in reason), "")


_ADVICE = {
    "disk is full": "make room on the disk and repeat the command, which goes on from there",
    "No space left": "make room on the disk and repeat the command, which goes on from there",
    "Disk quota exceeded": "make room on the disk and repeat the command, which goes on from there",
    "disk I/O error": "see whether the disk is full, and repeat the command, which goes on from there",
    "readonly": "give yourself the right to write it",
    "locked": "another program has it open: end that one, or wait",
}


def _mend_paths(database: Path, folder: Path) -> None:
    """Point every artifact location of ours at where the folder is now. MLflow stores absolute paths, and a moved
    store lists no artifacts, without an error."""
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
        roots = {root for number, location in rows if (root := _root_of(location, f"artifacts/{number}"))}
        for old in roots - {str(folder)}:
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
            ):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (f"{folder}/", len(old) + 2, len(old) + 1, f"{old}/"),
                )


def _root_of(location: str | None, suffix: str) -> str | None:
    """The store folder of a local artifact location that ends as ours do; None for any other."""
    if not location or not location.endswith(f"/{suffix}"):
        return None
    root = location.removesuffix(f"/{suffix}")
    return root if local_folder(root) else None
