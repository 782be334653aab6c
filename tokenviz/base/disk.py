"""The project's folders on the disk, and files that survive a power failure."""

import os
import uuid
from pathlib import Path

from tokenviz.base.errors import DiskError

# Files that survive a power failure: written, fsynced, renamed into place, and the folder fsynced, in this order.
#
# A rename may reach the disk before the content of the file (https://lwn.net/Articles/322823/): after a power failure the name
# is there, and the file is empty. Every file that appears "complete or not at all" is written with these functions.


def sync(path: Path) -> None:
    """Fsync a file, or all of a folder: files first, then the folders that name them."""
    for name in reversed(paths_below(path)):  # a folder's content comes before the folder
        if not os.path.islink(f"{path}/{name}"):
            sync_entry(f"{path}/{name}")
    if not path.is_symlink():
        sync_entry(path)


def paths_below(folder: Path) -> list[str]:
    """Return what a folder holds at any depth, as paths relative to it, a folder before its content; links are not followed.

    It is more than twice as fast as `Path.rglob`; a file, and a folder that is not there, hold nothing.
    """
    found: list[str] = []

    def look(place: str, before: str) -> None:
        with os.scandir(place) as entries:
            for entry in entries:
                found.append(before + entry.name)
                if entry.is_dir(follow_symlinks=False):
                    look(entry.path, f"{before}{entry.name}/")

    if os.path.isdir(folder):
        look(os.fspath(folder), "")
    return sorted(found, key=lambda name: name.split("/"))


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


def check_place(path: Path) -> None:
    """Refuse a file that cannot be written since its folder is missing, or a folder is there, before the work.

    Raises:
        DiskError: There is no such folder, or the path is one.
    """
    if os.path.isdir(path):  # Path.is_dir raises an error where a name is too long
        raise DiskError(f"cannot write {str(path)!r}, which is a folder: name a file")
    if not os.path.isdir(path.parent):
        raise DiskError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")


def check_new(path: Path) -> None:
    """Refuse a file that cannot be written, or that would take the place of another, before the work.

    Raises:
        DiskError: There is no such folder, or something has this name.
    """
    check_place(path)
    if os.path.lexists(path):
        raise DiskError(f"{str(path)!r} is there already: remove it, or choose another name")


def sync_entry(path: Path | str) -> None:
    """Fsync a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# The folders of a project: `experiments/` and, next to it, `mlruns/`.
#
# A wheel contains the experiments and the sample texts as well (`setup.py`), for projects that have none.


def project_root() -> Path:
    """Return the nearest folder at or above the working directory that has `experiments/`.

    Outside any project it is the checkout that this package was installed from, if there is one, else the working directory.
    """
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, checkout):
        if (folder / "experiments").is_dir():
            return folder
    return here


def shipped_folder() -> Path:
    """Return the folder of the experiments in a wheel; a clone has no such folder, and uses its `experiments/`."""
    return Path(__file__).resolve().parents[1] / "shipped"


def experiment_files() -> dict[str, Path]:
    """Return the files of experiments by name; the project's own replace those of the wheel.

    A leading underscore hides a file from lists, but it can be run.
    """
    folders = (shipped_folder(), project_root() / "experiments")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("[!.~]*.py")) if path.stem != "__init__"}


def samples_folder(kind: str = "texts") -> Path:
    """Return the folder of the samples: the project's own where it has one, else that of the wheel.

    Args:
        kind: "texts" (the default), "items" for the tables of items, "chats", or "dumps" for other engines' log-probs.
    """
    folders = (project_root() / "experiments" / kind, shipped_folder() / kind)
    return next((folder for folder in folders if folder.is_dir()), folders[0])
