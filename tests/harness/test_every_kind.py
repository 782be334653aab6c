"""Every kind of run is pulled, drawn again, traced, computed again, shown and exported."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Run, copy_schemas
from kills import DRAWN_BY
from run_records import filled, make_record

import tokenviz as tv
from tokenviz.base.errors import DamagedError, FigureError, PaperError
from tokenviz.comparing.studies import condition_means
from tokenviz.figures.named import Look
from tokenviz.figures.origin import provenance_of
from tokenviz.figures.plots.studies import pair_accuracy
from tokenviz.harness.kinds import kind_of, kinds
from tokenviz.harness.measures import context_effect, position_measure
from tokenviz.harness.rebuilding import rerun
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.paper.manifest import Order
from tokenviz.paper.pulling import fetch_file, pull, redraw
from tokenviz.records.loading import Reader
from tokenviz.tracking.finding import find_run, find_runs
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import open_for_reading, open_store

pytestmark = pytest.mark.slow

ITEMS = """item,condition,region_subject,region_verb,rt
1,ngắn,The cat,sat.,310.5
1,dài,The cat of the house,sat.,402
2,ngắn,The dog,ran off.,300
2,dài,The dog of the King,ran off.,380
3,ngắn,The Queen,was tired.,290
3,dài,The Queen of the court,was tired.,295
"""
PAIRS = """good,bad,kind
The cats sleep.,The cats sleeps.,主语
Alice was tired.,Alice were tired.,主语
She sees him.,She see him.,NA
He was here.,He were here.,NA
"""


def margin(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """By how much the likeliest token is ahead."""
    first, second = logits.topk(2, dim=-1).values.T
    return first - second


def draw_quickly(*given: object) -> None:
    """What a run's heatmaps look like is not the matter here, and drawing takes most of the time."""
    folder = given[-1]
    assert isinstance(folder, Path)
    (folder / "heatmap.png").write_bytes(b"")


def make(folder: Path) -> tv.GridResult:
    """A run of each kind but prompts, reading times and training, which have tests of their own; two measures among them."""
    (folder / "study.csv").write_text(ITEMS, encoding="utf-8")
    (folder / "câu.csv").write_text(PAIRS, encoding="utf-8")
    items, pairs = tv.read_items(folder / "study.csv"), tv.read_pairs(folder / "câu.csv", group="kind")
    with running(ExperimentContext("trial")):
        grid = tv.Grid(["glass-en", "glass-en,dtype=bfloat16"], [items.text, pairs.text], top_k=2)
        grid.score()
        grid.measure(context_effect([1, 2]))
        grid.measure(position_measure("margin", margin, unit="nats", ends=("undecided", "decided")))
        grid.tabulate(items)
        found = pd.concat([run.accuracies for run in grid.decide(pairs)], ignore_index=True)
        grid.compare()
        by_sum = found[found["rule"] == "sum"]
        return grid.summarise("Found.", figures={"all pairs": lambda: pair_accuracy(by_sum)}, tables={"all": found})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, blank_database: Path) -> Path:
    """A project that has such a grid; tests take copies."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "experiments").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in (*DRAWN_BY, "tokenviz.harness.kinds.measure.draw_measure"):
            patch.setattr(name, draw_quickly)
        copy_schemas(patch, blank_database)
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        make(folder)
    return folder


@pytest.fixture
def made(store: Path, project: Path) -> dict[str, list[str]]:
    """The ids of the runs by kind."""
    shutil.copytree(store / "mlruns", project / "mlruns", dirs_exist_ok=True)
    found: dict[str, list[str]] = {}
    for one in find_runs("trial"):
        found.setdefault(one.tags["kind"], []).append(one.run_id)
    return found


def place_of(run_id: str) -> Path:
    """Where a run's files are: the store was copied, and its database names the place of before."""
    store = open_for_reading()
    place = store.place_of(find_run(run_id, store).artifact_uri)
    assert place is not None
    return place


KINDS = ("score", "comparison", "summary", "items", "pairs", "context_effect", "margin")
FIRST = {
    "score": "heatmap", "comparison": "heatmap", "summary": "all pairs", "items": "regions", "pairs": "accuracy",
    "margin": "heatmap",
}  # fmt: skip


def test_every_file_of_kinds_with_a_run_has_its_kind() -> None:
    assert set(kinds()) == {
        "score",
        "comparison",
        "summary",
        "items",
        "pairs",
        "prompts",
        "measure",
        "training",
        "reading_times",
    }


def test_the_grid_has_a_run_of_every_kind(made: dict[str, list[str]]) -> None:
    assert {kind: len(runs) for kind, runs in made.items()} == {
        "score": 4, "comparison": 2, "summary": 1, "items": 2, "pairs": 2, "context_effect": 4, "margin": 4,
    }  # fmt: skip


@pytest.mark.parametrize("kind", FIRST)
def test_the_first_figure_is_drawn_again_traced_and_made_by_the_command_that_it_names(
    made: dict[str, list[str]], run: Run, project: Path, kind: str
) -> None:
    code, out, _ = run("redraw", made[kind][0], "--to", "one", "--format", "svg,pdf")
    assert code == 0
    paths = [project / line for line in out.splitlines()]
    assert [path.suffix for path in paths] == [".svg", ".pdf"]
    for path in paths:
        about = provenance_of(path)
        assert about["kind"] == kind
        code, out, _ = run("trace", str(path))
        assert code == 0
        if kind == "summary":  # as the experiment drew it: all that it says is of then
            continue
        assert about["run_id"] == made[kind][0]
        assert (about["figure"], bool(about["caption"])) == (FIRST[kind], True)
        assert run(*shlex.split(about["again"])[1:], "--to", "two")[0] == 0
        assert (project / "two" / path.name).read_bytes() == path.read_bytes()


def test_a_redrawn_figure_is_that_of_the_run(made: dict[str, list[str]], project: Path) -> None:
    """By its content: the files differ in what they say of their run."""
    for kind in ("items", "pairs"):
        (path,) = redraw(made[kind][0], formats=["svg"], folder=project / kind)
        drawn = fetch_file(made[kind][0], f"figures/{FIRST[kind]}.svg", project / f"{kind}.svg")
        one, two = (re.sub(r"<metadata>.*</metadata>", "", file.read_text(), flags=re.S) for file in (path, drawn))
        assert one == two


def test_figures_of_studies_take_the_width_that_is_asked_for(made: dict[str, list[str]], project: Path) -> None:
    (path,) = redraw(made["items"][0], look=Look(width="acl", font_size=7), folder=project)
    about = provenance_of(path)
    assert (about["font_size"], round(about["width_inches"], 3)) == (7, round(77 / 25.4, 3))
    for kind in ("items", "pairs"):
        with pytest.raises(FigureError, match=f"^the figure '{FIRST[kind]}' takes no measure: only heatmap, "):
            redraw(made[kind][0], look=Look(measure="entropy"), folder=project)


def test_what_a_kind_does_not_have_is_one_line(made: dict[str, list[str]], project: Path) -> None:
    for kind, figure, message in (
        ("items", "heatmap", r"has no figure 'heatmap': it has regions$"),
        ("pairs", "regions", r"has no figure 'regions': it has accuracy$"),
        ("context_effect", "heatmap", r"has no figure 'heatmap': it has none$"),
        ("context_effect", None, r"has no figure: its numbers and tables are had by tokenviz pull and runs show$"),
        ("summary", "heatmap", r"has no figure 'heatmap': it has all pairs$"),
    ):
        run = find_run(made[kind][0], open_for_reading())
        with pytest.raises(PaperError, match=f"^run {run.run_id} \\({run.name!r}\\) of kind '{kind}' {message}"):
            redraw(run.run_id, figure=figure, folder=project / "out")
    with pytest.raises(FigureError, match=r"^the figure 'all pairs' is the experiment's own and is had as it was drawn: "):
        redraw(made["summary"][0], look=Look(width="acl"), folder=project / "out")
    with pytest.raises(FigureError, match=r"^the heatmap of a run of the measure 'margin' shows that, not 'entropy': "):
        redraw(made["margin"][0], look=Look(measure="entropy"), folder=project / "out")
    assert not [path for path in (project / "out").rglob("*") if path.is_file()]


def test_a_pull_has_figures_tables_and_numbers_of_every_kind(made: dict[str, list[str]], run: Run, project: Path) -> None:
    assert run("pull", "trial", "--to", "paper", "--width", "acl")[0] == 0
    folder = project / "paper"
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {
        "study_glass-en_regions.pdf", "cau_glass-en_accuracy.pdf", "study_glass-en_margin_heatmap.pdf",
        "study_glass-en_heatmap.pdf", "trial_all-pairs.pdf",
    } <= names  # fmt: skip
    assert {path.name for path in (folder / "tables").iterdir()} == {
        "scores.tex", "comparisons.tex", "items_means.tex", "items_differences.tex", "accuracies.tex", "summary_all.tex",
    }  # fmt: skip
    captions = (folder / "captions.tex").read_text()
    for macro in (
        "StudyGlassEnItemsRegions",
        "CauGlassEnPairsAccuracy",
        "StudyGlassEnMarginHeatmap",
        "ItemsMeans",
        "Accuracies",
    ):
        assert f"\\newcommand{{\\tv{macro}Caption}}{{" in captions
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["runs"]) == {one for runs in made.values() for one in runs}
    assert run("pull", "trial", "--to", "paper", "--check")[0] == 0
    out = run("pull", "trial", "--to", "paper", "--width", "acl")[1]
    assert out.splitlines()[-1].startswith("0 written, ")
    for path in (*(folder / "tables").iterdir(), *(folder / "figures").iterdir(), folder / "numbers.tex"):
        assert run("trace", str(path))[0] == 0


def test_numbers_of_items_and_pairs_have_definition_interval_and_n(made: dict[str, list[str]], project: Path) -> None:
    pull(Order(experiment="trial", where="model=glass-en"), project / "paper")
    text = (project / "paper" / "numbers.tex").read_text()
    found = dict(re.findall(r"^\\newcommand\{\\([A-Za-z]+)\}\{(.*?)\}(?: %.*)?$", text, re.M))
    store = open_for_reading()
    frames = {
        kind: Reader(store).recorded(one).frame(kind)
        for kind in ("items", "pairs")
        for one in find_runs("trial", where=f"kind={kind} and model=glass-en", store=store)
    }
    means, differences = condition_means(frames["items"], item="item", condition="condition")
    row = means.query("region == 'verb' and condition == 'dài'").iloc[0]
    stem = "tvStudyGlassEnItemsMeanSurprisalBitsOfVerbDai"
    for ending, column in (("", "mean"), ("Low", "low"), ("High", "high")):
        assert float(found[f"{stem}{ending}"]) == pytest.approx(row[column], abs=5e-4)
    assert found[f"{stem}N"] == "3"
    assert (
        f"\\{stem}}}{{{found[stem]}}} % mean surprisal of the region “verb” in the condition “dài”, bits; Student’s t" in text
    )
    row = differences.query("region == 'verb'").iloc[0]
    assert found["tvStudyGlassEnItemsDifferenceBitsOfVerbDaiMinusNgan"].removeprefix("\\ensuremath{").rstrip("}") == (
        f"{row['mean']:.3f}"
    )
    correct = frames["pairs"].query("kind == 'NA'")["correct_sum"].mean()
    assert float(found["tvCauGlassEnPairsAccuracyBySumOfNA"]) == correct
    assert found["tvCauGlassEnPairsAccuracyBySumN"] == "4"
    assert "share of pairs of the group “主语” in which the good sentence has the greater sum of log-probs; Wilson" in text
    rows = (project / "paper/tables/items_means.tex").read_text()
    assert " & ".join(["verb", "dài", "3", found[stem]]) in rows
    assert "主语" in (project / "paper/tables/accuracies.tex").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_computed_again_or_says_why_not(made: dict[str, list[str]], run: Run, kind: str) -> None:
    code, out, err = run("rerun", made[kind][-1])
    if kind == "margin":  # its function is not in the run
        assert code == 1
        assert re.match(r"^error: run \w+ of kind 'margin' does not say enough to be computed again by itself: repeat '", err)
    else:
        assert code == 0
        lines = [line for line in out.splitlines() if line.startswith("agrees")]
        assert len(lines) == len(out.splitlines()) == (14 if kind == "summary" else 1)
    assert ("4 of 18 runs do not say enough to be computed again" in err) == (kind == "summary")


@pytest.mark.parametrize(("kind", "column"), [("items", "surprisal_bits"), ("pairs", "logprob_bad")])
def test_another_number_in_a_study_s_table_is_noticed(made: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, kind: str,
    column: str) -> None:  # fmt: skip
    store = open_for_reading()
    one = find_run(made[kind][0], store)
    own = kind_of(one)
    compute = own.compute_again  # type: ignore[attr-defined]  # both kinds have it

    def shifted(*given: object) -> pd.DataFrame:
        table = compute(*given)
        return table.assign(**{column: table[column] + np.where(np.arange(len(table)) == 1, 1e-3, 0)})

    monkeypatch.setattr(type(own), "compute_again", lambda self, *given: shifted(*given))
    (done,) = rerun(made[kind][0], store)
    assert done.largest == pytest.approx(1e-3)
    assert not done.agrees(1e-4)


@pytest.mark.parametrize("kind", ["items", "pairs", "context_effect"])
def test_a_table_that_was_changed_is_refused(made: dict[str, list[str]], project: Path, kind: str) -> None:
    place = place_of(made[kind][0])
    path = place / "tables" / f"{kind}.parquet"
    table = pd.read_parquet(path)
    table.iloc[:-1].to_parquet(path, index=False)
    with pytest.raises(DamagedError, match=f"^the file 'tables/{kind}.parquet' of run .* is not what was written: run its"):
        pull(Order(experiment="trial"), project / "paper")
    assert not list((project / "paper").rglob("*.pdf"))


def test_every_kind_is_shown_exported_and_looked_over(made: dict[str, list[str]], run: Run, project: Path,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    for kind, (first, *_) in made.items():
        code, out, _ = run("runs", "show", first, "--json")
        document = json.loads(out)
        assert (code, document["tags"]["kind"]) == (0, kind)
        assert document["files"]
    listed = run("runs")[1]
    assert (listed.count("accuracy "), listed.count("mean surprisal (bits) ")) == (2, 2)
    assert run("runs", "export", "exported")[0] == 0
    (project / "other" / "experiments").mkdir(parents=True)
    monkeypatch.chdir(project / "other")
    code, out, _ = run("runs", "import", "../exported")
    assert (code, len(find_runs("trial"))) == (0, 19)
    for kind in ("items", "pairs"):
        one = find_runs("trial", where=f"kind={kind}")[0]
        assert run("redraw", one.run_id, "--to", kind)[0] == 0
        assert run("rerun", one.run_id)[0] == 0


def test_a_pair_run_that_does_not_say_its_group_column_has_the_usual_one(made: dict[str, list[str]]) -> None:
    store = open_for_reading()
    one = find_run(made["pairs"][0], store)
    recorded = Reader(store).recorded(one)
    table = recorded.frame("pairs").rename(columns={"kind": "UID"})
    params = {name: value for name, value in one.params.items() if name != "group_column"}
    record = make_record("old", experiment="trial", tags=dict(one.tags), params=params, metrics=one.metrics, figures=False,
        table="tables/pairs.parquet")  # fmt: skip

    def fill(files: Path) -> Any:
        filled(record)(files)
        table.to_parquet(files / "tables" / "pairs.parquet", index=False)
        return record

    old = find_run(Runs(open_store(), "trial", "").keep("old", fill), store)
    names = [[one.name for one in kind_of(run).quantities(run, Reader(store))] for run in (find_run(one.run_id, store), old)]
    assert names[0] == names[1]
    assert "accuracy_by_sum of 主语" in names[0]
