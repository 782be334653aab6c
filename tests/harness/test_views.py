"""What MLflow's pages show of a grid first: the views that links lead to, and how descriptions and datasets begin."""

import json
from pathlib import Path
from typing import Any

import kept_runs
import pandas as pd
import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder, make_two_models
from kills import draw_in_no_time, draw_quickly
from matplotlib.figure import Figure

import tokenviz as tv
from tokenviz.harness.experiments import print_result
from tokenviz.harness.grid import Grid
from tokenviz.harness.kinds.writing import dataset_of
from tokenviz.harness.results import GridResult, chart_link, figure_link, runs_link, views_of
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.tracking.entities import columns_offered, linked, unlinked, unwrapped
from tokenviz.tracking.finding import find_run
from tokenviz.tracking.store import open_store

TEXTS = ["abcdabcd", "abcd" * 15 + "dcba" * 15]


def draw_pages(*given: Any) -> None:
    """Leave the pages that a run's description links, besides what `draw_quickly` leaves."""
    draw_quickly(*given)
    for page in ("heatmap", "report"):
        (given[-1] / f"{page}.html").write_text("")


@pytest.fixture
def models(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two models whose figures are drawn in no time."""
    draw_in_no_time(monkeypatch, draw_pages)
    return make_two_models(project)


def run_grid(models: list[str], description: str = "Found.") -> GridResult:
    own = {"over_view": Figure}
    return kept_runs.run_grid(models, question="What is\nasked.", texts=TEXTS, description=description, figures=own)


def test_links_lead_to_views_of_the_grid_and_of_its_first_text(models: list[str]) -> None:
    result = run_grid(models)
    run_grid(models[:1])  # a smaller grid, whose score runs are among those of the first
    client = open_store().client
    tags = client.get_experiment(result.experiment_id).tags
    everything = {run.run_id for run in (*result.scores, *result.comparisons)} | {result.summary_run_id}
    first = {run.run_id for run in result.scores if run.text == result.scores[0].text}
    assert (len(everything), len(first)) == (7, 2)
    for link, expected in ((runs_link(result), everything), (chart_link(result), first)):
        view = json.loads(tags[f"mlflow.sharedViewState.{link.rpartition('viewStateShareKey=')[2]}"])
        found = client.search_runs([result.experiment_id], view["searchFilter"])
        assert {run.info.run_id for run in found} == expected
    report = f"/runs/{result.comparisons[0].run_id}/artifacts/figures/report.html?workflowType=machine_learning"
    assert figure_link(result).endswith(report)
    assert "/runs?workflowType=machine_learning&" in runs_link(result)
    assert "/runs?compareRunsMode=CHART&workflowType=machine_learning&" in chart_link(result)


def test_the_columns_of_every_view_are_numbers_that_runs_have(models: list[str]) -> None:
    result = run_grid(models)
    client = open_store().client
    tags = client.get_experiment(result.experiment_id).tags
    for kind, runs in (("score", result.scores), ("comparison", result.comparisons)):
        named = json.loads(tags[f"mlflow.sharedViewState.tokenviz-{kind}s"])
        columns = [column for column in json.loads(named["state"])["selectedColumns"] if column.startswith("metrics.")]
        metrics = client.get_run(runs[1].run_id).data.metrics  # of the longer text
        assert columns
        assert {column.removeprefix("metrics.").strip("`") for column in columns} <= metrics.keys()
        found = client.search_runs([result.experiment_id], json.loads(named["state"])["searchFilter"])
        assert {run.info.run_id for run in found} == {run.run_id for run in runs}


def test_a_list_of_runs_has_the_columns_of_both_views_at_first() -> None:
    tags = views_of("0123", "t", several_tokenizers=True)
    columns = [
        f"metrics.`{name}`" for name in ("pearson_r", "concordance", "mean_difference", "n", "bits_per_byte", "n_scored")
    ]
    ordered = [*columns, "attributes.`Dataset`"]
    found = columns_offered(tags)
    assert (found["selectedColumns"], found["columnOrder"]) == (ordered, ["attributes.`Run Name`", *ordered])
    assert found["columnWidths"].keys() == {"attributes.`Run Name`", *columns}
    assert found.keys() == {"selectedColumns", "columnOrder", "columnWidths"}


@pytest.mark.parametrize("value", ["mine", "[1]", "{}", '{"state": "{}"}', '{"state": 1}'])
def test_a_view_that_somebody_wrote_over_gives_no_columns(value: str) -> None:
    tags = views_of("0123", "t", several_tokenizers=True)
    assert columns_offered({**tags, "mlflow.sharedViewState.tokenviz-scores": value}) == {}
    assert columns_offered({}) == {}


def test_a_view_that_somebody_has_changed_stays(models: list[str]) -> None:
    result = run_grid(models[:1])
    client, tag = open_store().client, "mlflow.sharedViewState.tokenviz-scores"
    assert json.loads(client.get_experiment(result.experiment_id).tags[tag])["name"] == "Models on texts"
    client.set_experiment_tag(result.experiment_id, tag, "mine")
    run_grid(models[:1])
    assert client.get_experiment(result.experiment_id).tags[tag] == "mine"


def test_a_text_whose_name_would_end_a_filter_is_not_filtered_by() -> None:
    (view,) = [
        json.loads(value)
        for tag, value in views_of("0123", "it's", several_tokenizers=False).items()
        if tag.endswith("-curves")
    ]
    assert view["searchFilter"] == "tags.`tokenviz.grid` LIKE '%0123%' and tags.`tokenviz.kind` = 'score'"


def test_a_comparison_shows_its_headline_and_its_links_first(models: list[str]) -> None:
    result = run_grid(models)
    compared = result.comparisons[1]
    run = open_store().client.get_run(compared.run_id)
    first, names, *_ = run.data.tags["mlflow.note.content"].split("\n\n")
    links, headline = first.split("  \n")
    r = compared.estimate("pearson_r")
    interval = f"{r.low:.3f} to {r.high:.3f}".replace("-", "−")
    assert (
        headline
        == f"Pearson's r: {r.value:.3f}, 95 % interval {interval} (n = {r.n} tokens; resampled {r.drawn_from})".replace(
            "-", "−"
        )
    )
    page = f"#/experiments/{result.experiment_id}/runs/{compared.run_id}/artifacts/figures"
    assert links.startswith(f"**[Text heatmap]({page}/heatmap.html?workflowType=machine_learning)**")
    assert f"**[report]({page}/report.html?workflowType=machine_learning)**" in links
    assert names.startswith(
        f"a: **first** \\(first, weights in float32\\), b: **second** \\(second, weights in float32\\), text: "
        f"**{compared.a.text}**. a takes "
    )
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == [compared.a.text]


def test_a_summary_links_its_figures_and_keeps_paragraphs_whole(models: list[str]) -> None:
    result = run_grid(models[:1], "One\nparagraph.\n\n- an\n- enumeration")
    client = open_store().client
    note = client.get_run(result.summary_run_id).data.tags["mlflow.note.content"]
    page = f"#/experiments/{result.experiment_id}/runs/{result.summary_run_id}/artifacts"
    links = f"**[Overview]({page}/overview.html?workflowType=machine_learning)**, "
    links += f"**[over\\_view]({page}/figures/over_view.png?workflowType=machine_learning)**, "
    links += f"**[report]({page}/figures/report.html?workflowType=machine_learning)**"
    assert note.startswith(f"{links}  \n**1 model on 2 texts.**\n\nOne paragraph.\n\n- an\n- enumeration\n\n")
    assert client.get_experiment(result.experiment_id).tags["mlflow.note.content"] == "What is asked."


def test_descriptions_lead_to_figures_and_show_them_whatever_the_port(models: list[str]) -> None:
    result = run_grid(models)
    client = open_store().client

    def note_of(run_id: str) -> str:
        return str(client.get_run(run_id).data.tags["mlflow.note.content"])

    assert "![" not in note_of(result.scores[0].run_id)  # its heatmap is a page
    compared = result.comparisons[0]
    note = note_of(compared.run_id)
    assert note.endswith(f"](get-artifact?path=figures/scatter.png&run_uuid={compared.run_id})")
    assert unlinked(note, compared.run_id).endswith("](artifacts/figures/scatter.png)")
    further = (
        f"`tokenviz redraw {compared.fingerprint[:12]} --figure gaps` draws what the difference consists of, with intervals"
    )
    assert further in note
    assert find_run(compared.fingerprint[:12], open_store()).run_id == compared.run_id
    note = note_of(result.summary_run_id)
    page = f"(#/experiments/{result.experiment_id}/runs"
    for runs, figure in ((result.scores, "heatmap"), (result.comparisons, "report")):
        for run in runs:
            assert f"{page}/{run.run_id}/artifacts/figures/{figure}.html?workflowType=machine_learning) |" in note
    plain = unlinked(note, result.summary_run_id)
    assert f"](runs/{result.scores[0].run_id}/artifacts/figures/heatmap.html)" in plain
    assert linked(plain, result.experiment_id, result.summary_run_id) == note
    assert "http" not in note


def test_names_are_printed_as_signs_and_obeyed_by_nothing(
    models: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bigram_folder(project / "[bold]m", BIGRAM_WEIGHTS)
    text = project / "t\x1b[31m.txt"
    text.write_text("abcdabcd")
    for names in (["[bold]m", "first"], ["[bold]m"]):
        with running(ExperimentContext("trial")):
            grid = Grid(names, [str(text)], top_k=0)
            grid.score()
            grid.compare()
            print_result(grid.summarise("", tables={"own": pd.DataFrame({"[red]x": ["[i]y\x1b"]})}), as_json=False)
            own = capsys.readouterr().out
            print_result(grid.summarise(""), as_json=False)
            printed = capsys.readouterr().out
        assert "[red]x" in own
        assert "[i]y␛" in own
        assert "[bold]m" in printed
        assert "t␛[31m" in printed
        assert "\x1b" not in own + printed


def test_only_lines_of_a_paragraph_are_joined() -> None:
    kept = "# A\nline\n\n- one\n- two\n  goes on\n\n| a |\n|---|\n| b |\n\n> said\n\n1. x\n2. y\n\n```\nc\nd\n```"
    assert unwrapped(kept) == kept
    assert unwrapped("What\nis **so\n**bold** (or\n(not)?\n\nEnd") == "What is **so **bold** (or (not)?\n\nEnd"


def test_the_dataset_shows_how_the_text_begins_in_lines_that_pages_show_whole() -> None:
    words = " ".join(["abcd"] * 40)
    profile = json.loads(dataset_of(tv.literal(words))["profile"])
    lines = [value for name, value in profile.items() if name.startswith("line ")]
    assert (profile["passages"], profile["characters"], len(lines)) == (1, len(words), 4)
    assert " ".join(lines) == words
    assert max(map(len, lines)) <= 60
