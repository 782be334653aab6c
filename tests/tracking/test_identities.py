"""Identities and seldom read numbers of a run: in tags of a new one, in parameters and metrics of an old one, read as one."""

import math
from pathlib import Path

import pytest
from run_records import filled, make_record

from tokenviz.base.errors import StoreError
from tokenviz.tracking.entities import settings_of, split_identities, split_numbers, with_identities, with_numbers
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


def test_seldom_read_numbers_are_parted_and_put_together_again() -> None:
    numbers = {"pearson_r": 0.1 + 0.2, "pearson_r_low": -1 / 3, "n_resampled_blocks": 23.0, "n": 7.0, "undetermined": math.nan}
    shown, tags = split_numbers(numbers)
    assert shown == {"pearson_r": 0.1 + 0.2, "n": 7.0}
    assert with_numbers(shown, {**tags, "kind": "comparison"}) == (
        {name: value for name, value in numbers.items() if name != "undetermined"}, {"kind": "comparison"}
    )  # fmt: skip


def test_an_old_run_has_all_numbers_as_metrics() -> None:
    numbers, tags = {"r": 0.5, "r_low": 0.25}, {"kind": "comparison"}
    assert with_numbers(numbers, tags) == (numbers, tags)
    assert split_numbers({"r": 0.5}) == ({"r": 0.5}, {})


def test_more_numbers_than_a_tag_holds_are_metrics() -> None:
    many = {f"number {place}_low": float(place) for place in range(400)}
    assert split_numbers(many) == (many, {})


@pytest.mark.parametrize("words", ["", "{", "[1]", '{"n": "many"}', '{"n": null}'])
def test_numbers_that_somebody_wrote_over_are_none(words: str) -> None:
    assert with_numbers({"r": 0.5}, {"numbers": words}) == ({"r": 0.5}, {})


def test_runs_are_chosen_by_what_identifies_them(project: Path) -> None:
    runs = Runs(open_store(), "an experiment", "")
    new = runs.keep("f", filled(make_record("f", params=SETTINGS, figures=False)))
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
