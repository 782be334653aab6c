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
    numbers = {"pearson_r": 0.1 + 0.2, "pearson_r_low": -1 / 3, "n": 7.0, "undetermined": math.nan}
    numbers |= {"n_resampled_texts": 23.0, "effective_texts": 20.5}
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
    names = [f"number {place:03}" for place in range(400)]
    many = {f"{name}{end}": 0.5 for name in names for end in ("", "_low")}
    assert split_numbers(many) == (many, {})
    few = {name: value for name, value in many.items() if name < "number 200"}
    shown, tags = split_numbers(few)
    assert (len(shown), len(tags["numbers"]) < 5000) == (200, True)
    assert with_numbers(shown, tags)[0] == few


def test_a_number_of_a_measure_is_shown_whatever_its_name() -> None:
    own = {"surprisal_high": 7.5, "surprisal_low": 2.5, "effective_rank": 12.0, "r": 0.5}
    assert split_numbers(own) == (own, {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_neither_metric_nor_in_the_tag(value: float) -> None:
    shown, tags = split_numbers({"r": value, "r_low": 0.25, "r_high": value})
    assert (shown, tags) == ({}, {"numbers": '{"r_low": 0.25}'})


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


def test_runs_are_chosen_by_their_seldom_read_numbers_whatever_their_version(project: Path) -> None:
    runs = Runs(open_store(), "an experiment", "")
    numbers = {"pearson_r": 0.5, "pearson_r_low": 0.25, "pearson_r_high": 0.75}
    new = runs.keep("f", filled(make_record("f", metrics=numbers, figures=False)))
    client = runs.client
    assert client.get_run(new).data.metrics.keys() == {"pearson_r", "token/logprob"}
    old = client.create_run(runs.experiment_id, tags={"tokenviz.kind": "score", "tokenviz.fingerprint": "0" * 64}).info.run_id
    for name, value in {**numbers, "pearson_r_low": 0.125}.items():
        client.log_metric(old, name, value)
    client.set_terminated(old)
    assert {run.run_id for run in find_runs(where="pearson_r_low<0.3 and pearson_r_high=0.75")} == {old, new}
    assert [run.run_id for run in find_runs(where="r=0.5 and pearson_r_low<0.2")] == [old]
    # A tag that another program has written over loses its numbers, and nothing else.
    client.set_tag(new, "tokenviz.numbers", "mine")
    assert find_run(new, runs.store).metrics == {"pearson_r": 0.5}
    assert [run.run_id for run in find_runs(where="pearson_r_low<0.3")] == [old]
