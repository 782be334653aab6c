"""`tokenviz runs`: runs listed, shown, compared and removed."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Run
from run_records import filled, make_record

from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import open_store

PAIR = {"kind": "comparison", "model_a": "a", "model_b": "b", "text": "x"}


def keep(fingerprint: str, **changes: Any) -> str:
    record = make_record(fingerprint, **changes)
    return Runs(open_store(), record.experiment, "").keep(fingerprint, filled(record))


@pytest.fixture
def kept(project: Path) -> list[str]:
    """A score and a comparison of one experiment and a score of another, oldest first."""
    return [
        keep("f1", tags={"kind": "score", "model": "a", "text": "x"}, metrics={"mean_logprob": -3.25}),
        keep("f2", tags=PAIR, metrics={"pearson_r": 0.5, "n": 7.0}, started=1_700_000_001_000, params={"by": "token"}),
        keep(
            "f3", experiment="another", tags={"kind": "score", "model": "b", "text": "it's"}, metrics={"mean_logprob": -1.0},
            started=1_700_000_002_000,
        ),
    ]  # fmt: skip


def lines(table: str) -> list[list[str]]:
    """The cells of a table's rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]


def test_runs_are_listed_newest_first(run: Run, kept: list[str]) -> None:
    code, out, err = run("runs")
    assert (code, err) == (0, "")
    assert [row[:5] + row[6:] for row in lines(out)] == [
        [kept[2][:8], "another", "score", "b", "it's", "mean log-prob −1"],
        [kept[1][:8], "an experiment", "comparison", "a and b", "x", "r 0.5"],
        [kept[0][:8], "an experiment", "score", "a", "x", "mean log-prob −3.25"],
    ]


def test_conditions_choose_runs_and_show_what_they_ask_for(run: Run, kept: list[str]) -> None:
    _, out, _ = run("runs", "--experiment", "an experiment", "--where", "r<0.9 and n>=7")
    assert [(row[0], row[-2], row[-1]) for row in lines(out)] == [(kept[1][:8], "r 0.5", "7")]


def test_a_table_says_that_there_are_more(run: Run, kept: list[str]) -> None:
    code, out, err = run("runs", "--most", "2")
    assert [row[0] for row in lines(out)] == [kept[2][:8], kept[1][:8]]
    assert (code, err) == (0, "these are the newest 2: --most shows more, --where and --experiment choose\n")


def test_json_has_everything(run: Run, kept: list[str]) -> None:
    code, out, _ = run("runs", "--json")
    found = json.loads(out)["runs"]
    assert code == 0
    assert [one["run_id"] for one in found] == kept[::-1]
    assert found[1]["metrics"] == {"pearson_r": 0.5, "n": 7.0}
    assert found[1]["curves"] == ["token/logprob"]
    assert found[1]["params"] == {"by": "token"}
    assert found[1]["started"] == "2023-11-14T22:13:21+00:00"
    assert (found[1]["tags"]["model_a"], found[1]["status"]) == ("a", "FINISHED")


def test_csv_is_the_frame_of_load_runs(run: Run, kept: list[str]) -> None:
    _, out, _ = run("runs", "--csv", "--where", "kind=score")
    frame = pd.read_csv(io.StringIO(out))
    assert list(frame["run_id"]) == [kept[2], kept[0]]
    assert list(frame["mean_logprob"]) == [-1.0, -3.25]


def test_unfinished_and_superseded_runs_are_listed_when_asked_for(run: Run, kept: list[str]) -> None:
    new = keep("f1", tags={"kind": "score", "model": "a", "text": "x"}, replaces=True)
    client = open_store().client
    still = client.create_run(client.get_run(new).info.experiment_id, tags={"tokenviz.kind": "score"}).info.run_id
    assert kept[0] not in run("runs", "--json")[1]
    found = {one["run_id"]: one["status"] for one in json.loads(run("runs", "--json", "--all")[1])["runs"]}
    assert found[kept[0]] == "FINISHED"
    assert found[still] == "RUNNING"
    assert "score (running)" in run("runs", "--all")[1]


def test_two_forms_at_once_are_a_usage_error(run: Run, kept: list[str]) -> None:
    code, _, err = run("runs", "--json", "--csv")
    assert (code, "choose one of --json and --csv" in err) == (2, True)


def test_names_of_strangers_are_text_and_nothing_else(run: Run, kept: list[str]) -> None:
    name = "[red]\x1b[2Jmodel[/red] \u202eabc"
    hostile = keep("f4", name=name, tags={"kind": "score", "model": name, "text": name})
    for command in (["runs"], ["runs", "show", hostile], ["runs", "compare", hostile, kept[0]]):
        code, out, _ = run(*command)
        assert code == 0
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "[red]␛[2Jmodel[/red]" in out.replace("\n", "").replace("│", "")


def test_a_run_is_shown_by_the_first_digits_of_its_id_or_fingerprint(run: Run, kept: list[str]) -> None:
    marked = keep("abcd1234" * 8, tags=PAIR)
    _, out, _ = run("runs", "show", kept[1][:12], "--json")
    shown = json.loads(out)
    assert (shown["run_id"], shown["metrics"]["pearson_r"], shown["params"]) == (kept[1], 0.5, {"by": "token"})
    assert shown["page"].endswith(f"/#/experiments/1/runs/{kept[1]}?workflowType=machine_learning")
    assert shown["files"]["tables/a.csv"] == 4
    assert json.loads(run("runs", "show", "abcd1234", "--json")[1])["run_id"] == marked
    _, out, _ = run("runs", "show", kept[1])
    cells = {row[0]: row[1] for row in lines(out)}
    assert (cells["pearson_r"], cells["by"], cells["tables/a.csv"]) == ("0.5", "token", "4 bytes")


@pytest.mark.parametrize("reference", ["ab", "x' or 1=1 or '", "%%%%", "________", "ABCD", ""])
def test_what_is_no_id_is_refused(run: Run, kept: list[str], reference: str) -> None:
    code, out, err = run("runs", "show", reference)
    assert (code, out) == (1, "")
    assert err.endswith("names no run: give at least four digits of an id, as 'tokenviz runs' lists them\n")


def test_an_id_of_none_or_of_several_is_refused(run: Run, kept: list[str]) -> None:
    code, _, err = run("runs", "show", "0" * 32)
    assert (code, err) == (1, f"error: no run '{'0' * 32}' in the store 'mlruns': 'tokenviz runs' lists what there is\n")
    ids = [keep(f"abcd{digit}", tags=PAIR) for digit in "12"]
    code, _, err = run("runs", "show", "abcd")
    assert code == 1
    assert err in [f"error: 'abcd' may be several runs: {a}, {b}; give more digits\n" for a, b in (ids, ids[::-1])]


def test_runs_are_compared_where_they_differ(run: Run, kept: list[str]) -> None:
    other = keep("f5", tags=PAIR, metrics={"pearson_r": 0.75, "n": 7.0}, params={"by": "segment"})
    _, out, _ = run("runs", "compare", kept[1], other, "--json")
    fields = json.loads(out)["fields"]
    assert (fields["pearson_r"], fields["by"]) == ([0.5, 0.75], ["token", "segment"])
    assert not {"n", "kind", "model_a"} & set(fields)
    _, out, _ = run("runs", "compare", kept[1], other)
    assert ["pearson_r", "0.5", "0.75", "0.25"] in lines(out)
    assert ["n", "7", "7", "0"] in lines(run("runs", "compare", kept[1], other, "--all")[1])
    _, out, _ = run("runs", "compare", kept[1], other, kept[0], "--csv")
    frame = pd.read_csv(io.StringIO(out)).set_index("field")
    assert list(frame.columns) == [kept[1], other, kept[0]]
    assert frame.loc["pearson_r", other] == "0.75"
    assert run("runs", "compare", other)[0] == 2


def test_a_run_is_removed_after_asking_and_can_be_restored(run: Run, kept: list[str]) -> None:
    code, out, err = run("runs", "remove", kept[0], stdin=b"n\n")
    assert (code, out) == (1, "")
    assert f"{kept[0]}  a name" in err
    assert kept[0] in run("runs", "--json")[1]
    code, out, err = run("runs", "remove", kept[0][:10], "--yes")
    assert (code, out) == (0, "1 run removed\n")
    assert err == (
        f"To have one again: MLFLOW_TRACKING_URI=sqlite:///{Path.cwd()}/mlruns/mlflow.db mlflow runs restore --run-id ID\n"
    )
    assert kept[0] not in run("runs", "--json", "--all")[1]
    assert Runs(open_store(), "an experiment", "").find("f1") is None  # it would be computed again
    open_store().client.restore_run(kept[0])
    assert kept[0] in run("runs", "--json")[1]


def test_chosen_runs_are_removed(run: Run, kept: list[str]) -> None:
    assert run("runs", "remove", "--where", "kind=score", stdin=b"y\n")[:2] == (0, "2 runs removed\n")
    assert [one["run_id"] for one in json.loads(run("runs", "--json")[1])["runs"]] == [kept[1]]
    code, out, err = run("runs", "remove", "--where", "kind=score")
    assert (code, out, err) == (0, "", "no run is meant: nothing was removed\n")
    assert run("runs", "remove")[0] == 2
    assert run("runs", "remove", kept[1], "--where", "kind=score")[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("command", [["runs"], ["runs", "--json"], ["runs", "show"], ["doctor", "--quick"]], ids=" ".join)
def test_what_only_reads_the_store_does_without_mlflow_and_pandas(kept: list[str], project: Path, command: list[str]) -> None:
    words = [*command, *([kept[0]] if command[-1] == "show" else [])]
    code = (
        "import runpy, sys; sys.argv = ['tokenviz', *sys.argv[1:]]\n"
        "try:\n    runpy.run_module('tokenviz', run_name='__main__')\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "assert not {'mlflow', 'pandas', 'torch', 'sqlalchemy'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept[0][:8] in done.stdout or "3 finished runs" in done.stdout
