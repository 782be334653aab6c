"""Parcels: what becomes a run, in a folder that appears whole or not at all.

A slip holds the numbers, and the sha256 of the files beside it. So one that is torn, or was changed, is noticed.
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
    """What a run holds besides its files.

    Attributes:
        experiment: The MLflow experiment's name.
        description: The experiment's, in Markdown.
        name: The run's, for a reader.
        fingerprint: Of everything that moves the numbers; see `fingerprint_of`.
        grid: The grid it belongs to; several, separated by spaces, where a grid took it over from another's.
        tags: Of our own, without prefix.
        context: MLflow's own tags: who, from what source, at what commit.
        params: Settings by name, plain values.
        metrics: Numbers by name; one that is not finite is left out.
        curves: Values by step.
        note: The run's description, in Markdown.
        dataset: The text as MLflow shows what a run was made of: name, digest, source, source_type, profile; empty for none.
        figures: Whether figures belong to it.
        table: The file that everything else can be made from again, relative to the run's files; empty for none.
        refers: Parameters that name another run of the experiment, by that run's fingerprint.
        started: Milliseconds since 1970.
        ended: The same.
        replaces: Whether it takes the place of a finished run of the same fingerprint.
        id: Of this parcel; a run carries it, so that none is delivered twice.
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


@dataclass(frozen=True)
class Parcel:
    """A finished computation on its way to the store."""

    folder: Path
    slip: Slip

    @property
    def files(self) -> Path:
        """The folder that becomes the run's artifacts."""
        return self.folder / _FILES

    @property
    def drawn(self) -> bool:
        """Whether its figures are there, as far as it is to have some."""
        return not self.slip.figures or (self.folder / _DRAWN).is_file()

    def drawing_board(self) -> Path:
        """A new folder to draw in; `attach_figures` makes what is in it the figures.

        Each is another: a process that draws may outlive the one that asked for it, and must not draw over what is drawn anew.
        """
        board = self.folder / f"{_BOARD}{uuid.uuid4().hex}"
        board.mkdir()
        return board

    def attach_figures(self, board: Path) -> None:
        """Take what was drawn, now complete, among the files."""
        drawn = json.dumps(checksums(board))
        shutil.rmtree(self.files / _FIGURES, ignore_errors=True)
        durable.put(board, self.files / _FIGURES)
        durable.write(self.folder / _DRAWN, drawn)

    def check_figures(self) -> None:
        """Take away figures that are not whole; they are drawn again from the tables."""
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
        """Take it out of the outbox."""
        # The slip goes first: a folder without one is no parcel.
        (self.folder / _SLIP).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def pack(folder: Path, fill: Callable[[Path], Slip]) -> Parcel:
    """Make a parcel; it is whole on the disk when this returns.

    Args:
        folder: The parcel's; what lies there is replaced.
        fill: Writes the files into the folder that it is given, and returns the rest of the run.

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
    """Where a parcel lies until it is whole."""
    return folder.with_name(f"{folder.name}{_PARTIAL}")


def is_parcel(folder: Path) -> bool:
    """Whether a folder has a slip, as a parcel has that is neither half packed nor half removed."""
    return not folder.name.endswith(_PARTIAL) and (folder / _SLIP).is_file()


def read_parcel(folder: Path) -> Parcel | None:
    """A parcel that is whole; None for any other."""
    read = _read(folder)
    if read is None:
        return None
    slip, expected = read
    # A link might have somebody else's file sent to a server.
    links = any(path.is_symlink() for path in folder.rglob("*"))
    named = not slip.table or slip.table in expected
    return Parcel(folder, slip) if named and not links and expected.items() <= checksums(folder / _FILES).items() else None


def read_slip(folder: Path) -> Slip | None:
    """A parcel's slip, whatever became of its files; None where there is no whole slip."""
    read = _read(folder)
    return read[0] if read else None


def packed_checksums(folder: Path) -> dict[str, str] | None:
    """The sha256 of the files that a parcel was packed with, by path; None where there is no whole slip."""
    read = _read(folder)
    return read[1] if read else None


def _read(folder: Path) -> tuple[Slip, dict[str, str]] | None:
    """The slip and the sha256 of the files."""
    try:
        content = json.loads((folder / _SLIP).read_bytes())
        if content["format"] != _FORMAT:
            return None
        slip = Slip(**content["slip"])
        if not _is_whole(slip):
            return None
        curves = {name: [(int(step), float(value)) for step, value in curve] for name, curve in slip.curves.items()}
        # They stand in filters: a quotation mark would end what they are compared with.
        if not all(_PLAIN.fullmatch(name) for name in (slip.id, slip.fingerprint, *slip.refers.values())):
            return None
        return replace(slip, curves=curves), dict(content["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_whole(slip: Slip) -> bool:
    """Whether its values are of the kinds that were written."""
    plain = [(field.type, getattr(slip, field.name)) for field in fields(slip) if field.type in (str, int, bool)]
    words = [slip.tags, slip.context, slip.dataset, slip.refers]
    return (
        all(type(value) is kind for kind, value in plain)
        and all(isinstance(one, dict) for one in (*words, slip.params, slip.metrics))
        and all(isinstance(word, str) for one in words for word in one.values())
        and all(isinstance(number, int | float) for number in slip.metrics.values())
    )
