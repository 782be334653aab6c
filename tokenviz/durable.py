"""Files that survive a power failure: written, fsynced, renamed into place, and the folder fsynced, in this order.

A rename may reach the disk before the content of the file (https://lwn.net/Articles/322823/): after a power failure the name is
there, and the file is empty. Every file that appears "complete or not at all" is written with this module.
"""

import os
import uuid
from pathlib import Path


def sync(path: Path) -> None:
    """Fsync a file, or all of a folder: files first, then the folders that name them."""
    inside = sorted(path.rglob("*"), reverse=True) if path.is_dir() else []  # a folder's content comes before the folder
    for one in [*inside, path]:
        if not one.is_symlink():
            sync_entry(one)


def put(source: Path, target: Path) -> Path:
    """Move a finished file or folder to its place, in the same file system; what was there is replaced.

    Args:
        source: The file or folder.
        target: Its place; a folder that is replaced must be empty.

    Returns:
        The place.
    """
    sync(source)
    os.replace(source, target)
    sync_entry(target.parent)
    return target


def write(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all.

    Args:
        path: The file; an existing one is replaced.
        content: The content; a string is written as UTF-8, with its line ends unchanged.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        put(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def sync_entry(path: Path) -> None:
    """Fsync a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
