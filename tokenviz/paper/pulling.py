"""Pulling: the figures, tables, captions and numbers of an experiment's runs are written into a paper's folder.

A folder has the files of one pull. A file that is equal already is not written, an edited one is left alone, and one that the
settings no longer include is removed unless it was edited.
"""

import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tokenviz import durable
from tokenviz.errors import DiskError, PaperError, TokenvizError
from tokenviz.figures.tracing import provenance_of
from tokenviz.paper.manifest import MANIFEST, Entry, Manifest, Order, digest_of, read_manifest
from tokenviz.paper.naming import file_part
from tokenviz.paper.plan import Drawing, Plan
from tokenviz.paper.redrawing import draw
from tokenviz.progress import task
from tokenviz.tracking.store import open_for_reading


@dataclass(frozen=True)
class Pulled:
    """The result of a pull, as paths within the folder.

    Attributes:
        written: Files that are new or changed.
        unchanged: Files that were equal already.
        kept: Files that were edited, or that tokenviz did not write; they are not changed.
        removed: Files that the settings no longer include.
    """

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]


def pull(order: Order, folder: Path, *, overwrite: bool = False) -> Pulled:
    """Pull an experiment's runs into a folder.

    Args:
        order: The settings of the pull.
        folder: The folder; it is made where there is none.
        overwrite: Whether edited files are replaced, or removed where the settings no longer include them; by default not.

    Raises:
        StoreError: There is no such experiment, or its runs cannot be read.
        PaperError: No run meets the conditions, one has lost its tables, or the folder holds another experiment's files.
        FigureError: A figure cannot be drawn as asked.
        DiskError: The folder cannot be written.
    """
    old = read_manifest(folder)
    if old is not None and old.order.experiment != order.experiment:
        raise PaperError(
            f"{str(folder)!r} holds what was pulled from {old.order.experiment!r}: give {order.experiment!r} a folder of its "
            f"own, such as --to {shlex.quote(str(folder / file_part(order.experiment)))}"
        )
    plan = Plan(order, open_for_reading())
    before = dict(old.files) if old else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".tokenviz-") as name:
            place = Path(name)
            files = _made(plan, before, folder, place, overwrite)
            done = _put(files, before, folder, place, overwrite)
        manifest = Manifest(order, plan.runs, files).to_text()
        if old is None or (folder / MANIFEST).read_text(encoding="utf-8") != manifest:
            durable.write(folder / MANIFEST, manifest)
    except TokenvizError:
        raise
    except OSError as error:
        raise DiskError(f"cannot write the folder {str(folder)!r}: {error.strerror or error}") from error
    return done


def _made(plan: Plan, before: Mapping[str, Entry], folder: Path, place: Path, overwrite: bool) -> dict[str, Entry]:
    """Draw and write the files that are missing, into `place`; return the manifest's entries of all files."""
    files: dict[str, Entry] = {}
    captions: dict[Drawing, str] = {}
    with task("pulling figures", len(plan.drawings), "figures") as advance:
        for drawing in plan.drawings:
            found = drawing.files(before)
            # An edited one is drawn again only if it may be replaced.
            there = [
                entry.untouched(folder / path) if overwrite else (folder / path).is_file() for path, entry in found.items()
            ]
            if not there or not all(there):
                found = _drawn(plan, drawing, place)
            # Checks the tables even if the figure exists: no figure may be based on damaged tables
            plan.tables.source(drawing.subject)
            files |= found
            captions[drawing] = next(iter(found.values())).made["caption"]
            advance(1)
    for subject in plan.undrawn:
        plan.tables.source(subject)
    runs = tuple(sorted(plan.runs))
    for path, content in plan.texts(captions).items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8", newline="")
        files[path] = Entry(sha256(content.encode()).hexdigest(), runs)
    return files


def _drawn(plan: Plan, drawing: Drawing, place: Path) -> dict[str, Entry]:
    stem = place / drawing.stem
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = draw(drawing.subject, plan.tables, drawing.figure, [drawing.form], plan.look(drawing.subject, drawing.figure), stem)
    made = {
        "figure": drawing.figure,
        "format": drawing.form,
        "stem": drawing.stem,
        "caption": str(provenance_of(paths[0]).get("caption") or _own_caption(drawing)),
        "key": drawing.key,
    }
    return {path.relative_to(place).as_posix(): Entry(digest_of(path), (drawing.subject.run.run_id,), made) for path in paths}


def _own_caption(drawing: Drawing) -> str:
    """Return the caption of a figure for which the experiment gives none."""
    return f"{drawing.figure.replace('_', ' ')}, of the experiment {drawing.subject.run.experiment}".capitalize()


def _put(files: Mapping[str, Entry], before: Mapping[str, Entry], folder: Path, place: Path, overwrite: bool) -> Pulled:
    """Move the new files to their places."""
    written, unchanged, kept, removed = [], [], [], []
    for path, entry in files.items():
        new, there = place / path, folder / path
        digest = digest_of(there) if there.is_file() else None
        if digest == entry.sha256:
            unchanged.append(path)
        elif digest is None or overwrite or (path in before and digest == before[path].sha256):
            written.append(path)
            there.parent.mkdir(parents=True, exist_ok=True)
            durable.put(new, there)
        else:
            kept.append(path)
    for path, entry in before.items():
        if path not in files and (folder / path).is_file():
            if overwrite or entry.untouched(folder / path):
                (folder / path).unlink()
                removed.append(path)
            else:
                kept.append(path)
    return Pulled(tuple(written), tuple(unchanged), tuple(kept), tuple(removed))
