"""Files at any path that fsspec knows: a folder, a shared file system, object storage.

A file appears completely or not at all, and the first writer of a name wins. There are no locks, since those of NFS and Lustre
are not reliable. Failed calls are repeated, since object storage refuses one from time to time.
"""

import errno
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from tokenviz.base import disk
from tokenviz.base.errors import LedgerError, of_full_disk
from tokenviz.data.sources import file_system, said

T = TypeVar("T")

_TRIES = 8
_WAITS = 0.05  # seconds before the first retry; twice as many before each further one, 4 at most
_CREATED = "create"  # fsspec's mode for a file that must not exist yet
# Errors for which a retry is useless.
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)


class Storage:
    """The files below one address."""

    def __init__(self, address: str) -> None:
        """Find the file system of an address; nothing is read or written.

        Raises:
            LedgerError: No file system is known for the address, or its package is not installed.
        """
        self._fs, root = file_system(address, "the ledger", LedgerError)
        self.is_local = "file" in ([self._fs.protocol] if isinstance(self._fs.protocol, str) else self._fs.protocol)
        self.root = root.rstrip("/") or "/"
        self.address = str(Path(root)) if self.is_local else address.rstrip("/")

    def path(self, name: str) -> str:
        """Return the file system's path for a name."""
        return f"{self.root}/{name}" if name else self.root

    def names(self, folder: str) -> set[str]:
        """Return the names in a folder; none where it is missing."""

        def look() -> set[str]:
            self._fs.invalidate_cache()
            return {entry.rstrip("/").rpartition("/")[2] for entry in self._fs.ls(self.path(folder), detail=False)}

        try:
            found = self._again(look, folder)
        except FileNotFoundError:
            return set()
        return {name for name in found if not name.startswith(".")}

    def exists(self, name: str) -> bool:
        """Return whether there is a file of a name."""

        def look() -> bool:
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self.path(name)))

        return self._again(look, name)

    def read(self, name: str) -> bytes | None:
        """Read a file; return None where there is none."""
        try:
            content: bytes = self._again(lambda: self._fs.cat_file(self.path(name)), name)
        except FileNotFoundError:
            return None
        return content

    def opened(self, name: str) -> Any:
        """Open a file for reading; only the parts that are read are fetched."""
        return self._again(lambda: self._fs.open(self.path(name), "rb"), name)

    def fetch(self, name: str, target: Path) -> Path:
        """Return the path of a file on this disk: its own where it is local, else a copy."""
        if self.is_local:
            return Path(self.path(name))
        self._again(lambda: self._fs.get_file(self.path(name), str(target)), name)
        return target

    def add(self, name: str, content: bytes | Path) -> bool:
        """Write a file unless it exists.

        Args:
            name: Name of the file.
            content: The bytes, or a file on this disk that holds them.

        Returns:
            Whether it was written; False where another worker was first.
        """
        if self.is_local:
            return self._again(lambda: self._add_local(name, content), name)
        data = content if isinstance(content, bytes) else content.read_bytes()
        try:
            self._again(lambda: self._create(name, data), name)
        except FileExistsError:
            return False
        return True

    def replace(self, name: str, content: bytes) -> None:
        """Write a file completely, replacing an existing one."""

        def write() -> None:
            if self.is_local:
                path = Path(self.path(name))
                path.parent.mkdir(parents=True, exist_ok=True)
                unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
                try:
                    unfinished.write_bytes(content)  # a claim need not survive a power failure, so there is no fsync
                    unfinished.replace(path)
                finally:
                    unfinished.unlink(missing_ok=True)
            else:
                self._with_folder(name, lambda: self._fs.pipe_file(self.path(name), content))

        self._again(write, name)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            self._again(lambda: self._fs.rm_file(self.path(name)), name)

    def written(self, name: str) -> float | None:
        """Return when a file was written, by the file system's clock, in seconds; None where there is none."""

        def look() -> float:
            self._fs.invalidate_cache()
            return float(self._fs.modified(self.path(name)).timestamp())

        try:
            return self._again(look, name)
        except FileNotFoundError:
            return None

    def check_writable(self) -> None:
        """Write a file and remove it.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        name = f"writable-{uuid.uuid4().hex[:8]}"
        try:
            self.replace(name, b"")
        except FileNotFoundError as error:
            raise LedgerError(f"cannot make the folder of the ledger {self.address!r}: {said(error)}") from error
        self.remove(name)

    def _add_local(self, name: str, content: bytes | Path) -> bool:
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            with unfinished.open("wb") as file:
                file.write(content if isinstance(content, bytes) else content.read_bytes())
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(unfinished, path)  # unlike a rename, it fails where another worker was first
            except FileExistsError:
                return False
            except OSError as error:  # a file system without links
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                if path.exists():
                    return False
                unfinished.replace(path)
            disk.sync_entry(path.parent)
            return True
        finally:
            unfinished.unlink(missing_ok=True)

    def _create(self, name: str, data: bytes) -> None:
        try:
            self._with_folder(name, lambda: self._fs.pipe_file(self.path(name), data, mode=_CREATED))
        except (NotImplementedError, TypeError):  # a file system without this mode: two workers write the same content
            if self._fs.exists(self.path(name)):
                raise FileExistsError(name) from None
            self._with_folder(name, lambda: self._fs.pipe_file(self.path(name), data))

    def _with_folder(self, name: str, write: Callable[[], object]) -> None:
        """Write a file; make its folder if the file system needs one, which object storage does not."""
        try:
            write()
        except FileNotFoundError:
            self._fs.makedirs(self.path(name).rpartition("/")[0], exist_ok=True)
            write()

    def _again(self, call: Callable[[], T], name: str) -> T:
        """Call something for a file, with several retries."""
        wait = _WAITS
        for number in range(_TRIES):
            try:
                return call()
            except _FINAL as error:
                if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError):
                    raise LedgerError(
                        f"cannot use {name or 'the folder'!r} of the ledger {self.address!r}: {said(error)}"
                    ) from error
                raise
            except OSError as error:
                lasting = error.errno in (errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP) or of_full_disk(error)
                if lasting or number == _TRIES - 1:
                    what = name or "the folder"
                    raise LedgerError(f"cannot use {what!r} of the ledger {self.address!r}: {said(error)}") from error
            except Exception as error:
                # Clients of object storage have errors of their own, such as one without credentials.
                if self.is_local or isinstance(error, NotImplementedError | TypeError):
                    raise
                raise LedgerError(f"cannot use the ledger {self.address!r}: {said(error)}") from error
            time.sleep(wait)
            wait = min(4.0, 2 * wait)
        raise AssertionError("the last try returns or raises")
