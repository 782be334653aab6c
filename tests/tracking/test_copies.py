"""Runs copied from one store to another and back: nothing lost, nothing twice, nothing of a stranger obeyed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from arithmetic import make_two_models
from conftest import Run
from kept import look
from kept_runs import run_grid
from kills import draw_in_no_time
from run_records import filled, make_record

from tokenviz.tracking.finding import find_runs
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import pack, read_staged
from tokenviz.tracking.store import open_store
from tokenviz.tracking.transfer import Imported, export_runs, import_runs

MODELS = ["first", "second"]

STRANGE = make_record("f", tags={"kind": "score", "origin": "0" * 32}, metrics={"m": 0.5})


@pytest.fixture
def elsewhere(project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Goes to another project, which has the same models and no store."""
    draw_in_no_time(monkeypatch)
    make_two_models(project)
    other = tmp_path_factory.mktemp("elsewhere") / "project"

    def go() -> Path:
        shutil.copytree(project, other, ignore=shutil.ignore_patterns("mlruns", "copies"))
        monkeypatch.chdir(other)
        return other

    return go


def test_a_grid_is_the_same_in_another_store_and_counts_there(
    project: Path, elsewhere: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run_grid(MODELS)
    copies = project / "copies"
    store = open_store()
    assert export_runs(store, find_runs(), copies) == []
    other = elsewhere()
    assert import_runs(open_store(), copies) == Imported(7, 0, ())
    before, after = look(project / "mlruns"), look(other / "mlruns")
    assert after.statuses == {"FINISHED": 7}
    assert after.outbox == []
    assert after.content == before.content  # numbers, curves, settings, notes, files, run ids by what they name
    assert not {run for runs in after.finished.values() for run in runs} & {
        run for runs in before.finished.values() for run in runs
    }
    # The store knows what is finished: only the summary, which names runs, is not taken for the grid's.
    again = run_grid(MODELS)
    assert all(run.reused for run in (*again.scores, *again.comparisons))
    assert (again.grid, len(again.comparisons)) == (made.grid, 2)
    # Again, and back, nothing is doubled.
    assert import_runs(open_store(), copies) == Imported(0, 7, ())
    monkeypatch.chdir(project)
    assert import_runs(open_store(), copies) == Imported(0, 7, ())
    assert look(project / "mlruns").statuses == {"FINISHED": 7}


def test_a_copy_has_what_the_run_had(project: Path, elsewhere: Callable[[], Path], run: Run) -> None:
    dataset = {"name": "a text", "digest": "0" * 36, "source_type": "text", "source": "{}", "profile": '{"characters": 4}'}
    numbers = {"m": 0.5, "m_low": 0.25}
    record = make_record(
        "f", dataset=dataset, metrics=numbers, figures=False, context={"mlflow.user": "somebody", "reviewed": "yes"}
    )
    original = Runs(open_store(), record.experiment, record.description).keep("f", filled(record))
    old = open_store().client.get_run(original)
    folder = str(project / "copies")
    assert run("runs", "export", folder)[:2] == (0, f"1 run of mlruns in {folder}\n")
    elsewhere()
    assert run("runs", "import", folder)[:2] == (0, "1 run imported into mlruns; 0 were there already\n")
    client = open_store().client
    (new,) = client.search_runs([client.get_experiment_by_name("an experiment").experiment_id])
    assert (new.info.run_name, new.info.start_time, new.info.end_time) == ("a name", record.started, record.ended)
    assert new.data.params == old.data.params
    assert str(new.data.metrics) == str(old.data.metrics)  # one of them is NaN, the end of the curve
    assert {**new.data.tags, "tokenviz.origin": ""} == {**old.data.tags, "tokenviz.origin": ""}
    assert new.data.tags["tokenviz.origin"] == original
    assert new.inputs.dataset_inputs[0].dataset == old.inputs.dataset_inputs[0].dataset
    assert new.data.tags["tokenviz.numbers"] == '{"m_low": 0.25}'
    curves = [open_store().client.get_metric_history(new.info.run_id, name) for name in ("token/logprob", "m")]
    points = [[(point.step, str(point.value)) for point in curve] for curve in curves]
    assert points == [[(1, "-0.5"), (3, "-2.0"), (4, "nan")], [(0, "0.5")]]
    assert client.get_experiment_by_name("an experiment").tags["mlflow.note.content"] == "What it asks."


def test_an_interrupted_export_goes_on(project: Path) -> None:
    runs = Runs(open_store(), "an experiment", "")
    for name in "fg":
        runs.keep(name, filled(make_record(name)))
    found = find_runs()
    export_runs(open_store(), found[:1], project / "copies")
    (project / "copies" / f"{found[1].run_id}.partial").mkdir()
    written = (project / "copies" / found[0].run_id / "slip.json").stat().st_mtime_ns
    assert export_runs(open_store(), found, project / "copies") == []
    assert {path.name for path in (project / "copies").iterdir()} == {run.run_id for run in found}
    assert (project / "copies" / found[0].run_id / "slip.json").stat().st_mtime_ns == written


def test_a_run_that_has_lost_a_file_is_left_out_and_said(project: Path, run: Run) -> None:
    runs = Runs(open_store(), "an experiment", "")
    torn, gone, whole = (runs.keep(name, filled(make_record(name))) for name in "fgh")
    artifacts = project / "mlruns" / "artifacts" / "1"
    (artifacts / torn / "artifacts" / "tables" / "a.csv").write_text("x\n2\n")
    shutil.rmtree(artifacts / gone / "artifacts")
    code, out, err = run("runs", "export", "copies")
    assert (code, out) == (1, "1 run of mlruns in copies\n")
    assert set(err.splitlines()) >= {
        f"run {torn} (a name) is left out: its file 'tables/a.csv' is gone or changed; 'tokenviz doctor' says more",
        f"run {gone} (a name) is left out: its files are gone",
    }
    assert [path.name for path in (project / "copies").iterdir()] == [whole]


def test_what_waits_in_the_outbox_is_not_overwritten(project: Path) -> None:
    runs = Runs(open_store(), "an experiment", "")
    pack(project / "copies" / "one", filled(STRANGE))
    with runs.outbox.claimed(runs.name, "f") as claim:
        assert claim is not None
        waiting = claim.pack(filled(make_record("f", metrics={})))
    assert import_runs(open_store(), project / "copies") == Imported(
        0, 0, ("'a name' waits in the outbox already: 'tokenviz sync' delivers it",)
    )
    assert read_staged(waiting.folder) == waiting


def rewrite(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "slip.json").read_text())
    content["slip"] |= changes
    (folder / "slip.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x' or tags.`a` != '"},
        {"fingerprint": "f' or 1=1"},
        {"refers": {"run_a": "'"}},
        {"table": "../../../../etc/passwd"},
        {"curves": {"a": [["x", 1]]}},
        {"nonsense": 1},
        {"grid": 1},
        {"started": "now"},
        {"tags": {"kind": 1}},
        {"metrics": {"m": "0.5"}},
        {"params": []},
    ],
)
def test_a_record_that_a_stranger_has_changed_is_not_imported(project: Path, changes: dict[str, Any]) -> None:
    folder = project / "copies" / "one"
    pack(folder, filled(STRANGE))
    rewrite(folder, **changes)
    assert import_runs(open_store(), project / "copies").refused == (f"{folder} is no whole exported run: export it again",)
    assert find_runs(every=True) == []


def test_a_file_outside_the_export_is_not_fetched_by_a_link(project: Path) -> None:
    folder = project / "copies" / "one"
    staged = pack(folder, filled(STRANGE))
    assert read_staged(folder) == staged
    (folder / "files" / "secret").symlink_to("/etc/passwd")
    assert read_staged(folder) is None
    assert import_runs(open_store(), project / "copies").delivered == 0
