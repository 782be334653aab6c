"""The same hostile texts of many scripts in every format: take away what is drawn around it, and the text is there."""

import html
import re
import subprocess
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from programs import needs_program
from tables import NAN, make_scores

from tokenviz.base.characters import visible
from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.definition import TextHeatmap, text_heatmap
from tokenviz.figures.heatmap.drawing import heatmap_pages
from tokenviz.figures.heatmap.files import heatmap_ansi, save_heatmap
from tokenviz.figures.heatmap.html import heatmap_html
from tokenviz.figures.heatmap.latex import heatmap_latex
from tokenviz.figures.typeset.colours import to_hex
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


@dataclass(frozen=True)
class Shown:
    """What stands in the boxes of a heatmap, in order and without spaces, their colours, and what is marked in which way."""

    text: list[str]
    colours: list[str]
    unscored: list[str]
    below: list[str]


def shown_in(boxes: list[tuple[str, list[str], str]]) -> Shown:
    """Boxes as text, colours and look: "below" where a line says that a difference is negative."""
    boxes = [(text.strip(), colours, look) for text, colours, look in boxes]
    unscored = [text for text, colours, _ in boxes if not colours]
    below = [text for text, _, look in boxes if look == "below"]
    return Shown([text for text, *_ in boxes], [one.lower() for _, own, _ in boxes for one in own], unscored, below)


def meant(heatmap: TextHeatmap, form: str) -> Shown:
    boxes = []
    for panel in heatmap.panels:
        drawn: set[int] = set()
        for piece in panel.pieces:
            # A drawing has one box for a token, which reaches into its part of a character.
            rows = [row for row in piece.rows if form != "drawing" or row not in drawn]
            drawn |= set(rows)
            values = [panel.values[row] for row in rows]
            if form == "ansi":  # a box of a terminal has one colour: that of the most surprising token
                values = [max(values, key=abs)]
            colours = [to_hex(colour) for colour in map(heatmap.scale.colour, values) if colour is not None]
            # Where tokens share a box, each has its own part of the line; a terminal has one line or none.
            below = heatmap.measure.name == "difference" and len(piece.rows) == 1 and values[0] < 0
            boxes.append((piece.text, colours, "below" if below else ""))
    return shown_in(boxes)


def boxes_of_html(heatmap: TextHeatmap) -> Shown:
    boxes = []
    for look, text in re.findall(
        r'<span((?: class="[^"]*")?(?: style="[^"]*")?) title="[^"]*">([^<]*)</span>', heatmap_html(heatmap)
    ):
        colours = re.findall("#[0-9a-f]{6}", look.partition("background:")[2].partition(";")[0])
        assert ('class="unscored"' in look) == (not colours)
        boxes.append((text, colours, "below" * ('class="below"' in look)))
    return shown_in(boxes)


def boxes_of_tex(heatmap: TextHeatmap) -> Shown:
    boxes = []
    for kind, rest in re.findall(r"^\\TV([bnus])(\{.*\})(?:\\TV\w+)*%$", heatmap_latex(heatmap), re.M):
        head, _, text = rest.rpartition("}{") if kind != "n" else ("", "", rest)
        text, colours = re.sub(r"\\[A-Za-z]+ ?|\\(?= )|[{}]", "", text), re.findall("[0-9A-F]{6}", head)
        assert (kind == "n") == (not colours)
        boxes.append((text, [f"#{one}" for one in colours], "below" * (kind == "u")))
    return shown_in(boxes)


def boxes_of_ansi(heatmap: TextHeatmap) -> Shown:
    boxes = []
    for codes, text in re.findall(r"\x1b\[([\d;]*)m([^\x1b]*)\x1b\[0m", heatmap_ansi(heatmap).rpartition("\n\n")[0]):
        ground = [f"#{int(r):02x}{int(g):02x}{int(b):02x}" for r, g, b in re.findall(r"\b48;2;(\d+);(\d+);(\d+)", codes)]
        assert ground or codes == "4"  # underlined without a colour
        boxes.append((text, ground, "below" if ground and codes.startswith("4;") else ""))
    return shown_in(boxes)


def boxes_of_drawing(heatmap: TextHeatmap) -> Shown:
    """Of the figure that PNG, SVG and PDF are made of; its lines and its hatching stand in test_heatmap.py."""
    [figure] = heatmap_pages(heatmap)
    grounds = [to_hex(tuple(one[:3])) for one in figure.axes[0].collections[0].get_facecolors()]
    text = [text.get_text().strip() for text in figure.axes[0].texts if text.get_va() == "baseline"]
    return replace(meant(heatmap, "drawing"), text=text, colours=grounds)


READERS = {"html": boxes_of_html, "tex": boxes_of_tex, "ansi": boxes_of_ansi, "drawing": boxes_of_drawing}
PASSAGES = [["A", " b", " c", " d", " e"], ["f", " ti\u1ebf", "", "ng"]]
ONE = make_scores(PASSAGES, [NAN, -1, -5, -2, -2, NAN, -1, -9, -2])
TWO = make_scores(PASSAGES, [NAN, -4, -2, -2, -20, NAN, -2, -3, -1], model="b")
HEATMAPS = {
    "log-probs": (ONE, {}), "given limits": (ONE, {"limits": (-4, -1.5)}), "ranks": (ONE, {"measure": "rank_bucket"}),
    "two models on one scale": ([ONE, TWO], {}), "a difference": ([ONE, TWO], {"measure": "difference"}),
    "nothing scored": (make_scores([["a", " b"]], [NAN, NAN]), {}), "other colours": (ONE, {"colours": "cividis"}),
}  # fmt: skip


@pytest.mark.parametrize(("source", "how"), HEATMAPS.values(), ids=HEATMAPS)
@pytest.mark.parametrize("form", READERS)
def test_every_format_shows_the_same_boxes_colours_and_marks(form: str, source: Any, how: dict[str, Any]) -> None:
    heatmap = text_heatmap(source, **how)
    expected = meant(heatmap, form)
    assert READERS[form](heatmap) == expected
    assert expected.unscored == (["a", "b"] if how == {} and len(expected.text) == 2 else ["A", "f"] * len(heatmap.panels))
    assert bool(expected.below) == (how.get("measure") == "difference")
