"""The notebooks: stored without outputs, run from top to bottom, and what their text states is what their cells compute."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import render_notebooks  # noqa: E402  it lies beside the pages that it makes

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
# What the text quotes from elsewhere: r of the published pair, GPT-2 small and large.
QUOTED = {"01_single_token_predictions": {"0.94"}, "01_single_token_predictions_vi": {"0.94"}}


def contents_of(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))


def prose_of(name: str) -> str:
    """The text between the cells without code, formulas and addresses; numbers with a hyphen for a minus and a point."""
    text = "\n".join("".join(cell["source"]) for cell in contents_of(name)["cells"] if cell["cell_type"] == "markdown")
    text = re.sub(r"`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|\]\([^)]*\)", " ", text, flags=re.S).replace("−", "-")
    return re.sub(r"(?<=\d),(?=\d)", ".", text) if name.endswith("_vi") else text


def stated_by(outputs: list[dict[str, Any]]) -> Iterator[str]:
    """The numbers that the last cell collects."""
    for value in ast.literal_eval(outputs[-1]["data"]["text/plain"]).values():
        yield from [value] if isinstance(value, str) else value


def test_there_are_four() -> None:
    assert NAMES == [
        "01_single_token_predictions", "01_single_token_predictions_vi", "02_comparing_models", "03_from_runs_to_paper",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_without_outputs(name: str) -> None:
    contents = contents_of(name)
    nbformat.validate(contents)
    assert contents["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in contents["cells"]:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", cell["id"])  # by hand: an editor's own are random
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == json.dumps(contents, ensure_ascii=False, indent=1) + "\n"


def test_the_languages_have_the_same_lesson() -> None:
    """What both versions show, they show in one order."""
    english, vietnamese = (
        [cell["id"] for cell in contents_of(name)["cells"] if cell["cell_type"] == "code"] for name in NAMES[:2]
    )
    common = [name for name in vietnamese if name in english]
    assert len(common) >= 12
    assert [name for name in english if name in common] == common


def files_of(folder: Path) -> dict[str, int]:
    skipped = {".git", ".venv", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
    return {
        str(path): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and not skipped & set(path.relative_to(folder).parts)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_states_what_it_computes(name: str) -> None:
    before = {folder: files_of(ROOT / folder) for folder in ("notebooks", "mlruns", "paper", "experiments")}
    cells = render_notebooks.executed(ROOT / "notebooks" / f"{name}.ipynb")["cells"]
    assert {folder: files_of(ROOT / folder) for folder in before} == before  # nothing is written into the repository
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    noise = [output for cell in code for output in cell["outputs"] if output.get("name") == "stderr"]
    assert noise == []
    stated, prose = set(stated_by(code[-1]["outputs"])), prose_of(name)
    assert [number for number in sorted(stated) if not re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", prose)] == []
    decimals = set(re.findall(r"(?<![\w.])-?\d+\.\d+(?![\w.]*\d)", prose))
    assert decimals <= stated | QUOTED.get(name, set())


def test_pages_show_the_notebooks_as_they_are() -> None:
    assert render_notebooks.stale() == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_pictures_and_no_others(name: str) -> None:
    pages = ROOT / "docs" / "notebooks"
    page = (pages / f"{name}.md").read_text(encoding="utf-8")
    shown = re.findall(r'<img src="([^"]+)"', page)
    assert sorted(shown) == sorted(path.name for path in pages.glob(f"{name}--*.png"))
    assert all((pages / picture).stat().st_size < 150_000 for picture in shown)
    for target in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (pages / target).exists(), target


def test_outputs_become_markdown(tmp_path: Path) -> None:
    def cell(outputs: list[dict[str, Any]]) -> dict[str, Any]:
        return {"cell_type": "code", "id": "one", "source": "1", "outputs": outputs}

    table = (
        '<style scoped>\n td {}\n</style>\n<table border="1" class="x"><tr style="text-align: right;">'
        "<td>&lt;b&gt;\n\n</td></tr></table>"
    )
    contents = {
        "cells": [
            {"cell_type": "markdown", "source": ["[a](02_x.ipynb) [b](../docs/y.md)"]},
            cell([{"output_type": "stream", "name": "stdout", "text": "said\n"}]),
            cell([{"output_type": "execute_result", "data": {"text/html": table, "text/plain": "t"}}]),
            cell(
                [
                    {
                        "output_type": "execute_result",
                        "data": {"image/png": "AAAA", "text/html": "h", "text/plain": 'P("<x>")'},
                        "metadata": {"image/png": {"width": 7, "height": 8}},
                    }
                ]
            ),
        ]
    }
    kept = []
    page = render_notebooks.markdown(contents, lambda name, picture: kept.append((name, picture)) or "p.png")
    assert page == (
        "[a](02_x.md) [b](../y.md)\n\n```python\n1\n```\n\n```text\nsaid\n```\n\n```python\n1\n```\n\n"
        '<table><tr align="right"><td>&lt;b&gt;\n</td></tr></table>\n\n```python\n1\n```\n\n'
        '<img src="p.png" width="7" alt="P(&quot;&lt;x&gt;&quot;)">\n'
    )
    assert kept == [("one", b"\0\0\0")]
