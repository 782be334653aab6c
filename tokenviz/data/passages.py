"""Passages as they are read: few stay in memory, many are kept in a scratch file and read back a block at a time."""

import json
import os
import tempfile
import weakref
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import overload

from tokenviz.base.errors import DiskError

IN_MEMORY = 8 << 20
"""Size of the passages that stay in memory, in bytes by a rough count; more are kept in a scratch file."""

_OVERHEAD = 50  # bytes of a string in memory besides its characters

_BLOCK = 1 << 17  # characters of passages that are read back together
_MOST = 1 << 12  # passages of a block, of which most are then short

_encode = json.JSONEncoder(ensure_ascii=False).encode


class Passages(Sequence[str]):
    """Strings in a scratch file, which is gone when they are; indexed and iterated like a tuple of them.

    In memory are two numbers per block and the last block that was read. A copy, or what another process gets, is a tuple.
    """

    def __init__(self) -> None:
        """Open a scratch file in the folder that `TMPDIR` names, or the system's.

        Raises:
            OSError: The folder is missing, or cannot be written.
        """
        file = tempfile.TemporaryFile(prefix="tokenviz-", buffering=0)  # noqa: SIM115  open as long as this object is there
        weakref.finalize(self, file.close)
        self._file = file
        self._first = array("q")  # number of the first string of each block
        self._place = array("q", [0])  # where each block begins in the file, and the last ends
        self._count = 0
        self._read: tuple[int, tuple[str, ...]] = (-1, ())
        self.characters = 0

    def extend(self, strings: Sequence[str], written: bytes) -> None:
        """Add a block of strings.

        Args:
            strings: The strings; at least one.
            written: Their JSON, with commas in between and without brackets.

        Raises:
            OSError: The file cannot be written.
        """
        left = memoryview(written)
        while left:  # an unbuffered file may take less than it is given
            left = left[self._file.write(left) :]
        self._first.append(self._count)
        self._place.append(self._place[-1] + len(written))
        self._count += len(strings)
        self.characters += sum(map(len, strings))

    def _block(self, number: int) -> tuple[str, ...]:
        kept, block = self._read
        if kept != number:
            begin, end = self._place[number : number + 2]
            written = bytearray(b"[")
            while left := end - begin - len(written) + 1:  # one call reads two gigabytes at most
                written += os.pread(self._file.fileno(), left, end - left)
            block = tuple(json.loads(written + b"]"))
            self._read = (number, block)
        return block

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            wanted = range(self._count)[index]
            return tuple(self._between(wanted.start, wanted.stop)) if wanted.step == 1 else tuple(self[i] for i in wanted)
        place = range(self._count)[index]  # raises IndexError
        number = bisect_right(self._first, place) - 1
        return self._block(number)[place - self._first[number]]

    def __iter__(self) -> Iterator[str]:
        return self._between(0, self._count)

    def _between(self, begin: int, end: int) -> Iterator[str]:
        for number in range(max(0, bisect_right(self._first, begin) - 1), len(self._first)):
            first = self._first[number]
            if first >= end:
                return
            yield from self._block(number)[max(0, begin - first) : end - first]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple | Passages):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __reduce__(self) -> tuple[object, ...]:
        return tuple, (tuple(self),)

    def __repr__(self) -> str:
        return f"<{self._count:,} passages in a scratch file>"


class Gathering:
    """Gathers strings one by one, and takes the SHA-256 of the JSON array of them on the way."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._blocks: list[list[str]] = []  # while they are few
        self._kept: Passages | None = None
        self._open: list[str] = []
        self._size = 0  # characters of the open block
        self._digest = sha256(b"[")
        self.count = self.characters = 0

    def add(self, one: str) -> None:
        """Add a string that can be written as UTF-8.

        Raises:
            DiskError: There is no room for the scratch file of many.
        """
        self._open.append(one)
        self._size += len(one)
        self.count += 1
        self.characters += len(one)
        if self._size >= _BLOCK or len(self._open) == _MOST:
            self._close()

    def _close(self) -> None:
        """End a block."""
        block, self._open, written = self._open, [], _written(self._open)
        self._digest.update(b", " * (self.count > len(block)) + written)
        self._size = 0
        try:
            if self._kept is not None:
                self._kept.extend(block, written)
                return
            self._blocks.append(block)
            if self.characters + _OVERHEAD * self.count > IN_MEMORY:
                self._kept = Passages()
                for one in self._blocks:
                    self._kept.extend(one, _written(one))
                self._blocks = []
        except OSError as error:
            raise DiskError(
                f"cannot keep a long text in the scratch folder {tempfile.gettempdir()!r}: {error.strerror or error}; name "
                "another one with TMPDIR"
            ) from error

    def end(self) -> tuple[Sequence[str], str]:
        """Return the strings, a tuple where they are few, and the SHA-256 of the JSON array of them."""
        if self._open:
            self._close()
        found = tuple(one for block in self._blocks for one in block) if self._kept is None else self._kept
        digest = self._digest.copy()
        digest.update(b"]")
        return found, digest.hexdigest()


def _written(strings: Sequence[str]) -> bytes:
    return ", ".join(map(_encode, strings)).encode()


def repeated(names: Sequence[str]) -> str | None:
    """Return the first string that occurs twice, or None; in memory are eight bytes for each."""
    import numpy as np

    hashes = np.fromiter(map(hash, names), np.int64, len(names))
    hashes.sort()
    twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    counts = Counter(one for one in names if hash(one) in twice) if twice else Counter[str]()
    return next((one for one, count in counts.items() if count > 1), None)
