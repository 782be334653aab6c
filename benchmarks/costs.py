"""What a short text costs beside its forward pass: as one cell of a grid, and as one call of the command.

`python -m benchmarks.costs MODEL` scores two texts in a grid of a project of its own and prints one JSON object.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.lineup import ROOT
from tokenviz.progress import task

TEXT = "The goal of a correlation analysis is to compute a correlation coefficient."
_IMPORTS = "import torch, transformers"
_CALLS = 3  # of score() alone; the median counts

# Where the seconds of a cell go, by the functions that a grid calls. One that is not there counts as the rest.
_PARTS = {
    "load": ("tokenviz.harness.grid", "load"),
    "score": ("tokenviz.scoring.scorer", "score"),
    "tables": ("tokenviz.harness.recording", "record_scores"),
    "figures": ("tokenviz.harness.grid", "draw_scores"),
    "logging": ("tokenviz.tracking.runs", "Runs.deliver"),
}


@dataclass(frozen=True)
class Costs:
    """A short text outside the benchmark's rounds.

    Attributes:
        model: The model spec.
        score_seconds: `score()` alone, warm.
        first_cell: Seconds by part of a process's first grid of one text, a new store and all imports included.
        next_cell: The same of another such grid in the same process.
        command_seconds: `tokenviz score` as a whole process, round by round.
        import_seconds: `python -c "import torch, transformers"`, round by round.
    """

    model: str
    score_seconds: float
    first_cell: dict[str, float]
    next_cell: dict[str, float]
    command_seconds: tuple[float, ...]
    import_seconds: tuple[float, ...]

    @property
    def command_ratio(self) -> float:
        """The command's seconds over those of the imports, the median of the rounds."""
        return median(own / bare for own, bare in zip(self.command_seconds, self.import_seconds, strict=True))

    @property
    def cell_ratio(self) -> float:
        """A cell's seconds over those of `score()` alone."""
        return sum(self.next_cell.values()) / self.score_seconds


def measure_costs(model: str, *, rounds: int) -> Costs:
    """Measure a model's costs in processes of their own.

    Args:
        model: The model spec.
        rounds: How often the command and the imports run, in turn.
    """
    commands: list[float] = []
    imports: list[float] = []
    with task("measuring a short cell and the command", 1 + rounds, "steps") as advance:
        found = json.loads(_run("-m", "benchmarks.costs", model))
        advance(1)
        for _ in range(rounds):
            imports.append(_seconds("-c", _IMPORTS))
            commands.append(_seconds("-m", "tokenviz", "score", "--model", model, "--text", TEXT))
            advance(1)
    return Costs(model, command_seconds=tuple(commands), import_seconds=tuple(imports), **found)


def _run(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def _seconds(*arguments: str) -> float:
    begin = time.perf_counter()
    _run(*arguments)
    return time.perf_counter() - begin


def _cells(model: str) -> dict[str, Any]:
    cells = []
    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "experiments").mkdir()
        os.chdir(project)  # a store of its own
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        for name in ("first", "next"):
            cells.append(_cell(model, name))
        os.chdir(ROOT)
    import tokenviz as tv

    loaded = tv.load_model(model)
    seconds = []
    for _ in range(1 + _CALLS):
        begin = time.perf_counter()
        tv.score(loaded, TEXT, top_k=10)
        seconds.append(time.perf_counter() - begin)
    return {"score_seconds": median(seconds[1:]), "first_cell": cells[0], "next_cell": cells[1]}


def _cell(model: str, name: str) -> dict[str, float]:
    """Seconds by part of a grid of one model and one text."""
    begin = time.perf_counter()
    from tokenviz import Grid, literal

    parts: dict[str, float] = {}
    undo = [_watch(part, *place, parts) for part, place in _PARTS.items()]
    grid = Grid([model], [literal(TEXT, name=name)])
    opened = time.perf_counter()
    grid.score()
    end = time.perf_counter()
    for restore in undo:
        restore()
    parts["texts, model files, store"] = opened - begin
    parts["rest"] = end - begin - sum(parts.values())
    return parts


def _watch(part: str, module: str, name: str, parts: dict[str, float]) -> Callable[[], None]:
    """Let a function add the seconds of its calls to a part; returns what undoes it."""
    owner: Any = import_module(module)
    *outer, last = name.split(".")
    for step in outer:
        owner = getattr(owner, step, None)
    original = getattr(owner, last, None)
    if original is None:
        return lambda: None

    def timed(*arguments: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            parts[part] = parts.get(part, 0.0) + time.perf_counter() - begin

    setattr(owner, last, timed)
    return lambda: setattr(owner, last, original)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_cells(sys.argv[1])) + "\n")
