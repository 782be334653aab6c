"""The outbox: what was computed lies there, whole or not at all, until the tracking store has it.

A cell of a grid is claimed by one process at a time. Its results are packed as a *parcel*, a folder that appears complete:
a slip with the numbers, and files whose sha256 the slip holds. Figures are added, the run is delivered, and the parcel goes.
Whatever ends the process in between, the next command finds the parcel and goes on from there.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from tokenviz.errors import DiskError, StoreError, TokenvizError
from tokenviz.progress import note
from tokenviz.tracking.checksums import checksums

_SLIP = "slip.json"
_FILES = "files"
_FIGURES = "figures"
_BOARD = "figures."
_DRAWN = "drawn.json"
_PARTIAL = ".partial"
_LOCK = ".lock"
_NAME = "store.txt"
_FORMAT = 1


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
        """A new folder to draw in; `hang` makes what is in it the figures.

        Each is another: a process that draws may outlive the one that asked for it, and must not draw over what is drawn anew.
        """
        board = self.folder / f"{_BOARD}{uuid.uuid4().hex}"
        board.mkdir()
        return board

    def hang(self, board: Path) -> None:
        """Take what was drawn, now complete, among the files."""
        drawn = json.dumps(checksums(board))
        shutil.rmtree(self.files / _FIGURES, ignore_errors=True)
        os.replace(board, self.files / _FIGURES)
        (self.folder / _DRAWN).write_text(drawn, encoding="utf-8")

    def remove(self) -> None:
        """Take it out of the outbox."""
        # The slip goes first: a folder without one is no parcel.
        (self.folder / _SLIP).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Claim:
    """The right of one process to compute and deliver one cell, until it is released or the process ends."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self._folder, self._lock = folder, lock

    def left_over(self) -> Parcel | None:
        """The parcel that an earlier process packed and did not deliver, if it is whole; what is torn is removed."""
        shutil.rmtree(self._partial, ignore_errors=True)
        return _open(self._folder)

    def pack(self, fill: Callable[[Path], Slip]) -> Parcel:
        """Make a parcel; it is whole on the disk when this returns.

        Args:
            fill: Writes the files into the folder that it is given, and returns the rest of the run.

        Raises:
            DiskError: There is no room, or no right to write.
        """
        shutil.rmtree(self._partial, ignore_errors=True)
        try:
            (self._partial / _FILES).mkdir(parents=True)
            slip = fill(self._partial / _FILES)
            content = {"format": _FORMAT, "slip": asdict(slip), "sha256": checksums(self._partial / _FILES)}
            text = json.dumps(content, ensure_ascii=False, default=str)
            (self._partial / _SLIP).write_text(text, encoding="utf-8")
            shutil.rmtree(self._folder, ignore_errors=True)
            os.replace(self._partial, self._folder)
        except OSError as error:
            if isinstance(error, TokenvizError):
                raise
            raise DiskError(
                f"cannot keep results in {str(self._folder.parent)!r}: {error.strerror or error}; make room there and repeat "
                "the command"
            ) from error
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)
        return Parcel(self._folder, slip)

    def tidy(self) -> None:
        """Remove what is left of a parcel that was never whole, or is already delivered."""
        shutil.rmtree(self._partial, ignore_errors=True)
        if not (self._folder / _SLIP).is_file():
            shutil.rmtree(self._folder, ignore_errors=True)

    def release(self) -> None:
        """Let others have the cell; whether anything is left of it or not."""
        if self._lock.is_locked:
            # Removed while it is held: whoever waits for it notices that the file is gone, and makes a new one.
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()

    @property
    def _partial(self) -> Path:
        return self._folder.with_name(f"{self._folder.name}{_PARTIAL}")


class Outbox:
    """The parcels for one store."""

    def __init__(self, folder: Path, store: str) -> None:
        """Name the outbox; its folder is made when something is claimed.

        Args:
            folder: Where the parcels of all stores lie.
            store: The store's name, without anything secret.
        """
        self.store = store
        self.folder = folder / sha256(store.encode()).hexdigest()[:12]

    def claim(self, experiment: str, fingerprint: str, *, wait: bool = False) -> Claim | None:
        """Claim a cell.

        Args:
            experiment: The MLflow experiment's name.
            fingerprint: The cell's.
            wait: Whether to wait for another process that has it.

        Returns:
            None where another process has it.

        Raises:
            StoreError: The outbox cannot be written.
        """
        return self._claim(_key(experiment, fingerprint), wait=wait)

    def _claim(self, key: str, *, wait: bool = False) -> Claim | None:
        try:
            self._make()
            # Released by the thread that delivers, not by the one that computes.
            lock = FileLock(self.folder / f"{key}{_LOCK}", thread_local=False)
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            return None
        except OSError as error:
            raise StoreError(f"cannot write the outbox in {str(self.folder)!r}: {error.strerror}") from error
        return Claim(self.folder / key, lock)

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if _store_of(self.folder) is None:
            (self.folder / _NAME).write_text(f"{self.store}\n", encoding="utf-8")

    @contextmanager
    def claimed(self, experiment: str, fingerprint: str, *, wait: bool = False) -> Iterator[Claim | None]:
        """`claim`, released at the end of the block."""
        claim = self.claim(experiment, fingerprint, wait=wait)
        try:
            yield claim
        finally:
            if claim is not None:
                claim.release()

    def holds(self, experiment: str, fingerprint: str) -> bool:
        """Whether anything of a cell lies here."""
        return (self.folder / _key(experiment, fingerprint)).is_dir()

    def slips(self) -> list[Slip]:
        """What waits, in the order in which it was computed."""
        return sorted(
            (slip for slip, _ in filter(None, map(_read_slip, self._parcels()))), key=lambda slip: (slip.ended, slip.id)
        )

    def torn(self) -> list[Path]:
        """Parcels that nobody can deliver: their slips are torn, or of another version."""
        return [path for path in self._parcels() if _read_slip(path) is None]

    def tidy(self) -> None:
        """Remove what dead processes left that is of no use: locks, parcels half packed or half removed.

        Raises:
            StoreError: The outbox cannot be written.
        """
        whole = {path.name for path in self._parcels()} | {_NAME}
        for key in {path.name.partition(".")[0] for path in self._entries() if path.name not in whole}:
            claim = self._claim(key)
            if claim is not None:
                claim.tidy()
                claim.release()

    def _parcels(self) -> list[Path]:
        return [path for path in self._entries() if not path.name.endswith(_PARTIAL) and (path / _SLIP).is_file()]

    def _entries(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []


def waiting_stores(folder: Path) -> dict[str, int]:
    """Stores for which parcels wait below an outbox folder, and how many."""
    stores = filter(None, map(_store_of, sorted(folder.iterdir()) if folder.is_dir() else []))
    counts = {store: len(Outbox(folder, store).slips()) for store in stores}
    return {store: count for store, count in counts.items() if count}


def _store_of(folder: Path) -> str | None:
    """The store that a folder of parcels is for; None where that is not written there, or not yet."""
    try:
        store = (folder / _NAME).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return store if Outbox(folder.parent, store).folder == folder else None


def _key(experiment: str, fingerprint: str) -> str:
    """The name of everything of a cell."""
    return sha256(json.dumps([experiment, fingerprint]).encode()).hexdigest()[:32]


def _read_slip(folder: Path) -> tuple[Slip, dict[str, str]] | None:
    """A parcel's slip and the sha256 of its files; None where there is no whole slip."""
    try:
        content = json.loads((folder / _SLIP).read_bytes())
        if content["format"] != _FORMAT:
            return None
        slip = Slip(**content["slip"])
        curves = {name: [(int(step), float(value)) for step, value in curve] for name, curve in slip.curves.items()}
        return replace(slip, curves=curves), content["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _open(folder: Path) -> Parcel | None:
    if not folder.is_dir():
        return None
    read = _read_slip(folder)
    if read is not None:
        slip, expected = read
        if expected.items() <= checksums(folder / _FILES).items():
            parcel = Parcel(folder, slip)
            if slip.figures:
                _check_figures(parcel)
            return parcel
    note(f"what an interrupted command left in {folder} is torn: it is removed and computed anew")
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _check_figures(parcel: Parcel) -> None:
    """Take away figures that are not whole; they are drawn again from the tables."""
    for board in parcel.folder.glob(f"{_BOARD}*"):
        shutil.rmtree(board, ignore_errors=True)
    figures = parcel.files / _FIGURES
    try:
        whole = json.loads((parcel.folder / _DRAWN).read_bytes()) == checksums(figures)
    except (OSError, ValueError):
        whole = False
    if not whole:
        (parcel.folder / _DRAWN).unlink(missing_ok=True)
        shutil.rmtree(figures, ignore_errors=True)
