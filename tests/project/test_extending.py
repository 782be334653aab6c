"""Measures, figures and experiments of somebody's own, each in one file, as docs/extending.md shows them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Run
from writing import ALICE

import tokenviz as tv
from tokenviz.base.display import cell
from tokenviz.comparing.agreement import correlate
from tokenviz.figures.heatmap.measures import TokenMeasure
from tokenviz.harness.grid import Grid
from tokenviz.harness.measures import position_measure
from tokenviz.models.loading import LoadedModel
from tokenviz.scoring.positions import position_values


def doubt(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return 1 - logits.softmax(dim=-1).amax(dim=-1)


def files_of(run_id: str, project: Path) -> Path:
    (folder,) = project.glob(f"mlruns/artifacts/*/{run_id}/artifacts")
    return folder


def test_a_measure_of_ones_own_is_a_run_with_table_heatmap_chart_and_correlation(project: Path, glass: LoadedModel) -> None:
    about = {"unit": "", "source": "a test", "dark": "low", "ends": ("doubtful", "sure")}
    measure = position_measure("doubt", doubt, **about)
    grid = Grid(["glass-en"], ["correlation"])
    (run,) = grid.measure(measure)
    (scored,) = grid.made.scores  # made first, since the heatmap stands on them
    table = run.table
    assert list(table) == ["passage", "position", "token", "logprob", "doubt"]
    assert "".join(table["token"]) == (project / "experiments" / "texts" / "correlation.txt").read_text()
    expected = position_values(glass, tv.read_text("experiments/texts/correlation.txt"), doubt)
    np.testing.assert_allclose(table["doubt"], expected.values, atol=1e-5)
    assert run.metrics["mean_doubt"] == pytest.approx(np.nanmean(expected.values), abs=1e-6)
    assert run.metrics["n"] == len(table) - 1
    known = table.dropna()
    r = np.corrcoef(known["doubt"], known["logprob"])[0, 1]
    assert run.metrics["pearson_r_with_logprob"] == pytest.approx(r)
    assert run.metrics["pearson_r_with_logprob_low"] < r < run.metrics["pearson_r_with_logprob_high"]
    figures = files_of(run.run_id, project) / "figures"
    assert {path.name for path in figures.iterdir()} == {"heatmap.html"}
    page = (figures / "heatmap.html").read_text()
    assert "doubtful at the light end, sure at the dark end" in page
    assert re.search(r'title="doubt 0\.\d+, log-prob -', page)
    found = tv.load_runs(where="kind=doubt")
    assert found["run_id"].tolist() == [run.run_id]
    assert len(scored.scores) == len(table)
    # Finished, it is found; under another function it is another measure.
    (again,) = Grid(["glass-en"], ["correlation"]).measure(measure)
    assert (again.run_id, again.reused) == (run.run_id, True)
    (other,) = Grid(["glass-en"], ["correlation"]).measure(position_measure("doubt", lambda logits, ids: logits[:, 0], **about))
    assert other.run_id != run.run_id


def test_a_heatmap_shows_any_measure(glass: LoadedModel) -> None:
    scores = tv.score(glass, ALICE)
    look = TokenMeasure(name="doubt", label="doubt", unit="", dark="low", take=lambda table: np.exp(table.logprob))
    heatmap = tv.text_heatmap(scores, measure=look)
    np.testing.assert_array_equal(heatmap.panels[0].values, np.exp(scores.logprob))
    assert heatmap.caption.startswith("Doubt of each token")


def test_correlations_of_any_two_rows() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=300)
    y = 100 * x + 50 * generator.normal(size=300)
    x[5] = np.nan
    together = correlate(x, y, passages=np.zeros(300, np.int64))
    found = together.estimates
    assert together.intervals_from.startswith("95 % intervals from 2,000 resamples of 43 blocks of 7 tokens")
    known = ~np.isnan(x)
    assert found["pearson_r"].value == pytest.approx(np.corrcoef(x[known], y[known])[0, 1])
    assert found["pearson_r"].low < found["pearson_r"].value < found["pearson_r"].high
    assert set(found) == {"pearson_r", "spearman_rho"}


STUDY = '''"""What of it?"""

from beside import ANSWER

from tokenviz import Grid, GridResult, experiment


@experiment
def study(texts: list[str] = ["correlation"]) -> GridResult:
    """Score it."""
    grid = Grid(["glass-en"], texts)
    grid.score()
    return grid.summarise(ANSWER)
'''


def test_an_experiment_in_a_file_anywhere_is_run_by_its_path(
    run: Run, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "study.py").write_text(STUDY)
    (folder / "beside.py").write_text("ANSWER = 'Forty-two.'\n")
    code, out, err = run("run", str(folder / "study.py"), "--json")
    assert code == 0, err
    assert json.loads(out)["experiment"] == "study"
    assert tv.load_runs("study")["text"].tolist() == ["", "correlation"]  # summary and score
    # Nobody's commit holds the file: each run does.
    for run_id in tv.load_runs("study")["run_id"]:
        assert (files_of(run_id, project) / "provenance" / "study.py").read_text() == STUDY
    code, out, _ = run("run", str(folder / "study.py"), "--help")
    assert (code, "--texts" in out) == (0, True)


def test_the_measure_of_the_documentation(run: Run) -> None:
    example = Path(__file__).resolve().parents[2] / "docs" / "examples" / "margin.py"
    code, out, err = run("run", str(example), "--json")
    assert code == 0, err
    (row,) = json.loads(out)["tables"]["margin"]
    assert row["n"] == 295
    table = tv.load_tokens("margin")
    assert isinstance(table, pd.DataFrame)
    assert len(table) == 296


def test_a_measure_is_computed_again_from_the_file_of_its_experiment(run: Run, project: Path) -> None:
    example = Path(__file__).resolve().parents[2] / "docs" / "examples" / "margin.py"
    path = Path(shutil.copy(example, project / "own.py"))
    (project / "short.txt").write_text("Alice was beginning to get very tired.")
    code, out, err = run("run", "own.py", "--texts", "short.txt", "--json")
    assert code == 0, err
    (measured,) = json.loads(out)["measures"]
    code, out, err = run("rerun", measured["run_id"])
    assert (code, out.startswith("agrees  ")) == (0, True), err
    assert out.endswith(": every value is the same to the last bit\n")
    path.write_text(path.read_text().replace("return first - second", "return 2 * (first - second)"))
    code, out, _ = run("rerun", measured["run_id"])
    assert (code, out.startswith("DIFFERS  ")) == (1, True)
    assert ": values differ by " in out
    assert f"    mean_margin: {cell(measured['mean_margin'])} then, {cell(2 * measured['mean_margin'])} now\n" in out
    assert "    changed since: function " in out
    path.write_text(path.read_text().replace('"margin",\n', '"lead",\n'))
    for _ in ("a file without a measure of this name", "no file"):
        code, _, err = run("rerun", measured["run_id"])
        assert code == 1
        assert err.endswith(
            f"run {measured['run_id']} of kind 'margin' does not say enough to be computed again by itself: repeat 'tokenviz "
            "run own.py --texts short.txt --json --force' and compare the runs\n"
        )
        path.unlink(missing_ok=True)
