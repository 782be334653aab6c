"""The same hostile texts of many scripts in every format: take away what is drawn around it, and the text is there."""

import html
import re
import subprocess
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pytest
from programs import needs_program
from tables import make_scores

from tokenviz.base.characters import visible
from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.files import save_heatmap
from tokenviz.figures.typeset.fonts import drawable, fonts_for

HOSTILE = [
    "The", " $$", " $x_1^2$", "\\input{/etc/passwd}", " \\write18{ls}", " 50%", "{", "}", "~", "^", "_", " &amp;", " #",
    " <script>alert(1)</script>", "<!--", "-->", "]]>", ' "quoted"', " 'it''s'", "`", "  two  spaces  ", "\n", "\n\n", "a\n",
    "\tb", "\r\n", "\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\0", "\u200b", "\u202eabc", "\u2066", "\ufeff", "\xad", "\ufffe",
    " https://example.org/" + "very_long.path" * 12, "x" * 120, " end",
]  # fmt: skip
SCRIPTS = [
    "Tôi", " đọc", " tiế", "ng", " Viê\u0323t", " ελλάδα", " привет", "漢字", "かな", "中文", " 한국", "어", " हिन्दी", " पानी",
    " ภาษาไทย", " 🙂", " 👍🏽", " 👨\u200d👩\u200d👧", " ∑", " →", " ﬁ", " office", " 𝔘",
]  # fmt: skip
RIGHT_TO_LEFT = ["The", " سل", "ام", " شك", "را", " שלום", " עו", "לם", " (", "ש", ")", " 12", " end"]
TEXTS = {"hostile": HOSTILE, "scripts": SCRIPTS, "right to left": RIGHT_TO_LEFT}


def scores_of(tokens: list[str]) -> TokenScores:
    return make_scores([tokens, tokens[::-1]])


def write(tokens: list[str], folder: Path, form) -> Path:
    [path] = save_heatmap(scores_of(tokens), folder / "text", formats=[form])
    return path


def without_spaces(text: str) -> str:
    return "".join(text.split())


def as_drawn(tokens: list[str]) -> str:
    """What stands in the boxes of a picture, without spaces: lines are broken anywhere, and blank texts are not written."""
    text = "".join([*tokens, *tokens[::-1]])
    return without_spaces(drawable(text, fonts_for(set(text))[1]))


@pytest.mark.parametrize("tokens", TEXTS.values(), ids=TEXTS)
def test_html_without_its_tags_is_the_text(tokens: list[str], tmp_path: Path) -> None:
    page = write(tokens, tmp_path, "html").read_bytes().decode()
    passages = re.findall(r'<div class="passage" dir="auto">(.*?)</div>', page, re.S)
    found = [html.unescape(re.sub(r"<[^>]*>", "", passage)).replace("\N{SYMBOL FOR NULL}", "\0") for passage in passages]
    assert found == ["".join(tokens), "".join(tokens[::-1])]


@pytest.mark.parametrize("tokens", TEXTS.values(), ids=TEXTS)
def test_svg_holds_the_text_as_it_is_drawn(tokens: list[str], tmp_path: Path) -> None:
    root = ElementTree.parse(write(tokens, tmp_path, "svg")).getroot()
    texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    found = without_spaces("".join(texts))
    if tokens is RIGHT_TO_LEFT:  # signs at the cuts, so that letters join and brackets face the right way
        found = found.replace("\u200d", "").replace("\u200f", "")
    assert as_drawn(tokens) in found


@pytest.mark.parametrize("tokens", [HOSTILE, SCRIPTS], ids=["hostile", "scripts"])
def test_the_text_of_a_pdf_is_the_text_as_it_is_drawn(tokens: list[str], tmp_path: Path) -> None:
    run = subprocess.run(
        [needs_program("pdftotext", "poppler"), str(write(tokens, tmp_path, "pdf")), "-"], capture_output=True, check=True
    )
    assert run.stderr == b""
    found = unicodedata.normalize("NFC", without_spaces(run.stdout.decode()))
    assert unicodedata.normalize("NFC", as_drawn(tokens)) in found


def test_words_of_right_to_left_scripts_are_whole_in_a_pdf(tmp_path: Path) -> None:
    run = subprocess.run(
        [needs_program("pdftotext", "poppler"), str(write(RIGHT_TO_LEFT, tmp_path, "pdf")), "-"],
        capture_output=True,
        check=True,
    )
    found = run.stdout.decode().translate(str.maketrans("", "", " \u202a\u202b\u202c"))
    for word in ("شكرا", "שלום", "עולם"):
        assert word in found


@pytest.mark.parametrize("tokens", TEXTS.values(), ids=TEXTS)
def test_a_terminals_file_without_its_colours_is_the_text(tokens: list[str], tmp_path: Path) -> None:
    out = re.sub(r"\x1b\[[0-9;]*m", "", write(tokens, tmp_path, "ansi").read_bytes().decode())
    assert f"\n{visible(''.join(tokens))}\n{visible(''.join(tokens[::-1]))}\n" in out
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", out)
