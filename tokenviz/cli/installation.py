"""`tokenviz models` and `tokenviz doctor`: the models on disk, and checks of the installation and the store."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tokenviz.base.display import counted
from tokenviz.cli.shared import AsJson, print_json
from tokenviz.harness import options
from tokenviz.models.family import RECIPE, SHAPES

# `tokenviz models`: the catalogue, its models on disk, and the family that is trained here.

app = typer.Typer(help="List the models that need no hub, fetch one, or make the family.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def list_models(context: typer.Context) -> None:
    """List the catalogue: name, licence, size, and what is on disk."""
    if context.invoked_subcommand is not None:
        return
    from tokenviz.base.display import Column, print_fitted
    from tokenviz.base.terminal import results_console
    from tokenviz.models.catalogue import CATALOGUE

    models = CATALOGUE.values()
    there = [f"{model.disk_bytes / 1e6:.0f} MB" if model.folder.is_dir() else "–" for model in models]
    columns = [
        Column("name", [model.name for model in models]),
        Column("what it is", [model.title for model in models], folds=True),
        Column("weights from", [model.weights or "made here" for model in models]),
        Column("licence", [model.licence for model in models], folds=True),
        Column("download", [f"{model.download_bytes / 1e6:.0f} MB" for model in models], 2, right=True),
        Column("on disk", there, 1, right=True),
    ]
    print_fitted(results_console(), columns)


@app.command("make")
def make_models(
    names: Annotated[
        list[str],
        typer.Argument(help="family-small, family-large, or both.", show_default=False, autocompletion=options.family),
    ],
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Seed of the first weights and the order of the text; another than 0 needs --to.", show_default=False
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of training; another number than 512 needs --to.", show_default=False)
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="A folder to make the models in, each in a folder of its name; by default the cache.", show_default=False
        ),
    ] = None,
) -> None:
    """Train GPT-2s of two sizes on a public-domain text, minutes each; prints their folders. Checkpoints are kept."""
    from dataclasses import replace

    from tokenviz.base.errors import ModelError, did_you_mean
    from tokenviz.base.progress import shown
    from tokenviz.models.catalogue import CATALOGUE, make, pull

    for name in names:
        if name not in SHAPES:
            raise ModelError(
                f"{name!r} is none of the models that are made here, {' and '.join(SHAPES)}; "
                f"tokenviz models pull fetches others{did_you_mean(name, SHAPES)}"
            )
    recipe = replace(RECIPE, **{name: value for name, value in (("seed", seed), ("steps", steps)) if value is not None})
    if to is None and recipe != RECIPE:
        raise ModelError(
            "--seed and --steps make other models than those of the catalogue: give a folder for them, --to FOLDER"
        )
    for name in dict.fromkeys(names):
        with shown():
            folder = pull(CATALOGUE[name]) if to is None else make(CATALOGUE[name], to / name, recipe)
        typer.echo(folder)


@app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="A name of the catalogue.", show_default=False, autocompletion=options.models)],
) -> None:
    """Fetch a model, verify it by sha256 and convert (or train) it, once; prints its folder."""
    from tokenviz.base.errors import ModelError, did_you_mean
    from tokenviz.base.progress import shown
    from tokenviz.models.catalogue import CATALOGUE, pull

    if name not in CATALOGUE:
        raise ModelError(
            f"{name!r} is not in the catalogue: it has {', '.join(CATALOGUE)}; other models are used by hub id or path"
            f"{did_you_mean(name, CATALOGUE)}"
        )
    with shown():
        folder = pull(CATALOGUE[name])
    typer.echo(folder)


# `tokenviz doctor`: checks the installation and the store, and advises what to do.


def doctor_command(
    as_json: AsJson = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what takes no time: without runs' files, device, fonts and LaTeX.")
    ] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring a store that an older MLflow made to this MLflow; a copy of it is kept.")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Put runs that the database has lost into it again, from the runs' own records and tables.",
        ),
    ] = False,
) -> None:
    """Check the tracking store, its runs and files, the outbox, the disk, and the installation.

    Nothing is changed, unless --migrate or --rebuild asks for it. Exit code 1 where something is wrong.
    """
    if (as_json or quick) + migrate + rebuild > 1:
        raise typer.BadParameter("--migrate and --rebuild are given alone")
    if migrate:
        return _migrate()
    if rebuild:
        return _rebuild()
    from tokenviz.base.characters import visible
    from tokenviz.base.progress import shown
    from tokenviz.harness.installation import check_all

    with shown():
        checks = check_all(quick=quick)
    right = all(check.state != "wrong" for check in checks)
    if as_json:
        print_json({"ok": right, "checks": [asdict(check) for check in checks]})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            typer.echo(f"{check.state:5}  {check.name:{width}}  {visible(check.found)}")
            if check.advice:
                typer.echo(f"{'':5}  {'':{width}}  → {visible(check.advice)}")
    if not right:
        raise typer.Exit(1)


def _migrate() -> None:
    from tokenviz.base.progress import shown
    from tokenviz.tracking.repairs import migrate

    with shown():
        kept = migrate()
    typer.echo("The store is migrated. As it was before, for the MLflow that made it, it is kept in")
    typer.echo(f"  {kept}")


def _rebuild() -> None:
    from tokenviz.base.characters import visible
    from tokenviz.base.progress import shown
    from tokenviz.harness.rebuilding import record_from_files
    from tokenviz.tracking.repairs import rebuild

    with shown():
        done = rebuild(record_from_files)
    typer.echo(f"{counted(done.count, 'run')} put into the database again: {done.from_records:,} from their own "
               f"records, {done.from_database:,} from what was left of the database, {done.from_files:,} from their tables and "
               "figures")  # fmt: skip
    if done.kept is not None:
        typer.echo(f"The database that was there is kept as it was in {visible(str(done.kept))}")
    for line in done.left:
        typer.echo(f"left as it is: {visible(line)}", err=True)
    if done.left:
        raise typer.Exit(1)
