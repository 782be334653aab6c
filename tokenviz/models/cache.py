"""The cache of prepared models: each folder is made once, completely or not at all, by one process at a time.

It is in the user's cache folder, or in the folder that the environment variable TOKENVIZ_CACHE names.
"""

import errno
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from tokenviz.base import disk
from tokenviz.base.errors import DiskError
from tokenviz.base.progress import note

if TYPE_CHECKING:
    from hashlib import _Hash as Hash


def cache_folder() -> Path:
    """Return the folder of prepared models."""
    chosen = os.environ.get("TOKENVIZ_CACHE")
    return (Path(os.path.expanduser(chosen)) if chosen else user_cache_path("tokenviz")) / "models"


def build_once(target: Path, build: Callable[[Path], None], *, needs_bytes: int) -> None:
    """Make the folder `target` unless it exists.

    Args:
        target: The folder; it appears complete or not at all.
        build: Fills the empty scratch folder it is given; `scratch / "model"` becomes the target.
        needs_bytes: Free space, in bytes, that must be there before the start.

    Raises:
        DiskError: There is not enough room, or no right to write.
    """
    if target.is_dir():
        return
    scratch = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(target.parent, error) from error
    try:
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            note(f"another process is preparing {target.name}; waiting for it")
            lock.acquire()
        try:
            if target.is_dir():
                return
            shutil.rmtree(scratch, ignore_errors=True)  # what an interrupted process left
            _insist_on_room(target.parent, needs_bytes)
            scratch.mkdir()
            build(scratch)
            disk.put(scratch / "model", target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            lock.release()
    except OSError as error:
        if isinstance(error, DiskError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        raise _unwritable(target.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> DiskError:
    return DiskError(
        f"cannot prepare a model in {str(folder)!r}: {error.strerror}; make room there, or set TOKENVIZ_CACHE to another folder"
    )


def files_sha256(paths: list[Path]) -> str:
    """Return the SHA-256 of the concatenated bytes of some files, in hexadecimal."""
    digest = sha256()
    for path in paths:
        feed(digest, path)
    return digest.hexdigest()


def feed(digest: "Hash", path: Path) -> None:
    """Add the bytes of a file to a digest, in parts of 1 MB."""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


def torn_weights(folder: Path) -> list[Path]:
    """Return weights of prepared models, anywhere below a folder, whose length differs from what their header says."""
    from safetensors import SafetensorError, safe_open

    torn = []
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError):
            torn.append(path)
    return torn


def _insist_on_room(folder: Path, needs_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needs_bytes:
        raise DiskError(
            f"preparing the model needs {needs_bytes / 1e6:,.0f} MB in {str(folder)!r}, and only {free / 1e6:,.0f} MB "
            "are free; make room there, or set TOKENVIZ_CACHE to another folder"
        )
