"""`tokenviz ui`: MLflow's pages on the embedded store, for this machine only."""

import os
import socket
import subprocess
import sys
from typing import Annotated

import typer

from tokenviz.errors import StoreError

_HOST = "127.0.0.1"


def ui_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of 127.0.0.1 to serve on.")] = 5000,
) -> None:
    """Serve the MLflow pages of the embedded store on 127.0.0.1 until Ctrl-C."""
    from tokenviz.tracking.embedded import artifacts_of, database_of, embedded_folder
    from tokenviz.tracking.store import open_for_reading, open_store, server_uri, without_secrets

    server = server_uri()
    if server:
        raise StoreError(
            f"MLFLOW_TRACKING_URI names the server {without_secrets(server)!r}: open that address in a browser, or unset it"
        )
    _refuse_busy(port)
    folder = embedded_folder()
    store = open_for_reading() if database_of(folder).exists() else open_store()
    typer.echo(f"http://{_HOST}:{port}")
    typer.echo("Ctrl-C ends it.", err=True)
    artifacts = str(artifacts_of(folder))
    arguments = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    arguments += ["--default-artifact-root", artifacts, "--artifacts-destination", artifacts]
    arguments += ["--host", _HOST, "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    sys.stdout.flush()
    if store.copy is not None:
        typer.echo("The store may not be written here: what is changed in the pages is not kept.", err=True)
        raise typer.Exit(subprocess.call(arguments, env=environment))  # the copy goes when this process ends
    os.execve(sys.executable, arguments, environment)


def _refuse_busy(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise StoreError(f"port {port} of {_HOST} cannot be used ({error.strerror}): choose another with --port") from error
