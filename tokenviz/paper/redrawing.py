"""Drawing figures again from a run's tables, without loading a model."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from tokenviz.errors import DiskError, PaperError
from tokenviz.figures.limits import written_limits
from tokenviz.figures.named import OWN_LOOK, Look
from tokenviz.paper.naming import file_part
from tokenviz.paper.subjects import Subject, Tables
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
