"""The LaTeX heatmap, compiled for real: the text in the PDF is the text, nothing in it is obeyed, and errors say what to do."""

import re
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from programs import compile_with, needs_fonts_for, needs_program, needs_tex_file
from tables import NAN, falling, make_scores

from tokenviz.data.spans import Span
from tokenviz.figures.heatmap import latex
from tokenviz.figures.heatmap.definition import Source, text_heatmap
from tokenviz.figures.heatmap.latex import heatmap_latex, heatmap_latex_document
from tokenviz.figures.typeset import fonts
from tokenviz.figures.typeset import latex as escapes
from tokenviz.figures.typeset.colours import contrast, span_colours
from tokenviz.figures.typeset.fonts import drawable

HOSTILE = [
    "$$", " $x$", "\\input{/etc/passwd}", " \\write18{touch harmed}", "%", " 50% of", "{", "}", "}}", "~", "^",
    "^^M", "_", " a_b", "&", "#", "##1", "<script>", "</script>", "'", '"', "`", " ``quoted''", " --- --",
    " ,,", " <<a>>", " ?`", " !`", "|", "\\", "\\\\", "\\end{document}", "\\relax", "a\n", "\n", "\tb",
    "\x1b[31m", "\x1b]0;title\x07", "\u200b", "\u202eabc", "\u2066", "\0", " two  spaces  ", "\xa0", "Ä", "ß",
    "é", "e\u0301", "–", "—", "“x”", "…", "−", "≤", " ⟨b⟩", "€", "µ", "[x]", "]]", "*", "=", "@",
    " https://example.org/" + "very_long.path%20" * 8, "x" * 90,
]  # fmt: skip
VIETNAMESE = ["Tôi", " đọc", " tiế", "ng", " Việt", ",", " e\u0323\u0302", " ưỡ", " Ả"]
MANY_SCRIPTS = ["漢字", "かな", " 한국", "어", " ελλάδα", " привет", " हिन्दी", " ภาษา", " 🙂", " →", "∑"]
RIGHT_TO_LEFT = ["The", " שלום", " עו", "לם", " of", " مر", "حبا", " شكرا", " end", "."]


def document(source: Source, *, width: float | str = 5.0, **settings) -> str:
    return heatmap_latex_document(text_heatmap(source, **settings), width=width)


def text_of(folder: Path, done: subprocess.CompletedProcess[str]) -> str:
    """The text of the PDF, without the marks that poppler adds around right-to-left words."""
    assert done.returncode == 0, "\n".join(line for line in done.stdout.split("\n") if line.startswith("!"))
    needs_program("pdftotext", "poppler")
    run = subprocess.run(["pdftotext", "heatmap.pdf", "-"], cwd=folder, capture_output=True, check=True)
    return run.stdout.decode().translate(str.maketrans("", "", "\u202a\u202b\u202c\x0c"))


def body(text: str) -> str:
    """What stands between the panel's heading and the legend, without spaces: lines are broken anywhere."""
    found = re.search(r"nats per token\n(.*?)\nlog-prob \(nats\)", text, re.S)
    assert found is not None
    return "".join(found[1].split()).replace("…", "...")


def as_set(tokens: list[str]) -> str:
    """The text as it stands in the PDF, without spaces. Signs for line ends are put together from two, dots from three."""
    shown = unicodedata.normalize("NFC", drawable("".join(tokens), set()))
    for sign, parts in {"↵": "←", "⇥": "→|", "⇤": "|←", "…": "..."}.items():
        shown = shown.replace(sign, parts)
    return "".join(shown.split())


@pytest.mark.parametrize(
    "engine", ["pdflatex", pytest.param("lualatex", marks=pytest.mark.slow), pytest.param("xelatex", marks=pytest.mark.slow)]
)
def test_hostile_text_is_only_text(engine: str, tmp_path: Path) -> None:
    done = compile_with(engine, tmp_path, document(make_scores([HOSTILE])))
    assert body(text_of(tmp_path, done)) == as_set(HOSTILE)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".aux", ".log", ".pdf", ".tex"]  # nothing was written
    assert "Overfull" not in done.stdout
    assert "Missing character" not in done.stdout


@pytest.mark.parametrize(
    "engine", ["pdflatex", pytest.param("lualatex", marks=pytest.mark.slow), pytest.param("xelatex", marks=pytest.mark.slow)]
)
def test_vietnamese_is_set_by_every_engine(engine: str, tmp_path: Path) -> None:
    if engine == "pdflatex":
        needs_tex_file("t5enc.def", "vntex, in Debian's texlive-lang-other")
    done = compile_with(engine, tmp_path, document(make_scores([VIETNAMESE], name="tiếng Việt")))
    text = text_of(tmp_path, done)
    assert body(text) == as_set(VIETNAMESE)
    assert "each token of “tiếng Việt”" in " ".join(text.split())


@pytest.mark.slow  # TeX lists all fonts of the machine first
@pytest.mark.parametrize("engine", ["lualatex", "xelatex"])
def test_many_scripts_are_set_in_their_order(engine: str, tmp_path: Path) -> None:
    needs_fonts_for("".join(MANY_SCRIPTS))
    done = compile_with(engine, tmp_path, document(make_scores([MANY_SCRIPTS])))
    assert body(text_of(tmp_path, done)) == as_set(MANY_SCRIPTS)
    assert "Missing character" not in done.stdout


@pytest.mark.slow
def test_right_to_left_words_are_set_in_their_order(tmp_path: Path) -> None:
    done = compile_with("lualatex", tmp_path, document(make_scores([RIGHT_TO_LEFT])))
    # Poppler puts each right-to-left run in reading order.
    assert body(text_of(tmp_path, done)) == as_set(RIGHT_TO_LEFT)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40))
@example("\\input{x}$%#&_^~{}")
@settings(max_examples=300, deadline=None)
def test_every_sign_that_tex_obeys_is_escaped(text: str) -> None:
    escaped = latex._Setting(text).escaped(text)
    # What is left when our commands are taken away is the text's letters, digits and signs without a meaning to TeX.
    rest = re.sub(r"\\[a-zA-Z]+\{\}|\\[{}$&#%_ ]", "", escaped)
    assert not set(rest) & set("\\{}$&#%_^~ ")
    assert rest == "".join(sign for sign in text if sign not in escapes.COMMANDS)


@given(st.text(max_size=40))
@example("\x1b{Việt\u202e}")
@settings(deadline=None)
def test_what_is_escaped_opens_and_closes_its_groups(text: str) -> None:
    shown = escapes.as_set(text)
    escaped = latex._Setting(shown).escaped(shown)
    groups = re.sub(r"\\[{}\\]", "", escaped)
    depths = np.cumsum([0, *((sign == "{") - (sign == "}") for sign in groups)])
    assert depths[-1] == 0
    assert depths.min() == 0


def test_a_table_of_commands_names_every_sign_that_tex_obeys() -> None:
    assert set("\\{}$&#%_^~") <= set(escapes.COMMANDS)


def test_boxes_have_inks_that_can_be_read() -> None:
    made = heatmap_latex(text_heatmap(make_scores([[f"w{i}" for i in range(30)]], falling(30))))
    found = re.findall(r"\\TVb\{(\w\w)(\w\w)(\w\w)\}\{(black|white)\}\{w\d+\}", made)
    assert {ink for *_, ink in found} == {"black", "white"}
    for *parts, ink in found:
        red, green, blue = (int(part, 16) / 255 for part in parts)
        assert contrast((red, green, blue), (float(ink == "white"),) * 3) >= 4.5


@pytest.mark.parametrize("measure", ["rank_bucket", "difference", "probability"])
def test_the_legend_is_there_by_every_measure(measure: str, tmp_path: Path) -> None:
    a, b = make_scores([["The", " cat", " sat"]]), make_scores([["The", " cat", " sat"]], [NAN, -3, -0.1], model="b_1")
    source = [a, b] if measure == "difference" else a
    heatmap = text_heatmap(source, measure=measure)
    text = " ".join(text_of(tmp_path, compile_with("pdflatex", tmp_path, document(source, measure=measure))).split())
    legend = heatmap.legend
    for words in (legend.axis, *legend.ticks, *legend.lines, legend.unscored, heatmap.caption):
        assert words in text


def test_fragments_stand_in_a_column_of_somebodys_document(tmp_path: Path) -> None:
    tokens = ["The", ' "quoted"', " text", ":", " yes", "!", " https://example.org/" + "a_b" * 20, " end"] * 3
    (tmp_path / "one.tex").write_text(heatmap_latex(text_heatmap(make_scores([tokens]))), encoding="utf-8")
    (tmp_path / "two.tex").write_text(
        heatmap_latex(text_heatmap(make_scores([["Other", " words"]], name="b"))), encoding="utf-8"
    )
    # A document that has made signs active, as babel does for German and French.
    source = r"""\documentclass[twocolumn]{article}
\usepackage[T1]{fontenc}
\usepackage{lmodern,xcolor}
\input{glyphtounicode}\pdfgentounicode=1
\begin{document}
\catcode`\"=\active \def"{ACTIVE}\catcode`\!=\active \def!{ACTIVE}\catcode`\:=\active \def:{ACTIVE}
\begin{figure}\centering\input{one}\caption{\tokenvizcaption}\end{figure}
\begin{figure}\input{two}\caption{\tokenvizcaption\ Our words.}\end{figure}
Text with \textbf{black} words.
\end{document}
"""
    done = compile_with("pdflatex", tmp_path, source)
    text = " ".join(text_of(tmp_path, done).split())
    assert "ACTIVE" not in text
    assert "".join(tokens[:6]).replace(" ", "") in text.replace(" ", "")
    assert (
        "Figure 1: Log-prob (nats) of each token of “text” by model-a (n = 21 of 24 tokens)." not in text
    )  # first tokens: one
    assert "Figure 1: Log-prob (nats) of each token of “text” by model-a (n = 23 of 24 tokens)." in text
    assert "Figure 2: Log-prob (nats) of each token of “b” by model-a (n = 1 of 2 tokens)." in text
    assert "Our words." in text
    assert "Overfull" not in done.stdout


PREAMBLE = "\\documentclass{article}\n%s\n\\begin{document}\nBefore.\n%s\nAfter.\n\\end{document}\n"
T1_XCOLOR = "\\usepackage[T1]{fontenc}\\usepackage{xcolor}"
NO_UNICODE = "This heatmap holds Thai, which pdflatex cannot set: compile it with lualatex or xelatex"
ERRORS = {
    "no xcolor": ("pdflatex", "\\usepackage[T1]{fontenc}", ["abc"], "This heatmap needs \\usepackage{xcolor}"),
    "no T5": (
        "pdflatex", T1_XCOLOR, ["Việt"],
        "This heatmap holds Vietnamese and needs \\usepackage[T5,T1]{fontenc} with pdflatex",
    ),
    "a script": ("pdflatex", T1_XCOLOR, ["ภาษา"], NO_UNICODE),
    "right to left": (
        "pdflatex", T1_XCOLOR, ["שלום"],
        "This heatmap holds a script that runs from right to left, with colours: compile it with lualatex",
    ),
    "right to left, XeTeX": (
        "xelatex", "\\usepackage{xcolor,fontspec}", ["שלום"],
        "This heatmap holds a script that runs from right to left, with colours: compile it with lualatex",
    ),
    "no fontspec": ("xelatex", "\\usepackage{xcolor}", ["ภาษา"], "This heatmap needs \\usepackage{fontspec}"),
}  # fmt: skip


@pytest.mark.parametrize(("engine", "preamble", "tokens", "message"), ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_set_stops_with_what_to_do(
    engine: str, preamble: str, tokens: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "fragment.tex").write_text(heatmap_latex(text_heatmap(make_scores([tokens]))), encoding="utf-8")
    done = compile_with(engine, tmp_path, PREAMBLE % (preamble, "\\input{fragment}"))
    assert done.returncode == 1
    assert f"! Package tokenviz Error: {message}." in done.stdout.split("\n")


def test_after_an_error_the_rest_of_the_document_goes_on(tmp_path: Path) -> None:
    needs_program("pdflatex", "TeX Live")
    (tmp_path / "fragment.tex").write_text(heatmap_latex(text_heatmap(make_scores([["ภาษา"]]))), encoding="utf-8")
    (tmp_path / "heatmap.tex").write_text(PREAMBLE % (T1_XCOLOR, "\\input{fragment}"), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "heatmap.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert [line for line in done.stdout.split("\n") if line.startswith("!")] == [
        line for line in done.stdout.split("\n") if line.startswith("! Package tokenviz Error")
    ]
    assert text_of(tmp_path, subprocess.CompletedProcess(command, 0, done.stdout)).split() == ["Before.", "After.", "1"]


@pytest.mark.parametrize(
    ("families", "message"),
    [
        (("No Such Font",), "No font for Thai is installed: install No Such Font (Debian: fonts-noto-core)"),
        (("DejaVu Sans",), "The font of this heatmap has no U+0E01: install DejaVu Sans (Debian: fonts-noto-core)"),
    ],
)
def test_a_font_that_is_not_there_stops_with_its_name(families, message: str, tmp_path: Path, monkeypatch) -> None:
    table = tuple(replace(script, families=families) if script.name == "Thai" else script for script in fonts.SCRIPTS)
    monkeypatch.setattr(fonts, "SCRIPTS", table)
    fonts.script_of.cache_clear()
    try:
        source = document(make_scores([["ก"]]))
    finally:
        fonts.script_of.cache_clear()
    done = compile_with("xelatex", tmp_path, source)
    assert f"! Package tokenviz Error: {message}." in done.stdout.split("\n")


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        (["abc"], "% pdflatex, lualatex or xelatex."),
        (["Việt"], "% lualatex, xelatex, or pdflatex with \\usepackage[T5,T1]{fontenc}."),
        (["漢字", "ก"], "% lualatex or xelatex with \\usepackage{fontspec}, for Thai, Chinese, Japanese and Korean."),
        (["שלום"], "% lualatex with \\usepackage{fontspec}, for Hebrew."),
        (["a\u200db"], "% lualatex or xelatex with \\usepackage{fontspec}, for signs beyond T1."),
        (["👨\u200d👩"], "% lualatex or xelatex with \\usepackage{fontspec}, for emoji."),
    ],
    ids=["Latin", "Vietnamese", "two scripts", "right to left", "a joiner", "joined emoji"],
)
def test_the_first_lines_say_which_engine_is_needed(tokens: list[str], line: str) -> None:
    assert heatmap_latex(text_heatmap(make_scores([tokens]))).split("\n")[1] == line


def test_what_made_it_is_one_line_of_comment() -> None:
    fragment = heatmap_latex(text_heatmap(make_scores([["a"]])), about='{"run": "1\\u000a2"}')
    assert '% \\caption{\\tokenvizcaption} states what it shows. {"run": "1\\u000a2"}' in fragment.split("\n")


def test_spans_have_lines_and_names_above_the_text(tmp_path: Path) -> None:
    scores = make_scores([["Alice", " was", " very", " tired", "."], ["No", " one", "."]])
    spans = ((Span("a_b%$ #1", 0, 9), Span("rest", 14, 20)), (Span("rest", 0, 6),))
    source = document(replace(scores, spans=spans))
    boxes = re.findall(r"\\TVspan\{(\w+)\}\{(.*?)\}\{\\TV[nb]", source)
    first, second = (colour[1:].upper() for colour in span_colours(["a_b%$ #1", "rest"]).values())
    assert boxes == [
        (first, r"a\_b\%\$ \#1"), (first, ""), (second, "rest"), (second, "rest"), (second, ""),
    ]  # fmt: skip
    done = compile_with("pdflatex", tmp_path, source)
    found = body(text_of(tmp_path, done))
    assert "Overfull" not in done.stdout
    for words in ("a_b%$#1", "Alicewasverytired.", "rest", "Noone."):
        assert words in found
    assert "\\TVspan" not in document(scores)


def test_the_name_of_a_span_has_its_own_direction_in_a_line_from_right_to_left() -> None:
    spans = ((Span("noun", 0, 4), Span("שם", 5, 11)),)
    source = heatmap_latex(text_heatmap(replace(make_scores([["שלום", " חתולים"]]), spans=spans)))
    assert re.findall(r"\\TVspan\{\w+\}\{(\\TV.*?)\}\{\\TV[nb]", source) == [r"\TVL{noun}", r"\TVR{{\TVfHebrew שם}}"]
