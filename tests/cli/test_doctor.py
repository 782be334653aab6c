"""`tokenviz doctor`: each thing that can be wrong, made wrong."""

import fcntl
import json
import shutil
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from run_records import filled, make_record

from tokenviz.base.errors import Check
from tokenviz.figures.typeset.fonts import SCRIPTS
from tokenviz.harness import installation
from tokenviz.tracking import inspection
from tokenviz.tracking.inspection import inspect_store
from tokenviz.tracking.outbox import _key
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import write_checksums
from tokenviz.tracking.store import open_store


@pytest.fixture
def runs(project: Path) -> Runs:
    return Runs(open_store(), "an experiment", "")


def keep(runs: Runs, fingerprint: str = "f", **changes: Any) -> str:
    return runs.keep(fingerprint, filled(make_record(fingerprint, **changes)))


def found() -> dict[str, Check]:
    """What is not as it should be, by name."""
    return {check.name: check for check in inspect_store() if check.state != "ok"}


def test_a_whole_store_has_nothing_wrong(runs: Runs) -> None:
    keep(runs)
    checks = {check.name: check for check in inspect_store()}
    assert {check.state for check in checks.values()} == {"ok"}
    assert set(checks) == {"store", "open runs", "doubles", "files", "disk", "outbox"}
    assert f"{runs.store.folder}: 1 finished runs, 0 superseded, 0 others; database " in checks["store"].found
    assert checks["files"].found == "1 runs have what they were written with"


def test_no_store_is_no_fault_and_none_is_made(project: Path) -> None:
    assert found() == {"store": Check("store", "note", f"none yet in {project}/mlruns", "the first experiment makes it")}
    assert not (project / "mlruns").exists()


def test_a_store_that_cannot_be_opened_is_said(runs: Runs) -> None:
    with closing(sqlite3.connect(Path("mlruns/mlflow.db"))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    check = found()["store"]
    assert check.state == "wrong"
    assert "was made by a newer MLflow than " in check.found
    assert "nothing was changed" in check.found


def test_torn_and_lost_files_are_named(runs: Runs) -> None:
    torn, lost, without, unlisted = (keep(runs, name, started=number) for number, name in enumerate("fghi", start=1))
    artifacts = Path("mlruns/artifacts/1")
    (artifacts / torn / "artifacts" / "tables" / "a.csv").write_text("x\n")
    shutil.rmtree(artifacts / lost)
    for run_id in (without, unlisted):
        (artifacts / run_id / "artifacts" / "checksums.sha256").unlink()
    runs.client.delete_tag(unlisted, "tokenviz.list_sha256")  # as a run of an early version
    check, note = (check for check in inspect_store() if check.name == "files")
    assert check.state == "wrong"
    assert check.found == (
        f"3 runs have files that are gone or changed: {without} (a name): checksums.sha256, {lost} (a name), "
        f"{torn} (a name): tables/a.csv"
    )
    assert check.advice == "run their experiments again with --force: the new runs take their place, and these stay"
    assert note.found == f"1 runs have no list of their files, so that they cannot be checked: {unlisted} (a name)"


def test_a_list_that_was_written_again_is_noticed(runs: Runs) -> None:
    run_id = keep(runs, table="")
    files = Path("mlruns/artifacts/1") / run_id / "artifacts"
    (files / "tables" / "a.csv").write_text("x\n2\n")
    write_checksums(files)
    assert found()["files"].found == f"1 runs have files that are gone or changed: {run_id} (a name): checksums.sha256"


def leave_open(runs: Runs, fingerprint: str, outbox: str) -> str:
    tags = {"tokenviz.kind": "score", "tokenviz.fingerprint": fingerprint, "tokenviz.outbox": outbox}
    return str(runs.client.create_run(runs.experiment_id, tags=tags).info.run_id)


def test_runs_of_dead_processes_are_wrong_and_those_of_living_ones_are_not(runs: Runs) -> None:
    run_id = leave_open(runs, "f", "embedded")
    lock = runs.outbox.folder / f"{_key(runs.name, 'f')}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "open runs" not in found()
    check = found()["open runs"]
    assert (check.state, check.found) == ("wrong", f"1 left open by processes that ended: {run_id}")
    assert check.advice == "run an experiment again: it closes them, and goes on from there"
    runs.begin()
    assert "open runs" not in found()
    leave_open(runs, "f", "somebody else's")
    assert found()["open runs"].state == "note"


def test_doubles_are_named_and_the_advice_mends_them(runs: Runs, run: Run) -> None:
    older = keep(runs, "f", started=1)
    twin = keep(runs, "g", started=2)
    runs.client.set_tag(twin, "tokenviz.fingerprint", "f")
    check = found()["doubles"]
    assert (check.state, check.found) == ("wrong", f"1 runs of cells that have a newer one: {older}")
    assert run(*check.advice.split()[1:], "--yes")[0] == 0
    assert "doubles" not in found()


def test_removed_runs_and_lost_ones_are_counted(runs: Runs) -> None:
    runs.client.delete_run(keep(runs, "f"))
    removed = found()["removed runs"]
    assert removed.found == "1, which take 0.0 MB"
    assert f"mlflow gc --backend-store-uri sqlite:///{Path.cwd()}/mlruns/mlflow.db" in removed.advice
    lost = "0123" * 8
    Path("mlruns/artifacts/1", lost, "artifacts").mkdir(parents=True)
    check = found()["lost runs"]
    assert check.found == f"1 runs whose files are there and which the database does not know: {lost}"
    assert check.advice == "tokenviz doctor --rebuild puts them into the database again"


def test_what_waits_and_what_is_torn_in_the_outbox_is_said(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("f", "g"):
        with runs.outbox.claimed(runs.name, name) as claim:
            assert claim is not None
            staged = claim.pack(filled(make_record(name)))
    assert found()["outbox"] == Check("outbox", "note", "2 results wait for mlruns", "tokenviz sync")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # where nobody answers
        assert found()["outbox"].advice == "MLFLOW_TRACKING_URI= tokenviz sync"
    (staged.folder / "slip.json").write_text("{")
    waiting, torn = (check for check in inspect_store() if check.name == "outbox")
    assert waiting.found == "1 results wait for mlruns"
    assert (torn.state, torn.found) == ("wrong", f"1 results are torn, or of another version: {staged.folder}")


def test_a_disk_that_is_nearly_full_is_wrong(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_LITTLE", 1e18)
    assert found()["disk"].state == "wrong"
    assert found()["disk"].advice == "make room there"


def test_nothing_is_changed(runs: Runs) -> None:
    keep(runs)
    leave_open(runs, "g", "embedded")
    before = {path: path.stat().st_mtime_ns for path in Path("mlruns").rglob("*") if "mlflow.db" not in path.name}
    inspect_store()
    after = {path: path.stat().st_mtime_ns for path in Path("mlruns").rglob("*") if "mlflow.db" not in path.name}
    assert {path for path in after if after[path] != before.get(path)} <= {Path("mlruns/.lock")}


def test_the_installation_of_the_tests_is_right(tmp_path: Path) -> None:
    checks = {check.name: check for check in installation.check_installation()}
    assert {"versions", "models", "device", "fonts", "LaTeX"} <= set(checks)
    assert "wrong" not in {check.state for check in checks.values()}
    assert f"torch {version('torch')}" in checks["versions"].found


def test_versions_that_do_not_fit_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=99", "nothing-of-this-name", "torch>=1", 'rich>=99; extra == "dev"']
    monkeypatch.setattr(installation, "requires", lambda name: lines)
    check = installation._versions()
    assert check.state == "wrong"
    assert check.found == f"numpy {version('numpy')} where numpy>=99 is needed, nothing-of-this-name is not installed"


def test_torn_weights_and_half_prepared_models_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENVIZ_CACHE", str(tmp_path))
    (tmp_path / "models" / "a").mkdir(parents=True)
    (tmp_path / "models" / ".b.partial").mkdir()
    torn = tmp_path / "models" / "a" / "model.safetensors"
    torn.write_bytes((1000).to_bytes(8, "little") + b"{}")
    about, wrong, half = installation._models()
    assert about.found.startswith("none of the catalogue; 0.0 MB in ")
    assert (wrong.state, wrong.found) == ("wrong", f"damaged weights: {torn}")
    assert half.found == f"half prepared: {tmp_path / 'models' / '.b.partial'}"


def test_missing_fonts_and_programs_are_notes_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    thai = next(script for script in SCRIPTS if script.name == "Thai")
    monkeypatch.setattr("tokenviz.figures.typeset.fonts.missing_scripts", lambda: [thai])
    assert installation._fonts() == Check(
        "fonts", "note", "none for Thai: drawn as code points in figures",
        "apt-get install fonts-noto-core, or the fonts of the same names elsewhere",
    )  # fmt: skip
    monkeypatch.setenv("PATH", "")
    check = installation._latex()
    assert (check.state, check.found) == ("note", "none; text heatmaps are written as LaTeX all the same")
    assert check.advice.startswith("apt-get install texlive-latex-base ")


def test_a_quick_look_leaves_out_what_takes_long(runs: Runs, run: Run) -> None:
    keep(runs, "f")
    names = [line.split()[1] for line in run("doctor", "--quick")[1].splitlines() if not line.startswith(" ")]
    assert names[:3] == ["store", "open", "doubles"]
    assert not {"files", "device", "fonts", "LaTeX"} & set(names)
    assert run("doctor", "--quick", "--rebuild")[2].endswith("--migrate and --rebuild are given alone\n")


def test_the_exit_code_and_json_say_whether_something_is_wrong(runs: Runs, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "check_installation", lambda quick: [])
    code, out, _ = run("doctor")
    assert code == 0
    assert out.splitlines()[0].startswith(f"ok     store      {runs.store.folder}: 0 finished runs")
    leave_open(runs, "f", "embedded")
    code, out, _ = run("doctor")
    assert code == 1
    assert "\n                  → run an experiment again: it closes them, and goes on from there\n" in out
    code, out, _ = run("doctor", "--json")
    assert code == 1
    document = json.loads(out)
    assert document["ok"] is False
    (wrong,) = [check for check in document["checks"] if check["state"] == "wrong"]
    assert wrong["name"] == "open runs"
