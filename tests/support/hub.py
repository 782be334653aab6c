"""Servers of this process: as much of a model hub as one model and one data set need."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Answering(BaseHTTPRequestHandler):
    """Answers without a log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        raise NotImplementedError


@contextmanager
def answering(handler: type[Answering]) -> Iterator[str]:
    """Have a handler answer until the block ends; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Models(Answering):
    """As much of a model hub as one model needs."""

    folder: Path
    extra: dict[str, bytes]

    def files(self) -> dict[str, bytes]:
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths} | self.extra

    def do_GET(self) -> None:
        refusals = {"gone": (404, "RepoNotFound"), "locked": (403, "GatedRepo"), "broken": (500, "Oops")}
        for name, (status, code) in refusals.items():
            if f"owner/{name}" in self.path:
                return self.answer(status, {"X-Error-Code": code})
        api = re.fullmatch(r"/api/models/owner/tiny/revision/(\w+).*", self.path)
        if api and api[1] not in ("main", COMMIT):
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        if api:
            names = [{"rfilename": name} for name in self.files()]
            body = {"_id": "1", "id": "owner/tiny", "sha": COMMIT, "siblings": names, "tags": [], "private": False}
            return self.answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
        if self.path.startswith(f"/api/models/owner/tiny/tree/{COMMIT}"):
            entries = [{"type": "file", "path": name, "size": len(body), "oid": name} for name, body in self.files().items()]
            return self.answer(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())
        name = self.path.removeprefix(f"/owner/tiny/resolve/{COMMIT}/")
        if name not in self.files():
            return self.answer(404, {"X-Error-Code": "EntryNotFound"})
        body = self.files()[name]
        return self.answer(200, {"ETag": f'"{len(body)}-{name}"', "X-Repo-Commit": COMMIT}, body)


class DataSets(Answering):
    """As much of a hub as the files of one data set need."""

    files: dict[str, bytes]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if "datasets/lab/corpus" not in path:
            self.answer(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
        elif "/tree/main" in path:
            below = path.partition("/tree/main")[2].strip("/")
            own = [name for name in self.files if name.startswith(below + "/" * bool(below))]
            entries = [{"type": "file", "path": name, "size": len(self.files[name]), "oid": "0" * 40} for name in own]
            self.answer(200, {"Content-Type": "application/json"}, json.dumps(entries).encode())
        elif "/resolve/main/" in path:
            data = self.files[path.partition("/resolve/main/")[2]]
            begin, end = map(int, self.headers["range"].removeprefix("bytes=").split("-"))
            self.answer(206, {}, data[begin : end + 1])
        else:
            self.answer(200, {"Content-Type": "application/json"}, json.dumps({"id": "lab/corpus", "sha": "0" * 40}).encode())


def point_to(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", endpoint)
