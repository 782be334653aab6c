"""Whatever a run, a model, a setting or a file is called, the store gives it back as it was."""

import hashlib
from pathlib import Path

import pytest
from hostile import STRINGS
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from run_records import filled, make_record

from tokenviz.harness.kinds.writing import is_file_name
from tokenviz.tracking.finding import fetch, files_of, find_run
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.staged_runs import RunRecord
from tokenviz.tracking.store import open_store

PHASES = (Phase.explicit, Phase.generate)  # a smaller example is not worth minutes of making runs
WORDS = st.one_of(
    st.sampled_from([word for word in STRINGS if word.isprintable() and 0 < len(word) < 300]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
)
# As a grid makes them of the names of an experiment's tables.
FILES = WORDS.filter(is_file_name).map("{}.csv".format)


@pytest.fixture
def runs(project: Path) -> Runs:
    return Runs(open_store(), "an experiment", "What it asks.")


@given(name=WORDS, model=WORDS, text=WORDS, setting=WORDS, note=WORDS, file=FILES)
@example(name=" ", model=" x ", text="\n", setting="", note="\0", file="50 ‰.csv")
@example(name="\x1b[31m", model="'", text='"', setting="\r\n", note="\u202e", file="a:b&c=d;e+f")
@settings(max_examples=12, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_comes_back_as_it_was(runs: Runs, name: str, model: str, text: str, setting: str, note: str, file: str) -> None:
    fingerprint = hashlib.sha256(repr((name, model, text, setting, note, file)).encode()).hexdigest()
    tags = {"kind": "score", "model": model, "text": text}
    record = make_record(fingerprint, name=name, tags=tags, params={"a": setting}, note=note, figures=False)

    def fill(files: Path) -> RunRecord:
        filled(record)(files)
        (files / "tables" / file).write_bytes(b"content")
        return record

    found = find_run(runs.keep(fingerprint, fill), runs.store)
    assert (found.name, found.params["a"]) == (name, setting)
    assert {key: found.tags[key] for key in tags} == tags
    assert runs.client.get_run(found.run_id).data.tags["mlflow.note.content"] == note
    assert files_of(runs.store, found.run_id)[f"tables/{file}"] == len(b"content")
    kept = fetch(runs.store, found.run_id, f"tables/{file}", Path(found.artifact_uri).parent)
    assert kept.read_bytes() == b"content"
