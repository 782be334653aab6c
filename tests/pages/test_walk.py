"""What a newcomer sees in MLflow's pages, walked in a browser as docs/walk.py does for the pictures of docs/ui.md."""

import re
import sys
import time
from pathlib import Path

import pytest

import tokenviz as tv
from tokenviz.harness.grid import Grid
from tokenviz.harness.results import chart_link, runs_link
from tokenviz.harness.session import ExperimentContext, running

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.slow
@pytest.mark.browser
def test_a_newcomer_finds_the_heatmap_the_text_and_the_chart(chromium, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import walk

    # What the way does not pass by need not be drawn.
    monkeypatch.setattr("tokenviz.harness.grid.run_formats", lambda asked: ())
    monkeypatch.setattr("tokenviz.harness.kinds.comparison._FIGURES", ("heatmap",))
    models, text = ("glass-en", "glass-en,dtype=float64"), tv.read_text("experiments/texts/passage_en.txt")
    with running(ExperimentContext("trial", "How alike\nare they?")):
        grid = Grid(models, [text], top_k=2)
        grid.score()
        grid.compare()
        result = grid.summarise("Found.")
    seen = {}
    with walk.pages(project) as address:
        runs, chart = (link.replace(result.web_address, address) for link in (runs_link(result), chart_link(result)))
        for name in walk.walk(chromium, walk.Way(f"{address}/", runs, chart, text.name, models)):
            time.sleep(0.5)  # until all of it is there
            seen[name] = chromium.find_element("css selector", "body").text
            if name == "heatmap":
                assert walk.heatmap_text(chromium) == [text.passages[0]] * 2
    # The list: what was asked, names for a reader, the numbers of scores and of comparisons.
    assert "How alike are they?" in seen["runs"]
    for words in ("summary · trial", "passage_en · glass-en", "pearson_r", "concordance", "mean_logprob"):
        assert words in seen["runs"]
    # The run: its headline, in sight.
    assert "Text heatmap, report\nPearson's r: 1.000" in seen["run"]
    # The dataset: the beginning of the text.
    assert f"line 1: {text.passages[0][:40]}" in seen["dataset"]
    # The chart: a line for each of the two models, and no other run's.
    assert all(f"passage_en · {model} (token/logprob)" in seen["chart"] for model in models)
    # Without a view the list has numbers, too. Two runs side by side: what was chosen and found, no last value of a curve.
    for page in ("plain list", "compare"):
        assert "bits_per_byte" in seen[page]
        assert "token/logprob" not in seen[page]
    assert "pearson_r" in seen["plain list"]
    # The page of models: a row for each, a number for each text.
    assert f"{text.name} (#{text.sha256[:36]})" in seen["models"]
    rows = [run.metrics["bits_per_byte"] for run in result.scores]
    assert all(f"{value:.6f}"[:-1] in seen["models"] for value in rows)
    assert all(model in seen["models"] for model in models)
    assert seen["models"].count("Ready") == 2
    compared = seen["compare"][seen["compare"].index("Parameters") :]
    assert re.search(r"\bdtype\s+float32 float64", compared)
    assert not re.search("intervals|_low|_high|block_length|scoring_seconds", compared.partition("Tags")[0])
    assert "2 matching runs" in seen["chart"]
    assert "1 matching run" in seen["pairs"]
    assert "3 matching runs" in seen["filtered"]
    sys.modules.pop("walk")


def test_the_page_shows_the_pictures_that_the_walk_takes() -> None:
    page = (DOCS / "ui.md").read_text(encoding="utf-8")
    pictures = sorted((DOCS / "images").glob("ui_*.png"))
    assert len(pictures) == 8
    assert all(f"](images/{path.name})" in page for path in pictures)
    assert all(path.stat().st_size < 150_000 for path in pictures)
