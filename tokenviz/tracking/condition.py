"""The condition of an embedded store's database: ready, older, newer, foreign, damaged or lost.

The check changes nothing. MLflow itself cannot be asked: it takes a database that lacks one of its tables for an empty one, and
creates its own schema at once (`SqlAlchemyStore.__init__`), after which the MLflow that made the database cannot open it.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tokenviz.base.display import counted
from tokenviz.base.errors import StoreError
from tokenviz.tracking.entities import RUN_ID

Kind = Literal["absent", "ready", "older", "newer", "foreign", "damaged", "lost"]

_OF_MLFLOW = {"experiments", "runs", "tags", "params", "metrics"}  # tables that every version has
_READ = _OF_MLFLOW | {"latest_metrics"}  # the tables that are read to find and show runs
_REVISION = re.compile(r"""^(revision|down_revision)\b[^=\n]*=\s*["'](\w+)["']""", re.MULTILINE)
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")
_NO_DATABASE = "file is not a database"
_CHECKED = 50_000_000  # bytes; smaller databases are checked completely at every opening, which takes about 1 ms per megabyte
_SHOWN = 3
_PATIENCE = 20  # seconds that a process waits while another one writes, as MLflow does


@dataclass(frozen=True)
class Condition:
    """The result of a check of a database.

    Attributes:
        kind: One of seven conditions; "absent" where there is neither a database nor files of runs, and "lost" where there are
            files of runs but no database.
        message: What is wrong and what to do, in one line; empty for "absent" and "ready".
    """

    kind: Kind
    message: str = ""

    def require_ready(self) -> None:
        """Raise an error unless the database can be used.

        Raises:
            StoreError: The database cannot be used.
        """
        if self.message:
            raise StoreError(self.message)


def run_folders(artifacts: Path) -> dict[str, Path]:
    """Return the folders of runs in a folder of artifacts, by the runs' ids."""
    return {
        path.name: path
        for experiment in _folders(artifacts)
        for path in _folders(experiment)
        if RUN_ID.fullmatch(path.name) and (path / "artifacts").is_dir()
    }


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def examine(database: Path, artifacts: Path, *, copy: Path | None = None, only_read: bool = False) -> Condition:
    """Return the condition of a database.

    Args:
        database: The path of the database; it need not exist.
        artifacts: The folder of its runs' files.
        copy: The file to check instead, where the database itself cannot be opened; by default none.
        only_read: Require only the tables that are read to find and show runs. Only MLflow knows the others, and importing it
            takes longer than reading a thousand runs.

    Raises:
        StoreError: The database cannot be read.
    """
    path = copy or database
    log = path.with_name(f"{path.name}-wal")
    if not path.exists() or not path.stat().st_size:
        # An empty database is not opened: SQLite would remove the log next to it, which may hold all that is left.
        logged = log.exists() and log.stat().st_size > 0
        return _lost(database, artifacts, "is empty" if path.exists() else "is gone", sure=logged)
    try:
        with closing(connect_for_reading(path)) as connection:
            return _look(connection, path, database, artifacts, only_read=only_read)
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if not name.startswith(_DAMAGED):
            raise
        return _damaged(database, artifacts, str(error))


def connect_for_reading(database: Path) -> sqlite3.Connection:
    """Open an existing database without changing it."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)


def connect_for_writing(database: Path) -> sqlite3.Connection:
    """Open an existing database for writing."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE)


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database without changing it for a block, or take the connection that this thread keeps open.

    Raises:
        sqlite3.Error: The database cannot be read.
    """
    if database == _kept.database:
        with _kept_connection(database) as connection:
            yield connection
    else:
        with closing(connect_for_reading(database)) as connection:
            yield connection


@contextmanager
def writing(database: Path) -> Iterator[sqlite3.Connection]:
    """Write a database in one transaction, which is undone after an error, on the connection that this thread keeps, if any.

    Raises:
        sqlite3.Error: The database cannot be written.
    """
    if database == _kept.database:
        with _kept_connection(database) as connection, connection:
            yield connection
    else:
        with closing(connect_for_writing(database)) as connection, connection:
            yield connection


@contextmanager
def kept_open(database: Path) -> Iterator[None]:
    """Keep one connection to a database open for what this thread reads and writes inside the block.

    Opening takes about a millisecond, since SQLite then reads the definitions of MLflow's sixty tables: many times as long as
    most of what is read. No transaction stays open in between.
    """
    if _kept.database is not None:  # an outer block keeps one already
        yield
        return
    _kept.database = database
    try:
        yield
    finally:
        _let_go()
        _kept.database = None


class _Kept(threading.local):
    """The connection that a thread keeps, and the file that it has open: device and number."""

    database: Path | None = None
    connection: sqlite3.Connection | None = None
    file: tuple[int, int] | None = None


_kept = _Kept()


@contextmanager
def _kept_connection(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        found = database.stat()
        file = found.st_dev, found.st_ino
    except OSError:
        file = None
    if _kept.connection is None or file is None or file != _kept.file:
        _let_go()  # another file may be in its place: a database that was made again
        _kept.connection, _kept.file = connect_for_writing(database), file
    try:
        yield _kept.connection
    except sqlite3.Error:
        _let_go()
        raise


def _let_go() -> None:
    connection, _kept.connection = _kept.connection, None
    if connection is not None:
        connection.close()


def check_whole(database: Path) -> str:
    """Read every page of a database; return what is wrong, or an empty string. Takes about 1 ms per megabyte."""
    try:
        with closing(connect_for_reading(database)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            return "" if found == "ok" else str(found).splitlines()[-1]
    except sqlite3.DatabaseError as error:
        return str(error)


def _look(connection: sqlite3.Connection, path: Path, database: Path, artifacts: Path, *, only_read: bool) -> Condition:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables -= {name for name in tables if name.startswith("sqlite_")}
    if _is_cut(connection, path):
        return _damaged(database, artifacts, "a part of the file is missing")
    if not tables:
        return _lost(database, artifacts, "has no tables", sure=False)
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(runs)")}
    if not tables >= _OF_MLFLOW or "run_uuid" not in columns:
        if tables & _OF_MLFLOW >= {"experiments", "runs"} and "run_uuid" in columns:
            return _damaged(database, artifacts, f"its table {min(_OF_MLFLOW - tables)!r} is missing")
        return _foreign(database, artifacts, tables)
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in tables else None
    revision = str(found[0]) if found else ""
    newest, known = _revisions()
    if revision == newest:
        if absent := (_READ if only_read else _expected_tables()) - tables:
            return _damaged(database, artifacts, f"its table {min(absent)!r} is missing")
        if path.stat().st_size < _CHECKED and (torn := check_whole(path)):
            return _damaged(database, artifacts, torn)
        return Condition("ready")
    return _older(database, revision) if not revision or revision in known else _newer(database, revision)


def _is_cut(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether pages are missing from both file and log. While there is a log, SQLite reads such pages as zeros."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    there = path.stat().st_size // size
    return there < pages and not set(range(there + 1, pages + 1)) <= _pages_in_log(path.with_name(f"{path.name}-wal"), size)


def _pages_in_log(log: Path, size: int) -> set[int]:
    """Return the numbers of the pages that a write-ahead log holds
    (https://www.sqlite.org/fileformat.html#the_write_ahead_log).
    """
    pages: set[int] = set()
    if log.exists():
        with log.open("rb") as file:
            head = file.read(32)
            while len(frame := file.read(24)) == 24 and frame[8:16] == head[16:24]:
                pages.add(int.from_bytes(frame[:4], "big"))
                file.seek(size, 1)
    return pages


@cache
def _revisions() -> tuple[str, frozenset[str]]:
    """Return the newest revision of the schema that this MLflow knows, and all of them.

    They are read from the text of its migrations: importing MLflow and Alembic would take a second.
    """
    package = find_spec("mlflow")
    folder = Path(str(package and package.origin)).parent / "store" / "db_migrations" / "versions"
    found = [dict(_REVISION.findall(file.read_text(encoding="utf-8"))) for file in folder.glob("*.py")]
    known = frozenset(one["revision"] for one in found if "revision" in one)
    (newest,) = known - {one.get("down_revision") for one in found}
    return newest, known


def _expected_tables() -> set[str]:
    import mlflow.store.db.utils  # noqa: F401  the import defines all tables, as a remark there says
    from mlflow.store.db.base_sql_model import Base

    return set(Base.metadata.tables)


def _older(database: Path, revision: str) -> Condition:
    return Condition(
        "older",
        f"the store {str(database)!r} was made by an older MLflow (schema {revision or 'without a number'}); nothing was "
        f"changed. 'tokenviz doctor --migrate' copies it and migrates it to MLflow {_version()}; the older MLflow can then "
        "open the copy only",
    )


def _newer(database: Path, revision: str) -> Condition:
    return Condition(
        "newer",
        f"the store {str(database)!r} was made by a newer MLflow than {_version()} (schema {revision}); nothing was changed. "
        "Use it with the MLflow that made it, or a newer one",
    )


def _foreign(database: Path, artifacts: Path, tables: set[str]) -> Condition:
    names = ", ".join(sorted(tables)[:_SHOWN]) + ", ..." * (len(tables) > _SHOWN)
    return Condition(
        "foreign",
        f"{str(database)!r} is the database of another application (tables {names}); nothing was changed. Move it to where it "
        f"belongs{_then(artifacts)}",
    )


def _damaged(database: Path, artifacts: Path, reason: str) -> Condition:
    count = len(run_folders(artifacts))
    if not count and reason == _NO_DATABASE:
        message = f"{str(database)!r} is no database; nothing was changed. Move it away to begin a new store"
        return Condition("foreign", message)
    if count:
        todo = (
            f"The files of {counted(count, 'run')} are there: 'tokenviz doctor --rebuild' makes the database again from them "
            "and keeps the damaged one; or put back a copy of the database"
        )
    else:
        todo = "Put back a copy of it, or move it away to begin a new store"
    return Condition("damaged", f"the store's database {str(database)!r} is damaged ({reason}); nothing was changed. {todo}")


def _lost(database: Path, artifacts: Path, what: str, *, sure: bool) -> Condition:
    count = len(run_folders(artifacts))
    if count:
        todo = (
            f"the files of {counted(count, 'run')} are there. 'tokenviz doctor --rebuild' makes the database again from them; "
            "or put back a copy of it"
        )
    elif sure:
        todo = "a log of changes is next to it. Put back a copy of the database, or move both away to begin a new store"
    else:
        return Condition("absent")
    copies = sorted(path.name for path in database.parent.glob(f"{database.name}.*-[0-9]*-[0-9]*[0-9]"))
    if copies:
        todo += f", such as {copies[-1]} there"
    return Condition("lost", f"the store's database {str(database)!r} {what}, and {todo}")


def _then(artifacts: Path) -> str:
    count = len(run_folders(artifacts))
    return (
        f", then 'tokenviz doctor --rebuild' makes the store again from the files of {counted(count, 'run')}" if count else ""
    )


def _version() -> str:
    from importlib.metadata import version

    return version("mlflow")
