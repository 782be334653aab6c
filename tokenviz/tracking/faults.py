"""Failures of a store, in a few words and as this package's errors."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tokenviz.errors import RefusedError, StoreError
from tokenviz.tracking.embedded import advice

if TYPE_CHECKING:
    from tokenviz.tracking.store import Store

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
