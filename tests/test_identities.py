"""What identifies a run's model, text and machine: in tags of a new run, in parameters of an old one, read as one."""

from pathlib import Path

import pytest
from slips import filled, make_slip

from tokenviz.errors import StoreError
from tokenviz.tracking.entities import settings_of, split_identities, with_identities
from tokenviz.tracking.finding import find_run, find_runs
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import open_store

SETTINGS = {"model": "gpt2", "identity": "sha256:0", "version_torch": "2.13", "hardware_cores": "2", "bos_ids": "[1]"}


def test_settings_are_parted_and_put_together_again(tmp_path: Path) -> None:
    params, tags = settings_of({**SETTINGS, "top_k": None}, tmp_path)
    assert params == {"model": "gpt2", "top_k": "null"}
    assert with_identities(params, {**tags, "kind": "score"}) == ({**SETTINGS, "top_k": "null"}, {"kind": "score"})


def test_an_old_run_has_all_settings_as_parameters() -> None:
    assert with_identities(SETTINGS, {"kind": "score"}) == (SETTINGS, {"kind": "score"})


def test_nothing_is_lost_whatever_its_name() -> None:
    names = dict.fromkeys(["identity.x", "identity", "versions", "hardware", "version_", ""], "1")
    params, tags = split_identities(names)
    assert with_identities(params, tags)[0] == names


def test_runs_are_chosen_by_what_identifies_them(project: Path) -> None:
    runs = Runs(open_store(), "an experiment", "")
    new = runs.keep("f", filled(make_slip("f", params=SETTINGS, figures=False)))
    client = runs.client
    assert client.get_run(new).data.params == {"model": "gpt2"}
    # As the version before wrote it.
    old = client.create_run(runs.experiment_id, tags={"tokenviz.kind": "score", "tokenviz.fingerprint": "0" * 64}).info.run_id
    for name, value in {**SETTINGS, "identity": "sha256:1"}.items():
        client.log_param(old, name, value)
    client.set_terminated(old)
    assert {run.run_id for run in find_runs(where="identity~sha256 and hardware_cores=2")} == {old, new}
    assert [run.run_id for run in find_runs(where="identity=sha256:1")] == [old]
    assert find_run(old, runs.store).params.keys() == find_run(new, runs.store).params.keys()
    with pytest.raises(StoreError, match="no run has a field 'identities'"):
        find_runs(where="identities=x")
