"""Let a disk fill up at many levels under an experiment, and see what the same command makes of it when there is room again.

The program imports everything once and forks a child for each command. First one runs with room for all, in a project whose
database is there already; the most that it takes is the span of the levels. Then, at each level, one runs into the full
disk, and another to the end after room was made.

    python tests/support/full_disks.py DISK            twenty levels on a disk of its own, of about 12 MB
    python tests/support/full_disks.py DISK --levels 50
    python tests/support/full_disks.py DISK --first    levels of a first start, the making of the database among them
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import sqlalchemy.orm
import torch
from arithmetic import make_two_models
from disks import fill
from kept import faults, look
from kills import HEAVY, draw_quickly, empty

from tokenviz.cli.app import main as tokenviz
from tokenviz.harness.kinds import comparison, score

EXPERIMENT = """from tokenviz import Grid, experiment, literal

@experiment
def trial():
    grid = Grid(["first", "second"], [literal("abcdabcd")], top_k=2)
    grid.score()
    grid.compare()
    return grid.summarise("Found.")
"""


def command(project: Path, output: Path) -> tuple[int, str, int]:
    """Run the experiment in a child.

    Returns:
        Its exit code, what it wrote to stderr, and the least that was free meanwhile, in bytes.
    """
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.chdir(project)
            for number in (1, 2):
                os.dup2(os.open(output.with_suffix(f".{number}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.argv = ["tokenviz", "run", "trial", "--json"]
            tokenviz()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # noqa: BLE001  the child must not go on with its parent's work
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    least = shutil.disk_usage(project).free
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        least = min(least, shutil.disk_usage(project).free)
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(ended[1]), output.with_suffix(".2").read_text(), least


def clear(said: str) -> bool:
    """Whether it is one line that says what to do."""
    return said.count("\n") == 1 and any(words in said for words in ("make room", "see whether the disk is full"))


def try_levels(disk: Path, folder: Path, levels: int, *, first: bool) -> dict[str, Any]:
    """Fill the disk up at so many levels; what was wrong at which, in bytes that were left."""
    project, blank = disk / "project", folder / "blank"

    def afresh() -> None:
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(blank, project)

    (blank / "experiments" / "texts").mkdir(parents=True)
    (blank / "experiments" / "trial.py").write_text(EXPERIMENT)
    make_two_models(blank)
    afresh()
    if not first:
        filler = fill(disk, leave=100_000)  # too little to make the database
        code, said, _ = command(project, folder / "output")
        assert (code, clear(said)) == (1, True), said
        filler.unlink()
        assert command(project, folder / "output")[:2] == (0, "")
        empty(project / "mlruns")
        shutil.copytree(project / "mlruns", blank / "mlruns")
        afresh()
    free = shutil.disk_usage(disk).free
    *done, least = command(project, folder / "output")
    assert done == [0, ""]
    expected, used = look(project / "mlruns"), free - least
    assert Counter(expected.statuses) == {"FINISHED": 4}
    wrong: dict[int, list[str]] = {}
    full = finished = 0
    for level in range(levels):
        left = used * level // levels
        afresh()
        filler = fill(disk, leave=left)
        code, said, _ = command(project, folder / "output")
        filler.unlink()
        found = []
        if code == 1:
            full += 1
            if not clear(said):
                found.append(f"it said {said}")
        elif (code, said) != (0, ""):
            found.append(f"it ended with {code} and said {said}")
        before = look(project / "mlruns")
        finished += len(before.finished)
        code, said, _ = command(project, folder / "output")
        if code:
            found.append(f"with room again it ended with {code} and said {said}")
        else:
            found += faults(expected, look(project / "mlruns"), before)
        if found:
            wrong[left] = found
    return {"levels": levels, "bytes": used, "full": full, "finished": finished, "wrong": wrong}


def main() -> None:
    """Try the levels; print what was found as JSON, exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("disk", type=Path)
    parser.add_argument("--levels", type=int, default=20)
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    score.draw_scores = comparison.draw_comparison = draw_quickly  # type: ignore[assignment]  # stands for both
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    for name in HEAVY:
        import_module(name)  # once, instead of in every child
    sqlalchemy.orm.configure_mappers()
    torch.set_num_threads(1)  # a pool of threads does not outlive a fork
    with tempfile.TemporaryDirectory() as folder:
        report = try_levels(options.disk, Path(folder), options.levels, first=options.first)
    json.dump(report, sys.stdout, indent=1)
    sys.exit(bool(report["wrong"]))


if __name__ == "__main__":
    main()
