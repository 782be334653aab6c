"""Opening the tracking store: an MLflow server where MLFLOW_TRACKING_URI names one, else the embedded store.

A server that does not answer keeps nobody from computing: the store is *silent* then, what was computed waits in the outbox,
and the server is asked again now and then.
"""

import logging
import os
import shutil
import time
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tokenviz.errors import StoreError
from tokenviz.progress import warn
from tokenviz.tracking.condition import examine, run_folders
from tokenviz.tracking.embedded import (
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
    sqlite_errors,
    sqlite_uri,
)
from tokenviz.tracking.faults import lacks_rights, reason_of, refuses, timed_out, without_secrets
from tokenviz.tracking.serving import served_at

DEFAULT_PORT = 5000

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A call to a server that hangs costs 2 x 10 s and a second between; by default it would be minutes.
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
}

EMBEDDED = "mlruns"  # the name of the embedded store
_OUTBOX = "outbox"
_PATIENCE = 10  # how many times as long as a server let one wait to leave it alone
_LONGEST_WAIT = 600  # seconds


@dataclass
class Store:
    """An open tracking store.

    Attributes:
        uri: As MLflow takes it; it may hold a password.
        name: For messages and file names; it holds none.
        folder: The folder of an embedded store; None for a server.
        outbox_folder: Where results wait for the store.
        silent: Why a server does not answer; empty while it does.
        copy: A temporary folder with a copy of the database, for an embedded store that may not be written; None for any other.
        old_places: Where an embedded store that was moved was before, as long as its database says so.
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
        """An `MlflowClient` on it, made when it is first asked for: what only reads an embedded store does without MLflow.

        Raises:
            StoreError: A setting of MLflow's in the environment cannot be used, or the embedded store is not whole.
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
        """The file of an embedded store, or of its copy; None for a server."""
        folder = self.copy or self.folder
        return database_of(folder) if folder else None

    def place_of(self, artifact_uri: str) -> Path | None:
        """Return the folder that an artifact location means now; None for a server, and for what is no folder."""
        place = local_folder(artifact_uri) if self.folder else None
        for old in self.old_places:
            if place and place.is_relative_to(old):
                return self.folder / place.relative_to(old) if self.folder else None
        return place

    def lost_runs(self) -> list[str]:
        """Return the runs of an embedded store whose files are there and which its database does not know."""
        if self.folder is None or self.database is None:
            return []
        folders = run_folders(artifacts_of(self.folder))
        return sorted(folders.keys() - run_stages(self.database).keys()) if folders else []

    @property
    def web_address(self) -> str:
        """Where its pages are; for an embedded store once `tokenviz ui` runs, or where it runs already."""
        if self.folder is None:
            return self.name
        return served_at(self.folder) or f"http://127.0.0.1:{DEFAULT_PORT}"

    def answers(self) -> bool:
        """Whether to talk to it: it answered last time, or it is time to ask again and it answers."""
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

    def took_a_run(self) -> None:
        """The server is well again, as far as one can know."""
        self._failures = 0

    def fall_silent(self, error: BaseException, took: float) -> None:
        """Go on without the server.

        Args:
            error: What it answered with, or failed to.
            took: Seconds until that was known.
        """
        before, self.silent = self.silent, reason_of(error)
        # Failures that come at once are tried again at once, then less and less often: each may leave a run that is not whole.
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
    """The server that the environment names, if it does."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def open_store() -> Store:
    """Open the store for writing, making the embedded one where there is none yet.

    Raises:
        StoreError: It cannot be read or written, another version of MLflow made it, or a server refuses the credentials.
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
    """Open the store for writing, for what cannot be done without it.

    Raises:
        StoreError: See `open_store`; or a server does not answer.
    """
    return _answering(uri) if (uri := server_uri()) else open_store()


def open_for_reading() -> Store:
    """Open a store that is there already, also one that may not be written.

    Raises:
        StoreError: There is none, it cannot be read, another version of MLflow made it, or a server does not answer.
    """
    uri = server_uri()
    return _answering(uri) if uri else open_embedded_for_reading()


def open_embedded_for_reading() -> Store:
    """Open the embedded store as `open_for_reading` does, whatever MLFLOW_TRACKING_URI says: MLflow's server sets it itself.

    Raises:
        StoreError: See `open_for_reading`.
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
    """Settings that MLflow reads from the environment; what the user has set stays."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # whole tracebacks, of what it raises anyway


def _check_environment() -> None:
    """Refuse a setting that MLflow would stumble over wherever it reads it first."""
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
            f"the database of {str(folder)!r} does not know {len(lost):,} run{'s' * (len(lost) != 1)} whose files are there: "
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
        parts.port  # noqa: B018  it is read, and checked, only when it is asked for
    except ValueError:  # a bracket without the other, a port that is no number
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _open_server(uri: str) -> tuple[Store, tuple[Exception, float] | None]:
    """A server, and where it does not answer, what happened and after how many seconds."""
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
    """What a server answers a simple question with, asked once; None for an answer."""
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
