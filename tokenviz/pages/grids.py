"""Grids as a store has them, with their runs as the overview shows them, and as static sites without a server."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from tokenviz.base import disk
from tokenviz.base.errors import DamagedError, DiskError, StoreError
from tokenviz.base.progress import task
from tokenviz.data.scores import TokenScores
from tokenviz.figures.report.overview import (
    OVERVIEW,
    OtherRun,
    Overview,
    PairCell,
    ScoreCell,
    overview_html,
    picture_of,
    pictures_in,
)
from tokenviz.records.run import TOKENS_TABLE, StoredRun
from tokenviz.tracking.finding import FoundRun, fetch, files_of, find_runs
from tokenviz.tracking.runs import NOTE
from tokenviz.tracking.store import Store, store_errors

# Grids in a store: the newest ones, and the overview of each.

_DRAWN_HERE = 200  # pictures of a grid whose summary has none; each takes 15 ms


@dataclass(frozen=True)
class GridEntry:
    """A grid in a store.

    Attributes:
        grid: Id of the grid.
        experiment: Name of the MLflow experiment.
        experiment_id: MLflow's id of the experiment.
        started: Start of its newest run, or of its summary.
        summary: Id of its summary run; empty for a grid that has none.
        finished: Whether it has a summary, or is one run that is its own grid, as a benchmark's is.
    """

    grid: str
    experiment: str
    experiment_id: str
    started: datetime
    summary: str
    finished: bool

    @property
    def name(self) -> str:
        """The name for readers."""
        return f"{self.experiment}, {self.started.astimezone():%Y-%m-%d %H:%M}" + " (not finished)" * (not self.finished)


def grids_of(store: Store, *, most: int | None = None) -> list[GridEntry]:
    """Find the grids of a store, newest first.

    Args:
        store: The open store.
        most: The most grids to return; by default all.

    Raises:
        StoreError: The store fails.
    """
    found: dict[str, GridEntry] = {}
    for run in find_runs(store=store):
        # A run lists its grids oldest first; a summary belongs to one grid.
        for grid in reversed(run.tags.get("grid", "").split()):
            known = found.get(grid)
            summary = run.run_id if run.tags.get("kind") == "summary" else ""
            if known is None:
                finished = bool(summary) or run.tags.get("fingerprint", "").startswith(grid)
                found[grid] = GridEntry(grid, run.experiment, run.experiment_id, run.started, summary, finished)
            elif summary and not known.summary:
                started = max(run.started, known.started)
                found[grid] = GridEntry(grid, run.experiment, run.experiment_id, started, summary, finished=True)
    newest = sorted(found.values(), key=lambda one: one.started, reverse=True)
    return newest[:most]


class NoGridError(StoreError):
    """A store has no such grid."""


def grid_named(store: Store, grid: str) -> GridEntry:
    """Find one grid.

    Raises:
        NoGridError: There is no grid with that id.
        StoreError: The store fails.
    """
    for entry in grids_of(store):
        if entry.grid == grid:
            return entry
    raise NoGridError(f"no grid {grid!r} in the store {store.name!r}: 'tokenviz ui' prints the recent ones")


def runs_of(store: Store, entry: GridEntry) -> list[FoundRun]:
    """Find the runs of a grid in the order in which they were made.

    Raises:
        StoreError: The store fails.
    """
    found = [run for run in find_runs(entry.experiment, store=store) if entry.grid in run.tags.get("grid", "").split()]
    return found[::-1]


def overview_of(store: Store, entry: GridEntry) -> Overview:
    """Return the data of a grid's page, from the numbers of its runs.

    Pictures are those of the summary's page; where it has none, the first are drawn from the runs' tables.

    Raises:
        StoreError: The store fails.
    """
    scores: list[ScoreCell] = []
    pairs: list[PairCell] = []
    others: list[OtherRun] = []
    drawn = recorded = 0
    pictures = _kept_pictures(store, entry)
    for run in runs_of(store, entry):
        kind, numbers = run.tags.get("kind", ""), run.metrics
        model, a, b, text = (run.tags.get(name, "") for name in ("model", "model_a", "model_b", "text"))
        if kind == "score":
            if run.run_id not in pictures and drawn < _DRAWN_HERE:
                pictures[run.run_id] = _drawn(store, run)
                drawn += 1
            scores.append(ScoreCell.of(model, text, run.run_id, numbers, pictures.get(run.run_id, "")))
        elif kind == "comparison":
            pairs.append(PairCell.of(a, b, text, run.run_id, run.params.get("by", "token"), numbers))
        elif run.run_id == entry.summary:
            recorded = int(sum(number for name, number in numbers.items() if name.startswith("n_") and name.endswith("_runs")))
        elif kind != "summary":
            others.append(OtherRun.of(kind, run.name, run.run_id, numbers, figures_of(store, run.run_id)))
    remark = "" if entry.finished else "This grid is not finished: here is what there is so far. Repeating its command goes on."
    if missing := max(0, recorded - len(scores) - len(pairs) - len(others)):
        remark = f"{missing} of the grid's {recorded} runs {'is' if missing == 1 else 'are'} gone. "
        remark += "Repeating its command makes them again."
    return Overview(
        entry.experiment, entry.experiment_id, entry.grid, _question(store, entry), scores, pairs, others, remark=remark
    )


def figures_of(store: Store, run_id: str) -> set[str]:
    """Return the names of a run's figures.

    Raises:
        StoreError: The store fails.
    """
    return {path.rpartition("/")[2] for path in files_of(store, run_id, "figures")}


def _question(store: Store, entry: GridEntry) -> str:
    with store_errors(store):
        tags = store.client.get_experiment(entry.experiment_id).tags
    return str(tags.get(NOTE, "")).partition("\n")[0]


def _kept_pictures(store: Store, entry: GridEntry) -> dict[str, str]:
    if not entry.summary:
        return {}
    with TemporaryDirectory(prefix="tokenviz-") as folder:
        try:
            return pictures_in(fetch(store, entry.summary, OVERVIEW, Path(folder)).read_text(encoding="utf-8"))
        except DamagedError:
            return {}  # an earlier version wrote none


def _drawn(store: Store, run: FoundRun) -> str:
    try:
        return picture_of(StoredRun.of(run, store).read(TOKENS_TABLE, TokenScores.load))
    except StoreError:
        return ""  # the numbers of a run without its table are shown nevertheless


# A grid as a static site: the same page that `tokenviz ui` serves, with every figure and table, without a server.


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
            disk.write(site / "index.html", overview_html(overview_of(store, entry), "folder", files=shown + tables))
            disk.put(site, folder)
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
