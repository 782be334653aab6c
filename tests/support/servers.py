"""Real servers for the tests: MLflow's, PostgreSQL, and a proxy between client and server that does what networks do."""

import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
_START = 90  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a tracking server until the block ends; its log is in the folder.

    Yields:
        Its address.
    """
    address = f"http://127.0.0.1:{port}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command, cwd=folder, env={**inherited, **_QUIET, **(environment or {})}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + _START
            while not _is_up(f"{address}/health"):
                assert server.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() < deadline, (folder / "server.log").read_text()
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


@contextmanager
def mlflow_server(
    folder: Path, *, port: int | None = None, more: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """An MLflow server on SQLite, with proxied artifacts, laid out as an embedded store is."""
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        *more,
    ]  # fmt: skip
    with served(command, port, folder, environment) as address:
        yield address


def _is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return True  # it wants credentials
    except OSError:
        return False


Fault = Callable[[str, str, int], str]
"""What to do to a request, by its method, its path and its number: "" nothing, "503" or another status, "cut" the answer in the
middle, "lose" the answer of a request that was carried out, "drop" a request, "hang" until the proxy ends, "slow"."""


class Proxy:
    """Stands between client and server, on an address of its own."""

    def __init__(self, target: str, prefix: str = "") -> None:
        """Stand before a server.

        Args:
            target: Its address.
            prefix: What paths begin with here and not there; others are not found.
        """
        self._target, self._prefix = target.removeprefix("http://"), prefix
        self._port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.fault: Fault = lambda method, path, number: ""
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and fault of each."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._prefix}"

    @property
    def faults(self) -> list[str]:
        """Those that were done."""
        return [fault for _, _, fault in self.requests if fault]

    def __enter__(self) -> "Proxy":
        self.listen()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def listen(self) -> None:
        """Take connections."""
        self._over.clear()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def handle_any(self) -> None:
                proxy.carry(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def carry(self, request: BaseHTTPRequestHandler) -> None:
        """Carry a request to the server and its answer back, as far as the fault allows."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        with self._lock:
            path = request.path.partition("?")[0]
            fault = self.fault(request.command, path, len(self.requests)) if path.startswith(f"{self._prefix}/") else "404"
            self.requests.append((request.command, path, fault))
        if fault == "hang":
            self._over.wait(60)
        if fault == "slow":
            self._over.wait(0.5)
        if fault in ("hang", "drop") or self._over.is_set():
            _hang_up(request)
            return
        if fault.isdigit():
            status, headers, content = int(fault), [("Content-Type", "text/plain")], b"no"
        else:
            connection = http.client.HTTPConnection(self._target, timeout=60)
            connection.request(request.command, request.path.removeprefix(self._prefix), body, dict(request.headers))
            answer = connection.getresponse()
            status, headers, content = answer.status, answer.getheaders(), answer.read()
            connection.close()
        if fault == "lose":
            _hang_up(request)
            return
        request.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
        if fault == "cut":
            _hang_up(request)


def _hang_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    request.wfile.flush()
    with suppress(OSError):  # the client was faster
        request.connection.shutdown(socket.SHUT_RDWR)


def at_random(seed: int, share: float, kinds: Sequence[str]) -> Fault:
    """Some of all requests, each with one of the faults."""
    dice = random.Random(seed)
    return lambda method, path, number: dice.choice(kinds) if dice.random() < share else ""


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """PostgreSQL of this machine with an empty cluster in a folder that its user can reach, on the loopback address.

    Yields:
        Its port, and the environment in which its programs reach it as its superuser.
    """
    binaries = postgres_binaries()
    assert binaries is not None
    port, owner = free_port(), "postgres"
    root = os.geteuid() == 0  # PostgreSQL refuses to run as root
    folder.mkdir(exist_ok=True)
    (folder / "password").write_text("a-password\n")
    if root:
        shutil.chown(folder, owner)
        shutil.chown(folder / "password", owner)

    def run(*command: str) -> None:
        prefix = ["runuser", "-u", owner, "--"] if root else []
        subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=120)

    data, log = str(folder / "data"), str(folder / "postgres.log")
    run(f"{binaries}/initdb", "-D", data, "-U", owner, "-A", "scram-sha-256", f"--pwfile={folder}/password", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run(f"{binaries}/pg_ctl", "-D", data, "-w", "-o", options, "-l", log, "start")
    try:
        yield port, {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": owner, "PGPASSWORD": "a-password"}
    finally:
        run(f"{binaries}/pg_ctl", "-D", data, "-m", "immediate", "stop")


def postgres_binaries() -> Path | None:
    """Where PostgreSQL's programs are; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).parent if program else None


def answer_of(address: str) -> bytes:
    """What a server answers, as soon as it does."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
