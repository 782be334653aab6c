"""What users wait for besides forward passes: the first score, cells of a grid, a whole grid, and commands on its runs.

`python -m benchmarks.costs STEP MODEL ...` does one of the steps in a process of its own; "cells" prints one JSON object.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from benchmarks.lineup import ROOT
from benchmarks.samples import mixed, short
from benchmarks.watching import watch
from tokenviz.base.errors import ExperimentError
from tokenviz.base.progress import task

if TYPE_CHECKING:
    from tokenviz.models.loading import LoadedModel
    from tokenviz.scoring.kernel import Kernel

TEXT = "The goal of a correlation analysis is to compute a correlation coefficient."
_IMPORTS = "import torch, transformers"
_PIECE = 1 << 19  # logits
_QUANTIZED = ",quantize=q4_0"  # what the second model of the grid adds to the first
_PATIENCE = 300.0  # seconds for the first page of `tokenviz ui`
PAGE = "tokenviz ui"  # to its first page

# Where the seconds of a cell go, by the functions that a grid calls.
_PARTS = {
    "load": ("tokenviz.harness.grid", "load"),
    "weights laid out and checked": ("tokenviz.scoring.kernel", "Kernel.of"),
    "score": ("tokenviz.scoring.scorer", "score"),
    "tables": ("tokenviz.harness.kinds.score", "record_scores"),
    "figures": ("tokenviz.harness.kinds.score", "draw_scores"),
    "logging": ("tokenviz.tracking.runs", "Runs.deliver"),
}


@dataclass(frozen=True)
class Costs:
    """Short texts outside the benchmark's rounds.

    Attributes:
        model: The model spec.
        score_seconds: `score()` alone, warm.
        logprob_seconds: Scoring the mixed texts for log-probs alone, round by round.
        statistics_seconds: The same with entropy, rank and the ten likeliest alternatives.
        first_cell: Seconds by part of a process's first grid of one text, a new store and all imports included.
        next_cell: The same of another such grid in the same process.
        command_seconds: `tokenviz score` as a whole process, round by round.
        import_seconds: `python -c "import torch, transformers"`, round by round.
        grid_texts: How many short texts the grid of many has.
        grid_seconds: That grid with two models, their comparisons and a summary, as a whole process, round by round.
        scoring_seconds: The same two models and texts, loaded and scored one by one, as a whole process, round by round.
        commands: Seconds of commands in the project of that grid, each as a whole process, round by round; `PAGE` is one.
    """

    model: str
    score_seconds: float
    logprob_seconds: tuple[float, ...]
    statistics_seconds: tuple[float, ...]
    first_cell: dict[str, float]
    next_cell: dict[str, float]
    command_seconds: tuple[float, ...]
    import_seconds: tuple[float, ...]
    grid_texts: int
    grid_seconds: tuple[float, ...]
    scoring_seconds: tuple[float, ...]
    commands: dict[str, tuple[float, ...]]

    @property
    def command_ratio(self) -> float:
        """The command's seconds over those of the imports, the median of the rounds."""
        return _median_ratio(self.command_seconds, self.import_seconds)

    @property
    def statistics_ratio(self) -> float:
        """The seconds of all statistics over those of log-probs alone, the median of the rounds."""
        return _median_ratio(self.statistics_seconds, self.logprob_seconds)

    @property
    def cell_ratio(self) -> float:
        """A cell's seconds over those of `score()` alone."""
        return sum(self.next_cell.values()) / self.score_seconds

    @property
    def grid_ratio(self) -> float:
        """The seconds of the grid of many texts over those of scoring them, the median of the rounds."""
        return _median_ratio(self.grid_seconds, self.scoring_seconds)

    @property
    def ratios(self) -> dict[str, float]:
        """All of them, by name."""
        names = ("cell_ratio", "command_ratio", "grid_ratio", "statistics_ratio")
        return {name: getattr(self, name) for name in names}


def _median_ratio(own: tuple[float, ...], bare: tuple[float, ...]) -> float:
    return median(mine / others for mine, others in zip(own, bare, strict=True))


def measure_costs(model: str, *, rounds: int, texts: int = 50) -> Costs:
    """Measure a model's costs in processes of their own.

    Args:
        model: The model spec.
        rounds: How often each is timed, the parts of a grid of one text excepted; the median counts.
        texts: How many short texts the grid has, up to 50.
    """
    seconds: dict[str, list[float]] = {"import": [], "command": [], "scoring": [], "grid": []}
    commands: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="tokenviz-bench-") as work,
        task("measuring what users wait for", 1 + 5 * rounds, "steps") as advance,
    ):
        found = json.loads(_run("-m", "benchmarks.costs", "cells", model, str(rounds)))
        advance(1)
        for number in range(rounds):
            project = Path(work) / str(number)
            steps = {
                "import": ("-c", _IMPORTS),
                "command": ("-m", "tokenviz", "score", "--model", model, "--text", TEXT),
                "scoring": ("-m", "benchmarks.costs", "scoring", model, str(texts)),
                "grid": ("-m", "benchmarks.costs", "grid", model, str(texts), str(project)),
            }
            for name, arguments in steps.items():
                seconds[name].append(_seconds(*arguments))
                advance(1)
            for name, taken in _commands(project).items():
                commands.setdefault(name, []).append(taken)
            advance(1)
    return Costs(
        model,
        command_seconds=tuple(seconds["command"]),
        import_seconds=tuple(seconds["import"]),
        grid_texts=texts,
        grid_seconds=tuple(seconds["grid"]),
        scoring_seconds=tuple(seconds["scoring"]),
        commands={name: tuple(taken) for name, taken in commands.items()},
        **{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()},
    )


def _commands(project: Path) -> dict[str, float]:
    """Seconds of commands in a project with runs."""
    listed = json.loads(_run("-m", "tokenviz", "runs", "--json", place=project))["runs"]
    run = next(one["run_id"] for one in listed if one["tags"]["kind"] == "score")
    commands = {
        "tokenviz --help": ("--help",),
        "tokenviz doctor --quick": ("doctor", "--quick"),
        "tokenviz runs": ("runs",),
        "tokenviz runs show RUN": ("runs", "show", run),
        "tokenviz pull EXPERIMENT --to paper": ("pull", listed[0]["experiment"], "--to", "paper"),
    }
    found = {name: _seconds("-m", "tokenviz", *arguments, place=project) for name, arguments in commands.items()}
    return found | {PAGE: _page_seconds(project)}


def _page_seconds(project: Path) -> float:
    """Seconds from the start of `tokenviz ui` until a page is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tokenviz", "ui", "--port", str(port)],
        cwd=project, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while time.perf_counter() - begin < _PATIENCE and process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{port}/", timeout=_PATIENCE) as answer:
                    answer.read()
                return time.perf_counter() - begin
            except (URLError, ConnectionError):
                time.sleep(0.02)
        raise ExperimentError(f"tokenviz ui showed no page within {_PATIENCE:.0f} s")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _environment() -> dict[str, str]:
    """For commands outside this repository: this version of tokenviz, and the project's own store."""
    return {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"} | {"PYTHONPATH": str(ROOT)}


def _run(*arguments: str, place: Path = ROOT) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place, env=_environment())
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise ExperimentError(f"{' '.join(arguments[:4])} failed: {said[0]}")
    return done.stdout


def _seconds(*arguments: str, place: Path = ROOT) -> float:
    begin = time.perf_counter()
    _run(*arguments, place=place)
    return time.perf_counter() - begin


@contextmanager
def _project() -> Iterator[None]:
    """A project of its own, with a store of its own, to work in."""
    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "experiments").mkdir()
        os.chdir(project)
        yield
        os.chdir(ROOT)


def _scoring(model: str, texts: str) -> None:
    """Load two models and score the short texts with each, and nothing else."""
    import tokenviz as tv

    for spec in (model, model + _QUANTIZED):
        loaded = tv.load_model(spec)
        for text in short()[: int(texts)]:
            tv.score(loaded, text)


def _grid(model: str, texts: str, project: str) -> None:
    """The same as a whole experiment, in a new project, which stays."""
    from tokenviz import Grid, literal

    (Path(project) / "experiments").mkdir(parents=True)
    os.chdir(project)
    named = [literal(text, name=f"text {i}") for i, text in enumerate(short()[: int(texts)])]
    grid = Grid([model, model + _QUANTIZED], named)
    grid.score()
    grid.compare()
    grid.summarise("")


def _cells(model: str, rounds: str) -> None:
    """Print the parts of two cells, and the seconds of `score()` alone and of statistics."""
    with _project():
        cells = [_cell(model, name) for name in ("first", "next")]
    import tokenviz as tv

    loaded = tv.load_model(model)
    seconds = []
    for _ in range(1 + int(rounds)):
        begin = time.perf_counter()
        tv.score(loaded, TEXT, top_k=10)
        seconds.append(time.perf_counter() - begin)
    found = {"score_seconds": median(seconds[1:]), "first_cell": cells[0], "next_cell": cells[1]}
    sys.stdout.write(json.dumps(found | _statistics(loaded, int(rounds))) + "\n")


def _statistics(model: "LoadedModel", rounds: int) -> dict[str, list[float]]:
    """Seconds of scoring the mixed texts, in turn for log-probs alone and with everything else that is read off logits."""
    from tokenviz.scoring.kernel import Kernel

    kernel = Kernel.of(model)
    sequences = [np.array(model.tokenizer(text).input_ids) for text in mixed()]
    wanted = [np.arange(1, len(ids)) for ids in sequences]
    ways: dict[str, Callable[[], object]] = {
        "logprob_seconds": lambda: _logprobs(kernel, sequences),
        "statistics_seconds": lambda: list(kernel.statistics(sequences, wanted, 10)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(1 + rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def _logprobs(kernel: "Kernel", sequences: list[NDArray[np.int64]]) -> list[float]:
    """The log-prob of every token, by the same kernel, and nothing else."""
    import torch

    found = []
    with torch.inference_mode():
        for numbers, states, places in kernel.hidden_states(sequences, tokens=kernel.tokens_at_once):
            before = torch.from_numpy(np.concatenate([place[:-1] for place in places]))
            targets = torch.from_numpy(np.concatenate([sequences[i][1:] for i in numbers]))
            size = max(1, kernel.budget.logits // kernel.vocabulary)
            for rows, ids in zip(before.split(size), targets.split(size), strict=True):
                # Pieces that stay in the processor's cache, as for the other statistics.
                logits, few = kernel.logits(states[rows]), max(1, _PIECE // kernel.vocabulary)
                for piece, some in zip(logits.split(few), ids.split(few), strict=True):
                    found += piece.log_softmax(-1).gather(-1, some[:, None])[:, 0].tolist()
    return found


def _cell(model: str, name: str) -> dict[str, float]:
    """Seconds by part of a grid of one model and one text."""
    begin = time.perf_counter()
    from tokenviz import Grid, literal

    parts: dict[str, float] = {}
    undo = [watch(part, *place, parts) for part, place in _PARTS.items()]
    grid = Grid([model], [literal(TEXT, name=name)])
    opened = time.perf_counter()
    grid.score()
    end = time.perf_counter()
    for restore in undo:
        restore()
    parts["texts, model files, store"] = opened - begin
    parts["rest"] = end - begin - sum(parts.values())
    return parts


_STEPS: dict[str, Callable[..., None]] = {"cells": _cells, "scoring": _scoring, "grid": _grid}

if __name__ == "__main__":
    _STEPS[sys.argv[1]](*sys.argv[2:])
