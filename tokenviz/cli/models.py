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
    from rich.table import Table

    from tokenviz.models.catalogue import CATALOGUE
    from tokenviz.terminal import results_console

    table = Table()
    for heading in ("name", "what it is", "weights from", "licence"):
        table.add_column(heading, overflow="fold")
    table.add_column("download", justify="right")
    table.add_column("on disk", justify="right")
    for model in CATALOGUE.values():
        there = f"{model.disk_bytes / 1e6:.0f} MB" if model.folder.is_dir() else "–"
        table.add_row(model.name, model.title, model.weights, model.licence, f"{model.download_bytes / 1e6:.0f} MB", there)
    results_console().print(table)


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
