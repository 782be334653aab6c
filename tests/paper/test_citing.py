"""`tokenviz cite`: what stands behind runs, as BibTeX that LaTeX takes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from conftest import Run
from kills import draw_in_no_time
from run_records import filled, make_record

import tokenviz as tv
from tokenviz.base.errors import PaperError, StoreError
from tokenviz.harness.results import GridResult
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.catalogue import CATALOGUE
from tokenviz.paper.citing import bibliography, cite
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import open_store


@pytest.fixture
def grid(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GridResult:
    """Two settings of one model on a text of a Vietnamese name with all that LaTeX minds."""
    draw_in_no_time(monkeypatch)
    folder = make_bigram_folder(tmp_path / "a_1", BIGRAM_WEIGHTS)
    with running(ExperimentContext("citations", "", {}, force=False)):
        grid = tv.Grid([str(folder), f"{folder},dtype=float64"], [tv.literal("c a b", name="chữ 50% & $x_1$ {y}")], top_k=0)
        grid.score()
        grid.compare()
        return grid.summarise("")


def test_a_summary_stands_for_its_grid_and_each_is_there_once(grid: GridResult) -> None:
    citations = cite([grid.summary_run_id], open_store())
    assert [one.key for one in citations][:3] == ["tokenviz", "torch", "transformers"]
    models = [one for one in citations if one.key.startswith("model-")]
    texts = [one for one in citations if one.key.startswith("text-")]
    assert (len(models), len(texts)) == (1, 1)
    assert "dtype=float64" in models[0].fields["note"]
    assert texts[0].fields["note"].startswith("Text of 1 passage; sha256 ")
    assert re.search(r"sha256 [0-9a-f]{16}\.\.\.$", texts[0].fields["note"])
    assert citations[0].fields["note"] == f"Version {tv.__version__}"
    by_pair = cite([grid.comparisons[0].run_id], open_store())
    assert [one.key for one in by_pair] == [one.key for one in citations]
    one = cite([grid.scores[0].run_id, grid.scores[0].run_id], open_store())
    assert len(one) == len(citations)


def test_a_model_of_the_catalogue_is_cited_as_its_makers_ask(project: Path) -> None:
    known = CATALOGUE["smollm2-135m"]
    params = {
        "model": "smollm2-135m",
        "source": "catalogue",
        "identity": known.identity,
        "text": "x",
        "text_sha256": "0" * 64,
        "n_passages": 2,
    }
    run_id = Runs(open_store(), "an experiment", "").keep("f", filled(make_record("f", tags={"kind": "score"}, params=params)))
    (model,) = (one for one in cite([run_id], open_store()) if one.key == "model-smollm2-135m")
    assert model.fields["eprint"] == "2502.02737"
    assert f"identity sha256:{known.sha256[:16]}.../v1; licence Apache-2.0" in model.fields["note"]


def test_what_is_no_run_of_a_text_is_refused(project: Path) -> None:
    run_id = Runs(open_store(), "an experiment", "").keep("f", filled(make_record("f", tags={"kind": "other"}, params={})))
    with pytest.raises(PaperError, match="is about no model and no text: name a score, a comparison or a summary run"):
        cite([run_id], open_store())
    with pytest.raises(StoreError, match="no run 'abcd'"):
        cite(["abcd"], open_store())


def test_a_file_that_is_not_ours_stays(grid: GridResult, run: Run, tmp_path: Path) -> None:
    paper = tmp_path / "paper"
    code, out, _ = run("cite", grid.summary_run_id, "--to", str(paper))
    assert (code, out) == (0, f"{paper / 'references.bib'}\n")
    assert run("cite", grid.summary_run_id, "--to", str(paper))[0] == 0
    assert run("cite", grid.summary_run_id)[1] == (paper / "references.bib").read_text()
    (paper / "references.bib").write_text("@misc{mine}\n")
    code, _, err = run("cite", grid.summary_run_id, "--to", str(paper))
    assert (code, err) == (1, f"error: '{paper}/references.bib' was not written by tokenviz: move it, or give another folder\n")
    assert (paper / "references.bib").read_text() == "@misc{mine}\n"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bibtex") is None or shutil.which("pdflatex") is None, reason="no LaTeX (texlive-latex-base)")
def test_latex_takes_it(grid: GridResult, tmp_path: Path) -> None:
    citations = cite([grid.summary_run_id], open_store())
    (tmp_path / "references.bib").write_text(bibliography(citations))
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage[T5,T1]{fontenc}\usepackage{lmodern}\begin{document}\nocite{*}"
        r"\bibliographystyle{plain}\bibliography{references}\end{document}"
    )
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"]
    for command in (latex, ["bibtex", "paper"], latex, latex):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout
        assert "Warning--" not in done.stdout
    text = subprocess.run(["pdftotext", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "chữ 50% & $x_1$ {y}" in text
