"""Opening the tracking store: an MLflow server where MLFLOW_TRACKING_URI names one, else the SQLite store in `mlruns/`.

The embedded store is made under a lock (two processes making it at once break it), is set to write-ahead logging,
and has its absolute paths mended on every opening, so that the folder may be moved or copied.
"""

import logging
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from filelock import FileLock

from tokenviz.errors import StoreError
from tokenviz.project import project_root

DEFAULT_PORT = 5000

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
}


@dataclass(frozen=True)
class Store:
    """An open tracking store.

    Attributes:
        uri: As MLflow takes it.
        folder: The folder of an embedded store; None for a server.
        client: An `MlflowClient` on it.
    """

    uri: str
    folder: Path | None
    client: Any

    @property
    def web_address(self) -> str:
        """Where its pages are, once `tokenviz ui` runs for an embedded store."""
        return f"http://127.0.0.1:{DEFAULT_PORT}" if self.folder else self.uri.rstrip("/")


def embedded_folder() -> Path:
    """The folder of the embedded store."""
    return (project_root() / "mlruns").resolve()


def server_uri() -> str | None:
    """The server that the environment names, if it does."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def open_store() -> Store:
    """Open the store, making the embedded one where there is none yet.

    Raises:
        StoreError: It cannot be reached, read or written, or another version of MLflow made it.
    """
    prepare_environment()
    uri = server_uri()
    return _open_server(uri) if uri else _open_embedded(embedded_folder())


def prepare_environment() -> None:
    """Settings that MLflow reads from the environment; what the user has set stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def sqlite_uri(folder: Path) -> str:
    """The database of an embedded store, as MLflow takes it."""
    return f"sqlite:///{folder / 'mlflow.db'}"


def _open_server(uri: str) -> Store:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if urlparse(uri).scheme not in ("http", "https"):
        raise StoreError(
            f"MLFLOW_TRACKING_URI is {uri!r}: give the http:// or https:// address of an MLflow server, or unset it to use "
            "the embedded store in mlruns/"
        )
    client = MlflowClient(tracking_uri=uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        reason = str(error).splitlines()[0][:200]
        raise StoreError(
            f"cannot use the tracking store {uri!r} that MLFLOW_TRACKING_URI names: {reason}; start it, or unset "
            "MLFLOW_TRACKING_URI to use the embedded store"
        ) from error
    return Store(uri, None, client)


def _open_embedded(folder: Path) -> Store:
    if set(str(folder)) & set("%?"):
        raise StoreError(
            f"MLflow cannot keep a store in {str(folder)!r}: it reads % and ? in a path as part of an address and writes "
            "elsewhere; rename the folder"
        )
    database, artifacts = folder / "mlflow.db", folder / "artifacts"
    try:
        artifacts.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            _make_schema(database, artifacts)
            _mend_paths(database, folder)
    except sqlite3.Error as error:
        raise StoreError(_unusable(database, str(error))) from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"cannot write the store in {str(folder)!r}: {error.strerror or error}") from error
    from mlflow import MlflowClient

    return Store(sqlite_uri(folder), folder, MlflowClient(tracking_uri=sqlite_uri(folder)))


def _make_schema(database: Path, artifacts: Path) -> None:
    # Without this MLflow puts an empty ./mlruns into whatever the working directory is.
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking._tracking_service.utils import _SERVER_ARTIFACT_ROOT_ENV_VAR
    from sqlalchemy.exc import SQLAlchemyError

    os.environ[_SERVER_ARTIFACT_ROOT_ENV_VAR] = str(artifacts)
    new = not database.exists()
    try:
        SqlAlchemyStore(sqlite_uri(database.parent), str(artifacts))
    except (MlflowException, SQLAlchemyError) as error:
        if new:
            database.unlink(missing_ok=True)
        raise StoreError(_unusable(database, str(error))) from error
    if new:
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA journal_mode=wal")


def _unusable(database: Path, reason: str) -> str:
    if "schema" in reason or "revision" in reason:
        return (
            f"the store {str(database)!r} was made by another version of MLflow; nothing was changed. Copy it, then run "
            f"'mlflow db upgrade sqlite:///{database}' if it is older, or install the version that made it"
        )
    return f"the store {str(database)!r} cannot be opened: {reason.splitlines()[0][:200]}; move it away to begin a new one"


def _mend_paths(database: Path, folder: Path) -> None:
    """Point every artifact location of ours at where the folder is now. MLflow stores absolute paths, and a moved
    store lists no artifacts, without an error."""
    with sqlite3.connect(database) as connection:
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
    return root if not urlparse(root).scheme else None
