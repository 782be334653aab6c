"""Runs: delivered whole and once, found by fingerprint, closed whatever happens."""

import json
import math
import re
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_records import filled, make_record

from tokenviz.base.errors import RefusedError, StoreError
from tokenviz.base.progress import collecting
from tokenviz.tracking.embedded_runs import record_from
from tokenviz.tracking.entities import unlinked
from tokenviz.tracking.finding import fetch
from tokenviz.tracking.provenance import current_provenance
from tokenviz.tracking.runs import Runs, fingerprint_of
from tokenviz.tracking.staged_runs import EXPERIMENT_LATER, StagedRun, read_staged, run_later, tag_of_runs
from tokenviz.tracking.store import open_store


@pytest.fixture
def runs(project: Path) -> Runs:
    return Runs(open_store(), "an experiment", "What it asks.")


def keep(runs: Runs, fingerprint: str = "f", **changes: Any) -> str:
    return runs.keep(fingerprint, filled(make_record(fingerprint, **changes)))


def packed(runs: Runs, **changes: Any) -> StagedRun:
    """A staged run in the outbox, its cell free again."""
    with runs.outbox.claimed(runs.name, "f") as claim:
        assert claim is not None
        return claim.pack(filled(make_record(**changes)))


def finished(runs: Runs) -> list[Any]:
    return [run for run in runs.client.search_runs([runs.experiment_id]) if run.info.status == "FINISHED"]


def test_a_run_holds_what_was_packed(runs: Runs) -> None:
    run = runs.client.get_run(keep(runs))
    assert run.info.run_name == "a name"
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_060_000)
    assert run.data.params == {"a": "null", "b": "[1, 2]", "c": "text"}
    assert run.data.tags["tokenviz.fingerprint"] == "f"
    assert run.data.tags["tokenviz.grid"] == "g1"
    assert run.data.tags["tokenviz.kind"] == "score"
    assert run.data.tags["mlflow.note.content"] == "**Found.**"
    assert run.data.tags["mlflow.user"] == "somebody"
    assert [file.path for file in runs.client.list_artifacts(run.info.run_id, "tables")] == ["tables/a.csv"]
    assert list(runs.outbox.folder.iterdir()) == [runs.outbox.folder / "store.txt"]


def test_an_undetermined_number_is_absent_not_zero(runs: Runs) -> None:
    metrics = runs.client.get_run(keep(runs)).data.metrics
    assert metrics["m"] == 0.5
    assert "undetermined" not in metrics


def test_a_curve_has_its_steps_and_a_cap(runs: Runs) -> None:
    run_id = keep(runs, curves={"token/logprob": [(step, -float(step)) for step in range(1, 1500)]})
    *history, end = runs.client.get_metric_history(run_id, "token/logprob")
    assert [(point.step, point.value) for point in history] == [(step, -float(step)) for step in range(1, 1001)]
    # MLflow shows the last step's value as the run's: of a curve along a text there is none.
    assert (end.step, math.isnan(end.value)) == (1001, True)
    found = runs.find("f")
    assert found is not None
    assert found.metrics == {"m": 0.5}


def test_a_course_keeps_its_last_value(runs: Runs) -> None:
    assert runs.client.get_run(keep(runs, curves={"course/r": [(1, 0.5), (2, 0.75)]})).data.metrics["course/r"] == 0.75


def test_the_text_is_logged_as_a_dataset(runs: Runs) -> None:
    (logged,) = runs.client.get_run(keep(runs, dataset=DATASET)).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest, logged.dataset.profile) == ("a text", "0" * 36, '{"characters": 4}')


def test_a_finished_run_is_found_by_its_fingerprint(runs: Runs) -> None:
    run_id = keep(runs)
    found = runs.find("f")
    assert found is not None
    assert (found.run_id, found.metrics["m"], found.params["c"]) == (run_id, 0.5, "text")
    assert runs.find("g") is None


def test_another_experiment_does_not_share_runs(runs: Runs) -> None:
    keep(runs)
    assert Runs(runs.store, "another", "").find("f") is None


def test_a_parameter_may_name_another_run(runs: Runs) -> None:
    first = keep(runs, "f")
    keep(runs, "g", refers={"run_a": "f", "run_b": "not there"})
    found = runs.find("g")
    assert found is not None
    assert (found.params["run_a"], found.params["run_b"]) == (first, "")


def test_pages_have_the_ids_of_what_they_name(runs: Runs, tmp_path: Path) -> None:
    known, unknown = fingerprint_of({"a": 1}), fingerprint_of({"a": 2})
    first = keep(runs, known)
    page = f'["{run_later(known)}", "{run_later(unknown)}", "{EXPERIMENT_LATER}"]'
    run_id = keep(runs, "g", pages={"page.html": page, "tables/b.csv": f"run_id\n{run_later(known)}\n"})
    found = fetch(runs.store, run_id, "page.html", tmp_path).read_text(encoding="utf-8")
    assert json.loads(found) == [first, "", runs.experiment_id]
    assert fetch(runs.store, run_id, "tables/b.csv", tmp_path).read_text(encoding="utf-8") == f"run_id\n{first}\n"
    listed = (fetch(runs.store, run_id, "checksums.sha256", tmp_path)).read_text(encoding="utf-8")
    assert re.findall(r"  (.*)", listed) == ["page.html", "tables/a.csv", "tables/b.csv"]


def test_a_description_has_the_ids_of_what_it_links(runs: Runs) -> None:
    known, unknown, elsewhere = (fingerprint_of({"a": number}) for number in range(3))
    first, other = keep(runs, known), keep(runs, elsewhere, grid="g2")
    links = [f"[{number}](runs/{run_later(one)}/artifacts/x.html)" for number, one in enumerate((known, unknown, elsewhere))]
    run_id = keep(runs, "g", note=" ".join(links))
    note = runs.client.get_run(run_id).data.tags["mlflow.note.content"]
    assert unlinked(note, run_id) == f"[0](runs/{first}/artifacts/x.html) 1 [2](runs/{other}/artifacts/x.html)"


def test_a_tag_of_runs_is_the_same_whenever_their_ids_are_known(runs: Runs) -> None:
    known = fingerprint_of({"a": 1})
    first, other = keep(runs, known), "0" * 32
    run_id = keep(runs, "g", tags={"kind": "summary", "members": tag_of_runs([other, run_later(known)])})
    found = runs.find("g")
    assert found is not None
    assert found.run_id == run_id
    assert found.tags["members"] == tag_of_runs([other, first]) == fingerprint_of({"runs": [other, first]})


def test_what_names_a_run_that_waits_waits_as_well(runs: Runs) -> None:
    known = fingerprint_of({"a": 1})
    with runs.outbox.claimed(runs.name, known) as claim:
        assert claim is not None
        claim.pack(filled(make_record(known)))
    with pytest.raises(RefusedError, match=r"^'a name' names results that wait in the outbox themselves$"):
        keep(runs, "g", pages={"page.html": run_later(known)})
    with runs.outbox.claimed(runs.name, "g") as claim:
        assert claim is not None
        assert claim.left_over() is not None


@pytest.mark.parametrize("name", ["../page.html", "/page.html", "tables/../page.html", "a/b.html", ".html"])
def test_a_page_outside_its_run_is_not_read(runs: Runs, name: str) -> None:
    staged = packed(runs, pages={name: "x"})
    assert read_staged(staged.folder) is None


def test_a_staged_run_that_was_delivered_is_not_delivered_again(runs: Runs) -> None:
    staged = packed(runs)
    kept = {path: path.read_bytes() for path in staged.folder.rglob("*") if path.is_file()}
    first = runs.deliver(staged)
    for path, content in kept.items():  # as if the process had ended before the staged run was removed
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert runs.deliver(staged) == first
    assert not staged.folder.exists()
    assert [run.info.run_id for run in finished(runs)] == [first]


def test_what_somebody_else_finished_meanwhile_stays(runs: Runs) -> None:
    first = keep(runs)
    assert keep(runs) == first
    assert [run.info.run_id for run in finished(runs)] == [first]


def test_of_two_runs_from_processes_that_know_nothing_of_each_other_the_oldest_stays(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keep(runs)
    with monkeypatch.context() as patch:  # neither saw the other
        patch.setattr(Runs, "_find", lambda self, fingerprint: None)
        assert keep(runs, started=1_700_000_000_001) == first
    found = runs.find("f")
    assert found is not None
    assert found.run_id == first
    assert len(finished(runs)) == 2
    (other,) = (run for run in finished(runs) if run.info.run_id != first)
    assert other.data.tags["tokenviz.superseded_by"] == first
    assert "tokenviz.fingerprint" not in other.data.tags


DATASET = {"name": "a text", "digest": "0" * 64, "source_type": "text", "source": "{}", "profile": '{"characters": 4}'}


def test_a_run_is_written_as_mlflows_client_writes_it(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = {"token/logprob": [(5, -1.0), (5, -1.0), (3, -2.5)], "course/r": [(2, 0.75), (1, 0.5), (2, 0.25)]}
    make = {
        "curves": curves,
        "dataset": DATASET,
        "id": "0" * 32,
        "context": {"mlflow.user": "me", "mlflow.source.type": "LOCAL"},
        "params": {"model": "hub/a.b", "dtype": "float32", "identity": "sha256:1", "model_description": "a model", "b": [1, 2]},
        "metrics": {"bits_per_byte": 2.5, "mean_logprob": -1.5},
    }
    ours = rows_of(runs, keep(runs, **make))
    again = keep(runs, "g", **make | {"id": "1" * 32})
    other = Runs(runs.store, "another", runs.description)
    by_client = Runs._write_to_server
    monkeypatch.setattr(Runs, "_write_embedded", lambda self, _, *arguments: by_client(self, *arguments))
    theirs = rows_of(other, keep(other, **make))
    assert ours == theirs
    assert {table: len(rows) for table, rows in ours.items()} == {
        "experiments": 1, "experiment_tags": 1, "runs": 1, "tags": 12, "params": 4, "metrics": 8, "latest_metrics": 4,
        "datasets": 1, "inputs": 1, "input_tags": 0, "logged_models": 1, "logged_model_params": 3, "logged_model_tags": 3,
        "logged_model_metrics": 1,
    }  # fmt: skip
    (dataset,) = rows_of(runs, again)["datasets"]
    assert dataset == ours["datasets"][0]  # of the text that the experiment has already


def rows_of(runs: Runs, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """A run's rows in the database by table, in one order, with words in place of ids."""
    assert runs.store.database is not None
    with closing(sqlite3.connect(runs.store.database)) as connection:
        record = record_from(connection, run_id)
        assert record is not None
        connection.row_factory = sqlite3.Row
        of_models = {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table} WHERE experiment_id = ?", [number])]
            for number in [runs.experiment_id]
            for table in ("logged_models", "logged_model_params", "logged_model_tags", "logged_model_metrics")
        }
    known = {run_id: "run", runs.name: "name"} | {row["dataset_uuid"]: "dataset" for row in record.rows["datasets"]}
    known |= {row["input_uuid"]: "input" for row in record.rows["inputs"]}
    known |= {row["model_id"]: "model" for row in of_models["logged_models"]}

    def plain(name: str, value: Any) -> Any:
        if name in ("creation_time", "last_update_time", "creation_timestamp_ms", "last_updated_timestamp_ms"):
            return value > 0
        if name == "experiment_id":
            return str(value) == runs.experiment_id
        if isinstance(value, str):
            value = value.replace(f"/{runs.experiment_id}/", "/N/").removesuffix(f"/{runs.experiment_id}")
            for one, word in known.items():
                value = value.replace(one, word)
        return value

    found = {
        table: [{name: plain(name, value) for name, value in row.items()} for row in rows]
        for table, rows in {**record.rows, **of_models}.items()
    }
    return {table: sorted(rows, key=repr) for table, rows in found.items()}


def test_a_name_that_mlflow_refuses_is_refused(runs: Runs) -> None:
    with pytest.raises(
        RefusedError, match=r"^the tracking store 'mlruns' failed: Invalid value \"a\\tb\" for parameter 'metrics"
    ):
        keep(runs, metrics={"a\tb": 0.5})
    assert runs.client.search_runs([runs.experiment_id]) == []


def test_a_run_of_an_experiment_that_was_removed_meanwhile_is_not_written(runs: Runs) -> None:
    runs.client.delete_experiment(runs.experiment_id)
    with pytest.raises(
        RefusedError, match=r"^the experiment of 'a name' was removed meanwhile: repeat the command, which rest"
    ):
        keep(runs)
    assert keep(Runs(runs.store, runs.name, runs.description)) == finished(runs)[0].info.run_id


def test_files_go_where_an_experiment_has_them(runs: Runs, tmp_path: Path) -> None:
    runs.client.create_experiment(runs.name, artifact_location=(tmp_path / "else where").as_uri())
    run_id = keep(runs)
    assert (tmp_path / "else where" / run_id / "artifacts" / "tables" / "a.csv").is_file()
    assert finished(runs)[0].info.run_id == run_id


@pytest.mark.parametrize("step", ["_copy", "disk.sync", "Runs._keep_record"])
def test_a_delivery_that_died_is_closed_and_made_again(runs: Runs, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    staged = packed(runs, dataset=DATASET)

    def die(*arguments: Any, **named: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(f"tokenviz.tracking.runs.{step}", die)
        with pytest.raises(SystemExit):
            runs.deliver(staged)
    (dead,) = runs.client.search_runs([runs.experiment_id])
    assert dead.info.status == "RUNNING"
    assert runs.find("f") is None
    run_id = runs.deliver(staged)
    assert [run.info.run_id for run in finished(runs)] == [run_id]
    closed = runs.client.get_run(dead.info.run_id)
    assert closed.info.status == "KILLED"
    assert closed.data.tags["mlflow.note.content"] == "The process that wrote this run ended before it was whole."


def test_a_delivery_that_died_after_everything_was_written_is_finished(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = packed(runs)
    with monkeypatch.context() as patch:
        patch.setattr("tokenviz.tracking.runs.finish_run", lambda *a: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            runs.deliver(staged)
    (dead,) = runs.client.search_runs([runs.experiment_id])
    assert dead.info.status == "RUNNING"
    assert runs.deliver(staged) == dead.info.run_id
    (run,) = runs.client.search_runs([runs.experiment_id])
    assert (run.info.status, run.info.end_time, run.data.metrics["m"]) == ("FINISHED", staged.record.ended, 0.5)


def test_runs_left_open_are_closed_unless_their_cell_is_being_worked_on(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = packed(runs)
    with monkeypatch.context() as patch:
        patch.setattr("tokenviz.tracking.runs._copy", lambda *a: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            runs.deliver(staged)
    with runs.outbox.claimed(runs.name, "f"), collecting() as notes:
        runs.begin()
    assert notes == []
    assert [run.info.status for run in runs.client.search_runs([runs.experiment_id])] == ["RUNNING"]
    with collecting() as notes:
        runs.begin()
        runs.begin()
    assert notes == ["1 run of processes that ended too early: closed as KILLED"]
    assert [run.info.status for run in runs.client.search_runs([runs.experiment_id])] == ["KILLED"]


def test_a_run_that_somebody_else_has_open_is_left_alone(runs: Runs) -> None:
    tags = {"tokenviz.fingerprint": "f", "tokenviz.outbox": "of another machine"}
    run = runs.client.create_run(runs.experiment_id, tags=tags)
    runs.begin()
    assert runs.client.get_run(run.info.run_id).info.status == "RUNNING"


def test_a_new_run_supersedes_the_older_one_and_keeps_it(runs: Runs) -> None:
    old = keep(runs)
    new = keep(runs, replaces=True)
    found = runs.find("f")
    assert found is not None
    assert found.run_id == new
    tags = runs.client.get_run(old).data.tags
    assert tags["tokenviz.superseded_by"] == new
    assert "tokenviz.fingerprint" not in tags
    assert "tokenviz.grid" not in tags


def test_a_run_may_belong_to_several_grids(runs: Runs) -> None:
    keep(runs)
    for grid in ("g2", "g1", "g2"):
        found = runs.find("f")
        assert found is not None
        runs.join_grid(found, grid)
    found = runs.find("f")
    assert found is not None
    assert found.tags["grid"] == "g1 g2"


def test_a_run_that_supersedes_another_takes_its_place_in_every_grid(runs: Runs) -> None:
    keep(runs)
    found = runs.find("f")
    assert found is not None
    runs.join_grid(found, "g2")
    new = keep(runs, replaces=True)
    assert runs.client.get_run(new).data.tags["tokenviz.grid"] == "g2 g1"


def test_a_lost_file_is_said(runs: Runs, tmp_path: Path) -> None:
    run_id = keep(runs)
    with pytest.raises(StoreError, match=r"has lost its file 'tables/b\.csv'.*: run its experiment again with --force: "):
        fetch(runs.store, run_id, "tables/b.csv", tmp_path)


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_a_table_that_is_gone_or_torn_is_noticed(runs: Runs, damage: str) -> None:
    keep(runs)
    found = runs.find("f")
    assert found is not None
    assert runs.intact(found, "tables/a.csv")
    (table,) = (runs.store.folder or Path()).rglob("a.csv")
    if damage == "gone":
        table.unlink()
    else:
        table.write_bytes(table.read_bytes()[:-1])
    assert not runs.intact(found, "tables/a.csv")


def test_fingerprints_do_not_depend_on_order() -> None:
    assert fingerprint_of({"a": 1, "b": [1, 2]}) == fingerprint_of({"b": (1, 2), "a": 1})


def test_fingerprints_tell_none_from_zero() -> None:
    assert fingerprint_of({"a": None}) != fingerprint_of({"a": 0})


def test_a_description_that_is_too_long_is_cut_after_a_line_and_kept_whole(runs: Runs, tmp_path: Path) -> None:
    note = "\n".join(f"| row {number} | {'x' * 40} |" for number in range(400))
    run_id = keep(runs, note=note)
    shown = runs.client.get_run(run_id).data.tags["mlflow.note.content"]
    assert len(shown) <= 8000
    body, _, hint = shown.rpartition("\n\n")
    assert note.startswith(body + "\n")
    assert hint == "(cut here: MLflow keeps no more; Artifacts › description.md has the whole)"
    assert fetch(runs.store, run_id, "description.md", tmp_path).read_text(encoding="utf-8") == note


def test_a_parameter_that_is_too_long_is_kept_in_a_file(runs: Runs, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(1000)]
    run_id = keep(runs, params={"texts": texts, "bos": "auto"})
    params = runs.client.get_run(run_id).data.params
    assert params["texts"].startswith("see params.json (sha256 ")
    assert params["bos"] == "auto"
    assert json.loads(fetch(runs.store, run_id, "params.json", tmp_path).read_text(encoding="utf-8"))["texts"] == texts


def test_what_an_embedded_store_refuses_stays_in_the_outbox(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    record = make_record(metrics={"m": 0.5})
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", refuse)
        with pytest.raises(StoreError, match=r"^the tracking store 'mlruns' failed: No space left on device; make room on "):
            runs.keep("f", filled(record))
    (waiting,) = runs.outbox.records()
    assert waiting == replace(record, id=waiting.id)
    with runs.outbox.claimed(runs.name, "f") as claim:
        assert claim is not None
        staged = claim.left_over()
        assert staged is not None
        runs.deliver(staged)
    assert len(finished(runs)) == 1


def test_what_a_notebook_computed_names_no_command_of_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = ["/env/lib/site-packages/ipykernel_launcher.py", "-f", "/tmp/kernel-1.json"]
    monkeypatch.setattr(sys, "argv", kernel)
    assert current_provenance().command == "in a notebook"
    monkeypatch.setattr(sys, "argv", ["/project/experiments/trial.py", "--models", "a b"])
    assert current_provenance().command == "python -m experiments.trial --models 'a b'"
