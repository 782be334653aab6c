"""From a recorded run back to its tables: what comes back, what is refused, and that every reader refuses it."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from arithmetic import make_two_models
from conftest import Run, copy_schemas
from kept_runs import keep_comparison, keep_pair, keep_scores
from kills import draw_in_no_time
from tables import NAN, long_pair, make_scores

import tokenviz as tv
from tokenviz.base.errors import DamagedError, StoreError
from tokenviz.base.progress import collecting
from tokenviz.comparing.alignment import WordUnits
from tokenviz.harness.measures import DIVERGENCES, context_effect
from tokenviz.harness.rebuilding import rerun
from tokenviz.harness.session import ExperimentContext, running
from tokenviz.paper.checking import check
from tokenviz.paper.manifest import Order
from tokenviz.paper.pulling import pull, redraw
from tokenviz.records.loading import load_units, recorded_run
from tokenviz.records.tables import read_comparison
from tokenviz.tracking.inspection import inspect_store
from tokenviz.tracking.staged_runs import CHECKSUMS, checksum, write_checksums
from tokenviz.tracking.store import open_for_reading, open_store

ORDER = Order(experiment="trial", figures=("heatmap", "scatter"), formats=("png",))


def files_of(run_id: str) -> Path:
    return Path(open_store().client.get_run(run_id).info.artifact_uri)


def same_table(one: tv.TokenScores, other: tv.TokenScores) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a == b for a, b in pairs)


# What comes back


@pytest.mark.parametrize("named", ["id", "short id", "fingerprint", "name", "row", "mapping", "tuple"])
def test_scores_are_read_by_whatever_names_their_run(runs: list[str], named: str) -> None:
    frame = tv.load_runs(where="kind=score and model=a")
    run = open_store().client.get_run(runs[0])
    (row,) = frame.itertuples()
    names: dict[str, Any] = {
        "id": runs[0], "short id": runs[0][:6], "fingerprint": run.data.tags["tokenviz.fingerprint"], "row": frame.iloc[0],
        "name": "a name", "mapping": frame.iloc[0].to_dict(), "tuple": row,
    }  # fmt: skip
    if named in ("name", "fingerprint"):  # one run alone has it: here all have one name, and one fingerprint begins another
        for other in runs[1:]:
            open_store().client.delete_run(other)
    assert same_table(tv.load_scores(names[named]), long_pair(40)[0])


@pytest.mark.parametrize(
    "how",
    [{}, {"by": "segment"}, {"by": "word"}, {"by": "word", "punctuation": "apart"}],
    ids=["default", "segment", "word", "word, punctuation apart"],
)
def test_a_comparison_is_what_was_recorded_to_the_bit(project: Path, how: dict[str, Any]) -> None:
    a = make_scores([["The", " goal", ",", " he", " said", ".", " So"], [], ["It", " is"]], model="a")
    b = make_scores([["The", " go", "al,", " he", " said", ".", " So"], [], ["It", " is"]], model="b", tokenizer="other")
    keep_pair(a, b)
    read, expected = tv.load_comparison(keep_comparison(a, b, replaces=True, **how)), tv.compare(a, b, **how)
    assert read.models == ("a", "b")
    assert read.unit == expected.unit == how.get("by", "segment")
    assert read.to_json() == expected.to_json()
    pd.testing.assert_frame_equal(read.to_frame(), expected.to_frame())
    assert isinstance(read.units, WordUnits) == (how.get("by") == "word")
    assert read.intervals_from == expected.intervals_from


def test_intervals_come_back_with_how_they_were_found(runs: list[str]) -> None:
    read, expected = tv.load_comparison(runs[2]), tv.compare(*long_pair(40))
    assert read.estimates() == expected.estimates()
    assert read.intervals_from == expected.intervals_from != ""
    assert read.resampling is not None


def test_numbers_that_are_not_determined_come_back_with_their_reasons(project: Path) -> None:
    a, b = (make_scores([["one", " two"]], [NAN, value], model=name) for name, value in (("a", -1.0), ("b", -2.0)))
    read = tv.load_comparison(keep_pair(a, b)[2])
    assert read.undetermined() == tv.compare(a, b).undetermined() != {}
    assert read.resampling is None


def test_nothing_is_computed_again(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("align", "agreement_of"):
        monkeypatch.setattr(f"tokenviz.comparing.comparison.{name}", None)
    assert tv.load_comparison(runs[2]).n == 39


def test_a_number_that_the_run_does_not_have_yet_is_computed(runs: list[str]) -> None:
    tables = files_of(runs[2]) / "tables"
    cited = pd.read_parquet(tables / "statistics.parquet")
    cited[cited["statistic"] != "kendall_tau"].to_parquet(tables / "statistics.parquet")
    resign(runs[2], "statistics")
    assert tv.load_comparison(runs[2]).kendall_tau == tv.compare(*long_pair(40)).kendall_tau


def test_numbers_of_an_older_definition_are_kept_and_that_is_said(
    runs: list[str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenviz.records.tables.COMPARISON_VERSION", 99)
    monkeypatch.setattr("tokenviz.records.tables.SCORING_VERSION", 98)
    monkeypatch.setattr("tokenviz.comparing.comparison.agreement_of", None)  # whatever it would give now
    with collecting() as notes:
        read = tv.load_comparison(runs[2])
        pull(ORDER, project / "paper")
    assert read.pearson_r == tv.load_comparison(runs[2]).pearson_r
    assert len(notes) == 2
    assert re.match(
        r"scores of scoring version \d are read as they were recorded; this tokenviz has version 98: run ", notes[0]
    )
    assert re.match(r"comparisons of version \d keep the numbers that were recorded; this tokenviz has version 99: ", notes[1])


def test_frames_hold_what_the_runs_hold(runs: list[str]) -> None:
    tokens, units = tv.load_tokens("trial"), load_units("trial")
    assert list(tokens.columns) == ["run_id", "model", "text", *long_pair(40)[0].to_frame(alternatives=False).columns]
    assert list(units["unit"]) == list(long_pair(40)[0].token)


# What is refused


def multiply(files: Path, table: str) -> None:
    """Write a table again with other values and the same metadata, as whoever means no harm would."""
    path = files / "tables" / f"{table}.parquet"
    read = pq.read_table(path)
    for place, column in enumerate(read.schema):
        if pa.types.is_floating(column.type):
            read = read.set_column(place, column, pc.multiply(read.column(place), 3.0))
    pq.write_table(read, path)


def four_bytes(files: Path, table: str) -> None:
    path = files / "tables" / f"{table}.parquet"
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 4] = bytes(255 - byte for byte in data[middle : middle + 4])
    path.write_bytes(data)


def cut_short(files: Path, table: str) -> None:
    path = files / "tables" / f"{table}.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def lost(files: Path, table: str) -> None:
    (files / "tables" / f"{table}.parquet").unlink()


def list_edited(files: Path, table: str) -> None:
    path = files / CHECKSUMS
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join("0" * 64 + line[64:] if f"{table}.parquet" in line else line for line in lines))


def list_of_nothing(files: Path, table: str) -> None:
    (files / CHECKSUMS).write_text("")


def list_of_other_words(files: Path, table: str) -> None:
    (files / CHECKSUMS).write_bytes(b"\xff\xfe checksums\n\n")


def list_without_it(files: Path, table: str) -> None:
    path = files / CHECKSUMS
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if f"{table}.parquet" not in line))


def multiplied_and_listed(files: Path, table: str) -> None:
    multiply(files, table)
    write_checksums(files)


def multiplied_without_a_list(files: Path, table: str) -> None:
    multiply(files, table)
    (files / CHECKSUMS).unlink()


def files_gone(files: Path, table: str) -> None:
    shutil.rmtree(files)


def list_gone(files: Path, table: str) -> None:
    (files / CHECKSUMS).unlink()


DAMAGES = [
    multiply, four_bytes, cut_short, lost, list_edited, list_gone, list_of_nothing, list_of_other_words, list_without_it,
    multiplied_and_listed, multiplied_without_a_list, files_gone,
]  # fmt: skip
CASES = [
    *((0, "tokens", damage) for damage in DAMAGES),
    *((2, "units", damage) for damage in (multiply, lost, list_edited)),
    *((2, "statistics", damage) for damage in (multiply, lost, multiplied_and_listed)),
]


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory, blank_database: Path) -> tuple[Path, list[str]]:
    """A project whose runs were pulled, to copy, and the ids of its runs."""
    folder = tmp_path_factory.mktemp("pulled")
    with pytest.MonkeyPatch.context() as patch:
        copy_schemas(patch, blank_database)
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (folder / "experiments").mkdir()
        runs = keep_pair(*long_pair(40))
        pull(ORDER, folder / "paper")
    return folder, runs


@pytest.mark.parametrize(("which", "table", "damage"), CASES)
def test_every_reader_refuses_a_damaged_run_in_one_line(
    pulled: tuple[Path, list[str]], project: Path, run: Run, which: int, table: str, damage: Callable[[Path, str], None]
) -> None:
    template, runs = pulled
    shutil.copytree(template, project, dirs_exist_ok=True)
    damage(files_of(runs[which]), table)
    readers: dict[str, Callable[[], object]] = {
        "comparison": lambda: tv.load_comparison(runs[2]),
        "pull": lambda: pull(ORDER, project / "again"),
        "pull of what is there": lambda: pull(ORDER, project / "paper"),
        "redraw": lambda: redraw(runs[2], figure="scatter", formats=["png"], folder=project),
        "scores": lambda: tv.load_scores(runs[which]),
        "tokens": lambda: tv.load_tokens(),
        "units": load_units,
        "rerun": lambda: rerun(runs[which], open_for_reading()),
    }
    if table != "tokens":
        for name in ("scores", "tokens", "rerun"):  # which do not read it
            del readers[name]
    if table != "units":
        del readers["units"]
    for name, read in readers.items():
        with pytest.raises(DamagedError) as refused:
            read()
        message = str(refused.value)
        assert runs[which] in message, name
        assert "\n" not in message, name
        assert "version" not in message, name
        assert message.endswith(": run its experiment again with --force: the new run takes its place, and this one stays"), (
            name
        )
    assert not (project / "again" / "figures").exists()
    checked = check("trial", project / "paper")
    assert {problem.state for problem in checked.problems} == {"damaged"}
    assert "numbers.tex" in {problem.path for problem in checked.problems}
    code, out, err = run("pull", "trial", "--to", str(project / "paper"), "--check")
    assert (code, err) == (1, "")
    assert "damaged  numbers.tex  (" in out
    assert "wrong" in {check.state for check in inspect_store() if check.name == "files"}


def test_a_run_of_an_early_version_without_a_list_is_read_with_a_note(runs: list[str]) -> None:
    (files_of(runs[0]) / CHECKSUMS).unlink()
    open_store().client.delete_tag(runs[0], "tokenviz.list_sha256")
    with collecting() as notes:
        assert same_table(tv.load_scores(runs[0]), long_pair(40)[0])
    assert notes == [
        f"run {runs[0]} ('a name') has no list of its files ({CHECKSUMS}): not all that is read of it can be checked"
    ]


def resign(run_id: str, table: str) -> None:
    """Have list and store say that a table is what it is now."""
    files, client = files_of(run_id), open_store().client
    write_checksums(files)
    client.set_tag(run_id, "tokenviz.list_sha256", checksum(files / CHECKSUMS))
    if table != "statistics":
        client.set_tag(run_id, "tokenviz.table_sha256", checksum(files / "tables" / f"{table}.parquet"))


def test_a_table_that_everything_vouches_for_is_compared_with_the_numbers(runs: list[str]) -> None:
    multiply(files_of(runs[0]), "tokens")
    resign(runs[0], "tokens")
    mean = long_pair(40)[0].summary().mean_logprob
    message = (
        f"run {runs[0]} ('a name') and its table 'tables/tokens.parquet' hold different numbers (mean_logprob is {mean:.6g} "
        f"and {3 * mean:.6g}"
    )
    with pytest.raises(DamagedError, match=f"^{re.escape(message)}"):
        tv.load_scores(runs[0])


def test_units_that_everything_vouches_for_are_compared_with_scores_and_numbers(runs: list[str]) -> None:
    multiply(files_of(runs[2]), "units")
    resign(runs[2], "units")
    with pytest.raises(
        DamagedError, match=r"^the table 'tables/units\.parquet' of run \w+ \('a name'\) does not fit its run_a: "
    ):
        tv.load_comparison(runs[2])


def test_numbers_of_a_run_that_are_not_those_of_its_table_are_named(runs: list[str]) -> None:
    open_store().client.log_metric(runs[2], "pearson_r", 0.125)
    value = tv.compare(*long_pair(40)).pearson_r.value
    message = (
        f"run {runs[2]} ('a name') and its table 'tables/statistics.parquet' hold different numbers (pearson_r is 0.125 and "
        f"{value:.6g}): run its experiment again with --force: "
    )
    with pytest.raises(DamagedError, match=f"^{re.escape(message)}"):
        tv.load_comparison(runs[2])


def test_a_comparison_whose_score_run_is_gone_is_refused(runs: list[str]) -> None:
    open_store().client.delete_run(runs[1])
    with pytest.raises(
        DamagedError,
        match=rf"^run {runs[2]} \('a name'\) is made of the run {runs[1]}, which the store does not have: run its ",
    ):
        tv.load_comparison(runs[2])


def test_what_a_comparison_is_over_is_one_of_four(runs: list[str]) -> None:
    run = recorded_run(runs[2])
    odd = replace(run, params={**run.params, "by": "letter"})
    with pytest.raises(
        DamagedError, match=r"says that it compares over 'letter', which is none of token, segment, word, span: "
    ):
        read_comparison(odd)


# Runs of a grid, and results that wait


@pytest.fixture
def grid(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tv.GridResult]:
    draw_in_no_time(monkeypatch)
    make_two_models(project)

    def make() -> tv.GridResult:
        with running(ExperimentContext("trial")):
            grid = tv.Grid(["first", "second"], [tv.literal("abcddcbaabcd")], top_k=2)
            grid.score()
            grid.compare(by="word", punctuation="apart", measures=[DIVERGENCES])
            grid.measure(context_effect([1, 2]))
            return grid.summarise("Found.")

    return make


def test_a_reused_run_gives_what_the_first_gave(grid: Callable[[], tv.GridResult]) -> None:
    first, again = grid(), grid()
    assert [run.reused for run in (*again.scores, *again.comparisons, *again.measures)] == [True] * 5
    assert same_table(first.scores[0].scores, again.scores[0].scores)
    assert first.comparisons[0].comparison.to_json() == again.comparisons[0].comparison.to_json()
    assert again.comparisons[0].divergences is not None
    pd.testing.assert_frame_equal(first.measures[0].table, again.measures[0].table)
    assert same_table(tv.load_scores(again.scores[1]), first.scores[1].scores)
    assert tv.load_comparison(again.comparisons[0]).unit == "word"


@pytest.mark.parametrize("table", ["context_effect", "divergences"])
def test_a_measure_of_a_damaged_table_is_refused(grid: Callable[[], tv.GridResult], table: str) -> None:
    result = grid()
    run = result.measures[0] if table == "context_effect" else result.comparisons[0]
    multiply(files_of(run.run_id), table)
    with pytest.raises(DamagedError, match=rf"^the file 'tables/{table}\.parquet' of run {run.run_id} \(.*\) is not what was "):
        run.read(table)


def test_what_waits_for_a_server_is_read_from_the_outbox(
    grid: Callable[[], tv.GridResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    result = grid()
    score, comparison = result.scores[0], result.comparisons[0]
    assert (score.run_id, result.waiting) == ("", 6)
    assert score.waiting is not None
    for named in (score, score.fingerprint, score.fingerprint[:8], score.waiting.record.name):
        assert same_table(tv.load_scores(named), score.scores)
    read = tv.load_comparison(comparison)
    assert read.to_json() == comparison.comparison.to_json()
    assert read.unit == "word"
    four_bytes(score.waiting.files, "tokens")
    message = r"^the file 'tables/tokens\.parquet' of the results '.* · first' in the outbox is not what was written: run its "
    for named in (score, score.fingerprint):
        with pytest.raises(DamagedError, match=message):
            tv.load_scores(named)
    with pytest.raises(StoreError, match=r"^the tracking server .* does not answer \(.*\), and no 'ffffff' waits for it$"):
        tv.load_scores("ffffff")


def test_results_that_were_delivered_meanwhile_are_found(grid: Callable[[], tv.GridResult], monkeypatch: Any) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    waiting = grid().scores[0]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    delivered = grid().scores[0]
    moved = replace(waiting, runs=delivered.runs)
    assert moved.waiting is not None
    moved.waiting.remove()
    assert same_table(tv.load_scores(moved), delivered.scores)


def test_a_run_that_was_recorded_anew_does_not_change_a_comparison(runs: list[str]) -> None:
    a, b = long_pair(40)
    keep_scores(replace(a, logprob=a.logprob * 2), replaces=True)
    assert tv.load_comparison(runs[2]).to_json() == tv.compare(a, b).to_json()
