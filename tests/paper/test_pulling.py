"""Pulling into a paper's folder: what comes, what stays, and what is refused."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from conftest import Once, Run
from kept_runs import COMMAND, COMMIT, keep_comparison, keep_pair, keep_scores, pulled_pair
from tables import NAN, long_pair, make_scores

import tokenviz as tv
from tokenviz.base.errors import DamagedError, PaperError
from tokenviz.base.progress import collecting
from tokenviz.figures.origin import provenance_lines, provenance_of
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.paper.manifest import Order
from tokenviz.paper.pulling import pull, redraw
from tokenviz.tracking.finding import find_run
from tokenviz.tracking.store import open_store

ORDER = Order(experiment="trial", figures=("heatmap", "scatter"))


@pytest.fixture
def folder(once: Once, project: Path) -> Path:
    """The folder of a paper into which they were pulled."""
    return pulled_pair(once, project, ORDER)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def macros(folder: Path) -> dict[str, str]:
    """The macros of numbers.tex as somebody else's parser sees them."""
    found = re.findall(r"^\\newcommand\{\\([A-Za-z]+)\}\{(.*?)\}(?: %.*)?$", (folder / "numbers.tex").read_text(), re.M)
    assert len(dict(found)) == len(found)
    return dict(found)


def number(value: str) -> float:
    return float(value.removeprefix("\\ensuremath{").removesuffix("}"))


def test_a_folder_holds_figures_tables_numbers_and_a_manifest_of_them(runs: list[str], project: Path) -> None:
    folder = project / "paper"
    pulled = pull(ORDER, folder)
    files = contents(folder)
    assert set(files) == {
        "figures/text_a_heatmap.pdf", "figures/text_b_heatmap.pdf", "figures/text_a_b_heatmap.pdf",
        "figures/text_a_b_scatter.pdf", "tables/scores.tex", "tables/comparisons.tex", "numbers.tex", "captions.tex",
        "manifest.json",
    }  # fmt: skip
    assert set(pulled.written) == set(files) - {"manifest.json"}
    manifest = json.loads(files.pop("manifest.json"))
    assert {path: entry["sha256"] for path, entry in manifest["files"].items()} == {
        path: sha256(content).hexdigest() for path, content in files.items()
    }
    assert set(manifest["runs"]) == set(runs)
    run = manifest["runs"][runs[0]]
    assert (run["kind"], run["models"], run["text"], run["commit"], run["command"]) == ("score", ["a"], "text", COMMIT, COMMAND)
    assert run["fingerprint"] == open_store().client.get_run(runs[0]).data.tags["tokenviz.fingerprint"]
    assert run["params"] == dict(sorted(find_run(runs[0], open_store()).params.items()))
    assert manifest["files"]["figures/text_a_heatmap.pdf"]["runs"] == [runs[0]]


def test_by_default_the_figures_of_the_runs_own_pages_come(runs: list[str], project: Path) -> None:
    pull(Order(experiment="trial"), project / "paper")
    assert {path.stem for path in (project / "paper" / "figures").iterdir()} == {
        "text_a_heatmap", "text_b_heatmap", "text_a_b_heatmap", "text_a_b_difference", "text_a_b_scatter",
        "text_a_b_along_text",
    }  # fmt: skip


def test_every_number_is_that_of_its_run(runs: list[str], project: Path) -> None:
    pull(ORDER, project / "paper")
    found = macros(project / "paper")
    score, pair = (find_run(run_id, open_store()).metrics for run_id in (runs[0], runs[2]))
    assert found["tvTextANTokens"] == "40"
    assert found["tvTextAMeanLogprobN"] == "39"
    assert number(found["tvTextAMeanLogprob"]) == pytest.approx(score["mean_logprob"], abs=5e-4) != 0
    assert number(found["tvTextABitsPerByteLow"]) == pytest.approx(score["bits_per_byte_low"], abs=5e-4) != 0
    assert found["tvTextANBytes"] == f"{score['n_bytes']:.0f}"
    assert number(found["tvTextAPerplexityPerToken"]) == pytest.approx(score["perplexity_per_token"], abs=5e-4)
    assert number(found["tvTextAVsBPearsonR"]) == pytest.approx(pair["pearson_r"], abs=5e-4)
    assert number(found["tvTextAVsBPearsonRLow"]) == pytest.approx(pair["pearson_r_low"], abs=5e-4)
    assert number(found["tvTextAVsBPearsonRHigh"]) == pytest.approx(pair["pearson_r_high"], abs=5e-4)
    assert found["tvTextAVsBPearsonRN"] == "39"
    assert found["tvTextAMeanLogprob"].startswith("\\ensuremath{-")
    statistics = tv.compare(*long_pair(40)).estimates()
    for name, estimate in statistics.items():
        macro = "tvTextAVsB" + "".join(part.capitalize() for part in name.split("_"))
        assert number(found[macro]) == pytest.approx(estimate.value, abs=5e-4)
        assert found[f"{macro}N"] == str(estimate.n)
        assert (f"{macro}Low" in found) == estimate.has_interval
    assert not any("Seconds" in name for name in found)


def test_a_number_that_is_not_determined_has_no_macro_but_its_reason(project: Path) -> None:
    a = make_scores([["one", " two"]], [NAN, -1.0], model="a")
    b = make_scores([["one", " two"]], [NAN, -2.0], model="b")
    keep_pair(a, b)
    pull(ORDER, project / "paper")
    assert not any("PearsonR" in name for name in macros(project / "paper"))
    reason = tv.compare(a, b).pearson_r.reason
    assert f'% \\tvTextAVsBPearsonR is not determined: "{reason}"' in (project / "paper" / "numbers.tex").read_text()
    assert "\\textendash{} & \\textendash{}" in (project / "paper" / "tables" / "comparisons.tex").read_text()


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes_in_every_format(runs: list[str], project: Path) -> None:
    order = Order(experiment="trial", formats=("png", "svg", "pdf", "html", "tex", "tex-document"))
    for folder in ("one", "two"):
        pull(order, project / folder)
    one, two = contents(project / "one"), contents(project / "two")
    assert len(one) == 35
    assert one == two


def test_pulling_again_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")}
    monkeypatch.setattr("tokenviz.paper.pulling.draw", None)  # nor is anything drawn
    pulled = pull(ORDER, folder)
    assert (len(pulled.unchanged), pulled.written, pulled.kept, pulled.removed) == (8, (), (), ())
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*")} == before


def test_only_what_changed_is_written(runs: list[str], project: Path) -> None:
    folder = project / "paper"
    keep_pair(*long_pair(30, name="other", seed=2))
    pull(ORDER, folder)
    before = contents(folder)
    changed = long_pair(40, seed=7)[1]
    keep_scores(changed, replaces=True)
    keep_comparison(long_pair(40)[0], changed, replaces=True)
    pulled = pull(ORDER, folder)
    after = contents(folder)
    assert {path for path in after if after[path] != before[path]} - {"manifest.json"} == set(pulled.written) == {
        "figures/text_b_heatmap.pdf", "figures/text_a_b_heatmap.pdf", "figures/text_a_b_scatter.pdf",
        "tables/scores.tex", "tables/comparisons.tex", "numbers.tex", "captions.tex",
    }  # fmt: skip


def test_an_edited_file_stays_until_it_may_be_replaced(folder: Path) -> None:
    before = contents(folder)
    for path in ("numbers.tex", "figures/text_a_heatmap.pdf"):
        (folder / path).write_text("mine")
    pulled = pull(ORDER, folder)
    assert (set(pulled.kept), pulled.written) == ({"numbers.tex", "figures/text_a_heatmap.pdf"}, ())
    assert (folder / "numbers.tex").read_text() == "mine"
    assert set(pull(ORDER, folder).kept) == {"numbers.tex", "figures/text_a_heatmap.pdf"}  # it does not become ours by this
    pulled = pull(ORDER, folder, overwrite=True)
    assert (pulled.kept, set(pulled.written)) == ((), {"numbers.tex", "figures/text_a_heatmap.pdf"})
    assert contents(folder) == before


def test_a_file_that_was_there_before_stays(runs: list[str], project: Path) -> None:
    folder = project / "paper"
    folder.mkdir()
    (folder / "numbers.tex").write_text("mine")
    (folder / "paper.tex").write_text("mine")
    assert pull(ORDER, folder).kept == ("numbers.tex",)
    assert (folder / "numbers.tex").read_text() == (folder / "paper.tex").read_text() == "mine"


def test_what_is_not_meant_any_more_goes_unless_it_was_edited(folder: Path) -> None:
    (folder / "figures/text_b_heatmap.pdf").write_text("mine")
    pulled = pull(Order(experiment="trial", where="model=a and kind=score", figures=("heatmap",)), folder)
    assert pulled.kept == ("figures/text_b_heatmap.pdf",)
    assert set(pulled.removed) == {
        "figures/text_a_b_heatmap.pdf", "figures/text_a_b_scatter.pdf", "tables/comparisons.tex"
    }  # fmt: skip
    assert (folder / "figures/text_b_heatmap.pdf").read_text() == "mine"


def test_overwriting_removes_what_is_not_meant_any_more_as_well(folder: Path) -> None:
    (folder / "figures/text_b_heatmap.pdf").write_text("mine")
    narrower = Order(experiment="trial", where="model=a and kind=score", figures=("heatmap",))
    assert "figures/text_b_heatmap.pdf" in pull(narrower, folder, overwrite=True).removed
    assert not (folder / "figures/text_b_heatmap.pdf").exists()


def test_a_pull_that_was_interrupted_is_made_whole(folder: Path) -> None:
    before = contents(folder)
    (folder / "manifest.json").unlink()
    (folder / "figures/text_a_heatmap.pdf").unlink()
    pulled = pull(ORDER, folder)
    assert (pulled.written, pulled.kept) == (("figures/text_a_heatmap.pdf",), ())
    assert contents(folder) == before


def test_the_newest_of_several_runs_is_taken_and_that_is_said(project: Path) -> None:
    keep_scores(long_pair(40)[0], context_length=64)
    new = keep_scores(long_pair(40, seed=3)[0], started=9, context_length=128)
    with collecting() as notes:
        pull(ORDER, project / "paper")
    assert list(json.loads((project / "paper/manifest.json").read_text())["runs"]) == [new]
    assert notes == [
        "1 older run of the same models and texts is left out (they differ in context_length): --where chooses"
    ]  # fmt: skip


def test_a_setting_of_both_score_runs_chooses_their_comparison(project: Path) -> None:
    keep_pair(*long_pair(40), bos_mode="never")
    keep_pair(*long_pair(40), bos_mode="always")
    for mode in ("never", "always"):
        with collecting() as notes:
            pull(Order(experiment="trial", where=f"bos_mode={mode}", figures=("scatter",)), project / mode)
        assert notes == []
        found = json.loads((project / mode / "manifest.json").read_text())["runs"].values()
        assert [run["kind"] for run in found if run["params"].get("bos_mode") in (None, mode)].count("comparison") == 1
        assert len(found) == 3


def test_widths_and_measures_are_those_asked_for(runs: list[str], project: Path) -> None:
    from tokenviz.figures.origin import provenance_of

    order = Order(experiment="trial", figures=("heatmap", "scatter"), measure="surprisal_bits", width="acl", font_size=7)
    pull(order, project / "paper")
    about = provenance_of(project / "paper/figures/text_a_heatmap.pdf")
    assert (about["measure"], about["font_size"]) == ("surprisal_bits", 7)
    assert about["width_inches"] == pytest.approx(77 / 25.4)
    about = provenance_of(project / "paper/figures/text_a_b_scatter.pdf")
    assert about["width_inches"] == pytest.approx(77 / 25.4)


def test_numbers_of_an_own_measure_have_macros(project: Path) -> None:
    from run_records import filled, make_record

    from tokenviz.tracking.runs import Runs
    from tokenviz.tracking.staged_runs import RunRecord

    tags = {"kind": "context_effect", "model": "a", "text": "x"}
    metrics = {"n": 12.0, "mean_logprob_4": -1.25}
    record = make_record("f", experiment="trial", tags=tags, metrics=metrics, table="tables/context_effect.parquet")

    def fill(files: Path) -> RunRecord:
        filled(record)(files)
        pd.DataFrame({"x": [1.0]}).to_parquet(files / "tables" / "context_effect.parquet")
        return record

    Runs(open_store(), "trial", "").keep("f", fill)
    pull(Order(experiment="trial"), project / "paper")
    assert macros(project / "paper") == {
        "tvAModel": "a",
        "tvXAContextEffectN": "12",
        "tvXAContextEffectMeanLogprobFour": "\\ensuremath{-1.250}",
        "tvXAContextEffectMeanLogprobFourN": "12",
    }


@pytest.mark.slow
def test_a_grid_of_real_models_is_pulled(project: Path) -> None:
    with running(ExperimentContext("trial")):
        grid = tv.Grid(
            ["glass-en", "glass-en,dtype=bfloat16"], [tv.literal("Alice was beginning to get very tired.", name="t")]
        )
        grid.score()
        [comparison] = grid.compare()
        grid.summarise("")
    pull(ORDER, project / "paper")
    found = macros(project / "paper")
    stem = "tvTGlassEnVsGlassEnDtypeBfloatOneSix"
    assert number(found[f"{stem}PearsonR"]) == pytest.approx(comparison.metrics["pearson_r"], abs=5e-4)
    assert (project / "paper/figures/t_glass-en_glass-en-dtype-bfloat16_scatter.pdf").is_file()
    # What the models are stands in all that a paper takes over.
    words = "glassllm, 0.85 M parameters trained on Lewis Carroll, weights from float16"
    assert found["tvGlassEnModel"] == words
    assert found["tvGlassEnDtypeBfloatOneSixModel"] == f"{words}, in bfloat16"
    numbers, captions = ((project / f"paper/{name}.tex").read_text() for name in ("numbers", "captions"))
    assert f'% "glass-en ({words})" and "glass-en,dtype=bfloat16 ({words}, in bfloat16)" on "t"' in numbers
    defined = dict(re.findall(r"^\\newcommand\{\\(\w+)\}\{(.*)\}$", captions, re.M))
    assert len(defined) == 6
    assert all(words in caption for caption in defined.values())
    described = {"glass-en": words, "glass-en,dtype=bfloat16": f"{words}, in bfloat16"}
    runs = json.loads((project / "paper/manifest.json").read_text())["runs"].values()
    assert [run["descriptions"] for run in runs if run["kind"] == "comparison"] == [described]
    figure = project / "paper/figures/t_glass-en_glass-en-dtype-bfloat16_scatter.pdf"
    for file in (figure, project / "paper/numbers.tex"):
        lines = dict(provenance_lines(provenance_of(file)))
        assert lines["models"] == " and ".join(f"{label} ({said})" for label, said in described.items())


def test_runs_of_before_say_what_their_models_are_by_their_weights(project: Path) -> None:
    from run_records import filled, make_record

    from tokenviz.models.catalogue import CATALOGUE
    from tokenviz.paper.naming import descriptions_of
    from tokenviz.tracking.finding import find_runs
    from tokenviz.tracking.runs import Runs

    runs, ids = Runs(open_store(), "trial", ""), {}
    for name, model in (("run_a", "smollm2-135m,quantize=q4_0"), ("run_b", "other")):
        identity = CATALOGUE["smollm2-135m"].identity if name == "run_a" else "sha256:0"
        tags, params = {"kind": "score", "model": model, "text": "x"}, {"model": model, "identity": identity}
        record = make_record(name, experiment="trial", tags=tags, params=params)
        ids[name] = runs.keep(name, filled(record))
    tags = {"kind": "comparison", "model_a": "smollm2-135m,quantize=q4_0", "model_b": "other", "text": "x"}
    runs.keep("c", filled(make_record("c", experiment="trial", tags=tags, params={**tags, **ids})))
    found = find_runs("trial", where="kind=comparison")
    words = "SmolLM2-135M-Instruct, weights from Q4_1, rounded once more to Q4_0"
    assert descriptions_of(found, open_store()) == {"smollm2-135m,quantize=q4_0": words}


@pytest.mark.parametrize(("which", "table"), [(0, "tokens"), (2, "units"), (2, "statistics")])
def test_a_run_that_has_lost_a_table_is_one_line(runs: list[str], project: Path, which: int, table: str) -> None:
    run = open_store().client.get_run(runs[which])
    (Path(run.info.artifact_uri) / f"tables/{table}.parquet").unlink()
    with pytest.raises(
        DamagedError,
        match=rf"^run {runs[which]} has lost its file 'tables/{table}\.parquet' \(.*\): run its experiment again with "
        r"--force: the new run takes its place, and this one stays$",
    ):
        pull(ORDER, project / "paper")
    assert not list((project / "paper").rglob("*.pdf"))


def test_a_table_of_another_version_is_one_line(runs: list[str], project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenviz.data.parquet.READABLE_FORMATS", ("98", "99"))
    name = open_store().client.get_run(runs[0]).info.run_name
    message = f"the file 'tables/tokens.parquet' of run {runs[0]} ({name!r}) cannot be used: 'tokens.parquet' has table format "
    with pytest.raises(DamagedError, match=f"^{re.escape(message)}"):
        pull(Order(experiment="trial", where="model=a"), project / "paper")


def test_a_comparison_by_word_is_pulled_and_redrawn_with_its_own_settings(project: Path) -> None:
    a = make_scores([["The", " goal", ",", " he", " said", "."]], model="a")
    b = make_scores([["The", " go", "al,", " he", " said", "."]], model="b")
    (_, _, _), by_word = keep_pair(a, b), keep_comparison(a, b, by="word", punctuation="apart")
    pull(Order(experiment="trial", figures=("scatter",), formats=("png",), where="by=word"), project / "paper")
    expected = tv.compare(a, b, by="word", punctuation="apart")
    assert macros(project / "paper")["tvTextAVsBN"] == str(expected.n) == "4"
    (path,) = redraw(by_word, figure="scatter", formats=["png"], folder=project)
    assert provenance_of(path)["run_id"] == by_word
    assert path.read_bytes() != redraw(keep_comparison(a, b), figure="scatter", formats=["png"], folder=project)[0].read_bytes()


def test_a_folder_is_of_one_experiment(folder: Path) -> None:
    keep_scores(long_pair(40)[0], experiment="second one")
    message = (
        f"{str(folder)!r} holds what was pulled from 'trial': give 'second one' a folder of its own, such as --to "
        f"{folder / 'second-one'}"
    )
    with pytest.raises(PaperError, match=f"^{re.escape(message)}$"):
        pull(Order(experiment="second one"), folder)
    pull(Order(experiment="second one"), folder / "second-one")


@pytest.mark.slow
def test_figures_of_a_paper_leave_their_title_to_the_caption(runs: list[str], run: Run, project: Path) -> None:
    assert run("pull", "trial", "--to", "paper", "--format", "svg,html,pdf", "--figure", "heatmap,difference,scatter")[0] == 0
    titles = {"heatmap": "of “text”", "difference": "of “text”", "scatter": "ρ = "}
    for path in sorted((project / "paper/figures").iterdir()):
        title, again = titles[path.stem.split("_")[-1]], shlex.split(provenance_of(path)["again"])
        assert again[-1] == "--no-title"
        assert run(*again[1:], "--to", "bare")[0] == 0
        assert (project / "bare" / path.name).read_bytes() == path.read_bytes()
        assert run(*again[1:-1], "--to", "titled")[0] == 0
        if path.suffix != ".pdf":
            bare, titled = (shown_in(project / folder / path.name) for folder in ("bare", "titled"))
            assert (title in bare, title in titled) == (False, True)
    bare, titled = (provenance_of(project / folder / "text_a_b_scatter.svg") for folder in ("bare", "titled"))
    rho = f"Spearman’s rho = {tv.compare(*long_pair(40)).spearman_rho.value:.3f}, n = 39"
    assert (rho in bare["caption"], rho in titled["caption"]) == (True, False)
    assert dict(provenance_lines(bare))["look"].endswith(", without title")
    assert "title" not in titled


def shown_in(path: Path) -> str:
    """What a reader sees of an SVG or HTML file, without what its head says, or its caption."""
    content = re.sub(r"<(metadata|head|figcaption)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"<[^>]*>", "", content).replace("\xa0", " ")


@pytest.mark.slow
@pytest.mark.parametrize("figures", [("heatmap", "scatter", "along_text"), ()])
def test_a_folder_of_the_time_when_all_figures_had_a_title_is_still_known(
    runs: list[str], run: Run, project: Path, figures: tuple[str, ...]
) -> None:
    folder = project / "paper"
    pull(replace(ORDER, figures=figures, title=True), folder)
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["order"]["title"]
    path.write_text(json.dumps(content | {"format": 1}))
    code, out, _ = run("pull", "trial", "--to", "paper", "--check")
    assert (code, out) == (0, f"{len(content['files'])} files are what the runs say\n")
    for figure in sorted((folder / "figures").iterdir()):
        again = provenance_of(figure)["again"]
        assert "title" not in again
        assert run(*shlex.split(again)[1:], "--to", "again")[0] == 0
        assert (project / "again" / figure.name).read_bytes() == figure.read_bytes()
    kept = (folder / "figures/text_a_b_along_text.pdf").read_bytes()
    pulled = pull(replace(ORDER, figures=figures), folder)
    assert {Path(name).stem.split("_")[-1] for name in pulled.written if name.startswith("figures/")} <= {
        "heatmap", "difference", "scatter"
    }  # fmt: skip
    assert "figures/text_a_b_scatter.pdf" in pulled.written
    assert (folder / "figures/text_a_b_along_text.pdf").read_bytes() == kept
    assert json.loads(path.read_text())["format"] == 2


def test_the_command_says_what_it_did(runs: list[str], run: Run, project: Path) -> None:
    command = ("pull", "trial", "--to", "paper", "--figure", "heatmap", "--where", "kind=score", "--format", "png,pdf")
    code, out, err = run(*command)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "7 written, 0 unchanged, 0 kept, 0 removed"
    assert "written  paper/figures/text_a_heatmap.png" in out.splitlines()
    (project / "paper/numbers.tex").write_text("mine")
    code, out, _ = run(*command)
    assert code == 0
    assert out.splitlines() == [
        "kept     paper/numbers.tex  (it was edited, or is not ours; --overwrite replaces it)",
        "0 written, 6 unchanged, 1 kept, 0 removed",
    ]
    code, out, _ = run(*command, "--json", "--overwrite")
    assert json.loads(out)["written"] == ["numbers.tex"]


def test_a_store_that_was_moved_is_pulled_from(folder: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = project / "elsewhere"
    (moved / "experiments").mkdir(parents=True)
    shutil.move(project / "mlruns", moved / "mlruns")
    monkeypatch.chdir(moved)
    assert pull(ORDER, folder).written == ()
