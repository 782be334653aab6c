"""Files that outlive a power failure: written, synced, renamed into place, and the folder synced, in this order.

A rename may reach the disk before what is in the file (https://lwn.net/Articles/322823/): the name is there after a power
failure, and the file is empty. Everything that says "whole or not at all" of a file goes through here.
"""

import os
import uuid
from pathlib import Path


def sync(path: Path) -> None:
    """Have a file, or all of a folder, on the disk: files first, then the folders that name them."""
    inside = sorted(path.rglob("*"), reverse=True) if path.is_dir() else []  # what is in a folder comes before the folder
    for one in [*inside, path]:
        if not one.is_symlink():
            sync_entry(one)


def put(source: Path, target: Path) -> Path:
    """Move a finished file or folder to its place, in the same file system; what was there is replaced whole.

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
    """Write a file whole or not at all.

    Args:
        path: The file; one that is there is replaced.
        content: Text is written as UTF-8, with its line ends as they are.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        put(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def sync_entry(path: Path) -> None:
    """Have a file, or the names that a folder holds, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
