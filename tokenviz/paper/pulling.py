"""Pulling an experiment's figures, tables and numbers into a paper's folder, and drawing figures again from a run's tables."""

import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenviz.base import disk
from tokenviz.base.errors import DiskError, PaperError, TokenvizError
from tokenviz.base.progress import task
from tokenviz.figures.heatmap.measures import written_limits
from tokenviz.figures.named import OWN_LOOK, Look
from tokenviz.figures.origin import provenance_of
from tokenviz.paper.manifest import MANIFEST, Entry, Manifest, Order, digest_of, read_manifest
from tokenviz.paper.naming import file_ending, file_part
from tokenviz.paper.plan import Drawing, Plan
from tokenviz.paper.runs import PaperRun, Tables
from tokenviz.records.run import StoredRun
from tokenviz.tracking.finding import fetch, find_run
from tokenviz.tracking.staged_runs import CHECKSUMS
from tokenviz.tracking.store import open_for_reading

# Drawing figures from a run's tables, again or for the first time, without loading a model.


def redraw(
    run_id: str, *, figure: str | None = None, formats: Sequence[str] = ("pdf",), look: Look = OWN_LOOK, folder: Path = Path()
) -> list[Path]:
    """Draw a figure of a run again.

    Args:
        run_id: Id of the run, or its first digits.
        figure: Name of the figure; by default the first one on the run's page.
        formats: Formats to write; by default PDF.
        look: The look of the figure.
        folder: The folder to write to; it is made where there is none. By default the working directory.

    Returns:
        The files, in the order of `formats`, named by text, models and figure as in a pull.

    Raises:
        StoreError: There is no such run.
        PaperError: The run has no figure, or not this one.
        FigureError: The figure, a format or the look is not possible.
        DiskError: A file cannot be written.
    """
    store = open_for_reading()
    paper_run, tables = PaperRun.of(find_run(run_id, store)), Tables(store)
    figure = figure or _first(paper_run, tables)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"cannot write the folder {str(folder)!r}: {error.strerror or error}") from error
    parts = [paper_run.text, *paper_run.models]
    stem = folder / "_".join([*map(file_part, parts), paper_run.has.figure_part(paper_run.run, figure)])
    return draw(paper_run, tables, figure, formats, paper_run.look(figure, look, tables), stem)


def fetch_file(run_id: str, artifact: str, to: Path | None = None) -> Path:
    """Put a file of a run on this disk: as it is stored, or a figure that is not as the run would have drawn it.

    A figure that the run has in another format is drawn with the same limits and says the same of where it comes from.

    Args:
        run_id: Id of a run, or its first digits.
        artifact: The file's path among the run's, such as "figures/heatmap.pdf".
        to: Where to: a file, or a folder that is there; by default its own name in the working directory.

    Returns:
        Where it is now.

    Raises:
        StoreError: There is no such run, or the file is gone or is not what was written.
        PaperError: The run has no such file, and none of its figures is called so.
        DiskError: It cannot be written, or a file that tokenviz did not draw has its name.
    """
    store = open_for_reading()
    run = find_run(run_id, store)
    recorded = StoredRun.of(run, store)
    name = artifact.rpartition("/")[2]
    target = Path(name) if to is None else to / name if to.is_dir() else to
    with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder:
        if artifact == CHECKSUMS:
            made = fetch(store, run.run_id, artifact, Path(folder))
        elif recorded.has(artifact):
            made = recorded.fetch(artifact, Path(folder))
        else:
            made = _as_the_run(PaperRun.of(run), Tables(store), recorded, artifact, Path(folder))
        if target.is_file() and target.read_bytes() != made.read_bytes() and not _is_ours(target):
            raise DiskError(f"{str(target)!r} is there already, and is another file: remove it, or choose another name")
        try:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tokenviz-") as place:
                return disk.put(Path(shutil.copyfile(made, Path(place, target.name))), target)
        except OSError as error:
            raise DiskError(f"cannot write the file {str(target)!r}: {error.strerror or error}") from error


def _is_ours(path: Path) -> bool:
    """Return whether tokenviz drew a file, as its metadata say: such a one is replaced."""
    try:
        return bool(provenance_of(path))
    except PaperError:
        return False


def _as_the_run(paper_run: PaperRun, tables: Tables, recorded: StoredRun, artifact: str, folder: Path) -> Path:
    """Draw a figure by the name that it would have among the run's files."""
    for figure, formats in tables.figures(paper_run).items():
        named = rf"figures/{re.escape(figure)}(?:_p\d+)?"
        form = next((form for form in formats if re.fullmatch(named + re.escape(file_ending(form)), artifact)), None)
        if form is None:
            continue
        look, source = paper_run.look(figure, OWN_LOOK, tables), tables.source(paper_run)
        about = _said_by_another(recorded, figure)
        if about is None:  # the run drew it before it had an id
            about = replace(paper_run.origin, run_id="").about(paper_run.has.about(source))
        paths = paper_run.has.draw(figure, source, folder / figure, formats=[form], look=look, about=about)
        if made := [path for path in paths if path.name == artifact.rpartition("/")[2]]:
            return made[0]
    drawn = ", ".join(
        f"figures/{figure} with {' '.join(map(file_ending, formats))}" for figure, formats in tables.figures(paper_run).items()
    )
    raise PaperError(
        f"{_named(paper_run)} has no file {artifact!r}: 'tokenviz runs show {paper_run.run.run_id}' lists its files"
        + (f", and these can be drawn: {drawn}" if drawn else "")
    )


def _said_by_another(recorded: StoredRun, figure: str) -> Mapping[str, Any] | None:
    """Return what the run's own file of a figure says of itself; None where the run has none."""
    for ending in (".png", "_p1.png", ".html"):
        if recorded.has(path := f"figures/{figure}{ending}"):
            with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder, suppress(PaperError):
                return provenance_of(recorded.fetch(path, Path(folder)))
    return None


def _first(paper_run: PaperRun, tables: Tables) -> str:
    shown = paper_run.has.shown(paper_run.run, tables.reader)
    if not shown:
        raise PaperError(f"{_named(paper_run)} has no figure: its numbers and tables are had by tokenviz pull and runs show")
    return shown[0]


def draw(paper_run: PaperRun, tables: Tables, figure: str, formats: Sequence[str], look: Look, stem: Path) -> list[Path]:
    """Draw one figure of a run; its files record the run and the command that draws it."""
    possible = tables.figures(paper_run)
    # For other figures of scores and comparisons, the drawing function's own error is better.
    if figure not in possible and not paper_run.has.of_tokens:
        there = f"it has {', '.join(possible)}" if possible else "it has none"
        raise PaperError(f"{_named(paper_run)} has no figure {figure!r}: {there}")
    source = tables.source(paper_run)
    about = paper_run.about(source) | {"again": command(paper_run.run.run_id, figure, formats, look)}
    return paper_run.has.draw(figure, source, stem, formats=formats, look=look, about=about)


def _named(paper_run: PaperRun) -> str:
    return f"run {paper_run.run.run_id} ({paper_run.run.name!r}) of kind {paper_run.kind!r}"


def command(run_id: str, figure: str, formats: Sequence[str], look: Look) -> str:
    """Return the command line that draws a figure."""
    parts = ["tokenviz", "redraw", run_id, "--figure", figure, "--format", ",".join(formats)]
    if look.measure is not None:
        parts += ["--measure", look.measure]
    if look.limits is not None:
        parts += ["--limits", written_limits(look.limits)]
    if look.colours is not None:
        parts += ["--colours", look.colours]
    if look.width is not None:
        parts += ["--width", str(look.width)]
    if look.font_size != Look.font_size:
        parts += ["--font-size", str(look.font_size)]
    if not look.title:
        parts.append("--no-title")
    return shlex.join(parts)


# Pulling: the figures, tables, captions and numbers of an experiment's runs are written into a paper's folder.
#
# A folder has the files of one pull. A file that is equal already is not written, an edited one is left alone, and one that the
# settings no longer include is removed unless it was edited.


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
            disk.write(folder / MANIFEST, manifest)
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
            plan.tables.source(drawing.paper_run)
            files |= found
            captions[drawing] = next(iter(found.values())).made["caption"]
            advance(1)
    for paper_run in plan.undrawn:
        plan.tables.source(paper_run)
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
    paths = draw(
        drawing.paper_run, plan.tables, drawing.figure, [drawing.form], plan.look(drawing.paper_run, drawing.figure), stem
    )
    made = {
        "figure": drawing.figure,
        "format": drawing.form,
        "stem": drawing.stem,
        "caption": str(provenance_of(paths[0]).get("caption") or _own_caption(drawing)),
        "key": drawing.key,
    }
    return {path.relative_to(place).as_posix(): Entry(digest_of(path), (drawing.paper_run.run.run_id,), made) for path in paths}


def _own_caption(drawing: Drawing) -> str:
    """Return the caption of a figure for which the experiment gives none."""
    return f"{drawing.figure.replace('_', ' ')}, of the experiment {drawing.paper_run.run.experiment}".capitalize()


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
            disk.put(new, there)
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
