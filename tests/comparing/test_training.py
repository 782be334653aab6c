"""One model over its checkpoints: steps from names, equal weights named, numbers that follow from the scores, curves."""

import json
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder
from conftest import Run
from kills import draw_in_no_time

import tokenviz as tv
from tokenviz.base.errors import ComparisonError, ExperimentError, ModelError
from tokenviz.base.progress import collecting
from tokenviz.comparing.studies import step_logprobs, training_table
from tokenviz.figures.origin import provenance_of
from tokenviz.figures.plots.training import step_heatmap, training_curves
from tokenviz.harness.rebuilding import rerun
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.spec import Checkpoint, checkpoints_of, step_of
from tokenviz.paper.pulling import redraw
from tokenviz.tracking.store import open_store

TEXT = "abcabdcabb" * 4
SHARES = {0: 0.0, 10: 0.5, 20: 0.5, 100: 1.0}  # of the way from a uniform model to the last one, by step


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Four checkpoints of a bigram model; the second and third have the same weights in other folders."""
    for step, share in SHARES.items():
        make_bigram_folder(tmp_path / "course" / f"checkpoint-{step}", BIGRAM_WEIGHTS**share)
    (tmp_path / "course" / "checkpoint-20" / "generation_config.json").write_text('{"max_length": 9}')
    return tmp_path / "course"


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step1000", 1000), ("checkpoint-500", 500), ("1000", 1000), ("global_step20", 20), ("step0", 0), ("ckpt_7", 7),
        ("stage1-step1000-tokens4B", 1000), ("step-3", 3), ("iter_0000100", 100), ("model-step143000", 143000),
    ],
)  # fmt: skip
def test_steps_are_read_from_names(name: str, step: int) -> None:
    assert step_of(name) == step


def test_checkpoints_are_found_in_the_order_of_their_steps(course: Path) -> None:
    found = checkpoints_of(str(course))
    assert [one.step for one in found] == [0, 10, 20, 100]
    assert [Path(one.model).name for one in found] == ["checkpoint-0", "checkpoint-10", "checkpoint-20", "checkpoint-100"]
    assert [one.step for one in checkpoints_of(f"{course},dtype=float64", ["checkpoint-100,checkpoint-10"])] == [10, 100]
    assert checkpoints_of(f"{course},dtype=float64")[0].model.endswith("checkpoint-0,dtype=float64")
    assert checkpoints_of("owner/model", ["step20", "step3, step100"]) == [
        Checkpoint(3, "owner/model@step3"), Checkpoint(20, "owner/model@step20"), Checkpoint(100, "owner/model@step100"),
    ]  # fmt: skip


def test_what_is_no_course_is_refused_in_a_line(course: Path, tmp_path: Path) -> None:
    shutil.copytree(course / "checkpoint-10", course / "step10")
    for model, revisions, message in (
        (str(course), [], r"^the step 10 is given twice for '.*', as 'checkpoint-10' and as 'step10'$"),
        (str(course), ["step10,step11"], r"^'.*' has no checkpoint 'step11': it has checkpoint-0, "),
        (str(course / "step10"), [], r"^'.*' holds no checkpoints: it is to have folders such as 'checkpoint-500'"),
    ):
        with pytest.raises(ModelError, match=message):
            checkpoints_of(model, revisions)
    shutil.move(course / "step10", course / "final")
    with pytest.raises(ModelError, match=r"^no training step can be read in 'final'"):
        checkpoints_of(str(course))


@pytest.mark.slow
def test_a_course_is_a_run_whose_steps_are_those_of_training(
    project: Path, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_in_no_time(monkeypatch)
    checkpoints = checkpoints_of(str(course))
    text = tv.literal(TEXT, name="bigrams")

    def followed() -> tuple[tv.GridResult, list[str]]:
        with running(ExperimentContext("trial")), collecting() as notices:
            grid = tv.Grid([one.model for one in checkpoints], [text], top_k=2)
            grid.follow(str(course), checkpoints)
            result = grid.summarise("Found.")
        return result, list(map(str, notices))

    (first, said), (again, _) = followed(), followed()
    (run,) = first.training
    assert any("have the same weights: step 20 as 10" in one for one in said)
    assert again.training[0].reused
    assert again.training[0].run_id == run.run_id
    table = run.table.set_index("step")
    assert table["same_weights_as"].dropna().to_dict() == {20: 10}
    # By hand: what each checkpoint predicts after a token is its row of weights, normalised.
    predicted = {
        step: (BIGRAM_WEIGHTS**share / (BIGRAM_WEIGHTS**share).sum(1, keepdims=True)) for step, share in SHARES.items()
    }
    ids = ["abcd".index(letter) for letter in TEXT]
    logprob = {step: np.log(rows[ids[:-1], ids[1:]]) for step, rows in predicted.items()}

    def kl(later: int, earlier: int) -> float:
        p, q = predicted[later][ids[:-1]], predicted[earlier][ids[:-1]]
        return float((p * np.log(p / q)).sum(1).mean())

    for before, step in zip([None, *SHARES], SHARES, strict=False):
        row = table.loc[step]
        assert row["mean_logprob"] == pytest.approx(logprob[step].mean(), abs=1e-5)
        assert row["bits_per_byte"] == pytest.approx(-logprob[step].mean() / np.log(2), abs=1e-5)
        assert row["kl_to_last"] == pytest.approx(kl(100, step), abs=1e-5)
        if step:  # a uniform model has no correlation
            assert row["r_to_last"] == pytest.approx(np.corrcoef(logprob[step], logprob[100])[0, 1], abs=1e-5)
        if before is not None:
            assert row["kl_to_previous"] == pytest.approx(kl(step, before), abs=1e-5)
    assert np.isnan(table.loc[0, "kl_to_previous"])
    assert np.isnan(table.loc[0, "r_to_last"])
    assert table.loc[20, "kl_to_previous"] == 0
    history = mlflow.MlflowClient(first.scores[0].runs.store.uri).get_metric_history(run.run_id, "mean_logprob")
    assert [(point.step, point.value) for point in history] == list(table["mean_logprob"].items())
    assert run.metrics["n_distinct_weights"] == 3
    intervals = run.read("statistics").set_index(["step", "statistic"])
    assert intervals.loc[(10, "kl_to_last"), "value"] == pytest.approx(table.loc[10, "kl_to_last"])
    for step, name in ((10, "r_to_last"), (100, "r_to_previous"), (10, "kl_to_last"), (10, "kl_to_previous")):
        row = intervals.loc[(step, name)]
        assert row["low"] < row["value"] < row["high"], (step, name)
        assert (row["n"], row["resampled"]) == (len(TEXT) - 1, "blocks")
        assert row["value"] == pytest.approx(table.loc[step, name])
    flat = "one model gives every position the same value; the correlation is not defined"
    assert intervals.loc[(0, "r_to_last"), "reason"] == flat
    assert not {(100, "r_to_last"), (0, "r_to_previous"), (20, "kl_to_previous")} & set(intervals.index)
    for step, name in ((10, "mean_logprob"), (100, "bits_per_byte")):
        row, own = (
            intervals.loc[(step, name)],
            tv.information(tv.score(str(course / f"checkpoint-{step}"), TEXT)).estimates[name],
        )
        assert (row["value"], row["low"], row["high"]) == pytest.approx((own.value, own.low, own.high), abs=1e-6)
    said = first.to_json()["training"][0]["statistics"]
    assert [(row["step"], row["statistic"]) for row in said] == list(intervals.index)
    assert json.loads(json.dumps(said))[2] == {**said[2], "statistic": "r_to_last", "value": None, "low": None, "reason": flat}
    long = run.read("step_logprobs")
    np.testing.assert_allclose(long["step_10"][1:], logprob[10], atol=1e-5)
    assert "".join(long["token"]) == TEXT
    assert tv.load_runs(where="kind=training")["last_bits_per_byte"].item() == table.loc[100, "bits_per_byte"]
    (made,) = rerun(run.run_id, open_store())
    assert made.agrees(1e-6)
    for figure in ("curves", "steps"):
        (path,) = redraw(run.run_id, figure=figure, formats=["svg"], folder=project / "again")
        about = provenance_of(path)
        assert (about["kind"], about["run_id"], about["figure"]) == ("training", run.run_id, figure)
        assert "bigrams" in about["caption"]
        assert about["caption"].endswith("Bands: 95 % intervals, from resampled blocks.") is (figure == "curves")
    make_bigram_folder(course / "checkpoint-10", BIGRAM_WEIGHTS**0.6)
    assert not followed()[0].training[0].reused


def test_checkpoints_that_the_grid_does_not_score_are_refused(project: Path, course: Path) -> None:
    checkpoints = checkpoints_of(str(course))
    grid = tv.Grid([checkpoints[0].model], [tv.literal(TEXT)])
    with pytest.raises(ExperimentError, match=r"^the checkpoint '.*checkpoint-10' is none of the grid's models"):
        grid.follow("course", checkpoints)


def test_checkpoints_of_two_tokenizers_are_refused(course: Path, tmp_path: Path) -> None:
    a = tv.score(str(course / "checkpoint-0"), TEXT)
    b = tv.score("glass-en", TEXT)
    with pytest.raises(ComparisonError, match=r"cuts 'text-.*' into other tokens than 'glass-en'"):
        training_table([1, 2], [a, b], ["x", "y"], kl_to_last=[0, 0], kl_to_previous=[0, 0])


def test_figures_show_every_text_and_step(course: Path) -> None:
    steps = [0, 8, 16, 512]
    rows = [
        {"step": step, "text": text, "mean_logprob": -4 + place, "bits_per_byte": 3.0, "r_to_last": 0.5, "kl_to_last": 1.0}
        for text in ("en", "vi") for place, step in enumerate(steps)
    ]  # fmt: skip
    panels = training_curves(pd.DataFrame(rows)).axes
    assert [panel.get_title(loc="left").split()[0] for panel in panels] == ["mean", "bits", "Pearson's", "KL"]
    assert [list(line.get_xdata()) for line in panels[0].get_lines()] == [steps, steps]
    assert list(panels[0].get_lines()[0].get_ydata()) == [-4, -3, -2, -1]
    assert not any(panel.collections for panel in panels)
    tables = [tv.score(one.model, TEXT * 20) for one in checkpoints_of(str(course))]
    figure = step_heatmap(step_logprobs(list(SHARES), tables))
    *blocks, bar = figure.axes
    assert len(blocks) == 3
    assert [label.get_text() for label in blocks[0].get_yticklabels()] == ["0", "10", "20", "100"]
    drawn = sum(len(block.get_xticklabels()) for block in blocks)
    assert drawn < len(tables[0])
    assert blocks[-1].get_xlabel() == f"the first {drawn:,} of {len(tables[0]):,} tokens"
    short = step_heatmap(step_logprobs(list(SHARES), tables).iloc[:5])
    assert short.axes[0].get_xlabel() == ""
    assert figure.get_figheight() / 3 == pytest.approx(short.get_figheight(), abs=0.15)  # lines of a short text are no higher
    half = step_heatmap(step_logprobs(list(SHARES), tables).iloc[: drawn // 2])
    assert [len(block.get_xticklabels()) for block in half.axes[:-1]] == [24, 24]  # blocks are as full as each other
    columns = len(blocks[0].get_xticklabels())
    assert "".join(label.get_text() for label in blocks[0].get_xticklabels()) == (TEXT * 20)[:columns]
    assert len(blocks[0].patches) == columns * 4
    assert bar.get_ylabel() == "log-prob (nats)"


def test_bands_are_the_intervals_close_where_a_number_is_exact_and_are_open_where_it_has_none() -> None:
    table = pd.DataFrame({"step": [0, 8, 16, 512], "text": "en", "mean_logprob": -4.0, "bits_per_byte": 3.0})
    table = table.assign(r_to_last=[np.nan, 0.5, 0.8, 1.0], kl_to_last=[1.0, 0.8, 0.3, 0.0])
    found = {8: (0.4, 0.6), 16: (0.7, 0.9), 0: (np.nan, np.nan)}  # r at step 0 is undetermined; at the last it has no row
    rows = [{"step": step, "text": "en", "statistic": "r_to_last", "low": a, "high": b} for step, (a, b) in found.items()]
    figure = training_curves(table, pd.DataFrame(rows))
    assert [len(panel.collections) for panel in figure.axes] == [0, 0, 1, 0]
    (band,) = figure.axes[2].collections
    (outline,) = (path.vertices for path in band.get_paths())
    assert set(map(tuple, outline)) == {(8, 0.4), (8, 0.6), (16, 0.7), (16, 0.9), (512, 1.0)}
    assert [word.get_text() for word in figure.legends[0].get_texts()] == ["95 % interval"]
    assert not training_curves(table, pd.DataFrame({"text": []})).legends


@pytest.mark.slow
def test_the_experiment_follows_a_folder_of_checkpoints(run: Run, course: Path, project: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    shutil.copy(root / "experiments" / "training.py", project / "experiments")
    (project / "experiments" / "texts" / "letters.txt").write_text(TEXT * 3)
    code, out, err = run("run", "training", "--model", str(course), "--texts", "letters")
    assert code == 0, err
    assert "have the same weights: step 20 as 10" in err
    assert re.search(r"letters +│ +100", out)
    assert len(list(project.glob("mlruns/artifacts/*/*/artifacts/figures/steps.png"))) == 1
    code, _, err = run("run", "training", "--model", "glass-en", "--texts", "letters")
    assert code == 1
    assert err.strip().splitlines()[-1].startswith("error: 'glass-en' is no folder of checkpoints")


def test_weights_differ_and_files_do_not(course: Path) -> None:
    """The fixture means what it says."""
    from safetensors.torch import load_file

    heads = [load_file(course / f"checkpoint-{step}" / "model.safetensors")["lm_head.weight"] for step in SHARES]
    assert torch.equal(heads[1], heads[2])
    assert not torch.equal(heads[0], heads[1])
