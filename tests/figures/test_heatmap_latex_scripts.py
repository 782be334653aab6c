"""The LaTeX heatmap of every sample text and of many scripts, compiled: each character of the text is in the PDF, in order."""

import re
import subprocess
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from programs import compile_with, needs_fonts_for, needs_program, needs_tex_file
from tables import make_scores

from tokenviz.figures.heatmap.definition import text_heatmap
from tokenviz.figures.heatmap.latex import heatmap_latex_document
from tokenviz.figures.typeset.fonts import drawable
from tokenviz.figures.typeset.lines import strong_direction

SAMPLES = sorted(Path(__file__).parents[2].glob("experiments/texts/*.*"))
SCRIPTS = {
    "Vietnamese": "Tiếng Việt được viết bằng chữ Quốc ngữ.",
    "Vietnamese in parts": unicodedata.normalize("NFD", "Tiếng Việt được viết bằng chữ Quốc ngữ."),
    "Hindi": "हिन्दी भारत की राजभाषा है, और क्षेत्रीय भाषाओं के साथ बोली जाती है। नमस्ते!",
    "Marathi": "मी दररोज सकाळी फिरायला जातो.",
    "Bengali": "আমি বাংলায় গান গাই, আমি বাংলার গান গাই।",
    "Tamil": "வணக்கம், நீங்கள் எப்படி இருக்கிறீர்கள்?",
    "Telugu": "నమస్కారం, మీరు ఎలా ఉన్నారు?",
    "Sinhala": "ඔබට කොහොමද?",
    "Thai": "น้ำอยู่ที่นี่และเขาไม่ได้ไปโรงเรียนเพราะฝนตก",
    "Khmer": "ខ្ញុំស្រឡាញ់ភាសាខ្មែរ។",
    "Arabic": "السَّلامُ عَلَيْكُمْ يا صديقي، كيف حالك؟",
    "Hebrew": "שָׁלוֹם עֲלֵיכֶם, מה שלומך היום?",
    "Korean": "안녕하세요, 저는 학생입니다. 좋아요!",
    "Korean in parts": unicodedata.normalize("NFD", "한국어는 재미있습니다."),
    "Chinese": "我喜欢学习语言模型，因为它们很有意思。“你好！”他说（小声地）。",
    "Japanese": "私は日本語のモデルが好きです。「とても面白い」。がぎぐ",
    "Japanese in parts": unicodedata.normalize("NFD", "がぎぐげごパピプペポ"),
    "Russian with stress": "за́мок и замо́к",
    "Greek": "Ἐν ἀρχῇ ἦν ὁ λόγος",
    "emoji": "Party 👨\u200d👩\u200d👧 time 🎉 with 👍🏽 and ☕\ufe0f!",
}
ENGINES = ["lualatex", "xelatex", "pdflatex"]


def by_bytes(text: str, width: int) -> list[str]:
    """Return tokens of so many bytes each; the one with a character's first byte has the character."""
    found, reached = [], 0
    ends = [len(text[: k + 1].encode()) for k in range(len(text))]
    starts = [0, *ends[:-1]]
    for begin in range(0, ends[-1], width):
        own = sum(start < begin + width for start in starts[reached:])
        found.append(text[reached : reached + own])
        reached += own
    return found


def by_words(text: str) -> list[str]:
    """Words with the spaces before them, and each mark, each letter with a mark and each sign by itself."""
    return re.findall(r"\s*(?:[a-zA-Z0-9]+|\S)|\s+$", text)


def comparable(text: str) -> str:
    """A text as PDF and source have it in common.

    Composed where Unicode has a composed letter; without spaces and line ends, which a page has elsewhere; without signs that
    have no glyph: joiners, marks of direction, variation selectors.
    """
    text = unicodedata.normalize("NFC", text)
    text = text.replace("…", "...").translate({0xFE0E: None, 0xFE0F: None})
    return "".join(sign for sign in text if not sign.isspace() and unicodedata.category(sign) not in ("Cf", "Cc"))


def compiled(engine: str, passages: Sequence[Sequence[str]], folder: Path) -> str:
    """The text of the heatmap in the PDF, in the order in which it was set: `-raw` leaves right-to-left words as they are."""
    text = "".join("".join(passage) for passage in passages)
    needs_fonts_for(text)
    source = heatmap_latex_document(text_heatmap(make_scores(passages)), width=6.0)
    if engine == "pdflatex" and "T5" in source:
        needs_tex_file("t5enc.def", "vntex, in Debian's texlive-lang-other")
    done = compile_with(engine, folder, source)
    assert done.returncode == 0, [line for line in done.stdout.split("\n") if line.startswith("!")]
    log = (folder / "heatmap.log").read_text(encoding="utf-8", errors="replace")
    assert [line for line in log.split("\n") if "Missing character" in line or "Overfull" in line] == []
    needs_program("pdftotext", "poppler")
    run = subprocess.run(["pdftotext", "-raw", "heatmap.pdf", "-"], cwd=folder, capture_output=True, check=True)
    found = re.search(r"nats per token\n(.*)\nlog-prob \(nats\)", run.stdout.decode(), re.DOTALL)
    assert found is not None
    return found[1]


def refused(engine: str, text: str) -> bool:
    """Whether the first lines of the file say that the engine cannot set the text."""
    head = heatmap_latex_document(text_heatmap(make_scores([[text]])))
    return f"{engine}" not in re.findall(r"% (.*)\n% \\caption", head)[0]


def drawn_lines(sample: Path) -> list[str]:
    """Return the lines of a sample that have characters.

    Signs for line ends and tabs are put together from several: they are left out, and tested by themselves.
    """
    drawn = drawable(sample.read_text(encoding="utf-8").replace("\t", " "), set())
    return [line for line in drawn.split("↵") if line.strip()]


# What an engine cannot set, the file says in its first lines.
SCRIPTS_SET = [(script, engine) for script, text in SCRIPTS.items() for engine in ENGINES if not refused(engine, text)]
SAMPLES_SET = [
    pytest.param(sample, engine, id=f"{sample.stem}-{engine}")
    for sample in SAMPLES
    for engine in ENGINES
    if not refused(engine, "".join(drawn_lines(sample)))
]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "engine"), SCRIPTS_SET)
def test_every_character_of_a_script_is_in_the_pdf(script: str, engine: str, tmp_path: Path) -> None:
    text = SCRIPTS[script]
    passages = [list(text), by_bytes(text, 2), by_bytes(text, 3), by_words(text)]
    assert comparable(compiled(engine, passages, tmp_path)) == comparable(text * len(passages))


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "engine"), SAMPLES_SET)
def test_every_character_of_a_sample_is_in_the_pdf(sample: Path, engine: str, tmp_path: Path) -> None:
    lines = drawn_lines(sample)
    assert comparable(compiled(engine, [*map(by_words, lines)], tmp_path)) == comparable("".join(lines))


def test_the_samples_and_scripts_are_set_by_lualatex_and_those_of_one_direction_by_xelatex() -> None:
    assert len(SAMPLES) > 6
    for text in (*SCRIPTS.values(), *(path.read_text(encoding="utf-8") for path in SAMPLES)):
        assert not refused("lualatex", text)
        assert refused("xelatex", text) == any(strong_direction(sign) == "R" for sign in text)


def test_a_mark_that_opens_a_token_is_set_with_its_letter_and_in_its_font() -> None:
    source = heatmap_latex_document(text_heatmap(make_scores([["क", "ि", "त", "ाब"], ["ि"]])))
    assert r"{\TVfDevanagari कि}" in source
    assert r"{\TVfDevanagari ता}" in source
    assert r"{\TVfDevanagari ि}" in source  # a text that begins with one
