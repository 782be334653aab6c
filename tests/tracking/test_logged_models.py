"""Logged models: one for each model of an experiment, with a number for each text, whatever happens to the runs."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from run_records import filled, make_record

from tokenviz.base.progress import collecting
from tokenviz.tracking.embedded import database_of
from tokenviz.tracking.finding import find_runs, remove
from tokenviz.tracking.inspection import find_untidy
from tokenviz.tracking.logged_models import link_runs, model_of
from tokenviz.tracking.runs import Runs
from tokenviz.tracking.store import Store, open_store

NAMES = ("a text", "another text")


def keep(model: str, text: str = NAMES[0], *, value: float = 2.5, **changes: Any) -> str:
    """Deliver a score run; its fingerprint is that of model and text unless another is given."""
    fields: dict[str, Any] = {
        "params": {"model": model, "dtype": "float32", "identity": f"sha256:{model}", "bos": "auto"},
        "metrics": {"bits_per_byte": value, "mean_logprob": -value},
        "dataset": {"name": text, "digest": "0" * 64, "source_type": "text", "source": "{}", "profile": "{}"},
    }
    fingerprint = changes.pop("fingerprint", f"{model} {text}")
    runs = Runs(open_store(), "an experiment", "What it asks.")
    runs.begin()
    return runs.keep(fingerprint, filled(make_record(fingerprint, **fields | changes)))


def shown(project: Path) -> dict[tuple[str, str], float]:
    """What MLflow's page shows: numbers by model and text."""
    client = open_store().client
    found = client.search_logged_models([client.get_experiment_by_name("an experiment").experiment_id])
    assert all(model.status == "READY" and model.metrics for model in found)
    pairs = [((model.name, point.dataset_name), point.value) for model in found for point in model.metrics]
    assert len({pair for pair, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_models_by_texts(project: Path) -> None:
    for model in ("m", "n"):
        for number, text in enumerate(NAMES):
            keep(model, text, value=number + 0.5)
    assert shown(project) == {(model, text): number + 0.5 for model in ("m", "n") for number, text in enumerate(NAMES)}
    (model,) = (one for one in open_store().client.search_logged_models(["1"]) if one.name == "m")
    assert (model.model_type, model.params) == ("causal-lm", {"dtype": "float32", "bos": "auto"})
    assert model.tags["tokenviz.identity.identity"] == "sha256:m"
    assert {point.run_id for point in model.metrics} < {run.run_id for run in find_runs()}


def test_what_is_no_score_has_no_model(project: Path) -> None:
    keep("m", tags={"kind": "comparison"})
    keep("m", fingerprint="f", params={"a": 1})
    keep("m", fingerprint="g", dataset={})
    keep("m", fingerprint="h", metrics={"mean_logprob": -1.0})
    assert shown(project) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "bfloat16"},
        {"bos": "never"},
        {"identity": "sha256:other"},
        {"context": 8},
        {"quantize": "q4_0"},
        {"model": "n"},
    ],
)
def test_what_changes_a_number_makes_another_model(change: dict[str, Any]) -> None:
    tags = {"tokenviz.kind": "score", "tokenviz.identity.identity": "sha256:m"}
    settings = {"model": "m", "dtype": "float32", "bos": "auto"}
    other = {"identity": change["identity"]} if "identity" in change else {}
    first = model_of(tags, settings)
    moved = model_of(tags | {f"tokenviz.identity.{name}": value for name, value in other.items()}, settings | change)
    assert first is not None
    assert moved is not None
    assert first.key != moved.key
    again = model_of({"tokenviz.kind": "score"}, settings | {"identity": "sha256:m"})  # as runs before 0.2 have it
    assert again is not None
    assert again.key == first.key


def test_a_name_is_one_that_mlflow_takes() -> None:
    model = model_of({"tokenviz.kind": "score"}, {"model": "hub/a.b:c%'\""})
    assert model is not None
    assert (model.name, model.params) == ("hub_a_b_c___", {"model": "hub/a.b:c%'\""})


def test_the_newest_run_has_the_number(project: Path) -> None:
    keep("m", value=1.0)
    keep("m", value=2.0, replaces=True, started=1_700_000_000_001)
    assert shown(project) == {("m", NAMES[0]): 2.0}
    # The text was changed: MLflow's page would show the first number in the column of either.
    keep("m", value=3.0, fingerprint="changed", started=1_700_000_000_002)
    keep("m", value=4.0, fingerprint="late", started=1_700_000_000_000)
    assert shown(project) == {("m", NAMES[0]): 3.0}


def test_a_model_goes_with_its_runs_and_comes_back(project: Path) -> None:
    keep("m")
    keep("n")
    store = open_store()
    (gone,) = (run for run in find_runs(store=store) if run.params["model"] == "m")
    remove(store, [gone])
    assert shown(project) == {("n", NAMES[0]): 2.5}
    store.client.restore_run(gone.run_id)
    link_runs(database_of(Path("mlruns")))
    assert shown(project) == {("m", NAMES[0]): 2.5, ("n", NAMES[0]): 2.5}
    with closing(sqlite3.connect(database_of(Path("mlruns")))) as connection:
        for table in ("params", "tags", "metrics"):
            left = f"SELECT count(*) FROM logged_model_{table} WHERE model_id NOT IN (SELECT model_id FROM logged_models)"
            assert connection.execute(left).fetchone() == (0,)


def test_runs_of_a_version_without_models_get_them_with_the_next_run(project: Path) -> None:
    keep("m")
    with closing(sqlite3.connect(database_of(Path("mlruns")))) as connection, connection:
        for table in ("logged_model_params", "logged_model_tags", "logged_model_metrics", "logged_models"):
            connection.execute(f"DELETE FROM {table}")
    assert shown(project) == {}
    Runs(open_store(), "an experiment", "").begin()
    assert shown(project) == {("m", NAMES[0]): 2.5}


def test_what_others_keep_of_a_model_stays(project: Path) -> None:
    from mlflow.entities import Metric

    run_id = keep("m")
    client = open_store().client
    (model,) = client.search_logged_models(["1"])
    other = client.create_run("1").info.run_id
    client.log_batch(other, [Metric("bits_per_byte", 9.0, 1, 0, model_id=model.model_id)])
    mine = client.create_logged_model("1", name="mine")
    client.set_logged_model_tags(model.model_id, {"note": "x"})
    client.delete_run(run_id)
    link_runs(database_of(Path("mlruns")))
    left = {one.name: one for one in client.search_logged_models(["1"])}
    assert left.keys() == {"m", "mine"}
    assert [point.value for point in left["m"].metrics] == [9.0]
    assert left["mine"].model_id == mine.model_id
    assert find_untidy(open_store()).models == []
    client.delete_run(other)
    assert [name for _, name, _ in find_untidy(open_store()).models] == ["m"]


def test_a_model_that_a_user_has_deleted_stays_so_until_it_is_scored_again(project: Path) -> None:
    keep("m")
    client = open_store().client
    client.delete_logged_model(client.search_logged_models(["1"])[0].model_id)
    Runs(open_store(), "an experiment", "").begin()
    assert shown(project) == {}
    keep("m", NAMES[1])
    assert shown(project) == {("m", NAMES[1]): 2.5}


@pytest.mark.parametrize("on_server", [False, True])
def test_a_model_without_a_run_is_listed_and_goes(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, on_server: bool
) -> None:
    gone = keep("m\x1b[1m")
    keep("n")
    client = open_store().client
    client.delete_run(gone)  # as in MLflow's pages
    if on_server:
        monkeypatch.setattr(Store, "database", None)  # read and written with MLflow's client
    code, out, err = run("runs", "tidy", stdin=b"n\n")
    assert (code, out) == (1, "")
    assert err == (
        "model m␛[1m of an experiment: no run of it is left\nRemove 0 runs, 0 views and 1 model? [y/N] nothing was removed\n"
    )
    assert {model.name for model in client.search_logged_models(["1"])} == {"n", "m\x1b[1m"}
    code, out, _ = run("runs", "tidy", "--yes")
    assert (code, out) == (0, "0 runs, 0 views and 1 model removed\n")
    assert [model.name for model in client.search_logged_models(["1"])] == ["n"]
    assert run("runs", "tidy", "--yes") == (0, "", "nothing to tidy\n")


@pytest.mark.slow
def test_processes_at_once_make_a_model_once(project: Path) -> None:
    keep("other")
    test = f"import sys; sys.path[:0] = {sys.path!r}; from test_logged_models import keep; keep('m', sys.argv[1])"
    texts = [f"text {number}" for number in range(4)]
    folder = str(Path(__file__).parent)
    started = [
        subprocess.Popen([sys.executable, "-c", f"import sys; sys.path.insert(0, {folder!r}); {test}", text]) for text in texts
    ]
    assert [process.wait(300) for process in started] == [0] * 4
    assert shown(project) == {("m", text): 2.5 for text in texts} | {("other", NAMES[0]): 2.5}


@pytest.mark.parametrize(("code", "said"), [("PERMISSION_DENIED", 1), ("ENDPOINT_NOT_FOUND", 0)])
def test_a_server_that_refuses_models_gets_the_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: int
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos import databricks_pb2

    store = open_store()

    def refuse(*arguments: Any, **named: Any) -> None:
        raise MlflowException("no models here", error_code=getattr(databricks_pb2, code))

    monkeypatch.setattr(type(store), "database", None)  # written with MLflow's client, as on a server
    monkeypatch.setattr(type(store.client), "search_logged_models", refuse)
    runs = Runs(store, "an experiment", "")
    text = {"name": "a text", "digest": "0", "source_type": "text", "source": "{}", "profile": "{}"}
    numbers = {"params": {"model": "m"}, "metrics": {"bits_per_byte": 1.0}, "dataset": text}
    with collecting() as notes:
        for fingerprint in ("f", "g"):
            assert runs.keep(fingerprint, filled(make_record(fingerprint, **numbers)))
    assert notes == ["the tracking server 'mlruns' takes no logged models (no models here); its runs have all numbers"] * said
