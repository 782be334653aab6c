"""A grid that is killed at any moment: see `kills`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "support" / "kills.py"


@pytest.mark.slow
def test_a_grid_that_was_killed_is_finished_by_the_same_command() -> None:
    command = [sys.executable, PROGRAM, "--sample", "16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["wrong"] == {}
    assert report["tried"] >= 12  # threads take turns as they like: the last points may not be reached each time
    assert report["points"] > 500
