"""`tokenviz models`: the catalogue, and what of it is on disk."""

from typing import Annotated

import typer

from tokenviz.harness import completion

app = typer.Typer(help="List the models that need no hub, or fetch one.", rich_markup_mode=None)


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
        Column("weights from", [model.weights for model in models]),
        Column("licence", [model.licence for model in models], folds=True),
        Column("download", [f"{model.download_bytes / 1e6:.0f} MB" for model in models], 2, right=True),
        Column("on disk", there, 1, right=True),
    ]
    print_fitted(results_console(), columns)


@app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="A name of the catalogue.", show_default=False, autocompletion=completion.models)],
) -> None:
    """Fetch a model, verify it by sha256 and convert it, once; prints its folder."""
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
