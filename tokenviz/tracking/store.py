"""Opening the tracking store, a server or the embedded one, and what its failures mean."""

import logging
import os
import re
import shutil
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tokenviz.base.display import counted
from tokenviz.base.errors import DamagedError, RefusedError, StoreError
from tokenviz.base.progress import warn
from tokenviz.tracking.condition import examine, run_folders
from tokenviz.tracking.embedded import (
    advice,
    artifacts_of,
    copy_for_reading,
    database_of,
    embedded_folder,
    is_writable,
    local_folder,
    make_ready,
    name_artifacts,
    require_readable,
    run_stages,
    served_at,
    sqlite_errors,
    sqlite_uri,
)

# Failures of a store, in a few words and as this package's errors.

_NO_RIGHTS = (401, 403)


@contextmanager
def store_errors(store: "Store") -> Iterator[None]:
    """Turn whatever MLflow, a database driver or an HTTP library raises into a StoreError."""
    try:
        yield
    except _failures() as error:  # evaluated only when an error is raised, so that MLflow need not be imported before
        if isinstance(error, StoreError):
            raise
        # Without rights now, every other run will fail as well: that is a failure of the store, not a refusal of one run.
        kind = RefusedError if refuses(error) and not lacks_rights(error) else StoreError
        reason = reason_of(error)
        todo = advice(reason) if store.folder is not None else ""
        raise kind(f"the tracking store {store.name!r} failed: {reason}{'; ' * bool(todo)}{todo}") from error


def _failures() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)


def lacks_rights(error: BaseException | None) -> bool:
    """Return whether the credentials are the cause of an error."""
    return _status(error) in _NO_RIGHTS


def refuses(error: BaseException | None) -> bool:
    """Return whether a server refused a request; it would refuse it again."""
    return 400 <= _status(error) < 500 and _status(error) not in (408, 429)


def is_missing(error: BaseException | None) -> bool:
    """Return whether a server does not know what it was asked for."""
    return _status(error) == 404


def _status(error: BaseException | None) -> int:
    """Return the HTTP status of an error; 500 where there was no answer."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return int(error.get_http_status_code())
    return int(getattr(getattr(error, "response", None), "status_code", 500))


def retry_once(call: Callable[..., None], *arguments: Any) -> None:
    """Make a call, and again where a server refuses it, as it does when two processes add the same tag or dataset at once."""
    from mlflow.exceptions import MlflowException

    try:
        call(*arguments)
    except MlflowException as error:
        if not refuses(error) or lacks_rights(error):
            raise
        call(*arguments)


def timed_out(error: BaseException) -> bool:
    """Return whether there was no answer within the time limit."""
    return "timed out" in str(error) or "timeout exception" in str(error)


def reason_of(error: BaseException) -> str:
    """Return an error of MLflow in a few words, without the password that an address in it may hold."""
    text = str(error)
    if timed_out(error):
        return f"no answer within {os.environ['MLFLOW_HTTP_REQUEST_TIMEOUT']} s"
    for pattern, words in _FAILURES:
        if found := pattern.search(text):
            return words.format(*found.groups())
    line = (text.splitlines() or [type(error).__name__])[0]
    return _PASSWORD.sub("//", line)[:300]


_PASSWORD = re.compile(r"//\S*@")
_FAILURES = (
    (re.compile(r"\(sqlite3\.OperationalError\) (.*)"), "{}"),
    (re.compile(r"^\[Errno \d+\] (No space left on device|Disk quota exceeded)"), "{}"),
    (re.compile(r"Connection.*\[Errno -?\d+\] ([A-Z][^'\")\]]*)"), "{}"),
    (re.compile(r"(Failed to resolve '[^']*')"), "{}"),
    (re.compile(r"failed with error code (\d+) != 200"), "HTTP {}"),
    (re.compile(r"too many (\d+) error responses"), "HTTP {}"),
    (re.compile(r"(Remote end closed connection without response|Connection aborted|IncompleteRead)"), "{}"),
)


def without_secrets(uri: str) -> str:
    """Return an address without user, password and query."""
    return _PASSWORD.sub("//", uri).partition("?")[0].rstrip("/")


# Opening the tracking store: an MLflow server where MLFLOW_TRACKING_URI names one, else the embedded store.
#
# A server that does not answer does not stop computing: the store is then *silent*, results wait in the outbox, and the server
# is asked again from time to time.

DEFAULT_PORT = 5000

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A call to a server that hangs takes 2 x 10 s and a second between; with MLflow's defaults it would take minutes.
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
}

EMBEDDED = "mlruns"  # the name of the embedded store
_OUTBOX = "outbox"
_PATIENCE = 10  # after a time-out the server is left alone for this many times the duration of the call
_LONGEST_WAIT = 600  # seconds; the longest time that a server is left alone


@dataclass
class Store:
    """An open tracking store.

    Attributes:
        uri: The URI for MLflow; it may hold a password.
        name: The name for messages and file names; it holds no password.
        folder: The folder of an embedded store; None for a server.
        outbox_folder: The folder of results that wait for the store.
        silent: Why a server does not answer; empty while it does.
        copy: A temporary folder with a copy of the database, for an embedded store that may not be written; else None.
        old_places: Earlier folders of an embedded store that was moved, as long as its database names them.
    """

    uri: str
    name: str
    folder: Path | None
    outbox_folder: Path
    silent: str = ""
    copy: Path | None = None
    old_places: frozenset[str] = frozenset()
    _ask_after: float = field(default=0.0, repr=False)
    _failures: int = field(default=0, repr=False)

    @cached_property
    def client(self) -> Any:
        """An `MlflowClient` for the store, made on first use: an embedded store is read without MLflow.

        Raises:
            StoreError: One of MLflow's settings in the environment is invalid, or the embedded store is damaged.
        """
        _check_environment()
        if self.folder is not None and self.database is not None:
            # MLflow takes a database that lacks one of its tables for an empty one, and changes it.
            with sqlite_errors(self.database):
                examine(database_of(self.folder), artifacts_of(self.folder), copy=self.database).require_ready()
            name_artifacts(artifacts_of(self.folder))
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    @property
    def database(self) -> Path | None:
        """The database file of an embedded store, or of its copy; None for a server."""
        folder = self.copy or self.folder
        return database_of(folder) if folder else None

    def place_of(self, artifact_uri: str) -> Path | None:
        """Return the present folder of an artifact location; None for a server, and for a location that is not a folder."""
        place = local_folder(artifact_uri) if self.folder else None
        for old in self.old_places:
            if place and place.is_relative_to(old):
                return self.folder / place.relative_to(old) if self.folder else None
        return place

    def lost_runs(self) -> list[str]:
        """Return the runs of an embedded store that have files but are missing in its database."""
        if self.folder is None or self.database is None:
            return []
        folders = run_folders(artifacts_of(self.folder))
        return sorted(folders.keys() - run_stages(self.database).keys()) if folders else []

    @property
    def web_address(self) -> str:
        """The address of its pages; for an embedded store that of a running `tokenviz ui`, or the one that it would use."""
        if self.folder is None:
            return self.name
        return served_at(self.folder) or f"http://127.0.0.1:{DEFAULT_PORT}"

    def answers(self) -> bool:
        """Return whether the store answers: it did last time, or it is time to ask again and it does."""
        if not self.silent:
            return True
        if time.monotonic() < self._ask_after:
            return False
        begun = time.monotonic()
        error = ask(self.uri)
        if error is not None:
            self.fall_silent(error, time.monotonic() - begun)
            return False
        self.silent = ""
        warn(f"the tracking server {self.name!r} answers again")
        return True

    def failed_with(self, error: StoreError) -> bool:
        """Return whether an error says that a server failed, rather than that something is not there or damaged."""
        return self.folder is None and error.__cause__ is not None and not isinstance(error, DamagedError)

    def took_a_run(self) -> None:
        """Reset the count of failures: the server works again."""
        self._failures = 0

    def fall_silent(self, error: BaseException, took: float) -> None:
        """Continue without the server.

        Args:
            error: The server's answer, or the failure to get one.
            took: Duration of the call, in seconds.
        """
        before, self.silent = self.silent, reason_of(error)
        # Failures that come at once are retried at once, then less and less often: each may leave an incomplete run.
        self._failures += 1
        wait = 2.0**self._failures - 2
        if timed_out(error):
            wait = max(wait, _PATIENCE * took)
        self._ask_after = time.monotonic() + min(wait, _LONGEST_WAIT)
        if self.silent != before:
            warn(
                f"the tracking server {self.name!r} cannot be used now ({self.silent}): results wait in {self.outbox_folder} "
                "until it can, or 'tokenviz sync' delivers them"
            )


def server_uri() -> str | None:
    """Return the server in the environment variable MLFLOW_TRACKING_URI, or None."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def open_store() -> Store:
    """Open the store for writing; make the embedded one where there is none.

    Raises:
        StoreError: The store cannot be read or written, another version of MLflow made it, or a server refuses the credentials.
    """
    prepare_environment()
    uri = server_uri()
    if uri:
        store, failure = _open_server(uri)
        if failure is not None:
            store.fall_silent(*failure)
        return store
    _check_environment()
    folder = embedded_folder()
    return _embedded(folder, make_ready(folder))


def open_answering() -> Store:
    """Open the store for writing, for commands that need an answer from it.

    Raises:
        StoreError: The store cannot be opened, as in `open_store`; or a server does not answer.
    """
    return _answering(uri) if (uri := server_uri()) else open_store()


def open_for_reading() -> Store:
    """Open an existing store for reading; it need not be writable.

    Raises:
        StoreError: There is no store, it cannot be read, another version of MLflow made it, or a server does not answer.
    """
    uri = server_uri()
    return _answering(uri) if uri else open_embedded_for_reading()


def open_embedded_for_reading() -> Store:
    """Open the embedded store for reading whatever MLFLOW_TRACKING_URI says, since MLflow's server sets this variable itself.

    Raises:
        StoreError: The store cannot be opened, as in `open_for_reading`.
    """
    prepare_environment()
    folder = embedded_folder()
    if not database_of(folder).exists() and not run_folders(artifacts_of(folder)):
        raise StoreError(f"there is no store in {str(folder)!r} yet: run an experiment, or go to the project that has one")
    if is_writable(folder) or not database_of(folder).exists():
        places = frozenset(require_readable(folder))
        return _embedded(folder, database_of(folder), old_places=places)
    copy = copy_for_reading(folder)
    store = _embedded(folder, database_of(copy), copy=copy)
    weakref.finalize(store, shutil.rmtree, copy, ignore_errors=True)
    return store


def prepare_environment() -> None:
    """Set environment variables that MLflow reads; those that the user has set stay."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It logs whole tracebacks of errors that it raises anyway
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _check_environment() -> None:
    """Refuse settings on which MLflow would fail wherever it first reads them."""
    name = "a setting of MLflow's in the environment"
    try:
        from mlflow import environment_variables

        for name in sorted(os.environ):
            read = getattr(getattr(environment_variables, name, None), "get", None)
            if read is not None:
                read()
    except ValueError as error:
        raise StoreError(f"{name} cannot be used ({error}): correct it, or unset it") from error


def _embedded(folder: Path, database: Path, *, copy: Path | None = None, old_places: frozenset[str] = frozenset()) -> Store:
    store = Store(sqlite_uri(database), EMBEDDED, folder, folder / _OUTBOX, copy=copy, old_places=old_places)
    if lost := store.lost_runs():
        warn(
            f"the database of {str(folder)!r} does not know {counted(len(lost), 'run')} whose files are there: "
            "'tokenviz doctor' says what can be done"
        )
    return store


def _answering(uri: str) -> Store:
    prepare_environment()
    store, failure = _open_server(uri)
    if failure is not None:
        raise StoreError(f"the tracking server {store.name!r} does not answer ({reason_of(failure[0])})")
    return store


def _is_address(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018  the port is parsed, and checked, on access
    except ValueError:  # an unmatched bracket, or a port that is not a number
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _open_server(uri: str) -> tuple[Store, tuple[Exception, float] | None]:
    """Open a server; where it does not answer, also return the error and the seconds it took."""
    if not _is_address(uri):
        raise StoreError(
            f"MLFLOW_TRACKING_URI is {without_secrets(uri)!r}: give the http:// or https:// address of an MLflow server, or "
            "unset it to use the embedded store in mlruns/"
        )
    store = Store(uri, without_secrets(uri), None, embedded_folder() / _OUTBOX)
    _check_environment()
    begun = time.monotonic()
    error = ask(uri)
    if error is None:
        return store, None
    if lacks_rights(error):
        raise StoreError(
            f"the tracking server {store.name!r} refuses these credentials ({reason_of(error)}): set MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if refuses(error) or "not in a valid JSON format" in str(error):
        raise StoreError(
            f"{store.name!r}, which MLFLOW_TRACKING_URI names, answers, but not as an MLflow server ({reason_of(error)}): "
            "check the address, or unset it to use the embedded store"
        )
    return store, (error, time.monotonic() - begun)


def ask(uri: str) -> Exception | None:
    """Send a simple request to a server once; return the error, or None for an answer."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    path = "/api/2.0/mlflow/experiments/search"
    try:
        response = http_request(
            get_default_host_creds(uri), path, "GET", params={"max_results": 1}, max_retries=0, raise_on_status=False
        )
        verify_rest_response(response, path)
    except MlflowException as error:
        return error  # type: ignore[no-any-return]  # mlflow is not typed here
    return None
