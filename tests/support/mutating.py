"""Break the core on purpose, one mutant of mutants.py at a time, and see its test turn red: `make mutants`.

The tree is copied, and only the copy is edited. First all tests run without a break, and must be green; then each runs in a
process of its own with its own break. Words after the command choose mutants whose names hold them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "mlruns")
_PATIENCE = 300  # seconds: a break may make a loop endless, which is noticed as well


def faults(mutant: Mutant, root: Path) -> list[str]:
    """Why a mutant cannot be tried on a tree, a line each."""
    found = []
    source = (root / "tokenviz" / mutant.file).read_text(encoding="utf-8")
    if (count := source.count(mutant.old)) != 1:
        found.append(f"{mutant.name!r}: tokenviz/{mutant.file} holds {mutant.old!r} {count} times, and must hold it once")
    file, _, function = mutant.test.partition("::")
    tests = root / "tests" / f"{file}.py"
    if not tests.is_file() or f"\ndef {function}(" not in tests.read_text(encoding="utf-8"):
        found.append(f"{mutant.name!r}: there is no test {mutant.test}")
    return found


def verdict_of(mutant: Mutant, root: Path) -> str:
    """Edit a tree, run the mutant's test, and put the tree back."""
    path = root / "tokenviz" / mutant.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        code = _pytest(root, [mutant.test])
    finally:
        path.write_text(whole, encoding="utf-8")
    # pytest: 1 where a test failed; more where it could not even be run, which proves nothing.
    return {0: "SURVIVED", 1: "killed"}.get(code, "NOT RUN")


def _pytest(root: Path, tests: Sequence[str]) -> int:
    """Run tests of a tree on the package of that tree; returns pytest's exit code, and 1 for a test that does not end."""
    # Bytecode would outlive an edit that leaves a file's size and second as they are.
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    names = [f"tests/{file}.py::{function}" for file, _, function in (test.partition("::") for test in tests)]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *names]
    nothing = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, stdout=nothing, stderr=nothing, timeout=_PATIENCE * len(tests)
        )
        return done.returncode
    except subprocess.TimeoutExpired:
        return 1


def main(words: Sequence[str]) -> int:
    """Try the chosen mutants; returns the exit code."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    if wrong := [line for mutant in chosen for line in faults(mutant, ROOT)]:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    verdicts: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="tokenviz-mutants-") as folder:
        root = Path(folder, "tree")
        shutil.copytree(ROOT, root, ignore=_LEFT_OUT)
        tests = list(dict.fromkeys(mutant.test for mutant in chosen))
        print(f"{len(tests)} tests without a break", file=sys.stderr)
        red = set() if _pytest(root, tests) == 0 else {test for test in tests if _pytest(root, [test])}
        for number, mutant in enumerate(chosen, start=1):
            begun = time.monotonic()
            verdicts[mutant.name] = "RED WITHOUT" if mutant.test in red else verdict_of(mutant, root)
            took = time.monotonic() - begun
            print(f"{number:3} of {len(chosen)}  {took:5.1f} s  {verdicts[mutant.name]:11}  {mutant.name}", file=sys.stderr)
    for mutant in chosen:
        print(f"{verdicts[mutant.name]:11}  {mutant.name:66}  {mutant.test}")
    killed = sum(verdict == "killed" for verdict in verdicts.values())
    print(f"{killed} of {len(chosen)} mutants killed")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
