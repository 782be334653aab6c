"""What the files of a folder hold, by sha256: so that one that is torn, changed or gone is noticed.

A run's files go to the store with such a list, in the form that `sha256sum -c` reads.
"""

from hashlib import file_digest
from pathlib import Path

CHECKSUMS = "checksums.sha256"


def checksum(path: Path) -> str:
    """A file's sha256.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """Every file's sha256, by its path below the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): checksum(path) for path in files}


def write_checksums(folder: Path) -> None:
    """Leave the list of a folder's files among them."""
    (folder / CHECKSUMS).unlink(missing_ok=True)
    lines = [f"{digest}  {name}\n" for name, digest in checksums(folder).items()]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def read_checksums(folder: Path) -> dict[str, str]:
    """The list that a folder holds; empty where it has none, or one that is not whole.

    Raises:
        OSError: It cannot be read.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return {}
    lines = [line.partition("  ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {name: digest for digest, _, name in lines if name}


def damaged(folder: Path) -> list[str]:
    """Files of a folder's list that are gone, torn or changed.

    Raises:
        OSError: The list cannot be read.
    """
    return [name for name, digest in read_checksums(folder).items() if not is_whole(folder / name, digest)]


def is_whole(path: Path, digest: str) -> bool:
    """Whether a file is there and holds what it should."""
    try:
        return checksum(path) == digest
    except (OSError, ValueError):  # a name that no file can have
        return False
