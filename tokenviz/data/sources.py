"""Sources of texts: files on this disk or at any address that fsspec knows, compressed or not, read as streams.

`x.jsonl`, `x.jsonl.gz` and `s3://bucket/x.jsonl.zst` are one text: what is read is what was compressed, piece by piece, and the
name, the digest and the places in messages are those of the content.
"""

import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from os.path import expanduser  # Path.expanduser raises an error where there is no such user
from pathlib import Path, PurePosixPath
from typing import Any

from tokenviz.base.errors import TextError, TokenvizError

PLAIN_SUFFIXES = (".txt", ".md")
TABLE_SUFFIXES = (".jsonl", ".csv", ".parquet")
KNOWN = ".txt, .md, .jsonl or .csv, with .gz or .zst after it where it is compressed, or in .parquet"
"""The endings of files that hold texts, in words."""

_ADDRESS = re.compile(r"([a-z][\w+.-]*::)*[a-z][\w+.-]*://", re.IGNORECASE)
_MAGIC = {".gz": (b"\x1f\x8b",), ".zst": (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16)))}
_NAMES = {".gz": "gzip", ".zst": "Zstandard"}
_ENDS_EARLY = "Truncated compressed stream"  # Arrow's words
_WIDE = "too much memory"  # zstd's words about a frame that refers back further than 128 MB
_BUFFER = 1 << 18  # bytes


def is_address(given: str) -> bool:
    """Return whether a string has the form of an address, such as s3://bucket/text.jsonl."""
    return _ADDRESS.match(given) is not None and "\n" not in given


def is_text_file(name: str) -> bool:
    """Return whether a file's name ends as that of a text does; Parquet, which is compressed inside, has no second ending."""
    content, packing = _parted(name)
    return content.lower().endswith((*PLAIN_SUFFIXES, *(TABLE_SUFFIXES[:2] if packing else TABLE_SUFFIXES)))


def content_name(name: str) -> str:
    """Return a file's name without the ending that says how it is compressed."""
    return _parted(name)[0]


def _without_query(address: str) -> str:
    """Return an address without what a signed link has after the name of the file."""
    return address.partition("?")[0] if address.lower().startswith(("http://", "https://")) else address


def _parted(name: str) -> tuple[str, str]:
    name = _without_query(name)
    ending = name[name.rfind(".") :].lower()
    return (name[: -len(ending)], ending) if ending in _MAGIC else (name, "")


def packed_as(head: bytes) -> tuple[str, str] | None:
    """Return the compression that a file's first bytes are of, as its name and the ending of such files."""
    return next(((_NAMES[ending], ending) for ending, magics in _MAGIC.items() if head.startswith(magics)), None)


def said(error: BaseException) -> str:
    """Return what an error says, in one short line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200] or type(error).__name__


def file_system(address: str, what: str, fault: type[TokenvizError]) -> tuple[Any, str]:
    """Find the file system of an address; nothing is read or written.

    Args:
        address: A path of this disk, or any address that fsspec knows.
        what: What is there, for messages, such as "the ledger".
        fault: The kind of error to raise.

    Returns:
        fsspec's file system, and the path in it.

    Raises:
        TokenvizError: No file system is known for the address, or its package is not installed; of the kind `fault`.
    """
    from fsspec.core import url_to_fs

    try:
        files, path = url_to_fs(address)
    except ImportError as error:
        raise fault(f"{what} {address!r} needs a package for {address.partition('://')[0]}://: {error}") from error
    except ValueError as error:
        raise fault(f"{what}'s address {address!r} cannot be used: {error}") from error
    except Exception as error:  # clients of object storage have errors of their own, such as one without credentials
        raise fault(f"cannot use {what} {address!r}: {said(error)}") from error
    return files, path


@dataclass(frozen=True)
class Source:
    """A file or a folder with texts.

    Attributes:
        given: Its path or address, as messages show it.
        path: Its path in its file system.
        files: The fsspec file system; None for this disk.
        size: Its size in bytes, as it is stored, where that is known without a look.
    """

    given: str
    path: str
    files: Any = None
    size: int | None = None

    def __str__(self) -> str:
        return self.given

    @property
    def name(self) -> str:
        """Its last name, with all endings."""
        return PurePosixPath(_without_query(self.path)).name

    @property
    def stem(self) -> str:
        """Its name without the endings of compression and of the kind of file."""
        return PurePosixPath(content_name(self.name)).stem

    @property
    def suffix(self) -> str:
        """The ending of the kind of file below the compression, in lower case."""
        return PurePosixPath(content_name(self.name)).suffix.lower()

    @property
    def packing(self) -> str:
        """How it is compressed: ".gz", ".zst" or nothing."""
        return _parted(self.name)[1]

    def is_folder(self) -> bool:
        """Look whether it is a folder.

        Raises:
            TextError: It is at an address where there is nothing, or nothing that can be read.
        """
        return os.path.isdir(self.path) if self.files is None else bool(self._info["type"] == "directory")

    def stored_bytes(self) -> int | None:
        """Return the size of the file as it is stored; None where a server does not tell."""
        if self.size is not None:
            return self.size
        if self.files is None:
            return os.stat(self.path).st_size
        size = self._info.get("size")
        return None if size is None else int(size)

    @cached_property
    def _info(self) -> dict[str, Any]:
        with self._faults():
            self.files.invalidate_cache()
            return dict(self.files.info(self.path))

    def open(self) -> "Stream":
        """Open the file; what is read is what was compressed.

        Raises:
            TextError: It is not compressed as its name says, or is at an address and cannot be read. Later reads raise it where
                the file ends early or is damaged.
            OSError: A file on this disk cannot be read.
        """
        size = self.stored_bytes()
        if self.files is None:
            raw: io.RawIOBase = io.FileIO(self.path)
        else:
            with self._faults():
                raw = _Reading(self.files.open(self.path, "rb"), self._faults)
        if not self.packing:
            return Stream(raw, None, size)
        stored: Any = io.BufferedReader(raw, _BUFFER)
        try:
            return Stream(_Reading(self._unpacked(stored), self._damage, stored), stored, size)
        except BaseException:  # also one that is no error, such as Ctrl-C: the file is closed
            stored.close()
            raise

    def _unpacked(self, stored: io.BufferedReader) -> Any:
        head = stored.peek(4)[:4]
        if head and not head.startswith(_MAGIC[self.packing]):
            other = packed_as(head)
            kind = f", as {other[0]} does" if other else ""
            raise TextError(f"{self.given!r} is not {_NAMES[self.packing]}, as its name says: it begins with {head!r}{kind}")
        if self.packing == ".gz":
            return gzip.GzipFile(fileobj=stored)
        import pyarrow as pa

        if not pa.Codec.is_available("zstd"):
            raise TextError(
                f"{self.given!r} needs a pyarrow with Zstandard, and this one is built without: pip install pyarrow"
            )
        return pa.CompressedInputStream(stored, "zstd")

    @contextmanager
    def for_arrow(self) -> Iterator[Any]:
        """Give what pyarrow and pandas read while the block lasts: the path, or the open file, of which parts are fetched."""
        if self.files is None:
            yield self.path
            return
        with self.open() as stream:
            yield stream

    def below(self) -> list[tuple[str, "Source"]]:
        """Return the files below a folder at an address, by their paths in it.

        Raises:
            TextError: The folder cannot be read.
        """
        with self._faults():
            found = self.files.find(self.path, detail=True)
        root = self.path.rstrip("/")
        names = {path: path.removeprefix(root).lstrip("/") for path, info in found.items() if info.get("type") == "file"}
        return [
            (name, Source(f"{self.given.rstrip('/')}/{name}", path, self.files, found[path].get("size")))
            for path, name in names.items()
        ]

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what a file system raises, of whatever library, into one line."""
        try:
            yield
        except TokenvizError:
            raise
        except FileNotFoundError as error:
            reason = f" ({said(error.__cause__)})" if error.__cause__ else ""  # such as a server that does not answer
            raise TextError(f"no text at {self.given!r}: no such file, folder or bucket{reason}") from error
        except Exception as error:  # each client of object storage has errors of its own
            raise TextError(f"cannot read {self.given!r}: {said(error)}") from error

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Turn what gzip and Arrow raise about compressed bytes into one line; errors of the disk have numbers, and stay."""
        try:
            yield
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            if isinstance(error, EOFError) or _ENDS_EARLY in str(error):
                problem = "ends too early: its end was cut off, as by a download that stopped"
            elif _WIDE in str(error):
                problem = "refers back over more than 128 MB: 'zstd -d --long=31 -c FILE | zstd -o OTHER' writes it again"
            else:
                problem = f"is damaged: {said(error)}"
            raise TextError(f"{self.given!r} {problem}") from error


def source_at(given: str | Path) -> Source:
    """Return the source at a path or an address; nothing is read.

    Raises:
        TextError: No file system is known for the address, or its package is not installed.
        ValueError: The path has a NUL.
    """
    if not is_address(str(given)):
        path = str(Path(expanduser(str(given))))
        return Source(path, path)
    from fsspec.implementations.local import LocalFileSystem

    files, path = file_system(str(given), "the text", TextError)
    return Source(path, path) if isinstance(files, LocalFileSystem) else Source(str(given), path, files)


class Stream(io.BufferedReader):
    """The content of a file, as bytes, and how far reading has come in the file as it is stored.

    Attributes:
        size: The size of the file as it is stored, in bytes; None where a server does not tell.
    """

    def __init__(self, raw: io.RawIOBase, stored: io.BufferedReader | None, size: int | None) -> None:
        super().__init__(raw, _BUFFER)
        self._stored, self.size = stored, size

    def reached(self) -> int:
        """Return how many bytes of the file as it is stored have been read."""
        return self.tell() if self._stored is None else self._stored.tell()


class _Reading(io.RawIOBase):
    """A stream of what fsspec, gzip or Arrow reads, with errors in one line."""

    def __init__(
        self, inner: Any, faults: Callable[[], AbstractContextManager[None]], stored: io.BufferedReader | None = None
    ) -> None:
        self._inner, self._faults, self._stored = inner, faults, stored

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stored is None and bool(self._inner.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with self._faults():
            return int(self._inner.seek(offset, whence))

    def tell(self) -> int:
        return int(self._inner.tell())

    def readinto(self, buffer: Any, /) -> int:
        with self._faults():
            data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            if self._stored is not None:
                self._stored.close()
        super().close()
