"""A check that a paper's folder still agrees with its runs, for its authors and for its CI."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from tokenviz.base.errors import DamagedError, PaperError, StoreError
from tokenviz.paper.manifest import MANIFEST, Manifest, read_manifest
from tokenviz.paper.naming import file_ending
from tokenviz.paper.plan import Drawing, Plan
from tokenviz.tracking.store import open_for_reading

State = Literal["missing", "edited", "stale", "damaged"]


@dataclass(frozen=True)
class Problem:
    """A file that differs from what a pull would write.

    Attributes:
        path: Path within the folder.
        state: "missing": the file does not exist; "edited": it differs from what was pulled; "stale": the runs now give another
            file; "damaged": the tables of its run differ from what was recorded.
        why: The reason in a few words.
    """

    path: str
    state: State
    why: str


@dataclass(frozen=True)
class Checked:
    """The result of a check.

    Attributes:
        n_files: Number of files in the manifest.
        problems: Problems in the order of their paths; a file may have two.
        not_asked: Why the runs could not be read, so that stale files are unknown; empty where they were read.
    """

    n_files: int
    problems: tuple[Problem, ...]
    not_asked: str

    @property
    def clean(self) -> bool:
        """Whether the folder agrees with its runs."""
        return not self.problems and not self.not_asked


def check(experiment: str, folder: Path) -> Checked:
    """Compare a folder with its manifest, and the manifest with the runs. Nothing is drawn or written.

    Args:
        experiment: The MLflow experiment whose runs were pulled.
        folder: The folder that they were pulled into.

    Raises:
        PaperError: The folder has no manifest, or one of another experiment.
        DiskError: A file cannot be read.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise PaperError(f"{str(folder)!r} has no {MANIFEST}: nothing was pulled there; leave out --check to pull")
    if manifest.order.experiment != experiment:
        raise PaperError(f"{str(folder)!r} holds what was pulled from {manifest.order.experiment!r}, not from {experiment!r}")
    problems, not_asked = list(_on_disk(manifest, folder)), ""
    try:
        problems += _against_runs(manifest)
    except (StoreError, PaperError) as error:  # the problems of the files are reported nevertheless
        not_asked = str(error)
    return Checked(len(manifest.files), tuple(sorted(problems, key=lambda problem: problem.path)), not_asked)


def _on_disk(manifest: Manifest, folder: Path) -> Iterator[Problem]:
    for path, entry in manifest.files.items():
        if not (folder / path).is_file():
            yield Problem(path, "missing", "it was pulled, and is gone")
        elif not entry.untouched(folder / path):
            yield Problem(path, "edited", "it is not what was pulled")


def _against_runs(manifest: Manifest) -> Iterator[Problem]:
    plan = Plan(manifest.order, open_for_reading())
    captions: dict[Drawing, str] = {}
    wanted = set()
    damaged = {}
    for paper_run in plan.paper_runs:
        try:
            plan.tables.source(paper_run)
        except DamagedError as error:
            damaged[paper_run] = str(error)
    for drawing in plan.drawings:
        same = drawing.files(manifest.files)
        name = (drawing.stem, drawing.form)
        older = {
            path: entry for path, entry in manifest.files.items() if (entry.made.get("stem"), entry.made.get("format")) == name
        }
        wanted |= {*same, *older}
        for entry in (same or older).values():
            captions[drawing] = entry.made["caption"]
        for path, entry in older.items():
            if path not in same:
                yield Problem(path, "stale", _why(entry.runs[0], drawing))
            elif drawing.paper_run in damaged:
                yield Problem(path, "damaged", damaged[drawing.paper_run])
        if not same and not older:
            path = f"{drawing.stem}{file_ending(drawing.form)}"
            yield Problem(path, "missing", f"run {drawing.paper_run.run.run_id} has it since the pull")
    if damaged:  # the numbers depend on it as well
        why = next(iter(damaged.values()))
        others = [path for path, entry in manifest.files.items() if not entry.made]
        yield from (Problem(path, "damaged", why) for path in others)
        wanted |= set(others)
    texts = {} if damaged else plan.texts(captions)
    for path, content in texts.items():
        if path not in manifest.files:
            yield Problem(path, "missing", "the runs have it since the pull")
        elif sha256(content.encode()).hexdigest() != manifest.files[path].sha256:
            yield Problem(path, "stale", "the runs have changed, or others are meant now")
    for path in manifest.files:
        if path not in wanted and path not in texts:
            yield Problem(path, "stale", "its run is gone, superseded, or not meant any more")


def _why(run_id: str, drawing: Drawing) -> str:
    now = drawing.paper_run.run.run_id
    return f"run {now} has taken the place of {run_id}" if now != run_id else "it would be drawn otherwise now"
