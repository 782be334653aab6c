"""Run records made by hand: what a run holds, without anything computed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenviz.tracking.staged_runs import RunRecord


def make_record(fingerprint: str = "f", **changes: Any) -> RunRecord:
    """A record of the experiment "an experiment" and the grid "g1"."""
    fields: dict[str, Any] = {
        "experiment": "an experiment",
        "description": "What it asks.",
        "name": "a name",
        "fingerprint": fingerprint,
        "grid": "g1",
        "tags": {"kind": "score"},
        "context": {"mlflow.user": "somebody"},
        "params": {"a": None, "b": [1, 2], "c": "text"},
        "metrics": {"m": 0.5, "undetermined": float("nan")},
        "curves": {"token/logprob": [(1, -0.5), (3, -2.0)]},
        "note": "**Found.**",
        "dataset": {},
        "figures": True,
        "table": "tables/a.csv",
        "refers": {},
        "started": 1_700_000_000_000,
        "ended": 1_700_000_060_000,
        "replaces": False,
    }
    return RunRecord(**{**fields, **changes})


def filled(record: RunRecord, content: str = "x\n1\n") -> Callable[[Path], RunRecord]:
    """What `Claim.pack` takes: one small table, and the record."""

    def fill(files: Path) -> RunRecord:
        (files / "tables").mkdir()
        (files / "tables" / "a.csv").write_text(content)
        return record

    return fill
