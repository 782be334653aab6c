"""`tokenviz ui`: MLflow's pages on the embedded store, for this machine only."""

import os
import socket
import sys
from typing import Annotated

import typer

from tokenviz.errors import StoreError

_HOST = "127.0.0.1"


def ui_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of 127.0.0.1 to serve on.")] = 5000,
) -> None:
    """Serve the MLflow pages of the embedded store on 127.0.0.1 until Ctrl-C."""
    from tokenviz.tracking.embedded import database_of, sqlite_uri
    from tokenviz.tracking.store import open_store, server_uri

    server = server_uri()
    if server:
        raise StoreError(f"MLFLOW_TRACKING_URI names the server {server!r}: open that address in a browser, or unset it")
    _refuse_busy(port)
    folder = open_store().folder
    if folder is None:
        raise StoreError("there is no embedded store to serve")
    typer.echo(f"http://{_HOST}:{port}")
    typer.echo("Ctrl-C ends it.", err=True)
    artifacts = str(folder / "artifacts")
    arguments = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", sqlite_uri(database_of(folder))]
    arguments += ["--default-artifact-root", artifacts, "--artifacts-destination", artifacts]
    arguments += ["--host", _HOST, "--port", str(port), "--workers", "1"]
    sys.stdout.flush()
    os.execve(sys.executable, arguments, {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})


def _refuse_busy(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise StoreError(f"port {port} of {_HOST} cannot be used ({error.strerror}): choose another with --port") from error
