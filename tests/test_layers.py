"""The house of floors: imports point down, heavy libraries have one home, importing is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tokenviz

PACKAGE = Path(tokenviz.__file__).parent
FLOORS = [
    {
        "checks",
        "controls",
        "display",
        "durable",
        "errors",
        "fitting",
        "hardware",
        "progress",
        "project",
        "rows",
        "score_summary",
        "spans",
        "streams",
        "terminal",
    },
    {"stats"},  # arrays and numbers: below whatever knows a text
    {"slim_tables"},
    {"characters", "texts", "scores", "tables"},
    {"models", "tracking"},
    {"scoring", "dumps"},
    {"ledger"},
    {"units"},
    {"comparing"},
    {"records"},
    {"figures"},
    {"pages"},
    {"harness"},
    {"paper"},
    {"cli"},
]
HOMES = {
    "torch": {"models", "scoring"},
    "transformers": {"models", "scoring"},
    "mlflow": {"tracking", "pages"},
    "flask": {"pages"},
    "matplotlib": {"figures"},
    "scipy": {"stats"},
    "icu4py": {"characters", "units"},
    "jinja2": {"figures", "models"},
    "fontTools": {"figures"},
    "typer": {"harness", "cli"},
    "pyarrow": {"ledger", "rows", "scores", "slim_tables", "tables", "records"},
    "fsspec": {"ledger"},
    "ray": {"ledger"},
    "submitit": {"ledger"},
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


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


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in MODULES} == set().union(*FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    floor = next(number for number, rooms in enumerate(FLOORS) if room_of(path) in rooms)
    # The first floor's rooms may use each other; above it siblings may not.
    allowed = set().union(*FLOORS[:floor]) | {room_of(path)} | (FLOORS[0] if floor == 0 else set())
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("tokenviz.") and name.count(".")}
    assert rooms - {"__version__"} <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_at_home(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(path)}
    assert {library for library in used & set(HOMES) if room_of(path) not in HOMES[library]} == set()


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
