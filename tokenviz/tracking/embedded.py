"""The embedded store: SQLite and a folder of artifacts in `mlruns/`, and which `tokenviz ui` serves it.

The store is made under a lock, since two processes that make it at once would break it, and uses write-ahead logging. Its
absolute paths are corrected when it is opened for writing, so that the folder may be moved or copied. Opening for reading
changes nothing, and translates old paths. A store without write permission is read from a copy of its database.
"""

import os
import shutil
import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

from filelock import FileLock

from tokenviz.base import disk
from tokenviz.base.disk import project_root
from tokenviz.base.errors import StoreError
from tokenviz.tracking.condition import examine, reading


def embedded_folder() -> Path:
    """Return the folder of the embedded store."""
    return (project_root() / "mlruns").resolve()


def database_of(folder: Path) -> Path:
    """Return the database of an embedded store."""
    return folder / "mlflow.db"


def artifacts_of(folder: Path) -> Path:
    """Return the folder of an embedded store's artifacts."""
    return folder / "artifacts"


def sqlite_uri(database: Path) -> str:
    """Return the URI of a database, as MLflow expects it."""
    return f"sqlite:///{database}"


def local_folder(artifact_uri: str) -> Path | None:
    """Return the folder of an artifact location; None where it is not a plain path, as those of this package are."""
    return None if urlparse(artifact_uri).scheme else Path(artifact_uri)


def make_ready(folder: Path) -> Path:
    """Make the store where there is none, and correct its paths.

    Args:
        folder: The folder of the store.

    Returns:
        The database.

    Raises:
        StoreError: The store cannot be written, or its database is not ready (`condition.examine`). It is not changed then.
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
    """Hold the lock for making or correcting a store; make its folder where there is none.

    Raises:
        StoreError: The folder cannot be written.
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
    """Turn whatever SQLite raises for a store's database into a StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(unusable(database, str(error))) from error


def require_readable(folder: Path) -> set[str]:
    """Check that an existing store can be read without changing it.

    Returns:
        Earlier folders of the store, which its paths still name.

    Raises:
        StoreError: The database is not ready (`condition.examine`).
    """
    _refuse_misread(folder)
    database = database_of(folder)
    with sqlite_errors(database):
        examine(database, artifacts_of(folder), only_read=True).require_ready()
        with reading(database) as connection:
            return _old_places(connection, folder)


def is_writable(folder: Path) -> bool:
    """Return whether this process may write an existing store."""
    return all(os.access(path, os.W_OK) for path in (folder, artifacts_of(folder), database_of(folder)))


def copy_for_reading(folder: Path) -> Path:
    """Copy a store's database, and correct the paths in the copy.

    Args:
        folder: The folder of the store; it is not written.

    Returns:
        A temporary folder with the copy, which the caller removes.

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
    """Return every run of a store, of any origin, by its id: "active", or "deleted" where it is only marked as removed."""
    with sqlite_errors(database), reading(database) as connection:
        return dict(connection.execute("SELECT run_uuid, lifecycle_stage FROM runs"))


def copy_database(database: Path, copy: Path) -> None:
    """Copy a database as it is at one moment, even while another process writes it."""
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection,
            closing(sqlite3.connect(copy)) as target,
        ):
            connection.backup(target)
    except sqlite3.DatabaseError:  # damaged databases are copied file by file
        # With write-ahead logging even reading needs a file next to the database. Where none can be made, no process writes.
        copy.unlink(missing_ok=True)
        for suffix in ("", "-wal"):
            if database.with_name(database.name + suffix).exists():
                shutil.copyfile(database.with_name(database.name + suffix), copy.with_name(copy.name + suffix))


def make_schema(database: Path, artifacts: Path) -> None:
    """Make a database where there is none, completely or not at all.

    Raises:
        StoreError: The database cannot be made.
    """
    if database.exists() and database.stat().st_size:
        return
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.exc import SQLAlchemyError

    name_artifacts(artifacts)
    try:
        # It is made next to its place and then moved: a half-made database would be taken for a damaged one.
        unfinished = database.with_name(f"{database.name}.partial")
        for left_over in database.parent.glob(f"{unfinished.name}*"):
            left_over.unlink()
        SqlAlchemyStore(sqlite_uri(unfinished), str(artifacts))._dispose_engine()
        with closing(sqlite3.connect(unfinished)) as connection:
            connection.execute("PRAGMA journal_mode=wal")
        disk.put(unfinished, database)
    except (MlflowException, SQLAlchemyError) as error:
        raise StoreError(unusable(database, str(error))) from error


def name_artifacts(artifacts: Path) -> None:
    """Set the default folder for MLflow's artifacts; otherwise it makes an empty ./mlruns in the working directory."""
    from mlflow.tracking._tracking_service.utils import _SERVER_ARTIFACT_ROOT_ENV_VAR

    os.environ[_SERVER_ARTIFACT_ROOT_ENV_VAR] = str(artifacts)


def _refuse_misread(folder: Path) -> None:
    if set(str(folder)) & set("%?"):
        raise StoreError(
            f"MLflow cannot keep a store in {str(folder)!r}: it reads % and ? in a path as part of an address and writes "
            "elsewhere; rename the folder"
        )


def unusable(database: Path, reason: str) -> str:
    """Return the message about a database that SQLite or MLflow cannot use."""
    what = reason.splitlines()[0].removeprefix("(sqlite3.OperationalError) ")[:200]
    todo = advice(what) or "'tokenviz doctor' says what is wrong"
    return f"the store {str(database)!r} cannot be opened: {what}; {todo}"


def advice(reason: str) -> str:
    """Return advice for a failure of an embedded store; empty where there is none for the reason."""
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
    """Replace the store's folder in all artifact locations of this package by its present one.

    MLflow stores absolute paths; without this, a store that was moved lists no artifacts, and raises no error.
    """
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
    """Return the store folders at the beginning of this package's paths, except the present one."""
    rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
    return {root for number, location in rows if (root := _root_of(location, f"artifacts/{number}"))} - {str(folder)}


def _root_of(location: str | None, suffix: str) -> str | None:
    """Return the store folder of a local artifact location in this package's form; None for any other location."""
    if not location or not location.endswith(f"/{suffix}"):
        return None
    root = location.removesuffix(f"/{suffix}")
    return root if local_folder(root) else None


# The address of the `tokenviz ui` that serves an embedded store, so that printed links have the port that it really uses.
#
# `tokenviz ui` writes its address into the store's folder. The address stays there when the process is killed, so it is asked
# whether it still serves this store: a refused connection takes no time, an answer about 5 ms.

_FILE = ".ui"
_PATIENCE = 1  # seconds for an answer
_LONGEST = 300  # characters of an address
IDENTITY = "grids/identity"


def identity_of(name: str) -> str:
    """Return an id of a store that does not reveal its location.

    Args:
        name: The store's folder, or its server's address.
    """
    return sha256(name.encode()).hexdigest()[:16]


def announce(folder: Path, address: str) -> None:
    """Write the address at which a store is about to be served into its folder, unless the folder may not be written."""
    try:
        (folder / _FILE).write_text(address, encoding="utf-8")
    except OSError:
        return


def served_at(folder: Path) -> str:
    """Return the address at which the store in a folder is served now; empty where it is not."""
    try:
        address = (folder / _FILE).read_text(encoding="utf-8")[:_LONGEST]
    except (OSError, ValueError):
        return ""
    return address if address.startswith("http://") and _answers(address, identity_of(str(folder))) else ""


def _answers(address: str, identity: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # connects to this machine without a proxy
    try:
        with opener.open(f"{address}/{IDENTITY}", timeout=_PATIENCE) as answer:
            return bool(answer.read(100) == identity.encode())
    except (OSError, HTTPException, ValueError):
        return False


def refuse_old_installation() -> None:
    """Refuse to serve with an installation that lacks the pages of grids.

    Raises:
        StoreError: The package was installed before these pages existed.
    """
    from importlib.metadata import distributions

    # Check all of them: in a clone the first may be left from an older installation.
    found = [point for one in distributions(name="tokenviz-harness") for point in one.entry_points]
    if not any(point.group == "mlflow.app" and point.name == "tokenviz" for point in found):
        raise StoreError(
            "MLflow does not find the pages of grids: this installation is older than its code; install it again "
            "(make setup, or pip install -e .)"
        )
