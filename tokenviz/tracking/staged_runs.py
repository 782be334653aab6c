"""Staged runs: what becomes a run, in a folder that appears whole or not at all, with the checksums of its files.

The run record (`RunRecord`) holds the numbers, and the SHA-256 of the files next to it, so that torn or changed files are
detected.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import file_digest, sha256
from pathlib import Path

from tokenviz.base import disk
from tokenviz.base.errors import DamagedError, DiskError, TokenvizError

_RECORD = "slip.json"
_FILES = "files"
_FIGURES = "figures"
_UNATTACHED = "figures."
_DRAWN = "drawn.json"
_PARTIAL = ".partial"
_FORMAT = 1
_PLAIN = re.compile(r"[^'\"`\\]+")
_PAGE = re.compile(r"(?:tables/)?\w+\.\w+", re.ASCII)


@dataclass(frozen=True)
class RunRecord:
    """The record of a staged run: everything of a run except its files.

    Attributes:
        experiment: Name of the MLflow experiment.
        description: Description of the experiment, in Markdown.
        name: Name of the run, for readers.
        fingerprint: Hash of everything that the numbers depend on (`fingerprint_of`).
        grid: The id of the run's grid; several, separated by spaces, where grids share the run.
        tags: Tags of this package, without prefix.
        context: MLflow's own tags: user, source, commit.
        params: Settings by name, plain values.
        metrics: Numbers by name; one that is not finite is left out.
        curves: By name, pairs of step and value.
        note: Description of the run, in Markdown.
        dataset: The text, as MLflow shows the data of a run: name, digest, source, source_type, profile; empty for none.
        figures: Whether the run has figures.
        table: The file that everything else can be made from, relative to the run's files; empty for none.
        refers: Parameters that name another run of the experiment, with that run's fingerprint.
        started: Start, in milliseconds since 1970.
        ended: End, in milliseconds since 1970.
        replaces: Whether it supersedes a finished run with the same fingerprint.
        id: Id of the staged run; the delivered run carries it, so that it is not delivered twice.
        pages: Files, by path, that name runs of the experiment. There, in tags and in the description a placeholder stands for
            an id that is not known yet; see `run_later`.
    """

    experiment: str
    description: str
    name: str
    fingerprint: str
    grid: str
    tags: Mapping[str, str]
    context: Mapping[str, str]
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    note: str
    dataset: Mapping[str, str]
    figures: bool
    table: str
    refers: Mapping[str, str]
    started: int
    ended: int
    replaces: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    pages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StagedRun:
    """A staged run: a finished computation that is not yet in the store."""

    folder: Path
    record: RunRecord

    @property
    def files(self) -> Path:
        """The folder that becomes the run's artifacts."""
        return self.folder / _FILES

    @property
    def drawn(self) -> bool:
        """Whether its figures are there, if it has any."""
        return not self.record.figures or (self.folder / _DRAWN).is_file()

    def make_figures_folder(self) -> Path:
        """Make a new folder to draw in; `attach_figures` takes its content as the figures.

        Each call makes another folder: a process that draws may outlive the one that started it, and must not write into newer
        figures.
        """
        figures_folder = self.folder / f"{_UNATTACHED}{uuid.uuid4().hex}"
        figures_folder.mkdir()
        return figures_folder

    def attach_figures(self, figures_folder: Path) -> None:
        """Move the complete figures from the folder that they were drawn in to the run's files."""
        drawn = json.dumps(checksums(figures_folder))
        shutil.rmtree(self.files / _FIGURES, ignore_errors=True)
        disk.put(figures_folder, self.files / _FIGURES)
        disk.write(self.folder / _DRAWN, drawn)

    def check_figures(self) -> None:
        """Remove figures that are not complete; they are drawn again from the tables."""
        for figures_folder in self.folder.glob(f"{_UNATTACHED}*"):
            shutil.rmtree(figures_folder, ignore_errors=True)
        figures = self.files / _FIGURES
        try:
            whole = json.loads((self.folder / _DRAWN).read_bytes()) == checksums(figures)
        except (OSError, ValueError):
            whole = False
        if not whole:
            (self.folder / _DRAWN).unlink(missing_ok=True)
            shutil.rmtree(figures, ignore_errors=True)

    def remove(self) -> None:
        """Remove the staged run from the outbox."""
        # The record goes first: a folder without one is not a staged run.
        (self.folder / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def pack(folder: Path, fill: Callable[[Path], RunRecord]) -> StagedRun:
    """Pack a staged run; it is complete and fsynced when this returns.

    Args:
        folder: The folder of the staged run; existing content is replaced.
        fill: Writes the files into the folder that it is given, and returns the run record.

    Raises:
        DiskError: There is no room, or no right to write.
    """
    partial = partial_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / _FILES).mkdir(parents=True)
        record = fill(partial / _FILES)
        slip = {**asdict(replace(record, curves={})), "curves": record.curves}  # asdict would copy every point
        content = {"format": _FORMAT, "slip": slip, "sha256": checksums(partial / _FILES)}
        text = json.dumps(content, ensure_ascii=False, default=str)
        (partial / _RECORD).write_text(text, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        disk.put(partial, folder)
    except OSError as error:
        if isinstance(error, TokenvizError):
            raise
        raise DiskError(
            f"cannot keep results in {str(folder.parent)!r}: {error.strerror or error}; make room there and repeat the command"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return StagedRun(folder, record)


def partial_of(folder: Path) -> Path:
    """Return the folder of a staged run until it is complete."""
    return folder.with_name(f"{folder.name}{_PARTIAL}")


def is_staged(folder: Path) -> bool:
    """Return whether a folder has a run record, and so is neither half packed nor half removed."""
    return not folder.name.endswith(_PARTIAL) and (folder / _RECORD).is_file()


def read_staged(folder: Path) -> StagedRun | None:
    """Return a staged run if it is complete and its files are unchanged, else None."""
    read = _read(folder)
    if read is None:
        return None
    record, expected = read
    # A link could send another file of the user to a server.
    links = any(path.is_symlink() for path in folder.rglob("*"))
    named = not record.table or record.table in expected
    return StagedRun(folder, record) if named and not links and expected.items() <= checksums(folder / _FILES).items() else None


def read_run_record(folder: Path) -> RunRecord | None:
    """Return a staged run's record, whatever the state of its files; None where there is no valid record."""
    read = _read(folder)
    return read[0] if read else None


def packed_checksums(folder: Path) -> dict[str, str] | None:
    """Return the SHA-256 of the files of a staged run, by path, as packed; None where there is no valid record."""
    read = _read(folder)
    return read[1] if read else None


def _read(folder: Path) -> tuple[RunRecord, dict[str, str]] | None:
    """Read the run record and the SHA-256 of the files."""
    try:
        content = json.loads((folder / _RECORD).read_bytes())
        if content["format"] != _FORMAT:
            return None
        record = RunRecord(**content["slip"])
        if not _is_whole(record):
            return None
        curves = {name: [(int(step), float(value)) for step, value in curve] for name, curve in record.curves.items()}
        # These are used in filters, where a quotation mark would end the value.
        names = (record.id, record.fingerprint, *record.grid.split(), *record.refers.values())
        if not all(_PLAIN.fullmatch(name) for name in names):
            return None
        return replace(record, curves=curves), dict(content["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_whole(record: RunRecord) -> bool:
    """Return whether the record's values have the types that were written."""
    plain = [(field.type, getattr(record, field.name)) for field in fields(record) if field.type in (str, int, bool)]
    words = [record.tags, record.context, record.dataset, record.refers, record.pages]
    return (
        all(type(value) is kind for kind, value in plain)
        and all(isinstance(one, dict) for one in (*words, record.params, record.metrics))
        and all(isinstance(word, str) for one in words for word in one.values())
        and all(isinstance(number, int | float) for number in record.metrics.values())
        and all(_PAGE.fullmatch(name) for name in record.pages)  # never outside the staged run's folder
    )


# Placeholders in a record for ids that a server which does not answer has not given yet; delivery fills them in.

EXPERIMENT_LATER = "later:experiment"
"""Placeholder in pages for the id of the experiment."""

_RUN_LATER = re.compile(r"later:run:([0-9a-f]{64})")
_TO_NO_RUN = re.compile(r"\[([^\]]*)\]\(runs//[^)]*\)")  # a link of a description to a run that has no id


def run_later(fingerprint: str) -> str:
    """Return the placeholder in pages and descriptions for the id of a run with a fingerprint."""
    return f"later:run:{fingerprint}"


def tag_of_runs(ids: Sequence[str]) -> str:
    """Return the value of a tag that stands for some runs: the `runs.fingerprint_of` their ids.

    Where a placeholder is among the ids, it is the text whose hash delivery makes the value.
    """
    text = json.dumps({"runs": [*ids]})
    return text if _RUN_LATER.search(text) else sha256(text.encode()).hexdigest()


def awaited_runs(record: RunRecord) -> set[str]:
    """Return the fingerprints of the runs that a record has placeholders for."""
    texts = (*record.pages.values(), *record.tags.values(), record.note)
    return {fingerprint for text in texts for fingerprint in _RUN_LATER.findall(text)}


def filled_in(record: RunRecord, experiment_id: str, ids: Mapping[str, str]) -> RunRecord:
    """Return a record with ids in place of its placeholders.

    Args:
        record: The record.
        experiment_id: Id of the experiment.
        ids: Ids of the runs by fingerprint; a link of the description to one that is empty becomes plain words.
    """

    def filled(text: str) -> str:
        return _RUN_LATER.sub(lambda found: ids[found[1]], text)

    pages = {name: filled(page).replace(EXPERIMENT_LATER, experiment_id) for name, page in record.pages.items()}
    tags = {
        name: sha256(filled(value).encode()).hexdigest() if _RUN_LATER.search(value) else value
        for name, value in record.tags.items()
    }
    return replace(record, pages=pages, tags=tags, note=_TO_NO_RUN.sub(r"\1", filled(record.note)))


# SHA-256 of the files of a folder, so that damaged, changed or missing files are detected.
#
# A run's files go to the store with a list of their hashes, in the form that `sha256sum -c` reads.

CHECKSUMS = "checksums.sha256"

# Tags of a run in the store: the SHA-256 of that list, and of the table that everything else can be made from.
LIST_TAG = "list_sha256"
TABLE_TAG = "table_sha256"

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def checksum(path: Path | str) -> str:
    """Return a file's SHA-256.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        return file_digest(file, "sha256").hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """Return every file's SHA-256, by its path below the folder."""
    return {name: checksum(path) for name in disk.paths_below(folder) if os.path.isfile(path := f"{folder}/{name}")}


def write_checksums(folder: Path) -> dict[str, str]:
    """Write the list of a folder's files, with their SHA-256, into the folder.

    Returns:
        Every file's SHA-256 by its path, with that of the list.
    """
    (folder / CHECKSUMS).unlink(missing_ok=True)
    listed = checksums(folder)
    text = "".join(f"{digest}  {name}\n" for name, digest in listed.items())
    (folder / CHECKSUMS).write_text(text, encoding="utf-8")
    return {**listed, CHECKSUMS: sha256(text.encode()).hexdigest()}


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
