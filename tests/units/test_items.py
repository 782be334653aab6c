"""Items of a study: read in three forms, summed by unit with nothing lost, and given back with every column they came with."""

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import draw_in_no_time
from scipy import stats

import tokenviz as tv
from tokenviz.base.errors import TextError
from tokenviz.comparing.studies import condition_means
from tokenviz.figures.plots.studies import region_means
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.models.loading import LoadedModel
from tokenviz.units.items import read_items
from tokenviz.units.sums import sum_units
from tokenviz.units.tidy import tidy_table

REGIONS = """item,condition,region_subject,region_verb,region_rest,rt
1,a,Alice,was,beginning to get very tired.,300
1,b,The Queen of Hearts,said,nothing at all.,310.5
2,a,Alice,NA,nothing.,
"""
WORDS = "item,word,rt\n1,The,300\n1,cat,280\n1,sat.,400\n2,NA,1\n2,ran.,\n"


def write(folder: Path, content: str, name: str = "study.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_regions_in_columns_are_joined_and_named(tmp_path: Path) -> None:
    items = read_items(write(tmp_path, REGIONS))
    assert items.text.passages[0] == "Alice was beginning to get very tired."
    assert items.text.passages[2] == "Alice NA nothing."
    assert items.text.passage_ids == ("1/a", "1/b", "2/a")
    assert [(unit.name, unit.end) for unit in items.units[0]] == [("subject", 5), ("verb", 9), ("rest", 38)]


def test_what_spreadsheets_write_elsewhere_is_read(tmp_path: Path) -> None:
    items = read_items(write(tmp_path, "item;text;rt\n1;Yes, it is.;300\n2;No.;\n"))
    assert items.text.passages == ("Yes, it is.", "No.")
    assert items.table["rt"].tolist()[0] == 300


def test_one_word_per_row_is_joined_as_asked(tmp_path: Path) -> None:
    items = read_items(write(tmp_path, WORDS), join="")
    assert items.text.passages == ("Thecatsat.", "NAran.")
    assert [(unit.name, unit.end, unit.row) for unit in items.units[1]] == [("1", 2, 3), ("2", 6, 4)]


def test_regions_are_found_in_their_text_and_what_none_names_is_a_unit(tmp_path: Path) -> None:
    path = write(tmp_path, 'item,text,region_a,region_b\n1,"So it was, then, he said. ",it was,he\n')
    (units,) = read_items(path).units
    # The whitespace between goes with what follows; the passage's own end with the last unit.
    assert [(unit.name, unit.end) for unit in units] == [("", 2), ("a", 9), ("", 16), ("b", 19), ("", 26)]


@pytest.mark.parametrize(("region", "end"), [("he", 12), ("the", 7), ("ran", 16), ("n. h", 11)])
def test_a_region_is_looked_for_as_a_word_first(tmp_path: Path, region: str, end: int) -> None:
    (units,) = read_items(write(tmp_path, f"item,text,region_a\n1,so. then. he ran,{region}\n")).units
    assert next(unit.end for unit in units if unit.name == "a") == end


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_items(tmp_path: Path, suffix: str) -> None:
    expected = read_items(write(tmp_path, REGIONS))
    path = tmp_path / f"study{suffix}"
    if suffix == ".tsv":
        path.write_text(REGIONS.replace(",", "\t"))
    elif suffix == ".jsonl":
        rows = expected.table.to_dict(orient="records")
        path.write_text("\n".join(json.dumps({k: v for k, v in row.items() if v == v}) for row in rows))
    elif suffix == ".parquet":
        expected.table.assign(item=[1, 1, 2]).to_parquet(path)  # ids may be numbers there
    found = read_items(path)
    assert found.text == expected.text
    assert found.units == expected.units
    assert found.table["rt"].tolist()[:2] == [300, 310.5]


def test_bad_rows_are_skipped_on_request_and_listed(tmp_path: Path) -> None:
    path = write(tmp_path, "item,text\n1,The cat\n1,A dog\n,x\n4,Fine.\n")
    items = read_items(path, skip_bad=True)
    assert items.text.passages == ("The cat", "Fine.")
    assert [words.removeprefix(f"row {n} of {str(path)!r}") for n, words in zip((2, 3), items.skipped, strict=True)] == [
        ": the item '1' is there already, in row 1: each occurs once",
        " has nothing in column 'item'",
    ]


def test_a_token_that_crosses_a_border_belongs_to_the_later_unit(glass: LoadedModel) -> None:
    passage = "Alice was beginning to get very tired."
    scores = tv.score(glass, passage)
    assert scores.token[2] == " begin"
    sums = sum_units(scores, [passage], [[12, len(passage)]])  # "Alice was be" and the rest
    assert sums.n_tokens.tolist() == [2, 8]
    assert sums.crossings.tolist() == [0, 1]
    assert sums.logprob[1] == pytest.approx(scores.logprob[2:].sum())
    assert sums.entropy[1] == scores.entropy[2]
    assert np.isnan(sums.corrected_logprob).all()  # nothing shows that a word is over there


def test_a_unit_inside_a_token_has_no_token_and_no_number(glass: LoadedModel) -> None:
    passage = "Alice was beginning to get very tired."
    scores = tv.score(glass, passage)
    sums = sum_units(scores, [passage], [[11, 12, len(passage)]])
    assert sums.n_tokens.tolist() == [2, 0, 8]
    assert np.isnan(sums.logprob[1])
    assert sums.logprob[2] == pytest.approx(scores.logprob[2:].sum())


THREE = ["Alice was beginning to get very tired.", "Näiveté 🙂🙂 — “So!”\n\n", "a"]


@pytest.fixture(scope="module")
def three(glass: LoadedModel) -> tv.TokenScores:
    return tv.score(glass, tv.corpus(THREE, name="three"))


@settings(deadline=None)
@given(st.data())
def test_the_sums_of_any_units_are_the_sum_of_the_text(three: tv.TokenScores, data: st.DataObject) -> None:
    passages, scores = THREE, three
    ends = [sorted({*data.draw(st.lists(st.integers(1, len(passage)), max_size=6)), len(passage)}) for passage in passages]
    sums = sum_units(scores, passages, ends)
    assert sums.n_tokens.sum() == len(scores)
    assert sums.n_scored.sum() == scores.scored.sum()
    assert np.nansum(sums.logprob) == pytest.approx(np.nansum(scores.logprob), abs=1e-9)
    for number in range(len(passages)):
        own = np.nansum(scores.logprob[scores.passage == number])
        assert np.nansum(sums.logprob[sums.passage == number]) == pytest.approx(own, abs=1e-9)


def test_own_words_have_the_corrected_log_probs_of_words(glass: LoadedModel, tmp_path: Path) -> None:
    items = read_items(write(tmp_path, "item,word\n" + "\n".join(f"1,{word}" for word in ["Alice", "was", "very", "tired."])))
    scores = tv.score(glass, items.text)
    table, words = tidy_table(items, scores), tv.words(tv.score(glass, "Alice was very tired.")).to_frame()
    assert table["unit"].tolist() == words["word"].tolist()
    for name in ("logprob", "corrected_logprob", "surprisal_bits", "corrected_surprisal_bits"):
        np.testing.assert_allclose(table[name], words[name], atol=1e-5)


def test_every_column_is_kept_and_the_units_before_are_repeated(glass: LoadedModel, tmp_path: Path) -> None:
    items = read_items(write(tmp_path, REGIONS))
    scores = tv.score(glass, items.text)
    table = tidy_table(items, scores, previous=2)
    assert list(table)[:7] == ["item", "condition", "region_subject", "region_verb", "region_rest", "rt", "region"]
    assert table["rt"].tolist()[:6] == [300, 300, 300, 310.5, 310.5, 310.5]
    assert table["region"].tolist() == ["subject", "verb", "rest"] * 3
    rest = table[table["region"] == "rest"].reset_index()
    verb = table[table["region"] == "verb"].reset_index()
    np.testing.assert_array_equal(rest["surprisal_bits_prev1"], verb["surprisal_bits"])
    np.testing.assert_array_equal(rest["length_prev2"], [5, 19, 5])
    assert table["logprob"].isna().tolist() == [True, False, False] * 3  # the first token has no prediction
    assert table["length_prev1"].isna().tolist() == [True, False, False] * 3  # no number from another item
    whole = tidy_table(items, scores, by="item")
    assert "logprob_prev1" not in whole
    np.testing.assert_allclose(whole["logprob"], [scores.logprob[scores.passage == p][1:].sum() for p in range(3)])
    assert whole["n_scored"].tolist() == [n - 1 for n in whole["n_tokens"]]
    words = tidy_table(items, scores, by="word")
    assert words["unit"].tolist()[:3] == ["Alice", " was", " beginning"]
    assert words["region"].tolist()[:3] == ["subject", "verb", "rest"]


def test_a_column_that_differs_within_an_item_says_nothing_of_the_whole(glass: LoadedModel, tmp_path: Path) -> None:
    items = read_items(write(tmp_path, "item,group,word,rt\n1,g,The,300\n1,g,cat,280\n"))
    assert list(tidy_table(items, tv.score(glass, items.text), by="item"))[:3] == ["item", "group", "model"]


def test_frequencies_are_those_of_wordfreq(glass: LoadedModel, tmp_path: Path) -> None:
    from wordfreq import zipf_frequency

    items = read_items(write(tmp_path, WORDS))
    table = tidy_table(items, tv.score(glass, items.text), frequency="en")
    assert table["zipf_frequency"].tolist() == [zipf_frequency(word, "en") for word in ("The", "cat", "sat", "NA", "ran")]
    assert np.isnan(table["zipf_frequency_prev1"][0])
    with pytest.raises(TextError, match=r"^wordfreq has no frequencies of 'xx': it has ar, .*"):
        tidy_table(items, tv.score(glass, items.text), frequency="xx")


def test_means_and_differences_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    rows = [
        {"model": "m", "item": str(item), "condition": condition, "region": "verb", "surprisal_bits": value}
        for condition in "ab"
        for item, value in enumerate(rng.normal(5 + (condition == "b"), 2, 12))
    ]
    table = pd.DataFrame(rows)
    table.loc[3, "surprisal_bits"] = np.nan  # an item without a number in one condition
    means, differences = condition_means(table, item="item", condition="condition")
    a, b = (table[table["condition"] == name]["surprisal_bits"].to_numpy() for name in "ab")
    assert means["n"].tolist() == [11, 12]
    low, high = stats.ttest_1samp(b, 0).confidence_interval(0.95)
    assert (means["low"][1], means["high"][1]) == pytest.approx((low, high))
    paired = stats.ttest_rel(np.delete(b, 3), np.delete(a, 3))
    assert differences["mean"][0] == pytest.approx(np.nanmean(b - a))
    assert (differences["low"][0], differences["high"][0]) == pytest.approx(tuple(paired.confidence_interval(0.95)))
    assert differences["n"].tolist() == [11]


def test_the_figure_shows_the_means_with_their_intervals() -> None:
    rows = [("verb", "a", 3.0, 2.0, 4.0), ("verb", "b", 1.0, 0.5, 1.5), ("rest", "a", 2.0, 1.0, 3.0), ("rest", "b", 2.5, 2, 3)]
    means = pd.DataFrame(rows, columns=["region", "condition", "mean", "low", "high"]).assign(model="m$x$", n=12)
    (axes,) = region_means(means).axes
    assert [list(line.get_ydata()) for line in axes.get_lines()] == [[3, 2], [1, 2.5]]
    intervals = [segment[:, 1].tolist() for group in axes.collections for segment in group.get_segments()]
    assert intervals == [[2, 4], [1, 3], [0.5, 1.5], [2, 3]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["verb", "rest"]


@pytest.fixture
def study(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw_in_no_time(monkeypatch)
    monkeypatch.setattr("tokenviz.harness.kinds.scored.draw_scored", lambda *given: None)
    return write(project, REGIONS)


def tabulated(path: Path, **options: Any) -> tv.GridResult:
    items = read_items(path)
    with running(ExperimentContext("trial")):
        grid = tv.Grid(["glass-en"], [items.text])
        grid.tabulate(items, **options)
        return grid.summarise("Found.")


def test_a_table_of_items_is_a_run_that_is_found_again(study: Path, glass: LoadedModel) -> None:
    (first,) = tabulated(study).items
    assert not first.reused
    (again,) = tabulated(study).items
    assert (again.reused, again.run_id) == (True, first.run_id)
    expected = tidy_table(read_items(study), tv.score(glass, read_items(study).text, top_k=10))
    pd.testing.assert_frame_equal(again.table, expected)
    assert again.metrics["n_items"] == 3
    assert again.metrics["n_units"] == 9


@pytest.mark.parametrize("options", [{"by": "word"}, {"previous": 2}, {"frequency": "en"}])
def test_what_moves_a_table_of_items_makes_another_run(study: Path, options: dict[str, object]) -> None:
    tabulated(study)
    assert not tabulated(study, **options).items[0].reused


def test_a_changed_column_makes_another_run_of_the_same_scores(study: Path) -> None:
    tabulated(study)
    study.write_text(REGIONS.replace("310.5", "311"))
    result = tabulated(study)
    assert [run.reused for run in result.scores] == [True]
    assert [run.reused for run in result.items] == [False]


NO_NUMBER = (
    "3 of 9 regions of study have no number: without a BOS the first token of a text has no prediction, and theirs begins in "
    "it; --bos always gives it one"
)


def test_the_command_prints_what_the_library_gives(study: Path, run: Run, glass: LoadedModel) -> None:
    code, out, err = run("items", "study.csv", "-m", "glass-en", "--previous", "0")
    assert code == 0
    assert err.splitlines()[-1] == NO_NUMBER
    expected = tidy_table(read_items(study), tv.score(glass, read_items(study).text), previous=0)
    (study.parent / "out.csv").write_text(out)
    found = pd.read_csv(study.parent / "out.csv", keep_default_na=False, na_values={"rt": [""]}, dtype={"item": str})
    assert list(found) == list(expected)
    np.testing.assert_allclose(pd.to_numeric(found["surprisal_bits"]), expected["surprisal_bits"], atol=1e-5)
    code, out, err = run("items", "study.csv", "-m", "glass-en", "--json", "--by", "item")
    assert "have no number" not in err
    assert [row["unit"] for row in json.loads(out)["rows"]] == list(read_items(study).text.passages)
    code, out, _ = run("items", "study.csv", "-m", "glass-en", "--parquet", "out.parquet")
    assert (code, out) == (0, "")
    assert len(pd.read_parquet(study.parent / "out.parquet")) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-m", "nope/"], "no model at 'nope/': give a catalogue name ("),
        (["--frequency", "xx"], "wordfreq has no frequencies of 'xx': it has ar, "),
        (["--parquet", "missing/out.parquet"], "cannot write 'missing/out.parquet': there is no folder 'missing'\n"),
    ],
)
def test_the_command_refuses_what_is_not_possible_before_it_scores(
    study: Path, run: Run, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.setattr("tokenviz.scoring.scorer.score", None)
    code, out, err = run("items", "study.csv", "-m", "glass-en", *options)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed (Debian: r-base-core, r-cran-lme4)")
def test_r_reads_the_table_and_lme4_fits_it(run: Run, project: Path) -> None:
    """The lines of docs/studies.md, on its sample: R finds the columns, and the fixed effect is the difference of the means."""
    root = Path(__file__).resolve().parents[2]
    shutil.copytree(root / "experiments" / "items", project / "experiments" / "items", dirs_exist_ok=True)
    code, out, _ = run("items", "garden_paths", "-m", "glass-en")
    assert code == 0
    (project / "items.csv").write_text(out)
    lines = (root / "docs" / "studies.md").read_text(encoding="utf-8").partition("```r\n")[2].partition("```")[0]
    lines = lines.replace("condition + length", "condition")  # of one word, whose length explains nothing else here
    fit = "m <- lmer(surprisal_bits ~ condition + (1 | item), data = verb)"
    script = f"{lines}\n{fit}\ncat(sapply(items, class), '\\n', fixef(m), '\\n')"
    done = subprocess.run(["Rscript", "-e", script], capture_output=True, text=True, check=False, cwd=project)
    assert done.returncode == 0, done.stderr
    classes, effects = done.stdout.strip().splitlines()[-2:]
    table = pd.read_csv(io.StringIO(out), keep_default_na=False, na_values=[""])
    assert len(classes.split()) == len(table.columns)
    by_condition = table[table["region"] == "verb"].groupby("condition")["surprisal_bits"].mean()
    assert float(effects.split()[1]) == pytest.approx(by_condition["that"] - by_condition["ambiguous"], abs=1e-4)
    kinds = dict(zip(table.columns, classes.split(), strict=True))
    assert {kinds[name] for name in ("surprisal_bits", "entropy_before", "surprisal_bits_prev1")} == {"numeric"}
    assert {kinds[name] for name in ("n_tokens", "rank", "length")} == {"integer"}
