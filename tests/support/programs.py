"""Programs and fonts that a test wants from the machine; where one is absent the test is skipped and says which."""

import os
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from tokenviz.figures.typeset.fonts import fonts_for


def needs_program(name: str, package: str) -> str:
    """The program's name, where it is installed."""
    if not shutil.which(name):
        pytest.skip(f"{name} ({package}) is not installed")
    return name


def needs_tex_file(name: str, package: str) -> None:
    """Go on where TeX finds a file."""
    needs_program("kpsewhich", "TeX Live")
    if subprocess.run(["kpsewhich", name], capture_output=True, check=False).returncode:
        pytest.skip(f"{name} ({package}) is not installed")


def needs_fonts_for(text: str) -> None:
    """Go on where the machine's fonts have all characters of a text."""
    _, missing = fonts_for(set(text))
    if missing:
        pytest.skip(f"no font has {', '.join(unicodedata.name(sign, repr(sign)) for sign in sorted(missing))}")


def compile_with(engine: str, folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Compile a document in a folder of its own; TeX's log in one line a message."""
    needs_program(engine, "TeX Live")
    (folder / "heatmap.tex").write_text(source, encoding="utf-8")
    command = [engine, "-interaction=nonstopmode", "-halt-on-error", "heatmap.tex"]
    environment = os.environ | {"max_print_line": "10000", "SOURCE_DATE_EPOCH": "0"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", check=False)
