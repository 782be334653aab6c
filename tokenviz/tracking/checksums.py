"""SHA-256 of the files of a folder, so that damaged, changed or missing files are detected.

A run's files go to the store with a list of their hashes, in the form that `sha256sum -c` reads.
"""

import re
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path

from tokenviz.errors import DamagedError

CHECKSUMS = "checksums.sha256"

# Tags of a run in the store: the SHA-256 of that list, and of the table that everything else can be made from.
LIST_TAG = "list_sha256"
TABLE_TAG = "table_sha256"

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def checksum(path: Path) -> str:
    """Return a file's SHA-256.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """Return every file's SHA-256, by its path below the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): checksum(path) for path in files}


def write_checksums(folder: Path) -> None:
    """Write the list of a folder's files, with their SHA-256, into the folder."""
    (folder / CHECKSUMS).unlink(missing_ok=True)
    lines = [f"{digest}  {name}\n" for name, digest in checksums(folder).items()]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def read_checksums(folder: Path, tags: Mapping[str, str]) -> dict[str, str] | None:
    """Read a run's list of files, and check that it is the one that the run was written with.

    Args:
        folder: The folder of the list.
        tags: The run's tags in the store: `LIST_TAG`, which runs of early versions lack, and `TABLE_TAG`.

    Returns:
        The SHA-256 of each file by its path; None for a run that never had a list.

    Raises:
        DamagedError: The list is gone, or is not the one that the run was written with.
        OSError: The list cannot be read.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        if LIST_TAG in tags:
            raise DamagedError(f"the list of files ({CHECKSUMS}) is gone")
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    listed = {match[2]: match[1] for match in found}
    if (
        len(found) < len(lines)
        or tags.get(LIST_TAG) not in (None, checksum(path))
        or tags.get(TABLE_TAG) not in (None, *listed.values())  # detects that both table and list were changed
    ):
        raise DamagedError(f"the list of files ({CHECKSUMS}) is not what was written")
    return listed


def damaged(folder: Path, tags: Mapping[str, str]) -> list[str]:
    """Return the files of a run that are gone, torn or changed, including the list; none for a run that never had a list.

    Args:
        folder: The folder of the run's files and their list; a table that the list does not name counts as changed.
        tags: The run's tags in the store, as in `read_checksums`.

    Raises:
        OSError: The list cannot be read.
    """
    try:
        listed = read_checksums(folder, tags)
    except DamagedError:
        return [CHECKSUMS]
    if listed is None:
        return []
    tables = {path.relative_to(folder).as_posix() for path in folder.glob("tables/*.parquet")}
    return [*(name for name, digest in listed.items() if not is_whole(folder / name, digest)), *sorted(tables - listed.keys())]


def is_whole(path: Path, digest: str) -> bool:
    """Return whether a file exists and has the expected SHA-256."""
    try:
        return checksum(path) == digest
    except (OSError, ValueError):  # a name that no file can have
        return False
