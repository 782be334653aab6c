"""`tokenviz runs` and `sync`: what is in the tracking store, listed, shown, compared, removed, copied, delivered."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenviz.base.characters import visible
from tokenviz.base.display import counted
from tokenviz.cli.shared import check_output, print_csv, print_json

if TYPE_CHECKING:
    from tokenviz.tracking.finding import FoundRun
    from tokenviz.tracking.store import Store


# `tokenviz runs`: lists, shows, compares and removes runs of the tracking store, and copies them to another.

app = typer.Typer(
    help="List the runs of the tracking store, newest first; show, compare, remove or copy some of them.", rich_markup_mode=None
)

Experiment = Annotated[str | None, typer.Option("--experiment", "-e", help="Only runs of this experiment.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        "-w",
        help='Only runs that meet conditions, such as "model=gpt2 and r<0.9 or text~viet": tags, metrics and parameters with = '
        "!= < <= > >= and ~ (contains), and, or, not, parentheses.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
One = Annotated[str, typer.Argument(help="The first digits of a run's id, or of its fingerprint.", show_default=False)]
Several = Annotated[list[str] | None, typer.Argument(help="The first digits of runs' ids.", show_default=False)]

_MOST = 50  # lines of a table


@app.callback(invoke_without_command=True)
def list_runs(
    context: typer.Context,
    experiment: Experiment = None,
    where: Where = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also runs that are not finished, or that a newer run has superseded.")
    ] = False,
    most: Annotated[
        int | None, typer.Option(min=1, help=f"How many at most; by default {_MOST} in a table, all with --json and --csv.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List runs, newest first: finished ones that nothing has superseded."""
    if context.invoked_subcommand is not None:
        return
    check_output(json=as_json, csv=as_csv)
    from tokenviz.base.progress import shown
    from tokenviz.tracking.finding import find_runs
    from tokenviz.tracking.store import open_for_reading

    limit = most or (None if as_json or as_csv else _MOST)
    with shown():
        store = open_for_reading()
        found = find_runs(experiment, where=where, every=every, most=limit + 1 if limit else None, store=store)
    listed = found[:limit]
    if as_json:
        print_json({"runs": [_document(run) for run in listed]})
    elif as_csv:
        from tokenviz.records.loading import runs_frame

        print_csv([runs_frame(listed)])
    else:
        from tokenviz.cli.run_tables import print_list
        from tokenviz.paper.naming import descriptions_of

        print_list(listed, where, descriptions_of(listed, store))
        if len(found) > len(listed):
            typer.echo(f"these are the newest {len(listed)}: --most shows more, --where and --experiment choose", err=True)


@app.command("show")
def show_run(run: One, as_json: AsJson = False) -> None:
    """Show everything of one run: settings, numbers, files."""
    from tokenviz.base.progress import shown
    from tokenviz.paper.naming import descriptions_of
    from tokenviz.tracking.entities import PAGE_MODE
    from tokenviz.tracking.finding import files_of, find_run
    from tokenviz.tracking.store import open_for_reading

    with shown():
        store = open_for_reading()
        found = find_run(run, store)
        files = files_of(store, found.run_id)
        described = descriptions_of([found], store)
    page = f"{store.web_address}/#/experiments/{found.experiment_id}/runs/{found.run_id}?{PAGE_MODE}"
    if as_json:
        print_json({**_document(found), "models": described, "page": page, "files": files})
        return
    from tokenviz.base.terminal import results_console
    from tokenviz.cli.run_tables import local_time, pairs_table

    head: dict[str, Any] = {"run": found.run_id, "experiment": found.experiment, "status": found.status}
    head |= {"started": local_time(found), "seconds": found.seconds}
    head |= {f"{label} is": words for label, words in described.items()} | found.tags | {"page": page}
    sizes = {path: f"{size:,} bytes" for path, size in files.items()}
    parts = ((found.name, head), ("numbers", found.metrics), ("settings", found.params), ("files", sizes))
    results_console().print(*(pairs_table(title, dict(values)) for title, values in parts), sep="\n")


@app.command("fetch")
def fetch_run_file(
    run: One,
    file: Annotated[
        str, typer.Argument(help="Its path among the run's files, such as figures/heatmap.pdf.", show_default=False)
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="A file, or a folder that is there; by default its name, here.", show_default=False),
    ] = None,
) -> None:
    """Put a file of a run on this disk; a figure or a format that the run does not hold is drawn from its tables.

    A run holds what its page shows, HTML or PNG. Other figures, PDF, SVG and LaTeX are drawn as the run would have drawn them:
    with the same limits, and the same words on where they come from. Prints the file's path.
    """
    from tokenviz.base.progress import shown
    from tokenviz.paper.pulling import fetch_file

    with shown():
        path = fetch_file(run, file, to)
    typer.echo(path)


@app.command("compare")
def compare_runs(
    runs: Annotated[list[str], typer.Argument(help="The first digits of two or more runs' ids.", show_default=False)],
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same in all of them.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Compare runs: print the settings and numbers in which they differ."""
    check_output(json=as_json, csv=as_csv)
    if len(runs) < 2:
        raise typer.BadParameter("give at least two runs to compare")
    import pandas as pd

    from tokenviz.base.progress import shown
    from tokenviz.tracking.finding import find_run
    from tokenviz.tracking.store import open_for_reading

    with shown():
        store = open_for_reading()
        found = [find_run(run, store) for run in runs]
    rows = _differences(found, everything=everything)
    if as_json:
        print_json({"runs": [run.run_id for run in found], "fields": rows})
    elif as_csv:
        columns = ["field", *(run.run_id for run in found)]
        print_csv([pd.DataFrame([[name, *values] for name, values in rows.items()], columns=columns)])
    else:
        from tokenviz.cli.run_tables import print_side_by_side
        from tokenviz.paper.naming import descriptions_of

        print_side_by_side(found, rows, descriptions_of(found, store))


@app.command("remove")
def remove_runs(
    runs: Several = None,
    experiment: Experiment = None,
    where: Where = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs, named or chosen by --where and --experiment; the next experiment that needs one computes it again.

    They are marked as removed, as in MLflow's pages, and can be restored; `mlflow gc` frees their space.
    """
    if not runs and where is None and experiment is None:
        raise typer.BadParameter("name the runs to remove, or choose them with --where or --experiment")
    if runs and (where is not None or experiment is not None):
        raise typer.BadParameter("name the runs to remove, or choose them with --where and --experiment, not both")
    from tokenviz.base.progress import shown
    from tokenviz.tracking.finding import remove
    from tokenviz.tracking.store import open_for_reading

    with shown():
        store = open_for_reading()
        found = _meant(store, runs, experiment, where)
    if not found:
        typer.echo("no run is meant: nothing was removed", err=True)
        return
    if not yes:
        for run in found[:_MOST]:
            typer.echo(f"{run.run_id}  {visible(run.name)}", err=True)
    _ask(f"Remove {counted(len(found), 'run')}?", yes)
    with shown():
        remove(store, found)
    typer.echo(f"{counted(len(found), 'run')} removed")
    _say_how_to_restore(store)


@app.command("tidy")
def tidy_runs(
    experiment: Experiment = None, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Remove runs that a newer one has replaced or that never became whole, and views and models of runs that are gone.

    They are listed first. Runs are marked as removed, as in MLflow's pages, and can be restored; `mlflow gc` frees their space.
    """
    from tokenviz.base.progress import shown
    from tokenviz.tracking.inspection import find_untidy, tidy
    from tokenviz.tracking.store import open_answering, open_for_reading

    with shown():
        store = open_for_reading()
        untidy = find_untidy(store, experiment)
    if not untidy.runs and not untidy.views and not untidy.models:
        typer.echo("nothing to tidy", err=True)
        return
    for run, reason in untidy.runs:
        typer.echo(f"{run.run_id}  {visible(run.name)}: {reason}", err=True)
    for _, tag, name in untidy.views:
        typer.echo(f"view {tag.rpartition('.')[2]} of {visible(name)}: its grid has no run", err=True)
    for _, name, place in untidy.models:
        typer.echo(f"model {visible(name)} of {visible(place)}: no run of it is left", err=True)
    what = f"{counted(len(untidy.runs), 'run')} and {counted(len(untidy.views), 'view')}"
    if untidy.models:
        what = f"{what.replace(' and ', ', ')} and {counted(len(untidy.models), 'model')}"
    _ask(f"Remove {what}?", yes)
    with shown():
        tidy(store if store.copy is not None else open_answering(), untidy)
    typer.echo(f"{what} removed")
    _say_how_to_restore(store)


@app.command("export")
def export_runs(
    folder: Annotated[Path, typer.Argument(help="Where to; it is made, and what it holds already stays.", show_default=False)],
    experiment: Experiment = None,
    where: Where = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write a grid as pages that need no server: the newest, or that of --grid.")
    ] = False,
    grid: Annotated[str | None, typer.Option(help="With --html: the grid's id, as 'tokenviz ui' prints it.")] = None,
) -> None:
    """Write finished runs with their files into a folder, from which `tokenviz runs import` puts them into another store.

    With --html write a grid instead: its page, reports, heatmaps and tables, as a site that any web server or disk can hold.
    """
    if html:
        if where is not None:
            raise typer.BadParameter(
                "--where chooses runs, and --html writes a whole grid: choose it with --grid or --experiment"
            )
        _export_site(folder, experiment, grid)
        return
    if grid is not None:
        raise typer.BadParameter("--grid is for --html; choose runs with --where and --experiment")
    from tokenviz.base.progress import shown
    from tokenviz.tracking.finding import find_runs
    from tokenviz.tracking.store import open_for_reading
    from tokenviz.tracking.transfer import export_runs as export

    with shown():
        store = open_for_reading()
        found = find_runs(experiment, where=where, store=store)
        problems = export(store, found, folder)
    typer.echo(f"{counted(len(found) - len(problems), 'run')} of {store.name} in {folder}")
    _end_with(problems)


@app.command("import")
def import_runs(
    folder: Annotated[Path, typer.Argument(help="What `tokenviz runs export` wrote.", show_default=False)],
) -> None:
    """Put exported runs into the store that is set, each once; what it has already stays as it is."""
    from tokenviz.base.progress import shown
    from tokenviz.tracking.store import open_answering
    from tokenviz.tracking.transfer import import_runs as bring

    with shown():
        store = open_answering()
        imported = bring(store, folder)
    typer.echo(f"{counted(imported.delivered, 'run')} imported into {store.name}; {imported.known} were there already")
    _end_with(imported.refused)


def _export_site(folder: Path, experiment: str | None, grid: str | None) -> None:
    from tokenviz.base.progress import shown
    from tokenviz.pages.grids import write_site
    from tokenviz.tracking.store import open_for_reading

    with shown():
        store = open_for_reading()
        written = write_site(store, folder, experiment=experiment, grid=grid)
    typer.echo(f"{written.entry.name}: {counted(written.figures, 'figure')} in {folder}; open {folder / 'index.html'}")
    _end_with(written.problems)


def _ask(question: str, yes: bool) -> None:
    """End the command unless the user answers yes."""
    if yes:
        return
    typer.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline() if sys.stdin else ""
    if answer.strip().casefold() not in ("y", "yes"):
        typer.echo("nothing was removed", err=True)
        raise typer.Exit(1)


def _say_how_to_restore(store: "Store") -> None:
    restore = f"MLFLOW_TRACKING_URI={store.uri if store.folder else store.name} mlflow runs restore --run-id ID"
    typer.echo(f"To have one again: {restore}", err=True)


def _end_with(problems: "list[str] | tuple[str, ...]") -> None:
    for problem in problems:
        typer.echo(visible(problem), err=True)
    if problems:
        raise typer.Exit(1)


def _meant(store: "Store", runs: list[str] | None, experiment: str | None, where: str | None) -> "list[FoundRun]":
    from tokenviz.tracking.finding import find_run, find_runs

    if runs:
        return list({run.run_id: run for run in (find_run(one, store) for one in runs)}.values())
    # A process may still be working on one that is running.
    return [run for run in find_runs(experiment, where=where, every=True, store=store) if run.status != "RUNNING"]


def _document(run: "FoundRun") -> dict[str, Any]:
    from tokenviz.data.scores import nan_to_none

    metrics = {name: nan_to_none(value) for name, value in run.metrics.items()}
    return {**vars(run), "started": run.started.isoformat(), "seconds": nan_to_none(run.seconds), "metrics": metrics}


def _differences(found: "list[FoundRun]", *, everything: bool) -> dict[str, list[Any]]:
    """Return tags, numbers and settings by name, one value per run; None where a run has none."""
    rows: dict[str, list[Any]] = {}
    for part in ("tags", "metrics", "params"):
        for name in dict.fromkeys(name for run in found for name in getattr(run, part)):
            values = [getattr(run, part).get(name) for run in found]
            if everything or any(value != values[0] for value in values):
                rows.setdefault(name, values)
    return rows


# `tokenviz sync`: delivers results that could not be logged.


def sync_command() -> None:
    """Deliver the results that wait in the outbox for the tracking store, each once.

    Exit code 1 where some of them still wait.
    """
    from tokenviz.base.progress import shown
    from tokenviz.tracking.store import EMBEDDED, open_answering
    from tokenviz.tracking.transfer import sync

    with shown():
        store = open_answering()
        synced = sync(store)
    typer.echo(f"{synced.delivered} results delivered to {store.name}")
    if synced.busy:
        typer.echo(f"{synced.busy} are being worked on by another process")
    if synced.refused:
        typer.echo(f"{synced.refused} were refused by the store")
    for command in synced.undrawn:
        typer.echo(f"some are not whole: repeat '{command}', which goes on from where it was")
    for name, count in synced.elsewhere.items():
        address = "unset MLFLOW_TRACKING_URI" if name == EMBEDDED else f"set MLFLOW_TRACKING_URI={name}"
        typer.echo(f"{count} wait for another store, {name}: {address} and repeat this command")
    if not synced.complete:
        raise typer.Exit(1)
