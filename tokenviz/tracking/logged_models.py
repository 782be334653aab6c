"""Logged models: what MLflow's page "Models" shows, one for each model of an experiment, with its number for each text.

They hold no weights. Everything in them follows from the experiment's score runs, so they need no record of their own: in an
embedded store they are made again from the runs whenever these change.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenviz.tracking.condition import reading, writing
from tokenviz.tracking.entities import with_identities

NUMBER = "bits_per_byte"  # the one number that models of different tokenizers may be compared by: a column for each text
KEY = "tokenviz.model_key"
_EXTERNAL = "mlflow.model.isExternal"
_TYPE = "causal-lm"
_PREFIX = "tokenviz."
_SETTINGS = ("dtype", "quantize", "device", "bos", "context", "stride")  # these and the identity change a number
_IDENTITIES = ("identity", "source", "tokenizer", "weights_sha256")
_REFUSED = dict.fromkeys(map(ord, "/:.%\"'"), "_")  # in names of logged models
_LONGEST_NAME = 500
_READY = 2  # MLflow's number for models that are whole
_CURRENT = (
    "runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active' AND EXISTS "
    "(SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'tokenviz.fingerprint' AND value != '')"
)
_OURS = "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'tokenviz.kind' AND value != '')"
_OUR_MODELS = f"SELECT model_id FROM logged_model_tags WHERE tag_key = '{KEY}'"
_MISSING = (
    f"SELECT run_uuid FROM runs WHERE {_CURRENT} "
    "AND EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'tokenviz.kind' AND value = 'score') "
    f"AND run_uuid IN (SELECT run_uuid FROM latest_metrics WHERE key = '{NUMBER}' AND NOT is_nan) "
    "AND run_uuid IN (SELECT destination_id FROM inputs WHERE source_type = 'DATASET') "
    f"AND run_uuid NOT IN (SELECT run_id FROM logged_model_metrics WHERE metric_name = '{NUMBER}')"
)
_STALE = (
    f"FROM logged_model_metrics WHERE metric_name = '{NUMBER}' AND model_id IN ({_OUR_MODELS}) "
    f"AND run_id NOT IN (SELECT run_uuid FROM runs WHERE ({_CURRENT}) OR NOT {_OURS})"
)
_EMPTY = (
    f"SELECT model_id FROM logged_models WHERE lifecycle_stage = 'active' AND model_id IN ({_OUR_MODELS}) "
    "AND model_id NOT IN (SELECT model_id FROM logged_model_metrics) "
    "AND model_id NOT IN (SELECT destination_id FROM inputs WHERE destination_type LIKE 'MODEL%')"
)


@dataclass(frozen=True)
class LoggedModel:
    """A model as MLflow's page shows it.

    Attributes:
        key: Hash of what distinguishes it from the experiment's other models.
        name: The model spec's label, without characters that MLflow refuses.
        params: Settings that a person compares.
        tags: Hashes, the key, and that its weights are elsewhere.
    """

    key: str
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]


def model_of(tags: Mapping[str, str], params: Mapping[str, str]) -> LoggedModel | None:
    """Return the model that a run scored a text with; None for any other kind of run.

    Args:
        tags: The run's tags, with their prefixes.
        params: Its parameters.
    """
    own = {name.removeprefix(_PREFIX): value for name, value in tags.items() if name.startswith(_PREFIX)}
    settings, own = with_identities(params, own)
    if own.get("kind") != "score" or not settings.get("model"):
        return None
    chosen = {name: settings[name] for name in _SETTINGS if name in settings}
    pinned = {name: settings[name] for name in _IDENTITIES if settings.get(name)}
    key = sha256(json.dumps([settings["model"], chosen, pinned.get("identity", "")], sort_keys=True).encode()).hexdigest()
    name = settings["model"].translate(_REFUSED)[:_LONGEST_NAME]
    if name != settings["model"]:
        chosen["model"] = settings["model"]
    if settings.get("model_description"):
        chosen["model_description"] = settings["model_description"]
    tags = {f"{_PREFIX}identity.{name}": value for name, value in pinned.items()}
    return LoggedModel(key, name, chosen, tags | {KEY: key, _EXTERNAL: "true"})


# In an embedded store: rows that are equal to those that MLflow writes (3.17, `SqlAlchemyStore.create_logged_model`, and
# `log_batch` of a metric with a model), in one transaction with looking for the model, so that no two processes make it twice.


@dataclass(frozen=True)
class _Link:
    """A score run's number as it is linked to a model and a text.

    Attributes:
        run_id: Id of the run.
        experiment: Id of its experiment.
        started: Start of the run, in milliseconds since 1970.
        since: Start of the first of the runs that are linked together with it and have its model.
        point: Value, time in milliseconds since 1970, and step.
        text: Name and digest of the text's dataset.
        model: The model.
    """

    run_id: str
    experiment: int
    started: int
    since: int
    point: tuple[float, int, int]
    text: tuple[str, str]
    model: LoggedModel


def link_run(database: Path, run_id: str) -> None:
    """Link the number of a finished score run to its model and text; make the model where there is none.

    Raises:
        sqlite3.Error: The database cannot be written.
    """
    with writing(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for link in _links(connection, "SELECT ?", run_id):
            _insert(connection, link)


def link_runs(database: Path) -> None:
    """Make the logged models of a store what its runs say: link those that are not linked, let go of those that are gone.

    Raises:
        sqlite3.Error: The database cannot be written.
    """
    with reading(database) as connection:  # most of the time nothing is to be done
        missing = connection.execute(f"SELECT EXISTS ({_MISSING})").fetchone()[0]
        gone = connection.execute(f"SELECT EXISTS (SELECT 1 {_STALE}) OR EXISTS ({_EMPTY})").fetchone()[0]
    if not missing and not gone:
        return
    with writing(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"DELETE {_STALE}")
        for link in _links(connection, _MISSING):
            _insert(connection, link)
        for (model_id,) in connection.execute(_EMPTY).fetchall():
            for table in ("logged_model_params", "logged_model_tags", "logged_models"):
                connection.execute(f"DELETE FROM {table} WHERE model_id = ?", [model_id])


def _links(connection: sqlite3.Connection, chosen: str, *values: str) -> list[_Link]:
    """Return the links of some runs, oldest first: those of the newest run for each model and name of a text.

    MLflow's page shows one number for a model and a name, whichever comes first, although the text may have been changed.
    """
    settings: dict[str, dict[str, dict[str, str]]] = {"tags": {}, "params": {}}
    for table, found in settings.items():
        for run_id, key, value in connection.execute(
            f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN ({chosen})", values
        ):
            found.setdefault(run_id, {})[key] = value
    query = (
        "SELECT runs.run_uuid, runs.experiment_id, start_time, value, timestamp, last.step, text.name, digest FROM runs "
        f"JOIN latest_metrics AS last ON last.run_uuid = runs.run_uuid AND key = '{NUMBER}' AND NOT is_nan "
        "JOIN inputs AS used ON destination_id = runs.run_uuid AND used.source_type = 'DATASET' "
        "JOIN datasets AS text ON dataset_uuid = source_id "
        f"WHERE {_CURRENT} AND runs.run_uuid IN ({chosen}) ORDER BY start_time, runs.run_uuid"
    )
    newest: dict[tuple[int, str, str], _Link] = {}
    first: dict[tuple[int, str], int] = {}
    for run_id, experiment, started, value, when, step, name, digest in connection.execute(query, values):
        model = model_of(settings["tags"].get(run_id, {}), settings["params"].get(run_id, {}))
        if model is not None:
            since = first.setdefault((experiment, model.key), started)
            link = _Link(run_id, experiment, started, since, (value, when, step), (name, digest), model)
            newest[experiment, model.key, name] = link
    return list(newest.values())


def _insert(connection: sqlite3.Connection, link: _Link) -> None:
    model_id = _model(connection, link)
    query = (
        "SELECT run_id, start_time FROM logged_model_metrics JOIN runs ON run_uuid = run_id "
        "WHERE model_id = ? AND metric_name = ? AND dataset_name = ?"
    )
    others = connection.execute(query, [model_id, NUMBER, link.text[0]]).fetchall()
    if any((begun, other) >= (link.started, link.run_id) for other, begun in others):
        return  # a newer run has the number, or this one has it already
    for other, _ in others:
        rows = "DELETE FROM logged_model_metrics WHERE model_id = ? AND metric_name = ? AND run_id = ?"
        connection.execute(rows, [model_id, NUMBER, other])
    value, when, step = link.point
    connection.execute(
        "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, "
        "experiment_id, run_id, dataset_name, dataset_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [model_id, NUMBER, when, step, value, link.experiment, link.run_id, *link.text],
    )


def _model(connection: sqlite3.Connection, link: _Link) -> str:
    """Return the id of a link's logged model; make it, as old as its first run, where there is none."""
    experiment, model = link.experiment, link.model
    known = (
        "SELECT model_id FROM logged_models JOIN logged_model_tags USING (model_id) WHERE logged_models.experiment_id = ? "
        "AND lifecycle_stage = 'active' AND tag_key = ? AND tag_value = ? ORDER BY creation_timestamp_ms, model_id"
    )
    if found := connection.execute(known, [experiment, KEY, model.key]).fetchone():
        return str(found[0])
    place = "SELECT name, artifact_location FROM experiments WHERE experiment_id = ?"
    name, location = connection.execute(place, [experiment]).fetchone()
    before = "SELECT count(*) FROM logged_model_tags WHERE experiment_id = ? AND tag_key = ? AND tag_value = ?"
    (number,) = connection.execute(before, [experiment, KEY, model.key]).fetchone()  # those that a user has deleted
    # The same id whenever it is made, so that links stay right when the database is made again.
    model_id = f"m-{sha256(json.dumps([name, model.key, number]).encode()).hexdigest()[:32]}"
    connection.execute(
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, "
        "last_updated_timestamp_ms, status, lifecycle_stage, model_type) VALUES (?, ?, ?, ?, ?, ?, ?, 'active', ?)",
        [model_id, experiment, model.name, f"{location}/models/{model_id}/artifacts", link.since, link.since, _READY, _TYPE],
    )
    for table, kind, values in (("logged_model_params", "param", model.params), ("logged_model_tags", "tag", model.tags)):
        connection.executemany(
            f"INSERT INTO {table} (model_id, experiment_id, {kind}_key, {kind}_value) VALUES (?, ?, ?, ?)",
            [[model_id, experiment, *pair] for pair in values.items()],
        )
    return model_id


# On a server, with MLflow's client.


def model_on_server(client: Any, experiment_id: str, model: LoggedModel) -> str:
    """Return the id of a logged model on a server; make it where there is none.

    Two processes may make it at once: both then use the older one.

    Args:
        client: MLflow's client for the server.
        experiment_id: Id of the experiment.
        model: The model.

    Raises:
        MlflowException: The server fails or refuses; servers of MLflow 2 know no logged models, and answer with status 404.
    """
    found = _on_server(client, experiment_id, model)
    if not found:
        client.create_logged_model(
            experiment_id, name=model.name, tags=dict(model.tags), params=dict(model.params), model_type=_TYPE
        )
        found = _on_server(client, experiment_id, model)
    oldest, *others = found
    for other in others:
        if other.status != "READY":  # made at the same moment, or again after an answer was lost
            client.delete_logged_model(other.model_id)
    if oldest.status != "READY":
        client.finalize_logged_model(oldest.model_id, "READY")
    return str(oldest.model_id)


def models_without(client: Any, experiments: Sequence[str], current: Collection[str]) -> list[tuple[str, str, str]]:
    """Return the logged models of this package whose numbers all come from runs that are gone, none from runs of others.

    Args:
        client: MLflow's client; servers of MLflow 2 have no logged models.
        experiments: Ids of the experiments.
        current: Ids of the runs that are not gone.

    Returns:
        Id, name and the experiment's id of each.

    Raises:
        MlflowException: The server fails.
    """
    from mlflow.exceptions import MlflowException

    found, token = [], None
    while experiments and token != "":
        try:
            page = client.search_logged_models(list(experiments), filter_string=f"tags.`{KEY}` != ''", page_token=token)
        except MlflowException as error:
            if error.get_http_status_code() != 404:
                raise
            return []
        found += list(page)
        token = page.token or ""
    return [
        (str(one.model_id), str(one.name), str(one.experiment_id))
        for one in found
        if not (runs := {point.run_id for point in one.metrics or []}) & set(current)
        and not any(_is_of_others(client, run_id) for run_id in runs)
    ]


def _is_of_others(client: Any, run_id: str) -> bool:
    """Return whether a run is there that this package has not made."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.get_http_status_code() != 404:
            raise
        return False
    return run.info.lifecycle_stage == "active" and not run.data.tags.get(f"{_PREFIX}kind")


def _on_server(client: Any, experiment_id: str, model: LoggedModel) -> list[Any]:
    """Return the logged models with a model's key, oldest first."""
    found = client.search_logged_models([experiment_id], filter_string=f"tags.`{KEY}` = '{model.key}'")
    return sorted(found, key=lambda one: (one.creation_timestamp, one.model_id))
