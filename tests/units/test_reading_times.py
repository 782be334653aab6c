"""Reading times of a study: read with bad rows named, joined with its units, regressed, kept as runs with a script for R."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Run

import tokenviz as tv
from tokenviz.base.errors import TextError
from tokenviz.comparing.studies import gain_table, reading_gains
from tokenviz.figures.plots.studies import draw_likelihood_gains, likelihood_gains
from tokenviz.models.loading import LoadedModel
from tokenviz.units.items import read_items
from tokenviz.units.reading_times import join_times, read_reading_times
from tokenviz.units.tidy import tidy_table

ITEMS = Path(__file__).resolve().parents[2] / "experiments" / "items"
WORDS = "item,condition,word,reading_time\n1,a,The,300\n1,a,cat,310.5\n1,b,Một,280\n1,b,con,{}\n2,a,猫が,295\n2,a,いる,305\n"
REGIONS = "item,condition,region_noun,region_verb\n1,a,The cat,sat.\n1,b,Con mèo,ngồi.\n2,a,The dog,ran.\n"
RULE = ": a reading time is a number of milliseconds above 0; --skip-bad leaves such rows out"


def written(text: str, name: str = "study.csv") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


# ---- reading -------------------------------------------------------------------------------------------------------


def test_times_of_words_are_in_the_items_own_table(project: Path) -> None:
    study = read_items(written(WORDS.format(290)))
    times = read_reading_times(study)
    assert times.by == "region"
    assert times.table["reading_time"].tolist() == [300, 310.5, 280, 290, 295, 305]
    assert times.table[["passage", "unit_number"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2], [2, 1], [2, 2]]
    assert repr(times) == "ReadingTimes(6 readings, by region)"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("fast", "'fast'"), ("", "nothing"), ("-3", "-3"), ("0", "0"), ("310 ms", "'310 ms'"), ("３１０ｍｓ", "'３１０ｍｓ'"),
        ("310,5", "'310,5'"), ("inf", "'inf'"), ("nan", "'nan'"), ("1e999", "'inf'"),
    ],
)  # fmt: skip
def test_a_bad_time_is_named_with_its_row(project: Path, cell: str, said: str) -> None:
    cell = f'"{cell}"' if "," in cell else cell
    study = read_items(written(WORDS.format(cell)))
    message = f"row 4 of 'study' has {said} in column 'reading_time'{RULE}"
    with pytest.raises(TextError, match=f"^{re.escape(message)}$"):
        read_reading_times(study)
    kept = read_reading_times(study, skip_bad=True)
    assert len(kept) == 5
    assert len(kept.skipped) == 1
    assert kept.skipped[0].startswith("row 4 of 'study' has ")


def test_times_of_subjects_are_in_a_table_of_their_own(project: Path) -> None:
    study = read_items(written(REGIONS))
    rows = "item,condition,region,subject,rt_reading_time\n1,b,verb,s1,300\n1,b,verb,s2,310\n2,a,noun,s1,250\n"
    times = read_reading_times(study, written(rows, "times.csv"))
    assert times.table.to_numpy().tolist() == [[1, 2, "s1", 300.0], [1, 2, "s2", 310.0], [2, 1, "s1", 250.0]]
    assert repr(times) == "ReadingTimes(3 readings of 2 subjects, by region)"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3,a,noun,s1,300", "row 2 of 'times.csv': the study has no item '3/a'"),
        ("1,a,nouns,s1,300", "row 2 of 'times.csv': the item '1/a' has no region 'nouns': it has 'noun', 'verb'"),
        ("1,a,,s1,300", "row 2 of 'times.csv' has nothing in column 'region'"),
        ("1,a,noun,,300", "row 2 of 'times.csv' has nothing in column 'subject'"),
        ("1,a,noun,s1,schnell", "row 2 of 'times.csv' has 'schnell' in column 'reading_time': a reading time is a number of "
         "milliseconds above 0"),
    ],
)  # fmt: skip
def test_a_row_that_fits_no_unit_is_named(project: Path, row: str, message: str) -> None:
    study = read_items(written(REGIONS))
    path = written(f"item,condition,region,subject,reading_time\n1,a,noun,s1,250\n{row}\n", "times.csv")
    with pytest.raises(TextError, match=f"^{re.escape(message)}; --skip-bad leaves such rows out$"):
        read_reading_times(study, path)
    assert read_reading_times(study, path, skip_bad=True).skipped == (message,)


def test_a_row_that_cannot_be_read_can_be_left_out_as_well(project: Path) -> None:
    study = read_items(written(REGIONS))
    rows = "item,condition,region,subject,reading_time\n1,b,verb,s1,300\n1,b,verb,s2,310,late\n2,a,noun,s1,250\n"
    path, message = written(rows, "times.csv"), "row 2 of 'times.csv' has more cells than the header has columns"
    with pytest.raises(TextError, match=f"^{re.escape(message)}; --skip-bad leaves such rows out$"):
        read_reading_times(study, path)
    times = read_reading_times(study, path, skip_bad=True)
    assert times.skipped == (message,)
    assert times.table.to_numpy().tolist() == [[1, 2, "s1", 300.0], [2, 1, "s1", 250.0]]


WHICH = "of reading times: name the one, in milliseconds, with column (--column); it has 'item', 'condition', 'region'"


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("item,condition,region,rt", {}, f"no column {WHICH}, 'rt'"),
        ("item,condition,region,rt", {"column": "rtt"}, "no column 'rtt': it has 'item', 'condition', 'region', 'rt'"),
        ("item,region,reading_time", {}, "no column 'condition': it has 'item', 'region', 'reading_time'"),
        ("item,condition,region,a_reading_time,b_reading_time", {},
         f"several columns {WHICH}, 'a_reading_time', 'b_reading_time'"),
    ],
)  # fmt: skip
def test_a_missing_column_is_named(project: Path, header: str, options: dict[str, str], message: str) -> None:
    study = read_items(written(REGIONS))
    path = written(f"{header}\n{','.join('1' for _ in header.split(','))}\n", "times.csv")
    with pytest.raises(TextError, match=f"^'times.csv' has {re.escape(message)}(; did you mean 'rt'\\?)?$"):
        read_reading_times(study, path, **options)


def test_nothing_that_can_be_used_is_refused(project: Path) -> None:
    study = read_items(written("item,word,reading_time\n1,The,x\n1,cat,y\n"))
    with pytest.raises(TextError, match=r"^'study' has no reading time that can be used$"):
        read_reading_times(study, skip_bad=True)


def test_times_of_whole_items_stay_with_the_items(project: Path, glass: LoadedModel) -> None:
    study = read_items(written("item,text,reading_time\n1,The cat sat.,900\n2,A dog ran off.,1100\n"))
    times = read_reading_times(study)
    assert times.by == "item"
    joined = join_times(tidy_table(study, tv.score(glass, study.text), by="item"), times)
    assert joined["reading_time"].tolist() == [900, 1100]
    assert joined["item"].tolist() == ["1", "2"]


def test_readings_stand_with_their_own_units(project: Path, glass: LoadedModel) -> None:
    study = read_items(written(REGIONS))
    rows = "item,condition,region,subject,reading_time\n2,a,verb,s1,300\n1,b,verb,s2,310\n2,a,verb,s2,250\n"
    times = read_reading_times(study, written(rows, "times.csv"))
    table = tidy_table(study, tv.score(glass, study.text))
    joined = join_times(table, times)
    read = joined[joined["reading_time"].notna()]
    found = list(zip(read["unit"], read["subject"], read["reading_time"], strict=True))
    assert found == [(" ngồi.", "s2", 310.0), (" ran.", "s1", 300.0), (" ran.", "s2", 250.0)]
    assert len(joined) == len(table) + 1  # units that nobody read stay, without a time


# ---- regressing ----------------------------------------------------------------------------------------------------


def simulated(slope: float, *, subjects: int = 0, seed: int = 0) -> pd.DataFrame:
    """Readings as `join_times` gives them, with a known slope in milliseconds per bit."""
    rng = np.random.default_rng(seed)
    rows = []
    for passage in range(15):
        surprisal, length = rng.gamma(2, 3, 8), rng.integers(2, 12, 8)
        item = rng.normal(0, 15)
        for unit in range(8):
            for subject in range(max(1, subjects)):
                previous = (surprisal[unit - 1], length[unit - 1]) if unit else (np.nan, np.nan)
                time = 250 + 5 * length[unit] + slope * surprisal[unit] + item + 20 * subject + rng.normal(0, 30)
                rows.append((f"i{passage}", passage, unit + 1, f"s{subject}", time, length[unit], surprisal[unit], *previous))
    names = ["id", "passage", "unit_number", "subject", "reading_time", "length", "surprisal_bits"]
    table = pd.DataFrame(rows, columns=[*names, "surprisal_bits_prev1", "length_prev1"])
    return table if subjects else table.drop(columns="subject")


@pytest.mark.parametrize("subjects", [0, 3])
def test_a_known_effect_is_found_and_none_is_not(subjects: int) -> None:
    for slope in (10.0, 0.0):
        found = reading_gains(simulated(slope, subjects=subjects), item="id", regressions=["ols_on_means", "mixed"])
        assert found.baseline == ("length", "length_prev1")
        assert found.added == ("surprisal_bits", "surprisal_bits_prev1")
        assert found.without == 15 * max(1, subjects)  # the first units
        table = gain_table(found.by_item)
        assert table["regression"].tolist() == ["ols_on_means", "mixed"]
        assert table["n"].tolist() == [105, 105 * max(1, subjects)]
        assert (table["low"] > 0).all() if slope else (table["low"] < 0).all()
        own = found.slopes[found.slopes["predictor"] == "surprisal_bits"]
        assert (abs(own["slope"] - slope) < 3.5 * own["standard_error"]).all()


def test_all_readings_of_an_item_are_in_one_fold() -> None:
    found = reading_gains(simulated(1.0, subjects=2), item="id", regressions=["mixed"], folds=5)
    assert (found.rows.groupby("id")["fold"].nunique() == 1).all()
    assert set(found.rows["fold"]) == {0, 1, 2, 3, 4}


def test_the_figure_has_a_mark_and_an_interval_for_each_model_and_regression() -> None:
    gains = pd.DataFrame(
        [("a", "ols_on_means", 0.1, 0.05, 0.15), ("a", "mixed", 0.02, -0.01, 0.05), ("b", "ols_on_means", 0.2, 0.1, 0.3),
         ("b", "mixed", 0.03, 0.01, 0.05)],
        columns=["model", "regression", "gain", "low", "high"],
    )  # fmt: skip
    axes = likelihood_gains(gains).axes[0]
    least, mixed, zero = axes.get_lines()[:3]
    assert list(least.get_xdata()) == [0.1, 0.2]
    assert list(mixed.get_xdata()) == [0.02, 0.03]
    assert set(zero.get_xdata()) == {0}
    ends = [path.vertices[:, 0].tolist() for lines in axes.collections for path in lines.get_paths()]
    assert ends == [[0.05, 0.15], [0.1, 0.3], [-0.01, 0.05], [0.01, 0.05]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert draw_likelihood_gains(axes, gains) is axes


# ---- the experiment ------------------------------------------------------------------------------------------------


@pytest.fixture
def study(project: Path) -> str:
    shutil.copytree(ITEMS, "experiments/items")
    shutil.copy(ITEMS.parent / "reading_times.py", "experiments")
    return "simulated_reading_times"


def made(run: Run, *arguments: str) -> dict:
    code, out, err = run("run", "reading_times", "--models", "glass-en", "--frequency", "en", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def artifacts(run_id: str) -> Path:
    (folder,) = Path("mlruns").glob(f"artifacts/*/{run_id}/artifacts")
    return folder


def test_the_experiment_keeps_gains_slopes_and_a_script(run: Run, study: str) -> None:
    result = made(run)
    (kept,) = result["reading_times"]
    assert (kept["n_items"], kept["n_readings"], kept["n_without"]) == (12, 278, 48)
    assert [row["regression"] for row in result["tables"]["gains"]] == ["ols_on_means", "mixed"]
    folder = artifacts(kept["run_id"])
    gains = pd.read_csv(folder / "tables" / "gains.csv")
    assert gains["gain"].tolist() == pytest.approx([kept["gain_ols_on_means"], kept["gain_mixed"]])
    slopes = pd.read_csv(folder / "tables" / "slopes.csv")
    assert slopes["predictor"].tolist() == ["surprisal_bits", "surprisal_bits_prev1"] * 2
    assert len(pd.read_csv(folder / "tables" / "readings.csv")) == 278
    assert "lmer" in (folder / "regression.R").read_text()
    assert {path.name for path in (folder / "figures").iterdir()} == {"gains.png"}
    again = made(run)
    assert again["reading_times"][0] == {**kept, "reused": True}


@pytest.mark.slow
def test_it_is_pulled_drawn_again_traced_and_computed_again(run: Run, study: str) -> None:
    (kept,) = made(run)["reading_times"]
    assert run("pull", "reading_times", "--to", "paper")[0] == 0
    assert run("pull", "reading_times", "--to", "paper", "--check")[0] == 0
    (table,) = Path("paper/tables").glob("*reading_times.tex")
    assert "ols on means" in table.read_text()
    (figure,) = Path("paper/figures").glob("*glass-en*gains.pdf")  # the summary has one as well
    code, out, _ = run("trace", str(figure))
    assert code == 0
    assert kept["run_id"] in out
    code, _, err = run("redraw", kept["run_id"], "--figure", "gains", "--width", "acl", "--to", "mine.pdf")
    assert code == 0, err
    assert Path("mine.pdf").stat().st_size > 1000
    code, out, err = run("rerun", kept["run_id"])
    assert code == 0, err


def test_bad_times_leave_no_run(run: Run, study: str) -> None:
    path = Path("experiments/items/simulated_reading_times.csv")
    path.write_text(path.read_text().replace("260.8", "-260.8"))
    code, out, err = run("run", "reading_times", "--models", "glass-en")
    assert (code, out) == (1, "")
    assert err == f"error: row 4 of 'simulated_reading_times' has -260.8 in column 'simulated_reading_time'{RULE}\n"
    assert not Path("mlruns").exists()
    result = made(run, "--skip-bad")
    assert result["reading_times"][0]["n_readings"] == 277


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--regressions", "lasso"], "the regression 'lasso' is not known: take ols_on_means or mixed"),
        (["--folds", "1"], "a cross-validation with 1 folds is not possible: take at least 2"),
    ],
)
def test_what_is_not_possible_is_refused(run: Run, study: str, arguments: list[str], message: str) -> None:
    code, out, err = run("run", "reading_times", "--models", "glass-en", *arguments)
    assert (code, out) == (1, "")
    assert err.endswith(f"error: {message}\n")


def test_too_few_items_are_refused(run: Run, study: str) -> None:
    path = Path("experiments/items/simulated_reading_times.csv")
    lines = path.read_text().splitlines(keepends=True)
    Path("few.csv").write_text("".join(line for line in lines if not re.match(r"([6-9]|1\d),", line)))
    code, out, err = run("run", "reading_times", "--file", "few.csv", "--models", "glass-en")
    assert (code, out) == (1, "")
    assert err.endswith(
        "error: 5 items have readings that every predictor is known for, and a cross-validation over items needs at least 6\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_r_runs_the_script_and_finds_the_same_gain(run: Run, study: str) -> None:
    (kept,) = made(run)["reading_times"]
    command = ["Rscript", "regression.R"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=artifacts(kept["run_id"]))
    assert done.returncode == 0, done.stderr
    found = re.search(r"ols_on_means: gain of (\S+) nats per observation, n = 278", done.stdout)
    assert found is not None
    assert float(found[1]) == pytest.approx(kept["gain_ols_on_means"], abs=1e-7)
    assert "(1 | item)" in done.stdout
