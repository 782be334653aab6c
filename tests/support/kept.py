"""What a tracking store holds, read without MLflow, as far as two of them can be compared."""

import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

TIMES = {"scoring_seconds", "tokens_per_second"}


@dataclass(frozen=True)
class Kept:
    """What a store holds, as far as it must not depend on who was killed.

    Attributes:
        finished: The ids of finished runs by fingerprint.
        statuses: Of all runs.
        content: Numbers, settings and files by fingerprint.
        outbox: What lies in it besides the store's name.
        models: How often a logged model of a name is there.
    """

    finished: dict[str, list[str]]
    statuses: Counter[str]
    content: dict[str, Any]
    outbox: list[str]
    models: Counter[str] = field(default_factory=Counter)


def look(folder: Path, experiment: str = "trial") -> Kept:
    """Read one experiment of a store on SQLite without MLflow.

    Args:
        folder: With the database and the artifacts.
        experiment: Its name.
    """
    outbox = [str(path.relative_to(folder)) for path in (folder / "outbox").glob("*/*") if path.name != "store.txt"]
    if not (folder / "mlflow.db").exists():
        return Kept({}, Counter(), {}, outbox)
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        number = connection.execute("SELECT experiment_id FROM experiments WHERE name = ?", [experiment]).fetchone()
        query = "SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active' AND experiment_id = ?"
        runs = dict(connection.execute(query, number or [-1]))
        tags = _by_run(connection, "tags")
        metrics, params = _by_run(connection, "latest_metrics"), _by_run(connection, "params")
        query = "SELECT name FROM logged_models WHERE lifecycle_stage = 'active' AND experiment_id = ?"
        models = Counter(name for (name,) in connection.execute(query, number or [-1]))
        query = "SELECT run_id, name, dataset_name, metric_value FROM logged_model_metrics JOIN logged_models USING (model_id)"
        linked = connection.execute(query).fetchall()
        points = connection.execute("SELECT run_uuid, key, step, value FROM metrics ORDER BY key, step").fetchall()
    finished: dict[str, list[str]] = {}
    content = {}
    names = {run: tags[run].get("tokenviz.fingerprint", "") for run in runs}
    for run, status in runs.items():
        if status == "FINISHED" and names[run]:
            finished.setdefault(names[run], []).append(run)
            content[names[run]] = {
                "metrics": {name: value for name, value in metrics[run].items() if name not in TIMES},
                "curves": [point[1:] for point in points if point[0] == run and point[1] not in TIMES],
                "models": [numbers for made_by, *numbers in linked if made_by == run],
                "params": {name: names.get(value, value) for name, value in params[run].items()},
                "grids": tags[run]["tokenviz.grid"],
                "note": re.sub(r"#/experiments/\w+/runs/\w+/|&run_uuid=\w+", "", tags[run]["mlflow.note.content"]),
                "files": _files(folder / "artifacts" / str(number[0]) / run / "artifacts", names),
            }
    return Kept(finished, Counter(runs.values()), content, outbox, models)


def faults(expected: Kept, after: Kept, before: Kept | None = None) -> list[str]:
    """What is not as it should be in a store when all is over.

    Args:
        expected: What a store holds that nothing happened to.
        after: What this one holds.
        before: What it held before the last command, which had to keep every finished run.
    """
    found = []
    if after.statuses["RUNNING"]:
        found.append(f"{after.statuses['RUNNING']} runs are open")
    if after.outbox:
        found.append(f"in the outbox lies {after.outbox}")
    if {name: len(runs) for name, runs in after.finished.items()} != dict.fromkeys(expected.finished, 1):
        found.append(f"finished runs: {after.finished}, and expected were {list(expected.finished)}")
    if after.models != expected.models:
        found.append(f"logged models: {after.models}, and expected were {expected.models}")
    for name in after.content.keys() & expected.content.keys():
        for part, value in expected.content[name].items():
            if after.content[name][part] != value:
                found.append(f"{part} of {name}: {after.content[name][part]}, and expected was {value}")
    if before and any(after.finished.get(name) != runs for name, runs in before.finished.items() if len(runs) == 1):
        found.append("a finished run was made again")
    return found


def _by_run(connection: sqlite3.Connection, table: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {run: {} for (run,) in connection.execute("SELECT run_uuid FROM runs")}
    for run, key, value in connection.execute(f"SELECT run_uuid, key, value FROM {table}"):
        found[run][key] = value
    return found


def _files(folder: Path, names: dict[str, str]) -> dict[str, str]:
    """Hashes by name; a run's id inside a file stands for its fingerprint."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "checksums.sha256":
            data = path.read_bytes()
            if path.suffix in (".csv", ".html"):
                for run, name in names.items():
                    data = data.replace(run.encode(), name.encode())
                data = re.sub(rb'"experiment_id":"\d*"', b"", data)  # in the page of a grid
            found[path.relative_to(folder).as_posix()] = sha256(data).hexdigest()
    return found
