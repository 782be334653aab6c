"""A grid as a static site: the same page that `tokenviz ui` serves, with every figure and table, without a server."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tokenviz import durable
from tokenviz.errors import DamagedError, DiskError, StoreError
from tokenviz.figures.overview import overview_html
from tokenviz.pages.grids import GridEntry, figures_of, grid_named, grids_of, overview_of, runs_of
from tokenviz.progress import task
from tokenviz.records.run import StoredRun
from tokenviz.tracking.files import files_of
from tokenviz.tracking.finding import FoundRun
from tokenviz.tracking.store import Store


@dataclass(frozen=True)
class Site:
    """The result of writing a site.

    Attributes:
        entry: The grid.
        figures: Number of figures.
        problems: One line for each file that could not be written.
    """

    entry: GridEntry
    figures: int
    problems: tuple[str, ...]


def write_site(store: Store, folder: Path, *, experiment: str | None = None, grid: str | None = None) -> Site:
    """Write a grid as pages into a folder: `index.html`, `runs/RUN/FIGURE.html` and `tables/TABLE.csv`.

    Files are compared with what was recorded; one that is missing or changed is left out and reported.

    Args:
        store: The grid's store.
        folder: An empty or new folder; it appears when everything is written.
        experiment: The MLflow experiment whose newest grid is written; by default the newest of all.
        grid: The id of the grid; by default the newest.

    Raises:
        StoreError: There is no such grid, or the store fails.
        DiskError: The folder is not empty, or cannot be written.
    """
    entry = _chosen(store, experiment, grid)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DiskError(f"{str(folder)!r} is there already and not empty: a site is written into a new folder")
    runs = runs_of(store, entry)
    problems: list[str] = []
    figures = 0
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
            site = Path(name) / "site"
            with task("writing pages", len(runs), "runs") as advance:
                for run in runs:
                    recorded = StoredRun.of(run, store)
                    for artifact, target in _files_of(store, run):
                        try:
                            _copy(recorded, artifact, site / target)
                            figures += target.startswith("runs/")
                        except DamagedError as error:
                            problems.append(str(error))
                    advance(1)
            tables = [(f"tables/{quote(path.name)}", path.name) for path in sorted(site.glob("tables/*"))]
            own = sorted((site / "runs" / entry.summary).glob("*.*")) if entry.summary else []
            shown = [(f"runs/{entry.summary}/{quote(path.name)}", path.name) for path in own]
            durable.write(site / "index.html", overview_html(overview_of(store, entry), "folder", files=shown + tables))
            durable.put(site, folder)
    except OSError as error:
        if isinstance(error, StoreError | DiskError):
            raise
        raise DiskError(f"cannot write the site {str(folder)!r}: {error.strerror or error}") from error
    return Site(entry, figures, tuple(problems))


def _chosen(store: Store, experiment: str | None, grid: str | None) -> GridEntry:
    if grid is not None:
        return grid_named(store, grid)
    for entry in grids_of(store):
        if experiment in (None, entry.experiment):
            return entry
    raise StoreError(f"no grid {f'of the experiment {experiment!r} ' if experiment else ''}in the store {store.name!r}")


def _files_of(store: Store, run: FoundRun) -> Iterator[tuple[str, str]]:
    """Yield the paths of a run's files that belong to the site, in the run and in the site."""
    summary = run.tags.get("kind") == "summary"
    for name in sorted(figures_of(store, run.run_id)):
        if name.endswith(".html") or (summary and name.endswith((".png", ".pdf"))):
            yield f"figures/{name}", f"runs/{run.run_id}/{name}"
    if summary:
        for path in files_of(store, run.run_id, "tables"):
            yield path, path


def _copy(run: StoredRun, artifact: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tokenviz-") as folder:
        target.write_bytes(run.fetch(artifact, Path(folder)).read_bytes())
