"""Kill a grid at every moment that matters, and see what the same command makes of it afterwards.

The program imports everything once and forks a child for each point: the n-th operation among those on files, on the
database and of MLflow's client, in the order in which they come. The child kills itself there, in the middle of a file where
the operation writes one. A second child runs the same grid to its end; then the store is held against one that nobody killed.

    python tests/support/kills.py                  every point of a warm start
    python tests/support/kills.py --first          every point of a first start, the making of the database among them
    python tests/support/kills.py --sample 30      thirty points, spread evenly
"""

import argparse
import faulthandler
import io
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import pytest
import sqlalchemy.engine.default
import sqlalchemy.orm
import torch
from arithmetic import make_two_models
from kept import faults, look
from kept_runs import run_grid
from matplotlib.figure import Figure
from mlflow import MlflowClient

from tokenviz.harness.kinds import comparison, score
from tokenviz.tracking import runs

HEAVY = [
    "mlflow.store.artifact.local_artifact_repo", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking.context.registry", "pandas", "pyarrow.parquet", "scipy.stats", "tokenviz.scoring.scorer",
    "transformers.models.llama.modeling_llama",
]  # fmt: skip
CLIENT = [
    "create_experiment", "set_experiment_tag", "set_terminated", "set_tag", "delete_tag",
]  # fmt: skip
DATABASE = ["begin_run", "finish_run", "restore"]  # that write with sqlite3
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "fcntl.flock", "sqlite3.connect"}
DRAWN_BY = ["tokenviz.harness.kinds.score.draw_scores", "tokenviz.harness.kinds.comparison.draw_comparison"]
PATIENCE = 600  # seconds until a child that hangs is ended, and says where it was
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def draw_quickly(_: object, about: dict[str, object], _limits: object, _formats: object, folder: Path) -> None:
    """Two files, as drawing leaves them; what is in them is not the matter here, and the real ones take seconds."""
    content = json.dumps(about)
    (folder / "heatmap.svg").write_text(content)
    (folder / "heatmap.png").write_bytes(content.encode()[::-1])


def draw_in_no_time(patch: pytest.MonkeyPatch, draw: Callable[..., None] = draw_quickly) -> None:
    """Have runs of scores and comparisons drawn by `draw`, in this process."""
    for name in DRAWN_BY:
        patch.setattr(name, draw)


class Killer:
    """Counts the operations of a process, and kills it at one of them."""

    def __init__(self, project: Path, at: int, report: int) -> None:
        self._project, self._at, self._report, self._count = f"{project}/", at, report, 0
        self._lock = threading.RLock()  # spoiling a file is an operation as well

    def point(self, name: str, spoil: Callable[[], None] = lambda: None) -> None:
        with self._lock:
            self._count += 1
            os.write(self._report, f"{name}\n".encode())
            if self._count == self._at:
                spoil()
                os.kill(os.getpid(), signal.SIGKILL)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or (event == "open" and not (arguments[2] or 0) & WRITING):
            return
        ours = str(arguments[0]).startswith(self._project)
        below = event in ("os.remove", "os.rmdir") and arguments[1] != -1  # rmtree names files by their folder's descriptor
        if ours or below or event == "fcntl.flock":
            self.point(event)

    def install(self) -> None:
        sys.addaudithook(self.hook)
        for name in CLIENT:
            self._around(MlflowClient, name)
        for name in DATABASE:
            self._around(runs, name)
        self._around(sqlalchemy.engine.default.DefaultDialect, "do_commit")
        for name in ("write_text", "write_bytes"):
            self._halved(name)
        copy = shutil.copyfile

        def copyfile(source: Any, target: Any, **more: Any) -> Any:
            half = Path(source).read_bytes()
            self.point("half a copy", lambda: _put(target, half[: len(half) // 2]))
            return copy(source, target, **more)

        shutil.copyfile = copyfile  # type: ignore[assignment]  # for paths alone

    def _around(self, owner: Any, name: str) -> None:
        whole = getattr(owner, name)

        def stepped(*arguments: Any, **named: Any) -> Any:
            self.point(f"before {name}")
            result = whole(*arguments, **named)
            self.point(f"after {name}")
            return result

        setattr(owner, name, stepped)

    def _halved(self, name: str) -> None:
        whole = getattr(Path, name)

        def stepped(path: Path, content: Any, *arguments: Any, **named: Any) -> Any:
            data = content.encode() if isinstance(content, str) else content
            self.point("half a file", lambda: _put(path, data[: len(data) // 2]))
            return whole(path, content, *arguments, **named)

        setattr(Path, name, stepped)


def _put(path: Any, data: bytes) -> None:
    with io.FileIO(path, "w") as file:
        file.write(data)


def in_a_child(project: Path, at: int = 0) -> tuple[int, list[str]]:
    """Run the grid in a child; returns how it ended, as `os.waitpid` puts it, and the points it came by."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            os.chdir(project)
            Killer(project, at, writing).install()
            run_grid(["first", "second"], figures={"overview": Figure})
            code = 0
        except BaseException:  # noqa: BLE001  the child must not go on with its parent's work
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        points = pipe.read().splitlines()
    return os.waitpid(child, 0)[1], points


def main() -> None:
    """Try the points; print what was found as JSON, exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int)
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    score.draw_scores = comparison.draw_comparison = draw_quickly  # type: ignore[assignment]  # stands for both
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    for name in HEAVY:
        import_module(name)  # once, instead of in every child
    sqlalchemy.orm.configure_mappers()
    torch.set_num_threads(1)  # a pool of threads does not outlive a fork: a child would wait for it for ever
    with tempfile.TemporaryDirectory() as folder:
        blank = Path(folder) / "blank"
        (blank / "experiments" / "texts").mkdir(parents=True)
        make_two_models(blank)
        report = try_points(blank, sample=options.sample, first=options.first)
    json.dump(report, sys.stdout, indent=1)
    sys.exit(bool(report["wrong"]))


def try_points(blank: Path, *, sample: int | None, first: bool) -> dict[str, Any]:
    project = blank.with_name("project")
    shutil.copytree(blank, project)
    status, points = in_a_child(project)
    assert status == 0
    expected = look(project / "mlruns")
    assert Counter(expected.statuses) == {"FINISHED": 7}
    if not first:
        empty(project / "mlruns")
        shutil.copytree(project / "mlruns", blank / "mlruns")
        points = _afresh(blank, project, 0)[1]
    wanted: Sequence[int] = range(1, len(points) + 1)
    if sample is not None:
        wanted = [1 + round(k * (len(points) - 1) / (sample - 1)) for k in range(sample)]
    wrong: dict[int, Any] = {}
    tried: Counter[str] = Counter()
    for n in wanted:
        status, passed = _afresh(blank, project, n)
        if not os.WIFSIGNALED(status):
            break  # threads take turns as they like: this time there were fewer points
        tried[passed[-1]] += 1
        before = look(project / "mlruns")
        status, _ = in_a_child(project)
        found = faults(expected, look(project / "mlruns"), before) if status == 0 else [f"the second run ended with {status}"]
        if found:
            sys.stderr.write(f"point {n}, {passed[-3:]}: {found}\n")
            wrong[n] = {"point": passed[-3:], "faults": found}
    return {"points": len(points), "tried": tried.total(), "kinds": tried, "wrong": wrong}


def _afresh(blank: Path, project: Path, at: int) -> tuple[int, list[str]]:
    shutil.rmtree(project)
    shutil.copytree(blank, project)
    return in_a_child(project, at)


def empty(store: Path) -> None:
    """Take the runs out of a store, and leave its database."""
    with closing(sqlite3.connect(store / "mlflow.db")) as connection, connection:
        for table in ("tags", "metrics", "latest_metrics", "params", "inputs", "input_tags", "datasets", "runs"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM experiment_tags WHERE experiment_id = 1")
        connection.execute("DELETE FROM experiments WHERE experiment_id = 1")
    shutil.rmtree(store / "artifacts")
    shutil.rmtree(store / "outbox")


if __name__ == "__main__":
    main()
