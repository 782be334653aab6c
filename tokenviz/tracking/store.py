"""Opening the tracking store: an MLflow server where MLFLOW_TRACKING_URI names one, else the SQLite store in `mlruns/`.

The embedded store is made under a lock (two processes making it at once break it), is set to write-ahead logging,
and has its absolute paths mended on every opening, so that the folder may be moved or copied. A server that does not answer
keeps nobody from computing: the store is *silent* then, and what was computed waits in the outbox.
"""

import logging
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse, urlsplit, urlunsplit

from filelock import FileLock

from tokenviz.errors import StoreError
from tokenviz.progress import note
from tokenviz.project import project_root

DEFAULT_PORT = 5000

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A server that hangs costs 2 x 10 s and a second between, once; by default it would be minutes.
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
}


_REFUSED = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")
_OUTBOX = "outbox"


@dataclass
class Store:
    """An open tracking store.

    Attributes:
        uri: As MLflow takes it; it may hold a password.
        name: For messages and file names; it holds none.
        folder: The folder of an embedded store; None for a server.
        outbox_folder: Where results wait for the store.
        client: An `MlflowClient` on it.
        silent: Why a server does not answer; empty while it does.
    """

    uri: str
    name: str
    folder: Path | None
    outbox_folder: Path
    client: Any
    silent: str = ""

    @property
    def web_address(self) -> str:
        """Where its pages are, once `tokenviz ui` runs for an embedded store."""
        return f"http://127.0.0.1:{DEFAULT_PORT}" if self.folder else self.name

    def answers(self) -> bool:
        """Ask a server whether it is there, and remember the answer."""
        error = self.refusal()
        self.silent = reason_of(error) if error is not None else ""
        return error is None

    def refusal(self) -> Exception | None:
        """What a simple question to the store is answered with; None for an answer."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.search_experiments(max_results=1)
        except MlflowException as error:
            return error  # type: ignore[no-any-return]  # mlflow is not typed here
        return None


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


def sqlite_uri(database: Path) -> str:
    """A database, as MLflow takes it."""
    return f"sqlite:///{database}"


def database_of(folder: Path) -> Path:
    """The database of an embedded store."""
    return folder / "mlflow.db"


def _open_server(uri: str) -> Store:
    from mlflow import MlflowClient

    if urlparse(uri).scheme not in ("http", "https"):
        raise StoreError(
            f"MLFLOW_TRACKING_URI is {uri!r}: give the http:// or https:// address of an MLflow server, or unset it to use "
            "the embedded store in mlruns/"
        )
    store = Store(uri, _without_password(uri), None, embedded_folder() / _OUTBOX, MlflowClient(tracking_uri=uri))
    if store.answers():
        return store
    code = getattr(store.refusal(), "error_code", "")
    if code in _REFUSED:
        raise StoreError(
            f"the tracking server {store.name!r} refuses these credentials ({store.silent}): set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if code in ("ENDPOINT_NOT_FOUND", "BAD_REQUEST") or "not in a valid JSON format" in store.silent:
        raise StoreError(
            f"{store.name!r}, which MLFLOW_TRACKING_URI names, answers, but not as an MLflow server ({store.silent}): check "
            "the address, or unset it to use the embedded store"
        )
    note(
        f"the tracking server {store.name!r} does not answer ({store.silent}); results wait in {store.outbox_folder} until "
        "'tokenviz sync' delivers them"
    )
    return store


def reason_of(error: Exception) -> str:
    """An error of MLflow's in a line, without the password that an address in it may hold."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return _PASSWORD.sub("//", line)[:300]


_PASSWORD = re.compile(r"//[^/@\s]*@")


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


def _open_embedded(folder: Path) -> Store:
    if set(str(folder)) & set("%?"):
        raise StoreError(
            f"MLflow cannot keep a store in {str(folder)!r}: it reads % and ? in a path as part of an address and writes "
            "elsewhere; rename the folder"
        )
    database, artifacts = database_of(folder), folder / "artifacts"
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

    uri = sqlite_uri(database)
    return Store(uri, "mlruns", folder, folder / _OUTBOX, MlflowClient(tracking_uri=uri))


def _make_schema(database: Path, artifacts: Path) -> None:
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
            unfinished.unlink(missing_ok=True)
            SqlAlchemyStore(sqlite_uri(unfinished), str(artifacts))._dispose_engine()
            with closing(sqlite3.connect(unfinished)) as connection:
                connection.execute("PRAGMA journal_mode=wal")
            unfinished.replace(database)
        SqlAlchemyStore(sqlite_uri(database), str(artifacts))
    except (MlflowException, SQLAlchemyError) as error:
        raise StoreError(_unusable(database, str(error))) from error


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
    return root if not urlparse(root).scheme else None
