"""`tokenviz models`: the catalogue, its models on disk, and the family that is trained here."""

from pathlib import Path
from typing import Annotated

import typer

from tokenviz.harness import completion
from tokenviz.models.family import RECIPE, SHAPES

app = typer.Typer(help="List the models that need no hub, fetch one, or make the family.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def list_models(context: typer.Context) -> None:
    """List the catalogue: name, licence, size, and what is on disk."""
    if context.invoked_subcommand is not None:
        return
    from tokenviz.fitting import Column, print_fitted
    from tokenviz.models.catalogue import CATALOGUE
    from tokenviz.terminal import results_console

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
        typer.Argument(help="family-small, family-large, or both.", show_default=False, autocompletion=completion.family),
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

    from tokenviz.errors import ModelError, did_you_mean
    from tokenviz.models.catalogue import CATALOGUE, make, pull
    from tokenviz.progress import shown

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
    name: Annotated[str, typer.Argument(help="A name of the catalogue.", show_default=False, autocompletion=completion.models)],
) -> None:
    """Fetch a model, verify it by sha256 and convert (or train) it, once; prints its folder."""
    from tokenviz.errors import ModelError, did_you_mean
    from tokenviz.models.catalogue import CATALOGUE, pull
    from tokenviz.progress import shown

    if name not in CATALOGUE:
        raise ModelError(
            f"{name!r} is not in the catalogue: it has {', '.join(CATALOGUE)}; other models are used by hub id or path"
            f"{did_you_mean(name, CATALOGUE)}"
        )
    with shown():
        folder = pull(CATALOGUE[name])
    typer.echo(folder)
