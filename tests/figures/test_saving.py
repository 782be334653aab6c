"""Saved figures: the same bytes each time, the text in them, and what they say about themselves."""

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tables import NAN, make_scores

from tokenviz.base.errors import DiskError
from tokenviz.comparing.comparison import compare
from tokenviz.figures.heatmap.definition import Source, text_heatmap
from tokenviz.figures.heatmap.drawing import heatmap_pages
from tokenviz.figures.plots.comparison import unity_scatter
from tokenviz.figures.typeset.fonts import drawable
from tokenviz.figures.typeset.saving import fixed_settings, save_figure, save_pages

SVG = "{http://www.w3.org/2000/svg}"
TOKENS = [
    "The",
    " cat",
    "  ",
    "says",
    " <b>",
    "&amp;",
    "\n",
    "    return",
    " $$",
    " _x_",
    " “quoted”",
    " ",
    " Việt",
    " 漢字",
    " done",
]
ABOUT = {"title": "glass-en on “cats” & dogs", "description": '{"run": "0123", "text": "日本語"}'}

# A process of its own: nothing is left over from another figure, and strings hash in another way.
PROGRAM = """
import sys
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/../support", sys.argv[2] + "/.."]
from pathlib import Path
import test_saving
test_saving.save_everything(Path(sys.argv[1]))
"""


def pages(source: Source) -> list[Figure]:
    return heatmap_pages(text_heatmap(source))


def save_everything(folder: Path) -> dict[str, str]:
    """A heatmap with many scripts and a scatter in every format, as name and sha256."""
    folder.mkdir()
    a, b = make_scores([TOKENS]), make_scores([TOKENS], [NAN, *[-0.3 * i for i in range(1, len(TOKENS))]], model="model-b")
    save_pages(pages([a, b]), folder / "heatmap", **ABOUT)
    save_pages(unity_scatter(compare(a, b)), folder / "scatter", **ABOUT)
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def long_text() -> list[str]:
    return [f" w{number}" for number in range(1200)]


def svg_texts(path: Path) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.parse(path).iter(f"{SVG}text")]


def contains(whole: list[str], part: list[str]) -> bool:
    """Whether a list stands in another one, in one piece."""
    return any(whole[start : start + len(part)] == part for start in range(len(whole) - len(part) + 1))


def test_the_same_scores_give_the_same_bytes_twice(tmp_path: Path) -> None:
    first, second = save_everything(tmp_path / "1"), save_everything(tmp_path / "2")
    assert len(first) == 6
    assert first == second


@pytest.mark.slow
def test_the_same_scores_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / seed), str(Path(__file__).parent)]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert len(hashes(tmp_path / "1")) == 6
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")


def test_other_scores_give_other_bytes(tmp_path: Path) -> None:
    for name, value in (("a", -1.0), ("b", -1.7)):
        save_pages(pages(make_scores([["A", " b", " c"]], [NAN, value, -2])), tmp_path / name, **ABOUT)
    found = hashes(tmp_path)
    assert len(set(found.values())) == 6


def test_no_file_holds_a_date(tmp_path: Path) -> None:
    save_everything(tmp_path / "all")
    for path in (tmp_path / "all").iterdir():
        assert not re.search(rb"CreationDate|ModDate|dc:date|\b20[2-9]\d-\d\d-\d\d", path.read_bytes()), path.name


def test_svg_holds_the_text_of_every_token_with_its_spaces(tmp_path: Path) -> None:
    [path] = save_pages(pages(make_scores([TOKENS])), tmp_path / "heatmap", formats=["svg"], **ABOUT)
    drawn = [drawable(token, set()) for token in TOKENS]
    # A text without ink is not written; its box is there.
    assert contains([text for text in svg_texts(path) if text.strip()], [text for text in drawn if text.strip()])
    root = ElementTree.parse(path).getroot()
    # Browsers keep spaces for the one, other readers for the other.
    assert "text{white-space:pre}" in "".join(root.find(f"{SVG}defs/{SVG}style").itertext())
    assert root.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"


@pytest.mark.browser
def test_svg_spaces_survive_in_a_browser(tmp_path: Path, chromium) -> None:
    [path] = save_pages(pages(make_scores([["A", "  two  spaces"]])), tmp_path / "spaces", formats=["svg"], **ABOUT)
    chromium.get(path.as_uri())
    counts = chromium.execute_script(
        "return [...document.querySelectorAll('text')].map(text => [text.textContent, text.getNumberOfChars()])"
    )
    # A browser counts the characters that it lays out: spaces that it collapses are none.
    assert ["  two  spaces", 13] in counts


def test_svg_text_of_both_panels_is_there(tmp_path: Path) -> None:
    a = make_scores([["un", "believ", "able"]], tokenizer="a")
    b = make_scores([["unbe", "lievable"]], tokenizer="b")
    [path] = save_pages(pages([a, b]), tmp_path / "two", formats=["svg"], **ABOUT)
    assert contains(svg_texts(path), list(a.token))
    assert contains(svg_texts(path), list(b.token))


def test_pdf_text_can_be_extracted(tmp_path: Path) -> None:
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext (poppler) is not installed")
    [path] = save_pages(pages(make_scores([TOKENS])), tmp_path / "heatmap", formats=["pdf"], **ABOUT)
    run = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True)
    text = run.stdout.decode()
    for word in ("cat", "says", "<b>", "&amp;", "return", "$$", "_x_", "“quoted”", "Việt", "漢字", "model-a: 14 of 15"):
        assert word in text
    order = [text.index(word) for word in ("The", "cat", "says", "<b>", "return", "done")]
    assert order == sorted(order)


def test_png_says_what_it_shows(tmp_path: Path) -> None:
    [path] = save_pages(pages(make_scores([TOKENS])), tmp_path / "heatmap", formats=["png"], **ABOUT)
    with Image.open(path) as image:
        image.load()
        assert image.info["Title"] == ABOUT["title"]
        assert image.info["Description"] == ABOUT["description"]
        assert image.info["Software"] == "tokenviz"
        # 7 inches at 200 dots an inch; PNG stores dots a metre, rounded.
        assert image.width == 1400
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)


@pytest.mark.parametrize(("ground", "mode"), [("white", "RGB"), ("none", "RGBA")])
def test_a_png_has_the_pixels_that_matplotlib_draws(tmp_path: Path, ground: str, mode: str) -> None:
    figure = Figure(figsize=(4.6, 1.1), facecolor=ground)
    figure.text(0.1, 0.5, "Việt x²", color="#3366aa")
    [path] = save_pages(figure, tmp_path / "own", formats=["png"], title="漢字", description="d")
    with fixed_settings():
        figure.savefig(tmp_path / "theirs.png", dpi=200)
    with Image.open(path) as ours, Image.open(tmp_path / "theirs.png") as theirs:
        assert (ours.mode, ours.info["Title"]) == (mode, "漢字")
        assert ours.convert("RGBA").tobytes() == theirs.tobytes()
    assert path.stat().st_size < (tmp_path / "theirs.png").stat().st_size


def test_svg_says_what_it_shows(tmp_path: Path) -> None:
    [path] = save_pages(pages(make_scores([TOKENS])), tmp_path / "heatmap", formats=["svg"], **ABOUT)
    root = ElementTree.parse(path).getroot()
    elements = "{http://purl.org/dc/elements/1.1/}"
    assert next(element.text for element in root.iter(f"{elements}title")) == ABOUT["title"]
    assert [element.text for element in root.iter(f"{elements}description")] == [ABOUT["description"]]


def test_pdf_says_what_it_shows(tmp_path: Path) -> None:
    about = {"title": "glass-en on cats", "description": "run 0123"}
    [path] = save_pages(pages(make_scores([TOKENS])), tmp_path / "heatmap", formats=["pdf"], **about)
    data = path.read_bytes()
    assert b"/Title (glass-en on cats)" in data
    assert b"/Subject (run 0123)" in data
    assert b"/Creator (tokenviz)" in data


def test_one_page_has_the_plain_name(tmp_path: Path) -> None:
    paths = save_pages(pages(make_scores([TOKENS])), tmp_path / "v1.5", **ABOUT)
    assert [path.name for path in paths] == ["v1.5.png", "v1.5.svg", "v1.5.pdf"]


@pytest.mark.slow
def test_pages_are_files_but_one_pdf(tmp_path: Path) -> None:
    figures = pages(make_scores([long_text()]))
    n = len(figures)
    assert n > 1
    paths = save_pages(figures, tmp_path / "long", **ABOUT)
    names = [f"long_p{page}" for page in range(1, n + 1)]
    assert [path.name for path in paths] == [*(f"{p}.png" for p in names), *(f"{p}.svg" for p in names), "long.pdf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    assert len(re.findall(rb"/Type /Page\b(?!s)", (tmp_path / "long.pdf").read_bytes())) == n


def test_svg_pages_hold_every_token_once(tmp_path: Path) -> None:
    paths = save_pages(pages(make_scores([long_text()])), tmp_path / "long", formats=["svg"], **ABOUT)
    written = [text for path in paths for text in svg_texts(path) if re.fullmatch(r" w\d+", text)]
    assert written == long_text()


def test_a_figure_is_written_in_the_formats_of_its_files_endings(tmp_path: Path) -> None:
    figure = Figure((2, 2))
    names = ["b.svg", "a.v1.png", "b.pdf"]
    paths = save_figure(figure, *(str(tmp_path / name) for name in names))
    assert [path.name for path in paths] == ["b.svg", "b.pdf", "a.v1.png"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    starts = {"b.svg": b"<?xml", "b.pdf": b"%PDF", "a.v1.png": b"\x89PNG"}
    assert all((tmp_path / name).read_bytes().startswith(start) for name, start in starts.items())


def test_a_path_without_ending_is_written_in_all_formats_or_in_those_that_are_given(tmp_path: Path) -> None:
    figure = Figure((2, 2))
    assert [path.name for path in save_figure(figure, tmp_path / "all")] == ["all.png", "all.svg", "all.pdf"]
    assert [path.name for path in save_figure(figure, tmp_path / "v1.5", formats=["svg"])] == ["v1.5.svg"]


class _OnAFullDisk(Figure):
    def savefig(self, fname: Any, **settings: Any) -> None:
        if str(fname).endswith(".svg"):
            raise OSError(errno.ENOSPC, "No space left on device")
        super().savefig(fname, **settings)


def test_the_files_of_a_figure_appear_together_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"^cannot write the figure '.*a': No space left on device$"):
        save_figure(_OnAFullDisk((2, 2)), tmp_path / "a.png", tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []


def test_a_matplotlibrc_changes_no_byte(tmp_path: Path) -> None:
    taste = {"savefig.bbox": "tight", "savefig.dpi": 30, "savefig.facecolor": "red", "pdf.fonttype": 3, "svg.fonttype": "path"}
    with matplotlib.rc_context(taste):
        save_pages(pages(make_scores([TOKENS])), tmp_path / "styled", **ABOUT)
        assert {name: matplotlib.rcParams[name] for name in taste} == taste
    save_pages(pages(make_scores([TOKENS])), tmp_path / "unstyled", **ABOUT)
    for form in ("png", "svg", "pdf"):
        assert (tmp_path / f"styled.{form}").read_bytes() == (tmp_path / f"unstyled.{form}").read_bytes()
