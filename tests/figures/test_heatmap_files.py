"""The one door: every format from the same scores, complete or not at all, the same bytes each time."""

import hashlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from tables import NAN, make_scores

from tokenviz.comparing.comparison import compare
from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.definition import shared_limits, text_heatmap
from tokenviz.figures.heatmap.files import FORMATS, save_heatmap

TOKENS = ["The", " cat", "  ", "says", " <b>", "&amp;", "\n", " $$", " Việt", " 漢字", " سل", "ام", " done"]
ABOUT = {"run": "0123", "commit": "a1b2"}

# A process of its own: nothing is left over from another figure, and strings hash in another way.
PROGRAM = """
import sys
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../support", sys.argv[2] + "/.."]
from pathlib import Path
import test_heatmap_files
test_heatmap_files.save_everything(Path(sys.argv[1]))
"""


def scores(model: str = "model-a", values: list[float] | None = None) -> TokenScores:
    return make_scores([TOKENS], values, model=model, name="cats")


def save_everything(folder: Path) -> dict[str, str]:
    """Every format of a heatmap and of a difference, as name and sha256."""
    folder.mkdir()
    a, b = scores(), scores("model-b", [NAN, *[-0.3 * i for i in range(1, len(TOKENS))]])
    save_heatmap(a, folder / "heatmap", formats=FORMATS, about=ABOUT)
    save_heatmap([a, b], folder / "difference", formats=FORMATS, measure="difference", width="acl", font_size=7, about=ABOUT)
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def described(path: Path) -> dict[str, object]:
    """What a file says of itself, found as a stranger would find it."""
    text = "" if path.suffix == ".png" else path.read_text(encoding="latin-1" if path.suffix == ".pdf" else "utf-8")
    if path.suffix == ".png":
        with Image.open(path) as image:
            found = image.info["Description"]
    elif path.suffix == ".svg":
        [found] = [
            element.text for element in ElementTree.fromstring(text).iter("{http://purl.org/dc/elements/1.1/}description")
        ]
    elif path.suffix == ".pdf":
        [found] = re.findall(r"/Subject \((.*)\)\s*(?:/|>>)", text)
        found = re.sub(r"\\([()\\])", r"\1", found)
    elif path.suffix == ".html":
        found = next(
            attributes["content"]
            for name, attributes in _tags(text)
            if name == "meta" and attributes.get("name") == "description"
        )
    else:
        [found] = re.findall(r"^% \\caption\{\\tokenvizcaption\} states what it shows\. (\{.*\})$", text, re.M)
    document: dict[str, object] = json.loads(found or "")
    return document


def _tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    found: list[tuple[str, dict[str, str | None]]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Parser().feed(text)
    return found


def test_every_format_has_its_file(tmp_path: Path) -> None:
    paths = save_heatmap(scores(), tmp_path / "v1.5", formats=FORMATS)
    assert [path.name for path in paths] == [
        "v1.5.png", "v1.5.svg", "v1.5.pdf", "v1.5.html", "v1.5.tex", "v1.5-document.tex", "v1.5.ansi",
    ]  # fmt: skip
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert all(path.stat().st_size > 500 for path in paths)


@pytest.mark.slow
def test_the_same_scores_give_the_same_bytes_in_every_format_and_process(tmp_path: Path) -> None:
    first = save_everything(tmp_path / "1")
    assert len(first) == 2 * len(FORMATS)
    assert save_everything(tmp_path / "2") == first
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "3"), str(Path(__file__).parent)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    assert hashes(tmp_path / "3") == first


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "ansi"])
def test_a_file_says_what_made_it_and_with_which_settings(tmp_path: Path, form) -> None:
    [path] = save_heatmap(
        scores(), tmp_path / "x", formats=[form], measure="surprisal_bits", limits=(0, 3), colours="cividis", width="3.5in",
        font_size=8, about=ABOUT,
    )  # fmt: skip
    assert described(path) == ABOUT | {
        "figure": "heatmap",
        "measure": "surprisal_bits",
        "unit": "token",
        "limits": [0, 3],
        "limits_of": "fixed",
        "colours": "cividis",
        "models": ["model-a"],
        "text": "cats",
        "caption": text_heatmap(scores(), measure="surprisal_bits", limits=(0, 3)).caption,
        "width_inches": 3.5,
        "font_size": 8,
    }


def test_the_width_is_that_of_the_venue(tmp_path: Path) -> None:
    [path] = save_heatmap(scores(), tmp_path / "x", formats=["png"], width="acl")
    with Image.open(path) as image:
        assert image.width == pytest.approx(77 / 25.4 * 200, abs=1)


def test_limits_of_a_set_colour_all_its_files_alike(tmp_path: Path) -> None:
    sources = [scores(), scores("model-b", [NAN] + [-30.0] * (len(TOKENS) - 1))]
    limits = shared_limits(sources)
    for number, source in enumerate(sources):
        [path] = save_heatmap(source, tmp_path / str(number), formats=["html"], limits=limits)
        assert described(path)["limits"] == [-30.0, -1.0]
        assert described(path)["limits_of"] == "set"


def test_a_comparison_is_drawn_as_its_two_models_or_as_their_difference(tmp_path: Path) -> None:
    comparison = compare(scores(), scores("model-b"))
    [both] = save_heatmap(comparison, tmp_path / "both", formats=["html"])
    [difference] = save_heatmap(comparison, tmp_path / "difference", formats=["html"], measure="difference")
    assert both.read_text().count("<section>") == 2
    assert difference.read_text().count("<section>") == 1
    assert described(difference)["models"] == ["model-a", "model-b"]


def test_nothing_scored_is_described_without_numbers(tmp_path: Path) -> None:
    [path] = save_heatmap(make_scores([["a"]], [NAN]), tmp_path / "x", formats=["html"])
    assert described(path)["limits"] == [None, None]


def test_files_that_are_there_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("old")
    save_heatmap(scores(), tmp_path / "x", formats=["html"])
    assert "old" not in (tmp_path / "x.html").read_text()


def test_names_that_no_format_can_hold_are_shown_in_all(tmp_path: Path) -> None:
    odd = make_scores([["a", "b"]], model="m\0\uffff<&>\n", name="t\x1b[31m\ud7ff$_%")
    paths = save_heatmap(odd, tmp_path / "x", formats=FORMATS)
    ElementTree.parse(paths[1])  # is well-formed
    for path in paths[:-1]:
        assert described(path)["text"] == "t\x1b[31m\ud7ff$_%"
