"""The gallery: every picture is there, small, and made by the lines beside it."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")
SHOWN = re.compile(r"\]\((images/[\w.]+)\)")
PICTURES = SHOWN.findall(PAGE)
PAGES_OF_MLFLOW = SHOWN.findall((DOCS / "ui.md").read_text(encoding="utf-8"))


def test_every_picture_is_shown_and_every_shown_one_is_there() -> None:
    assert len(PICTURES) > 5
    assert {f"images/{path.name}" for path in (DOCS / "images").iterdir()} == {*PICTURES, *PAGES_OF_MLFLOW}


@pytest.mark.parametrize("picture", [*PICTURES, *PAGES_OF_MLFLOW])
def test_a_picture_is_small(picture: str) -> None:
    assert (DOCS / picture).stat().st_size < 200_000


def test_lines_of_code_beside_a_picture_name_its_file() -> None:
    sections = PAGE.split("\n## ")[1:-1]
    assert len(sections) == len(PICTURES)
    for section, picture in zip(sections, PICTURES, strict=True):
        [code] = re.findall(r"```python\n(.*?)```", section, re.S)
        assert f'"{Path(picture).stem}' in code
        compile(code, picture, "exec")
