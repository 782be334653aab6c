"""The house of floors: imports point down, heavy libraries have one home, importing is cheap."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tokenviz

PACKAGE = Path(tokenviz.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions; names needed by type checkers only do not count."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def contracts(folder: Path) -> "subprocess.CompletedProcess[str]":
    """What import-linter says of the package in a folder."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_contracts_are_kept() -> None:
    done = contracts(PACKAGE.parent)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("data/scores.py", "from tokenviz.scoring.scorer import score", "Imports point down"),
        ("models/spec.py", "from tokenviz.tracking.store import Store", "Imports point down"),
        ("stats/estimate.py", "def f():\n    from tokenviz.data.texts import Text", "Imports point down"),
        ("models/cache.py", "from tokenviz.models.catalogue import CATALOGUE", "No circles inside a room"),
        ("figures/typeset/colours.py", "import torch", "torch is at home in models and scoring"),
        ("a_new_file.py", "import json", "Imports point down"),
    ],
)
def test_the_contracts_notice(tmp_path: Path, file: str, line: str, broken: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "tokenviz", ignore=shutil.ignore_patterns("__pycache__", "shipped"))
    shutil.copy(PACKAGE.parent / "pyproject.toml", tmp_path)
    with (tmp_path / "tokenviz" / file).open("a", encoding="utf-8") as changed:
        changed.write(f"\n{line}\n")
    done = contracts(tmp_path)
    assert (done.returncode, f"{broken} BROKEN" in done.stdout) == (1, True), done.stdout


@pytest.mark.parametrize(
    "arguments", [["-c", "import tokenviz"], ["-m", "tokenviz", "--help"], ["-m", "tokenviz", "run", "--help"]]
)
def test_start_loads_nothing_heavy(arguments: list[str]) -> None:
    run = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in run.stderr.splitlines()}
    assert "tokenviz" in loaded
    assert loaded & {"torch", "transformers", "mlflow", "matplotlib", "pandas", "scipy", "pyarrow"} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_read_that_could_run_code(path: Path) -> None:
    """Pickles, and what reads them without being asked twice."""
    source = path.read_text(encoding="utf-8")
    roots = {name.partition(".")[0] for name in imports(path)}
    assert not roots & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    assert [
        words for words in ("allow_pickle=True", "read_pickle", "torch.load", "trust_remote_code=True") if words in source
    ] == []
