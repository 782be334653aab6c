"""The wheel, installed by itself: the first screen's steps work in an empty folder."""

import json
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import tokenviz as tv

ROOT = Path(__file__).resolve().parents[2]
BUILT = ("tokenviz", "experiments", "pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in this one."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILT:
        there = ROOT / name
        if there.is_dir():
            shutil.copytree(there, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(there, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `tokenviz` of an environment with the wheel; the other packages are those of this one."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=300)
    install = [sys.executable, "-m", "pip", f"--python={place}/bin/python", "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    libraries = [sysconfig.get_path("purelib"), *site.getsitepackages()]
    inside = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    # As lines of a .pth file these folders come after the wheel, and their own .pth files (an editable install) do not count.
    (inside / "shared.pth").write_text("\n".join(dict.fromkeys(libraries)) + "\n")
    return place / "bin" / "tokenviz"


def test_a_wheel_carries_the_experiments_the_sample_texts_and_every_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "experiments").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert f"tokenviz/shipped/{path.relative_to(ROOT / 'experiments').as_posix()}" in names
    for path in (ROOT / "tokenviz").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if not name.startswith(("tokenviz/", "tokenviz_harness-"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_citation_names_this_version_and_licence() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {tv.__version__}" in lines
    assert "license: Apache-2.0" in lines
    assert "  - name: tokenviz developers" in lines


@pytest.mark.slow
def test_the_first_steps_work_in_an_empty_folder(program: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}

    def run(*arguments: str) -> str:
        command = [str(program), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    first = run()
    assert "docs/getting-started.md" not in first
    steps = re.findall(r"^     tokenviz (\S+)", first, re.M)
    assert steps == ["score", "score", "compare", "report", "run", "ui", "pull"]
    assert {line.split()[0] for line in run("list").splitlines()} >= {"single_token_predictions", "model_survey"}
    run("score", "-m", "glass-en", "-t", "Alice was very tired.")
    models = ["-m", "glass-en", "-m", "glass-en,dtype=bfloat16"]
    run("compare", *models, "correlation")
    run("report", *models, "correlation", "--to", "report.html")
    options = ["--models", "glass-en", "--models", "glass-en,dtype=bfloat16", "--texts", "correlation"]
    found = json.loads(run("run", "single_token_predictions", *options, "--json"))
    assert found["experiment"] == "single_token_predictions"
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()
    assert run("runs", "--json")
    run("pull", "single_token_predictions", "--to", "paper")
    assert (tmp_path / "paper" / "numbers.tex").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"mlruns", "paper", "report.html"}
    # A project's own experiments come first, and the others stay.
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.py").write_text('"""Mine."""\n')
    assert {"mine", "single_token_predictions"} <= {line.split()[0] for line in run("list").splitlines()}
    assert "correlation" in run("score", "-m", "glass-en", "correlation", "--json")
