"""What is pulled, compiled for real: names and numbers come out of the PDF as they are in the runs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kept_runs import keep_pair
from programs import needs_program, needs_tex_file
from tables import long_pair, make_scores

from tokenviz.figures.typeset.latex import latex_prelude, latex_text
from tokenviz.paper.manifest import Order
from tokenviz.paper.numbers import Number, number_tex, numbers_tex
from tokenviz.paper.pulling import pull

EXAMPLE = Path(__file__).resolve().parents[2] / "paper" / "example.tex"
HOSTILE = ["50% of $x_1$ & more", "^^M#1~{}", "tiếng Việt, đọc"]
MORE = [
    "\\input{/etc/passwd}", "\\end{document}", "a--b <<c>> ?`", "“quoted” 'text'", "100 % – naïve façade",
    "\\newcommand{\\x}{y}", "a  b",
]  # fmt: skip
PREAMBLE = r"""\documentclass{article}
\usepackage[T5,T1]{fontenc}
\usepackage[paperwidth=60cm, paperheight=60cm, margin=1cm]{geometry}
\usepackage{lmodern, booktabs, graphicx, xcolor}
\input{glyphtounicode}\pdfgentounicode=1
\pagestyle{empty}
\input{numbers}
\input{captions}
\begin{document}
\raggedright
"""


def compiled(folder: Path, name: str) -> str:
    """The text of a document's PDF, in the order in which it stands on the page, spaces made single."""
    needs_program("pdflatex", "TeX Live")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, "\n".join(done.stdout.splitlines()[-30:])
    assert "Overfull" not in done.stdout
    needs_program("pdftotext", "poppler")
    run = subprocess.run(["pdftotext", "-layout", f"{name}.pdf", "-"], cwd=folder, capture_output=True, check=True)
    return " ".join(run.stdout.decode().split())


@pytest.mark.parametrize("name", [*HOSTILE, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_hostile_names_stay_names_in_tables_numbers_and_captions(project: Path, name: str) -> None:
    needs_tex_file("t5enc.def", "vntex, in Debian's texlive-lang-other")
    tokens = [" one", " two", " three", " four"] * 6
    values = [float("nan"), *(-0.5 - 0.25 * (row % 7) for row in range(23))]
    a = make_scores([tokens], values, model=f"model {name}", name=f"text {name}")
    b = make_scores(
        [tokens], [value * 1.3 - 0.1 * (row % 3) for row, value in enumerate(values)], model="b", name=f"text {name}"
    )
    keep_pair(a, b)
    folder = project / "paper"
    pull(Order(experiment="trial", figures=("heatmap", "scatter"), formats=("pdf", "tex")), folder)
    [figure] = (folder / "figures").glob("*_b_scatter.pdf")
    captions, numbers = (
        re.findall(r"\\newcommand\{\\(\w+)\}", (folder / f"{file}.tex").read_text()) for file in ("captions", "numbers")
    )
    assert len(captions) == 6
    assert len(numbers) > 40
    body = [
        "\\input{tables/scores}\\par\\input{tables/comparisons}\\par",
        f"\\includegraphics[width=5cm]{{{figure.relative_to(folder)}}}\\par",
        *(f"\\{macro}\\par" for macro in captions),
        *(f"\\{macro}, $\\{macro}$\\par" for macro in numbers),
        "\\end{document}",
    ]
    (folder / "paper.tex").write_text(PREAMBLE + "\n".join(body), encoding="utf-8")
    text = compiled(folder, "paper")
    shown = " ".join(name.split())
    # Twice in the tables of two rows and one, once in the caption of each of four figures, twice where two models share one.
    assert text.count(f"text {shown}") >= 6
    assert text.count(f"model {shown}") >= 5


def test_spaces_of_a_name_are_all_there() -> None:
    assert latex_text("one two  three ") == "one two\\ \\ three\\ "
    assert latex_text(" 95 % of") == "\\ 95 \\% of"
    assert latex_prelude("plain é") == ""
    assert latex_prelude("đọc").startswith("\\protected\\gdef\\TVv")


@pytest.mark.parametrize(
    ("printed", "tex"), [("0.942", "0.942"), ("−0.031", "\\ensuremath{-0.031}"), ("–", "\\textendash{}"), ("1234", "1234")]
)
def test_numbers_are_set_in_text_and_formulas(printed: str, tex: str) -> None:
    assert number_tex(printed) == tex


def test_a_comment_stays_on_its_line() -> None:
    from tokenviz.paper.runs import PaperRun
    from tokenviz.tracking.finding import FoundRun

    run: FoundRun = object.__new__(FoundRun)
    paper_run = PaperRun(run, "score", ("a\n\\input{x}",), "b\r\\input{y}\x0b\x0c")
    number = Number("n", "what\nit is", "1", reason="")
    undetermined = Number("r", "r", "–", reason="no\nreason")
    source = numbers_tex({paper_run: [number, undetermined]}, "tv", {"experiment": "x\ny"})
    for line in source.splitlines():
        assert not line or line.startswith(("%", "\\newcommand{\\tv"))


def test_the_example_compiles_and_holds_the_runs_numbers(project: Path) -> None:
    a, b = long_pair(60, name="correlation")
    models = ("smollm2-135m", "gemma3-270m")
    keep_pair(
        *(
            make_scores([list(table.token)], table.logprob, model=model, name="correlation")
            for table, model in zip((a, b), models, strict=True)
        )
    )
    folder = project / "paper"
    pull(Order(experiment="trial"), folder)
    shutil.copy(EXAMPLE, folder)
    text = compiled(folder, "example")
    numbers = dict(re.findall(r"^\\newcommand\{\\(\w+)\}\{(.*?)\}", (folder / "numbers.tex").read_text(), re.M))
    stem = "tvCorrelationSmollmTwoOneThreeFiveMVsGemmaThreeTwoSevenZeroMPearsonR"
    r, low, high, n = (numbers[f"{stem}{ending}"] for ending in ("", "Low", "High", "N"))
    assert (
        f"Over n = {n} segments, the log-probs of the two models correlate with r = {r} (95 % interval {low} to {high})" in text
    )
    assert f"correlation smollm2-135m gemma3-270m tokens {n} {r} [{low}, {high}]" in text
    assert "Log-prob (nats) of each token of “correlation” by smollm2-135m (n = 59 of 60 tokens) and gemma3-270m" in text
    assert f"Pearson’s r = {r} (95 % interval {low} to {high}, resampled " in text
    assert " of 60 tokens." in text
