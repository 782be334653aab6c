"""`tokenviz sync`: delivers results that could not be logged."""

import typer


def sync_command() -> None:
    """Deliver the results that wait in the outbox for the tracking store, each once.

    Exit code 1 where some of them still wait.
    """
    from tokenviz.progress import shown
    from tokenviz.tracking.store import EMBEDDED, open_answering
    from tokenviz.tracking.syncing import sync

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
