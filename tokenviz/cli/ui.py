"""`tokenviz ui`: MLflow's pages on the embedded store, for this machine only."""

import ipaddress
import os
import socket
import subprocess
import sys
from typing import Annotated

import typer

from tokenviz.errors import StoreError


def ui_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 5000,
    host: Annotated[
        str, typer.Option(help="Address to serve on. Any other than the loopback address lets others change and delete runs.")
    ] = "127.0.0.1",
) -> None:
    """Serve the MLflow pages of the embedded store, to this machine only, until Ctrl-C."""
    from tokenviz.tracking.embedded import artifacts_of, database_of, embedded_folder, is_writable
    from tokenviz.tracking.faults import without_secrets
    from tokenviz.tracking.store import open_for_reading, open_store, server_uri

    server = server_uri()
    if server:
        raise StoreError(
            f"MLFLOW_TRACKING_URI names the server {without_secrets(server)!r}: open that address in a browser, or unset it"
        )
    _refuse_busy(host, port)
    if not _is_loopback(host):
        typer.echo(
            f"warning: whoever reaches port {port} of {host} can read, change and delete every run without a password, and "
            "read files of this machine; others on the way can read along. Safe ways to show runs to others: "
            f"'ssh -L {port}:127.0.0.1:{port} THIS-MACHINE' on theirs, or a server with users (docs/server.md)",
            err=True,
        )
    folder = embedded_folder()
    # Pages are there to change runs as well; and a moved store shows its files only once its paths are mended.
    store = open_for_reading() if database_of(folder).exists() and not is_writable(folder) else open_store()
    typer.echo(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    typer.echo("Ctrl-C ends it.", err=True)
    artifacts = str(artifacts_of(folder))
    arguments = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    arguments += ["--default-artifact-root", artifacts, "--artifacts-destination", artifacts]
    arguments += ["--host", host, "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    sys.stdout.flush()
    if store.copy is not None:
        typer.echo("The store may not be written here: what is changed in the pages is not kept.", err=True)
        raise typer.Exit(subprocess.call(arguments, env=environment))  # the copy goes when this process ends
    os.execve(sys.executable, arguments, environment)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_busy(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StoreError(
            f"port {port} of {host} cannot be used ({error.strerror}): choose another with --port, or with --host another "
            "address of this machine"
        ) from error
