"""Text in a PDF: each character once, in the order in which it is read, in fonts that are what they say."""

import subprocess
import unicodedata
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from matplotlib import _text_helpers
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from programs import needs_fonts_for, needs_program
from tables import make_scores

from tokenviz.figures.heatmap.definition import text_heatmap
from tokenviz.figures.heatmap.drawing import heatmap_pages
from tokenviz.figures.typeset.fonts import fonts_for
from tokenviz.figures.typeset.saving import exact_text, save_pages, shared_out


@pytest.mark.parametrize(
    ("text", "clusters", "shares"),
    [
        ("abc", ["a", "b", "c"], ["a", "b", "c"]),
        ("llll", ["l"] * 4, ["l"] * 4),
        ("ffi", ["ffi"], ["ffi"]),  # a ligature
        ("हि", ["हि"] * 2, ["ह", "ि"]),
        ("हिहि", ["हि"] * 4, ["ह", "ि"] * 2),
        ("हि हिहि", ["हि"] * 2 + [" "] + ["हि"] * 4, ["ह", "ि", " "] + ["ह", "ि"] * 2),
        ("क्षि", ["क्षि"] * 2, ["क्ष", "ि"]),
        ("ำ", ["ำ"] * 2, ["ำ", "\u200b"]),
        ("שָׁ", ["שָׁ"] * 3, ["ׁ", "ָ", "ש"]),  # from left to right: the last first
        ("سس", ["س", "س"], ["س", "س"]),
        ("", [], []),
    ],
)
def test_the_glyphs_of_a_cluster_share_its_characters(text: str, clusters: list[str], shares: list[str]) -> None:
    assert shared_out(text, clusters) == shares


def test_matplotlib_is_as_it_was_afterwards() -> None:
    def patched() -> list[object]:
        return [_text_helpers.layout]

    before = patched()

    def fail_inside() -> None:
        with exact_text():
            assert all(one is not other for one, other in zip(patched(), before, strict=True))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert all(one is other for one, other in zip(patched(), before, strict=True))


def poppler(tool: str, path: Path, *arguments: str) -> str:
    run = subprocess.run([needs_program(tool, "poppler"), str(path), *arguments], capture_output=True, check=True)
    assert run.stderr == b"", "a reader warns of the file"
    return run.stdout.decode()


# What poppler adds around words of a right-to-left script.
_EMBEDDING = str.maketrans("", "", "\u202a\u202b\u202c")


SAMPLES = {
    "Latin": "Việt e\u0301 office",
    "Greek": "Ελλάδα",
    "Cyrillic": "привет",
    "Devanagari": "हिन्दी पानी क्षि",
    "Thai": "ภาษาไทย",
    "Chinese, Japanese, Korean": "漢字かな 中文 한국어",
    "Hebrew": "תודה",
    "pointed Hebrew": "שָׁלוֹם",
    "Arabic": "مرحبا",
    "emoji": "🙂 👨\u200d👩\u200d👧",
}


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)
def test_text_is_extracted_as_it_was_written(text: str, tmp_path: Path) -> None:
    needs_fonts_for(text)
    figure = Figure(figsize=(4, 1))
    figure.text(0.05, 0.5, text, fontfamily=fonts_for(set(text))[0], fontsize=14)
    [path] = save_pages(figure, tmp_path / "text", title="t", description="d", formats=["pdf"])
    assert poppler("pdftotext", path, "-").translate(_EMBEDDING).strip() == text


def test_words_are_found_whole_where_several_tokens_share_them(tmp_path: Path) -> None:
    tokens = ["The", " out", "l", "ier", " of", " Viê\u0323", "t", " office", "s", " $", "x", "$", "."]
    [path] = save_pages(
        heatmap_pages(text_heatmap(make_scores([tokens])), width="acl", font_size=7),
        tmp_path / "words", title="t", description="d", formats=["pdf"],
    )  # fmt: skip
    lines = unicodedata.normalize("NFC", poppler("pdftotext", path, "-")).split("\n")
    assert "The outlier of Việt offices $x$." in lines


def test_arabic_letters_of_several_tokens_are_extracted_without_joiners(tmp_path: Path) -> None:
    [path] = save_pages(
        heatmap_pages(text_heatmap(make_scores([["a", " شك", "را"]]))),
        tmp_path / "x",
        title="t",
        description="d",
        formats=["pdf"],
    )
    text = poppler("pdftotext", path, "-").translate(_EMBEDDING)
    assert "\u200d" not in text
    assert "شكرا" in text.replace(" ", "")


def test_a_font_with_cff_outlines_is_embedded_as_the_truetype_font_that_it_is_said_to_be(tmp_path: Path) -> None:
    text = "한국어"
    needs_fonts_for(text)
    family = next(name for name in fonts_for(set(text))[0] if name.startswith("Noto Sans CJK"))
    with TTFont(findfont(FontProperties(family=family))) as font:
        assert "glyf" in font
        assert "CFF " not in font
        assert set(map(ord, text)) <= set(font.getBestCmap())
    figure = Figure(figsize=(4, 1))
    figure.text(0.05, 0.5, text, fontfamily=fonts_for(set(text))[0], fontsize=14)
    [path] = save_pages(figure, tmp_path / "text", title="t", description="d", formats=["pdf"])
    rows = [line.split() for line in poppler("pdffonts", path).split("\n")[2:] if line]
    assert rows
    for name, *kind in rows:
        assert kind[:2] == ["CID", "TrueType"], name
        assert kind[3] == "yes", f"{name} is not embedded"
