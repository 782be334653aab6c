"""`tokenviz ui`: the pages of grids, and MLflow's on the embedded store, for this machine only."""

import ipaddress
import os
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from tokenviz.base.characters import visible
from tokenviz.base.errors import StoreError

if TYPE_CHECKING:
    from tokenviz.tracking.store import Store

_RECENT = 5  # grids whose links are printed
_PAUSE = 0.2  # seconds between two attempts


def ui_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 5000,
    host: Annotated[
        str, typer.Option(help="Address to serve on. Any other than the loopback address lets others change and delete runs.")
    ] = "127.0.0.1",
    browse: Annotated[bool, typer.Option("--open", help="Open the newest grid in a browser.")] = False,
) -> None:
    """Serve a page for each grid, and MLflow's pages behind them, to this machine only, until Ctrl-C.

    For a server (MLFLOW_TRACKING_URI) only the pages of grids are served, with this user's credentials; its runs are on its
    own pages.
    """
    from tokenviz.tracking.embedded import (
        announce,
        artifacts_of,
        database_of,
        embedded_folder,
        is_writable,
        refuse_old_installation,
    )
    from tokenviz.tracking.store import open_for_reading, open_store, server_uri

    _refuse_busy(host, port)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if server_uri():
        _serve_server(host, port, address, browse)
        return
    refuse_old_installation()
    if not _is_loopback(host):
        typer.echo(
            f"warning: whoever reaches port {port} of {host} can read, change and delete every run without a password, and "
            "read files of this machine; others on the way can read along. Safe ways to show runs to others: "
            f"'ssh -L {port}:127.0.0.1:{port} THIS-MACHINE' on theirs, 'tokenviz runs export --html', or a server with users "
            "(docs/server.md)",
            err=True,
        )
    folder = embedded_folder()
    # Users change runs on these pages, and a moved store shows its files only after its paths are corrected.
    store = open_for_reading() if database_of(folder).exists() and not is_writable(folder) else open_store()
    _guide(store, address)
    announce(folder, f"http://127.0.0.1:{port}" if host == "0.0.0.0" else address)
    artifacts = str(artifacts_of(folder))
    arguments = [sys.executable, "-m", "mlflow", "server", "--app-name", "tokenviz", "--backend-store-uri", store.uri]
    # Otherwise uvicorn logs every request
    arguments += ["--registry-store-uri", store.uri, "--uvicorn-opts", "--log-level warning"]
    arguments += ["--default-artifact-root", artifacts, "--artifacts-destination", artifacts]
    arguments += ["--host", host, "--port", str(port), "--workers", "1"]
    if _is_loopback(host):  # otherwise MLflow advises to serve to everybody; the names listed here are fewer than by default
        names = dict.fromkeys((host, "localhost", "127.0.0.1", "[::1]"))
        arguments += ["--allowed-hosts", ",".join(f"{name},{name}:*" for name in names)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    environment["PYTHONSAFEPATH"] = "1"  # otherwise an old installation in the working directory hides the app from MLflow
    sys.stdout.flush()
    if store.copy is not None:
        typer.echo("The store may not be written here: what is changed in the pages is not kept.", err=True)
        # The copy is removed when this process ends
        raise typer.Exit(_call(arguments, environment, f"{address}/" if browse else ""))
    if browse:
        raise typer.Exit(_call(arguments, environment, f"{address}/"))
    os.execve(sys.executable, arguments, environment)


def _guide(store: "Store", address: str) -> None:
    """Print the addresses of the first page and of the recent grids."""
    from tokenviz.pages.grids import grids_of

    typer.echo(address)
    entries = grids_of(store, most=_RECENT)
    for entry in entries:
        typer.echo(f"{address}/grids/{entry.grid}/  {visible(entry.name)}")
    if not entries:
        typer.echo("There is no grid yet: run an experiment, such as make experiment, and load the page again.", err=True)
    typer.echo("Ctrl-C ends it.", err=True)


def _serve_server(host: str, port: int, address: str, browse: bool) -> None:
    """Serve the grids of the configured server."""
    from werkzeug.serving import make_server

    from tokenviz.pages.app import create_pages
    from tokenviz.tracking.store import open_for_reading

    if not _is_loopback(host):
        raise StoreError(
            f"the pages of a server are read with this user's credentials, and {host} would show them to everybody: leave "
            "--host out, and let others run 'tokenviz ui' themselves"
        )
    store = open_for_reading()
    _guide(store, address)
    sys.stdout.flush()
    with make_server(host, port, create_pages(store), threaded=True) as server:
        if browse:
            webbrowser.open(f"{address}/")  # the server is listening already
        server.serve_forever()


def _call(arguments: list[str], environment: dict[str, str], opened: str) -> int:
    """Run the server until it ends, and open an address once it answers."""
    with subprocess.Popen(arguments, env=environment) as server:
        while opened and server.poll() is None:
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{opened}health", timeout=1).close()
            except OSError:
                time.sleep(_PAUSE)
                continue
            webbrowser.open(opened)
            break
        return server.wait()


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
