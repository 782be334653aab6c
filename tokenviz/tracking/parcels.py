"""Staged runs: what will become a run, in a folder that appears completely or not at all.

The run record (`Slip`) holds the numbers, and the SHA-256 of the files next to it, so that torn or changed files are detected.
"""

import json
import re
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from tokenviz import durable
from tokenviz.errors import DiskError, TokenvizError
from tokenviz.tracking.checksums import checksums

_SLIP = "slip.json"
_FILES = "files"
_FIGURES = "figures"
_BOARD = "figures."
_DRAWN = "drawn.json"
_PARTIAL = ".partial"
_FORMAT = 1
_PLAIN = re.compile(r"[^'\"`\\]+")


@dataclass(frozen=True)
class Slip:
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
        pages: Files, by name, that name runs of the experiment; `runs.run_later` stands for the id of one that has none yet.
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
class Parcel:
    """A staged run: a finished computation that is not yet in the store."""

    folder: Path
    slip: Slip

    @property
    def files(self) -> Path:
        """The folder that becomes the run's artifacts."""
        return self.folder / _FILES

    @property
    def drawn(self) -> bool:
        """Whether its figures are there, if it has any."""
        return not self.slip.figures or (self.folder / _DRAWN).is_file()

    def drawing_board(self) -> Path:
        """Make a new folder to draw in; `attach_figures` takes its content as the figures.

        Each call makes another folder: a process that draws may outlive the one that started it, and must not write into newer
        figures.
        """
        board = self.folder / f"{_BOARD}{uuid.uuid4().hex}"
        board.mkdir()
        return board

    def attach_figures(self, board: Path) -> None:
        """Move the complete figures from the folder that they were drawn in to the run's files."""
        drawn = json.dumps(checksums(board))
        shutil.rmtree(self.files / _FIGURES, ignore_errors=True)
        durable.put(board, self.files / _FIGURES)
        durable.write(self.folder / _DRAWN, drawn)

    def check_figures(self) -> None:
        """Remove figures that are not complete; they are drawn again from the tables."""
        for board in self.folder.glob(f"{_BOARD}*"):
            shutil.rmtree(board, ignore_errors=True)
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
        (self.folder / _SLIP).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def pack(folder: Path, fill: Callable[[Path], Slip]) -> Parcel:
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
        slip = fill(partial / _FILES)
        content = {"format": _FORMAT, "slip": asdict(slip), "sha256": checksums(partial / _FILES)}
        text = json.dumps(content, ensure_ascii=False, default=str)
        (partial / _SLIP).write_text(text, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        durable.put(partial, folder)
    except OSError as error:
        if isinstance(error, TokenvizError):
            raise
        raise DiskError(
            f"cannot keep results in {str(folder.parent)!r}: {error.strerror or error}; make room there and repeat the command"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Parcel(folder, slip)


def partial_of(folder: Path) -> Path:
    """Return the folder of a staged run until it is complete."""
    return folder.with_name(f"{folder.name}{_PARTIAL}")


def is_parcel(folder: Path) -> bool:
    """Return whether a folder has a run record, and so is neither half packed nor half removed."""
    return not folder.name.endswith(_PARTIAL) and (folder / _SLIP).is_file()


def read_parcel(folder: Path) -> Parcel | None:
    """Return a staged run if it is complete and its files are unchanged, else None."""
    read = _read(folder)
    if read is None:
        return None
    slip, expected = read
    # A link could send another file of the user to a server.
    links = any(path.is_symlink() for path in folder.rglob("*"))
    named = not slip.table or slip.table in expected
    return Parcel(folder, slip) if named and not links and expected.items() <= checksums(folder / _FILES).items() else None


def read_slip(folder: Path) -> Slip | None:
    """Return a staged run's record, whatever the state of its files; None where there is no valid record."""
    read = _read(folder)
    return read[0] if read else None


def packed_checksums(folder: Path) -> dict[str, str] | None:
    """Return the SHA-256 of the files of a staged run, by path, as packed; None where there is no valid record."""
    read = _read(folder)
    return read[1] if read else None


def _read(folder: Path) -> tuple[Slip, dict[str, str]] | None:
    """Read the run record and the SHA-256 of the files."""
    try:
        content = json.loads((folder / _SLIP).read_bytes())
        if content["format"] != _FORMAT:
            return None
        slip = Slip(**content["slip"])
        if not _is_whole(slip):
            return None
        curves = {name: [(int(step), float(value)) for step, value in curve] for name, curve in slip.curves.items()}
        # These are used in filters, where a quotation mark would end the value.
        if not all(_PLAIN.fullmatch(name) for name in (slip.id, slip.fingerprint, *slip.refers.values())):
            return None
        return replace(slip, curves=curves), dict(content["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_whole(slip: Slip) -> bool:
    """Return whether the record's values have the types that were written."""
    plain = [(field.type, getattr(slip, field.name)) for field in fields(slip) if field.type in (str, int, bool)]
    words = [slip.tags, slip.context, slip.dataset, slip.refers, slip.pages]
    return (
        all(type(value) is kind for kind, value in plain)
        and all(isinstance(one, dict) for one in (*words, slip.params, slip.metrics))
        and all(isinstance(word, str) for one in words for word in one.values())
        and all(isinstance(number, int | float) for number in slip.metrics.values())
        and all(Path(name).name == name for name in slip.pages)  # never outside the staged run's folder
    )
