"""The grid: one run a cell, nothing twice, nothing lost, everything that moves a number in the fingerprint."""

import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from architectures import make_folder
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder, make_two_models
from conftest import Run
from kept_runs import TEXTS, run_grid
from kills import draw_in_no_time
from tables import NAN, make_scores

import tokenviz as tv
from tokenviz.base.errors import FigureError, ScoringError
from tokenviz.base.progress import collecting
from tokenviz.data.scores import TokenScores
from tokenviz.figures.heatmap.measures import run_limits
from tokenviz.harness.grid import Grid
from tokenviz.harness.kinds.comparison import COMPARISON_METRICS
from tokenviz.harness.kinds.score import ScoreRun, logprob_curve
from tokenviz.harness.measures import DIVERGENCES
from tokenviz.harness.results import GridResult, figure_link
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.loading import LoadedModel
from tokenviz.records.run import TOKENS_TABLE
from tokenviz.tracking.finding import find_run
from tokenviz.tracking.store import open_store


@pytest.fixture
def real_figures() -> None:
    """For the tests that look at figures."""


@pytest.fixture(autouse=True)
def quick_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others need not wait until they are drawn."""
    if "real_figures" not in request.fixturenames:
        draw_in_no_time(monkeypatch)


@pytest.fixture
def models(project: Path) -> list[str]:
    """Two bigram models of one tokenizer, as folders."""
    return make_two_models(project)


def scores_again(models: list[str], **settings: Any) -> list[bool]:
    """Score one text by the models and say of each whether its run was there already."""
    return [run.reused for run in scored(models, **settings)]


def scored(models: list[str], **settings: Any) -> list[ScoreRun]:
    with running(ExperimentContext("trial")):
        return Grid(models, [tv.literal(TEXTS[0])], **{"top_k": 2, **settings}).score()


def finished(kind: str) -> list[str]:
    store = open_store()
    experiment = store.client.get_experiment_by_name("trial")
    query = f"tags.`tokenviz.kind` = '{kind}' and attributes.status = 'FINISHED'"
    return [run.info.run_id for run in store.client.search_runs([experiment.experiment_id], query)]


def test_every_cell_is_one_run(models: list[str]) -> None:
    result = run_grid(models)
    assert (len(finished("score")), len(finished("comparison")), len(finished("summary"))) == (4, 2, 1)
    assert {run.run_id for run in result.scores} == set(finished("score"))
    assert {run.run_id for run in result.comparisons} == set(finished("comparison"))
    assert [result.summary_run_id] == finished("summary")


def test_a_score_run_holds_tables_figures_numbers_and_settings(models: list[str], tmp_path: Path, real_figures: None) -> None:
    scored = run_grid(models).scores[0]
    client = open_store().client
    run = client.get_run(scored.run_id)
    names = {file.path for folder in ("tables", "figures") for file in client.list_artifacts(scored.run_id, folder)}
    assert names == {"tables/tokens.parquet", "tables/tokens.csv", "figures/heatmap.html"}
    table = TokenScores.load(Path(client.download_artifacts(scored.run_id, TOKENS_TABLE, str(tmp_path))))
    assert run.data.metrics["n_tokens"] == 8
    assert run.data.metrics["n_scored"] == 7
    assert run.data.metrics["mean_logprob"] == table.logprob[1:].mean()
    # Few numbers, that of the headline first; whoever reads the run finds the others with them, and no number of a curve.
    shown = ["bits_per_byte", "mean_logprob", "perplexity_per_token", "mean_entropy", "share_rank_1", "n_tokens", "n_scored"]
    assert {name: value for name, value in run.data.metrics.items() if math.isfinite(value)}.keys() == set(shown)
    assert math.isnan(run.data.metrics["token/logprob"])
    assert run.data.params["model"] == "first"
    # What identifies rather than what was chosen is in tags; whoever reads the run finds both together.
    assert run.data.tags["tokenviz.identity.bos_ids"] == "[]"
    assert run.data.tags["tokenviz.identity.text_sha256"] == table.text_sha256
    assert run.data.params.keys() & {"bos_ids", "identity", "text_sha256", "tokenizer", "hardware_cores"} == set()
    found = find_run(scored.run_id, open_store())
    assert (found.params["bos_ids"], found.params["text_sha256"]) == ("[]", table.text_sha256)
    assert found.params.items() >= run.data.params.items()
    assert not any(name.startswith(("identity", "numbers")) for name in found.tags)
    assert next(iter(found.metrics)) == "bits_per_byte"
    assert found.metrics.keys() > {*shown, "n_bytes", "n_unread", "scoring_seconds"}
    assert found.metrics == scored.metrics
    *curve, end = client.get_metric_history(scored.run_id, "token/logprob")
    assert [(point.step, point.value) for point in curve] == list(enumerate(table.logprob.tolist()))[1:]
    assert (end.step, math.isnan(end.value)) == (8, True)


def test_curves_of_two_tokenizers_lie_on_one_another() -> None:
    whole = make_scores([["ab", "cd", " ef"], ["gh"]], [NAN, -1.0, -2.0, -3.0])
    parts = make_scores([["a", "b", "c", "d", " e", "f"], ["g", "h"]], [NAN, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0])
    assert logprob_curve(whole) == [(2, -1.0), (4, -2.0), (7, -3.0)]
    assert logprob_curve(parts) == [(1, -1.0), (2, -2.0), (3, -3.0), (4, -4.0), (6, -5.0), (7, -6.0), (8, -7.0)]


def test_the_numbers_of_a_comparison_run_are_those_of_its_table(models: list[str], tmp_path: Path) -> None:
    compared = run_grid(models).comparisons[0]
    client = open_store().client
    run = client.get_run(compared.run_id)
    units = pd.read_parquet(client.download_artifacts(compared.run_id, "tables/units.parquet", str(tmp_path)))
    both = units.dropna()
    assert run.data.metrics["n"] == len(both) == 7
    assert run.data.metrics["pearson_r"] == pytest.approx(np.corrcoef(both.logprob_a, both.logprob_b)[0, 1], abs=1e-12)
    assert run.data.metrics["mean_difference"] == pytest.approx((both.logprob_b - both.logprob_a).mean(), abs=1e-12)
    assert run.data.params["by"] == "token"
    assert "n = 7 tokens" in run.data.tags["mlflow.note.content"]


def test_a_comparison_run_holds_its_statistics_with_intervals(models: list[str], tmp_path: Path) -> None:
    compared = run_grid(models, texts=["abcd" * 15 + "dcba" * 15]).comparisons[0]
    client = open_store().client
    run = client.get_run(compared.run_id)
    comparison = compared.comparison
    names = {file.path for file in client.list_artifacts(compared.run_id, "tables")}
    assert names == {
        "tables/units.parquet", "tables/units.csv", "tables/statistics.parquet", "tables/statistics.csv",
        "tables/largest_differences.csv", "tables/gaps.csv",
    }  # fmt: skip
    table = pd.read_parquet(client.download_artifacts(compared.run_id, "tables/statistics.parquet", str(tmp_path)))
    assert table["statistic"].tolist() == list(comparison.estimates())
    found = find_run(compared.run_id, open_store())
    assert set(found.metrics) == {*COMPARISON_METRICS, "n", "n_units", "n_resampled_blocks", "block_length"}
    assert set(run.data.metrics) == {
        "pearson_r", "concordance", "mean_difference", "spearman_rho", "kendall_tau", "rms_difference",
        "share_b_more_confident", "share_same_first", "n", "n_units",
    }  # fmt: skip
    for name, estimate in comparison.estimates().items():
        row = table[table["statistic"] == name].iloc[0]
        assert (row["value"], row["low"], row["high"], row["method"]) == (
            estimate.value, estimate.low, estimate.high, estimate.method,
        )  # fmt: skip
        for ending, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
            assert found.metrics.get(name + ending, value) == value
    r = comparison.pearson_r
    assert found.metrics["pearson_r_low"] < r.value < found.metrics["pearson_r_high"]
    assert (
        f"Pearson's r: {r.value:.3f}, 95 % interval {r.low:.3f} to {r.high:.3f} (n = 119 tokens; resampled {r.drawn_from})"
        in (run.data.tags["mlflow.note.content"])
    )
    assert run.data.params.keys() == {"model_a", "model_a_description", "model_b", "model_b_description", "text", "by"}
    assert found.params["intervals"] == comparison.intervals_from
    assert comparison.intervals_from.startswith("95 % intervals from 2,000 resamples of 5 blocks of 29 tokens")


def test_intervals_are_read_back_from_the_run(models: list[str]) -> None:
    text = "abcd" * 15 + "dcba" * 15
    made, found = (run_grid(models, texts=[text]).comparisons[0] for _ in range(2))
    assert found.reused
    for name in ("pearson_r", "concordance", "mean_difference"):
        estimate, again = made.comparison.estimates()[name], found.estimate(name)
        assert (estimate.value, estimate.n, estimate.low, estimate.high) == (again.value, again.n, again.low, again.high)
    assert math.isnan(found.estimate("spearman_rho").low)
    assert found.comparison.pearson_r == made.comparison.pearson_r


def test_a_comparison_run_holds_its_figures(models: list[str], real_figures: None) -> None:
    compared = run_grid(models).comparisons[0]
    names = {file.path for file in open_store().client.list_artifacts(compared.run_id, "figures")}
    assert names == {"figures/scatter.png", *(f"figures/{name}.html" for name in ("heatmap", "difference", "report"))}


@pytest.mark.slow
@pytest.mark.parametrize("limits", ["text", "p5", "-7.5,-0.25"])
def test_what_a_run_does_not_hold_is_fetched_as_the_run_would_have_drawn_it(
    models: list[str], run: Run, project: Path, real_figures: None, limits: str
) -> None:
    wanted = {
        "scores": ("heatmap.pdf", "heatmap.svg", "heatmap.png"),
        "comparisons": ("heatmap.svg", "heatmap.png", "scatter.pdf", "gaps.png", "along_text.png"),
    }
    held: dict[str, dict[str, bytes]] = {}
    for formats in (("png", "svg", "pdf"), ()):
        context = ExperimentContext("trial", force=True, limits=run_limits(limits))
        with running(context):
            grid = Grid(models, [tv.literal(TEXTS[0])], top_k=2, formats=formats)
            made = {"scores": grid.score()[0], "comparisons": grid.compare()[0]}
        for kind, names in wanted.items():
            if formats:
                files = {name: made[kind].fetch(f"figures/{name}", project).read_bytes() for name in names}
                held[kind] = files
                continue
            for name in names:
                code, out, _ = run("runs", "fetch", made[kind].run_id, f"figures/{name}", "--to", "fetched")
                assert (code, out) == (0, "fetched\n")
                assert (project / "fetched").read_bytes() == held[kind][name], name
            assert not made[kind].recorded.has("figures/heatmap.svg")


def test_a_run_that_another_command_draws_has_the_limits_of_that_command(
    models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(text: str, limits: str) -> ScoreRun:
        with running(ExperimentContext("trial", limits=run_limits(limits))):
            return Grid(models[:1], [tv.literal(text)], top_k=2).score()[0]

    def failing(*given: object) -> None:
        raise FigureError("not this time")

    for text, limits, tag in ((TEXTS[0], "text", None), (TEXTS[1], "p5", "p5,p95")):
        with monkeypatch.context() as patch:
            patch.setattr("tokenviz.harness.kinds.score.draw_scores", failing)
            with pytest.raises(FigureError, match=r"^not this time$"):
                score(text, "-7,-1")
        made = score(text, limits)
        assert not made.reused
        assert find_run(made.run_id, open_store()).tags.get("limits") == tag


def test_formats_are_chosen_on_the_command_line_or_by_the_grid_and_finished_runs_keep_theirs(
    models: list[str], project: Path, real_figures: None
) -> None:
    def pictures(by_command: tuple[str, ...], by_grid: tuple[str, ...]) -> tuple[set[str], list[str]]:
        @tv.experiment
        def trial() -> GridResult:
            grid = Grid(models[:1], [tv.literal(text) for text in TEXTS[: 1 + len(by_grid)]], top_k=2, formats=by_grid)
            grid.score()
            return grid.summarise("Found.")

        with collecting() as notices:
            result = trial.with_formats(by_command)()
        place = result.scores[-1].fetch("figures/heatmap.html", project).parent
        return {path.suffix for path in place.iterdir()}, list(notices)

    assert pictures(("pdf", "png"), ()) == ({".html", ".png", ".pdf"}, [])
    finished = "1 of 1 runs were finished already and were not computed again (--force does)"
    keeping = "they keep their figures: 'tokenviz runs fetch RUN figures/heatmap.pdf' draws one that is not there"
    assert pictures((), ()) == ({".html", ".png", ".pdf"}, [finished])
    assert pictures(("svg",), ()) == ({".html", ".png", ".pdf"}, [finished, keeping])
    new, notices = pictures((), ("svg",))
    assert (new, notices[-1]) == ({".html", ".svg"}, keeping)


def test_the_same_grid_again_computes_nothing(models: list[str]) -> None:
    first, second = run_grid(models), run_grid(models)
    assert [run.run_id for run in (*first.scores, *first.comparisons)] == [
        run.run_id for run in (*second.scores, *second.comparisons)
    ]
    assert all(run.reused for run in (*second.scores, *second.comparisons))
    assert first.summary_run_id == second.summary_run_id
    assert first.grid == second.grid
    assert len(finished("score")) == 4


def test_a_grid_that_grows_computes_only_what_is_new(models: list[str]) -> None:
    run_grid(models, texts=TEXTS[:1])
    result = run_grid(models)
    assert [run.reused for run in result.scores] == [True, False, True, False]
    assert [run.reused for run in result.comparisons] == [True, False]
    tags = open_store().client.get_run(result.scores[0].run_id).data.tags
    assert result.grid in tags["tokenviz.grid"].split()


def test_force_computes_anew_and_leaves_one_run_a_fingerprint(models: list[str]) -> None:
    first = run_grid(models, texts=TEXTS[:1])
    second = run_grid(models, texts=TEXTS[:1], force=True)
    assert not any(run.reused for run in (*second.scores, *second.comparisons))
    assert {run.run_id for run in first.scores}.isdisjoint(run.run_id for run in second.scores)
    store = open_store()
    for run in first.scores:
        assert "tokenviz.superseded_by" in store.client.get_run(run.run_id).data.tags
    assert all(run.reused for run in run_grid(models, texts=TEXTS[:1]).scores)


def test_two_runs_of_one_grid_give_the_same_tables_bit_for_bit(models: list[str]) -> None:
    once, again = run_grid(models, texts=TEXTS[:1]), run_grid(models, texts=TEXTS[:1], force=True)
    for first, second in zip(once.scores, again.scores, strict=True):
        np.testing.assert_array_equal(first.scores.logprob, second.scores.logprob)
        np.testing.assert_array_equal(first.scores.entropy, second.scores.entropy)


def test_a_table_read_back_is_the_table_that_was_logged(models: list[str]) -> None:
    made = run_grid(models[:1], texts=TEXTS[:1]).scores[0].scores
    read = run_grid(models[:1], texts=TEXTS[:1]).scores[0].scores
    np.testing.assert_array_equal(made.logprob, read.logprob)
    np.testing.assert_array_equal(made.top_ids, read.top_ids)
    assert made.spec == read.spec


@pytest.mark.parametrize("change", [{"bos": "never"}, {"bos": "c"}, {"context": 16}, {"stride": 3}, {"top_k": 1}], ids=str)
def test_every_setting_moves_the_fingerprint(models: list[str], change: dict[str, object]) -> None:
    scores_again(models)
    assert scores_again(models, **change) == [False, False]


@pytest.mark.parametrize("option", ["dtype=bfloat16", "dtype=float64", "device=cpu"])
def test_every_option_of_a_model_moves_the_fingerprint(models: list[str], option: str) -> None:
    before, after = scored(models), scored([f"first,{option}", "second"])
    assert [run.reused for run in after] == [False, True]
    assert before[0].fingerprint != after[0].fingerprint


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_changed_file_of_a_model_moves_the_fingerprint(models: list[str], project: Path, file: str) -> None:
    scores_again(models)
    path = project / "first" / file
    if file.endswith(".json"):
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    else:
        make_bigram_folder(project / "first", BIGRAM_WEIGHTS + 1)
    assert scores_again(models) == [False, True]


def test_a_changed_text_moves_the_fingerprint(models: list[str], project: Path) -> None:
    sample = project / "experiments" / "texts" / "mine.txt"
    sample.write_text("abcd")
    with running(ExperimentContext("trial")):
        Grid(models, ["mine"], top_k=0).score()
        sample.write_text("abcd\n")
        assert not any(run.reused for run in Grid(models, ["mine"], top_k=0).score())


@pytest.mark.parametrize("constant", ["kind.SCORING_VERSION", "kind.FORMAT_VERSION", "kinds.comparison.COMPARISON_VERSION"])
def test_a_new_version_of_the_computation_moves_the_fingerprint(
    models: list[str], monkeypatch: pytest.MonkeyPatch, constant: str
) -> None:
    run_grid(models, texts=TEXTS[:1])
    monkeypatch.setattr(f"tokenviz.harness.{constant}", 999)
    assert not any(run.reused for run in run_grid(models, texts=TEXTS[:1]).comparisons)


def test_two_positions_in_common_give_no_correlation_and_no_zero(models: list[str]) -> None:
    result = run_grid(models, texts=["abc"])
    run = open_store().client.get_run(result.comparisons[0].run_id)
    found = find_run(run.info.run_id, open_store())
    assert "pearson_r" not in found.metrics
    assert found.metrics["n"] == 2
    reason = "2 positions are scored by both; a correlation needs at least 3"
    assert json.loads(found.params["undetermined"])["pearson_r"] == reason
    assert reason in run.data.tags["mlflow.note.content"]
    assert math.isnan(result.comparisons[0].estimate("pearson_r").value)
    assert not any(name.endswith(("_low", "_high")) for name in found.metrics)
    assert found.params["intervals"] == "no interval: 2 units are scored by both, and an interval needs at least 10"


def test_too_few_units_for_an_interval_leave_the_numbers_determined(models: list[str]) -> None:
    run = find_run(run_grid(models, texts=["abcdab"]).comparisons[0].run_id, open_store())
    assert set(run.metrics) == {name for name in COMPARISON_METRICS if not name.endswith(("_low", "_high"))} | {
        "n",
        "n_units",
    }
    assert "undetermined" not in run.params
    assert run.params["intervals"] == "no interval: 5 units are scored by both, and an interval needs at least 10"


def test_a_text_of_one_token_is_recorded_as_unscored(models: list[str]) -> None:
    result = run_grid(models, texts=["a"])
    metrics = open_store().client.get_run(result.scores[0].run_id).data.metrics
    assert (metrics["n_tokens"], metrics["n_scored"]) == (1, 0)
    assert "mean_logprob" not in metrics


def test_one_model_alone_is_a_grid_too(models: list[str]) -> None:
    result = run_grid(models[:1])
    assert result.comparisons == []
    assert figure_link(result).endswith(
        f"{result.scores[0].run_id}/artifacts/figures/heatmap.html?workflowType=machine_learning"
    )


def test_the_summary_says_what_was_found(models: list[str]) -> None:
    result = run_grid(models)
    client = open_store().client
    note = client.get_run(result.summary_run_id).data.tags["mlflow.note.content"]
    overview = f"(#/experiments/{result.experiment_id}/runs/{result.summary_run_id}/artifacts/overview.html?"
    report = overview.replace("overview.html", "figures/report.html")
    shown = "workflowType=machine_learning)**"
    assert note.startswith(
        f"**[Overview]{overview}{shown}, **[report]{report}{shown}  \n**2 models on 2 texts: Pearson's r from "
    )
    assert "Found." in note
    tables = {file.path for file in client.list_artifacts(result.summary_run_id, "tables")}
    assert tables == {"tables/scores.csv", "tables/comparisons.csv"}


def test_the_summary_shows_the_interval_beside_r(models: list[str], tmp_path: Path) -> None:
    result = run_grid(models, texts=["abcd" * 15 + "dcba" * 15])
    client = open_store().client
    r = result.comparisons[0].estimate("pearson_r")
    note = client.get_run(result.summary_run_id).data.tags["mlflow.note.content"]
    assert f"| [{r.value:.3f} ({r.low:.3f} to {r.high:.3f})](#/experiments/" in note
    assert "In brackets: 95 % intervals; the last column says what was resampled." in note
    assert re.search(r"\| \d+ blocks of \d+ tokens \|", note)
    table = pd.read_csv(client.download_artifacts(result.summary_run_id, "tables/comparisons.csv", str(tmp_path)))
    assert table["resampled"][0] == result.comparisons[0].comparison.pearson_r.drawn_from == r.drawn_from
    assert (table["pearson_r"][0], table["pearson_r_low"][0], table["pearson_r_high"][0]) == (r.value, r.low, r.high)


def test_names_with_markup_stay_names_in_the_description(project: Path) -> None:
    make_bigram_folder(project / "a_b*c*", BIGRAM_WEIGHTS)
    result = run_grid(["a_b*c*"], texts=TEXTS[:1])
    assert r"**a\_b\*c\***" in open_store().client.get_run(result.scores[0].run_id).data.tags["mlflow.note.content"]


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_a_run_whose_table_is_lost_is_computed_anew(models: list[str], project: Path, damage: str) -> None:
    (before,) = run_grid(models[:1], texts=TEXTS[:1]).scores
    expected = before.scores.logprob
    (table,) = (project / "mlruns" / "artifacts").rglob("tokens.parquet")
    if damage == "gone":
        table.unlink()
    else:
        table.write_bytes(table.read_bytes()[:-100])
    with collecting() as notes:
        (after,) = run_grid(models[:1], texts=TEXTS[:1]).scores
    assert not after.reused
    np.testing.assert_array_equal(after.scores.logprob, expected)
    name = f"{after.text} · first"
    assert notes == [f"run {before.run_id} ({name}) has lost its table tables/tokens.parquet: it is computed again"]
    assert run_grid(models[:1], texts=TEXTS[:1]).scores[0].run_id == after.run_id
    assert len(finished("score")) == 2
    tags = open_store().client.get_run(before.run_id).data.tags
    assert tags["tokenviz.superseded_by"] == after.run_id


def test_scoring_twice_is_scoring_once(models: list[str]) -> None:
    grid = Grid(models[:1], [tv.literal("abcd")], top_k=0)
    assert grid.score() == grid.score()
    assert len(grid.made.scores) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_k": 5}, "top-k 5 is not possible: 'first' has a vocabulary of 4"),
        ({"context": 65}, "context 65 is not possible: this model takes 2 to 64 tokens"),
        ({"bos": "always"}, "bos 'always': the tokenizer of 'first' has no BOS token"),
    ],
)
def test_settings_a_model_does_not_allow_leave_no_run(models: list[str], settings: dict[str, Any], message: str) -> None:
    grid = Grid(models, [tv.literal("abcd")], **{"top_k": 0, **settings})
    with pytest.raises(ScoringError, match=message):
        grid.score()
    assert open_store().client.search_runs([grid.runs.experiment_id]) == []


def test_forcing_a_part_of_a_grid_keeps_the_other_grids_whole(models: list[str]) -> None:
    whole = run_grid(models)
    run_grid(models, texts=TEXTS[:1], force=True)
    store = open_store()
    query = f"tags.`tokenviz.grid` LIKE '%{whole.grid}%'"
    assert len(store.client.search_runs([whole.experiment_id], query)) == 7
    again = run_grid(models)
    current = {run.run_id for run in again.scores}
    for run in again.comparisons:
        params = find_run(run.run_id, store).params
        assert {params["run_a"], params["run_b"]} <= current


def test_ids_of_passages_are_kept(models: list[str], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.harness.kinds.score._ROWS", 2)
    (project / "rows.csv").write_text("id,text\nx,abcd\ny,dcba\nz z,abab\n")
    (run,) = Grid(models[:1], [str(project / "rows.csv")], top_k=0).score()
    written = run.fetch("tables/passages.csv", tmp_path).read_text()
    assert written == '"passage","id"\n0,"x"\n1,"y"\n2,"z z"\n'


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), []),
        (ValueError("no room for ink"), ["besides: ValueError('no room for ink')"]),
    ],
)
def test_of_two_figures_that_fail_the_first_is_raised_and_the_second_said_if_it_is_another_matter(
    models: list[str], second: Exception, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([OSError(errno.ENOSPC, "No space left on device"), second])

    def fail(_: object, about: dict[str, object], _limits: object, _formats: object, folder: Path) -> None:
        raise next(errors)

    monkeypatch.setattr("tokenviz.harness.kinds.score.draw_scores", fail)
    with running(ExperimentContext("trial")), collecting() as notes, pytest.raises(OSError, match="No space left"):
        Grid(models, [tv.literal("abcdabcd")], top_k=2).score()
    assert [note for note in notes if note.startswith("besides")] == said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_grid_keeps_what_is_finished_and_leaves_nothing_open(project: Path, number: signal.Signals) -> None:
    sample = project / "experiments" / "texts"
    # The second text takes long enough to be interrupted in.
    (sample / "a_short.txt").write_text("Alice was beginning to get very tired.")
    (sample / "b_long.txt").write_text("Alice was beginning to get very tired of sitting by her sister on the bank. " * 4000)
    (project / "experiments" / "trial.py").write_text(
        "from tokenviz import Grid, experiment\n\n@experiment\ndef trial():\n"
        "    grid = Grid(['glass-en'], ['a_short', 'b_long'], stride=1)\n    grid.score()\n    return grid.summarise('')\n"
    )
    process = subprocess.Popen([sys.executable, "-m", "tokenviz", "run", "trial"], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 90
        while not ((project / "mlruns" / "mlflow.db").exists() and _statuses() == ["FINISHED"]):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.3)
        os.kill(process.pid, number)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted; what was finished stays, and the same command goes on from there"
    assert _statuses() == ["FINISHED"]


def _statuses() -> list[str]:
    import sqlite3

    with sqlite3.connect(Path("mlruns") / "mlflow.db", timeout=30) as connection:
        try:
            return [status for (status,) in connection.execute("SELECT status FROM runs")]
        except sqlite3.OperationalError:  # the tables are being made
            return []


def test_a_grid_compares_over_words_and_rerun_knows_how(project: Path) -> None:
    from tokenviz.harness.rebuilding import rerun
    from tokenviz.tracking.store import open_for_reading

    made = {}
    with running(ExperimentContext("trial")):
        for punctuation in ("attached", "apart"):
            grid = Grid(["glass-en", "glass-en,dtype=bfloat16"], [tv.literal("Alice, the cat, and Dinah.")])
            grid.score()
            (made[punctuation],) = grid.compare(by="word", punctuation=punctuation)
    attached, apart = made.values()
    assert (attached.by, apart.by) == ("word", "word")
    assert attached.fingerprint != apart.fingerprint
    for punctuation, run in made.items():
        expected = tv.compare(run.a.scores, run.b.scores, by="word", punctuation=punctuation)
        assert list(run.comparison.units.text) == list(expected.units.text)
        (again,) = rerun(run.run_id, open_for_reading())
        assert again.largest == 0
        then, now = again.metrics["n_units"]
        assert then == now == len(expected.units)
    assert len(attached.comparison.units) < len(apart.comparison.units)


def test_logits_of_two_widths_leave_a_comparison_without_divergences(project: Path, bigram: LoadedModel) -> None:
    make_bigram_folder(project / "narrow", BIGRAM_WEIGHTS)
    make_folder("llama", bigram.tokenizer, project / "wide")
    with running(ExperimentContext("trial")):
        grid = Grid(["./narrow", "./wide"], [tv.literal("abcdabcd")], top_k=2)
        grid.score()
        (run,) = grid.compare(measures=[DIVERGENCES])
    assert run.divergences is None
    assert run.metrics["n"] == 7


def test_drawing_makes_way_for_scoring() -> None:
    from tokenviz.harness.deliveries import _processes

    assert _processes(1).submit(os.nice, 0).result() == min(19, os.nice(0) + 10)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ["PASSIVE", "10000"]),
        ({"GOMP_SPINCOUNT": "7"}, ["PASSIVE", "7"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", "None"]),
    ],
)
def test_threads_that_wait_leave_their_core_before_torch_is_imported(given: dict[str, str], found: list[str]) -> None:
    """Unless the user wants it otherwise."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    code = f"import os, sys, tokenviz.harness; print(*map(os.environ.get, {names}), 'torch' in sys.modules)"
    env = {name: value for name, value in os.environ.items() if name not in names} | given
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*found, "False"]
