"""Drawing figures from a run's tables, again or for the first time, without loading a model."""

import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenviz import durable
from tokenviz.errors import DiskError, PaperError
from tokenviz.figures.limits import said_limits, written_limits
from tokenviz.figures.named import OWN_LOOK, Look
from tokenviz.figures.tracing import provenance_of
from tokenviz.paper.naming import file_part
from tokenviz.paper.subjects import Subject, Tables
from tokenviz.records.run import StoredRun
from tokenviz.tracking.checksums import CHECKSUMS
from tokenviz.tracking.files import fetch
from tokenviz.tracking.finding import find_run
from tokenviz.tracking.store import open_for_reading


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
    subject, tables = Subject.of(find_run(run_id, store)), Tables(store)
    figure = figure or _first(subject, tables)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"cannot write the folder {str(folder)!r}: {error.strerror or error}") from error
    parts = [subject.text, *subject.models]
    stem = folder / "_".join([*map(file_part, parts), subject.has.figure_part(subject.run, figure)])
    return draw(subject, tables, figure, formats, look, stem)


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
        DiskError: It cannot be written.
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
            made = _as_the_run(Subject.of(run), Tables(store), recorded, artifact, Path(folder))
        try:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tokenviz-") as place:
                return durable.put(Path(shutil.copyfile(made, Path(place, target.name))), target)
        except OSError as error:
            raise DiskError(f"cannot write the file {str(target)!r}: {error.strerror or error}") from error


def _as_the_run(subject: Subject, tables: Tables, recorded: StoredRun, artifact: str, folder: Path) -> Path:
    """Draw a figure by the name that it would have among the run's files."""
    for figure, formats in tables.figures(subject).items():
        named = re.compile(rf"figures/{re.escape(figure)}(?:_p\d+|-document)?\.(\w+)").fullmatch(artifact)
        form = "" if named is None else "tex-document" if artifact.endswith("-document.tex") else named[1]
        if form not in formats:
            continue
        about = _said_by_another(recorded, figure)
        if about is None:
            paths = draw(subject, tables, figure, [form], OWN_LOOK, folder / figure)
        else:
            look = replace(OWN_LOOK, limits=said_limits(about)) if "limits_of" in about else OWN_LOOK
            source = tables.source(subject)
            paths = subject.has.draw(figure, source, folder / figure, formats=[form], look=look, about=about)
        if made := [path for path in paths if path.name == artifact.rpartition("/")[2]]:
            return made[0]
    drawn = ", ".join(f"figures/{figure} as {' '.join(formats)}" for figure, formats in tables.figures(subject).items())
    raise PaperError(
        f"{_named(subject)} has no file {artifact!r}: 'tokenviz runs show {subject.run.run_id}' lists its files"
        + (f", and there can be drawn {drawn}" if drawn else "")
    )


def _said_by_another(recorded: StoredRun, figure: str) -> Mapping[str, Any] | None:
    """Return what the run's own file of a figure says of itself; None where the run has none."""
    for ending in (".png", "_p1.png", ".html"):
        if recorded.has(path := f"figures/{figure}{ending}"):
            with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder, suppress(PaperError):
                return provenance_of(recorded.fetch(path, Path(folder)))
    return None


def _first(subject: Subject, tables: Tables) -> str:
    shown = subject.has.shown(subject.run, tables.reader)
    if not shown:
        raise PaperError(f"{_named(subject)} has no figure: its numbers and tables are had by tokenviz pull and runs show")
    return shown[0]


def draw(subject: Subject, tables: Tables, figure: str, formats: Sequence[str], look: Look, stem: Path) -> list[Path]:
    """Draw one figure of a run; its files record the run and the command that draws it."""
    possible = tables.figures(subject)
    # For other figures of scores and comparisons, the drawing function's own error is better.
    if figure not in possible and not subject.has.of_tokens:
        there = f"it has {', '.join(possible)}" if possible else "it has none"
        raise PaperError(f"{_named(subject)} has no figure {figure!r}: {there}")
    source = tables.source(subject)
    about = subject.about(source) | {"again": command(subject.run.run_id, figure, formats, look)}
    return subject.has.draw(figure, source, stem, formats=formats, look=look, about=about)


def _named(subject: Subject) -> str:
    return f"run {subject.run.run_id} ({subject.run.name!r}) of kind {subject.kind!r}"


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
