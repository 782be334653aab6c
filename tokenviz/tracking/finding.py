"""Finding runs again, by conditions or by their id, and fetching their files."""

import itertools
import math
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tokenviz.base.errors import DamagedError, StoreError, did_you_mean
from tokenviz.base.progress import task
from tokenviz.tracking.embedded import artifacts_of
from tokenviz.tracking.embedded_runs import Row, keep_record, read_begun, read_experiments, read_location, read_runs
from tokenviz.tracking.entities import with_identities, with_numbers
from tokenviz.tracking.logged_models import link_runs
from tokenviz.tracking.runs import PREFIX
from tokenviz.tracking.store import Store, open_for_reading, reason_of, store_errors
from tokenviz.tracking.where import Condition, Where, mlflow_filter, number_of, parse_where, tags_of

# Finding runs: all that meet some conditions, or one by the first digits of its id.

_PAGE = 1000
_DIGITS = re.compile(r"[0-9a-f]{4,64}")
_CURVE = "/"  # occurs in the names of curves only
_CLOSED = {  # fields with few values, and values that are allowed besides those of the runs: measures are kinds as well
    "kind": {"score", "comparison", "summary"},
    "status": {"FINISHED", "RUNNING", "FAILED", "KILLED"},
    "by": {"token", "segment", "word", "span"},
}
_SHOWN = 4  # runs that an ambiguous reference lists
_OF_OURS = ("kind", "model", "model_a", "model_b", "text")
_NAMES = ("model", "model_a", "model_b", "text", "kind")  # the fields that are asked for most
HEAD = ("experiment", "run_id", "name", *_OF_OURS, "status", "started", "seconds")


@dataclass(frozen=True)
class FoundRun:
    """A run of this package in the store.

    Attributes:
        experiment: Name of the MLflow experiment.
        experiment_id: MLflow's id of the experiment.
        run_id: MLflow's id of the run.
        name: Name for readers.
        commit: Commit of the code that made it; empty where it is not known.
        status: "FINISHED", "RUNNING", "FAILED" or "KILLED".
        started: Time of the start.
        seconds: Duration in seconds; NaN while it is running.
        tags: Tags of this package, without prefix.
        params: Settings, as the strings that MLflow stores.
        metrics: Numbers by name.
        curves: Names of what was logged step by step, such as `token/logprob`; the last value of a curve is not a number of the
            run.
        artifact_uri: Location of its files, as MLflow writes it.
    """

    experiment: str
    experiment_id: str
    run_id: str
    name: str
    commit: str
    status: str
    started: datetime
    seconds: float
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    curves: tuple[str, ...]
    artifact_uri: str

    @property
    def row(self) -> dict[str, object]:
        """Return all fields by name; where a tag, a metric and a parameter share a name, the first of them counts."""
        head = {name: getattr(self, name) for name in HEAD if name not in _OF_OURS}
        tags = {name: self.tags.get(name, "") for name in _OF_OURS}
        return {**self.params, **self.metrics, **tags, **head}

    @property
    def current(self) -> bool:
        """Whether the run is finished and no other run has superseded it."""
        return self.status == "FINISHED" and "superseded_by" not in self.tags


def find_runs(
    experiment: str | None = None,
    *,
    where: str | None = None,
    every: bool = False,
    most: int | None = None,
    store: Store | None = None,
) -> list[FoundRun]:
    """Return the runs that meet some conditions, newest first.

    Args:
        experiment: Name of the MLflow experiment; by default all experiments.
        where: Conditions, in the syntax of `tokenviz.tracking.where`; by default none.
        every: Whether to include runs that are not finished, or that a newer run has superseded; by default not.
        most: The most runs to return; by default all.
        store: The store; by default the configured one.

    Raises:
        StoreError: There is no such experiment, the conditions cannot be parsed, or they name a field that no run has.
    """
    asked = parse_where(where) if where else None
    store = store or open_for_reading()
    experiments = _experiments(store, experiment)
    swept = (run for run in _sweep(store, experiments, asked, every, most or _PAGE) if every or run.current)
    found = list(itertools.islice(swept, most if asked is None else None))
    if asked is None:
        return found
    # If no run meets the conditions, they may contain a typing error; other runs show which fields and values exist.
    check_fields(asked, found or list(_sweep(store, experiments, None, True, _PAGE)))
    return [run for run in found if asked.holds(run.row)][:most]


def check_fields(asked: Where, runs: Sequence[FoundRun]) -> None:
    """Refuse conditions that name a field which none of some runs has, or a value that the field cannot have.

    Raises:
        StoreError: A condition names such a field or value.
    """
    known = set(HEAD).union(*(run.row for run in runs))
    if runs and (unknown := sorted(asked.fields() - known)):
        metrics, params = (sorted(set().union(*(getattr(run, part) for run in runs))) for part in ("metrics", "params"))
        raise StoreError(
            f"no run has a field {unknown[0]!r}: there are {', '.join(dict.fromkeys((*_NAMES, *HEAD)))}, "
            f"the metrics {', '.join(metrics)}, and the parameters {', '.join(name for name in params if name not in HEAD)}"
            f"{did_you_mean(unknown[0], known)}"
        )
    for condition in asked.conditions() if runs else ():
        _check_value(condition, runs)


def _check_value(condition: Condition, runs: Sequence[FoundRun]) -> None:
    name, sign, value = condition.field, condition.sign, condition.value
    if sign == "~":
        return
    given = f"--where asks for {name}{sign}{value}"
    if name in _CLOSED:
        there = sorted(_CLOSED[name].union(str(run.row[name]) for run in runs if run.row.get(name)))
        if sign in ("=", "!=") and value not in there:
            raise StoreError(f"{given}, and no run has that {name}: there are {', '.join(there)}{did_you_mean(value, there)}")
    if name == "started":
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            raise StoreError(f"{given}, and that is no time: write it as 2026-01-31 or 2026-01-31T18:00") from error
        return
    held = [run.row[name] for run in runs if run.row.get(name) not in (None, "")]
    numeric = bool(held) and all(number_of(one) is not None for one in held)
    number = number_of(value)
    if numeric and (number is None or math.isnan(number)):
        raise StoreError(f"{given}, and {name} is a number in every run that has one: give a number")
    if sign not in ("=", "!=") and not numeric and (held or name in HEAD):
        raise StoreError(f"{given}, and {name} is no number: ask with =, != or ~ (contains)")


def is_reference(words: str) -> bool:
    """Return whether a string may be the beginning of a run's id or fingerprint."""
    return _DIGITS.fullmatch(words) is not None


def find_run(reference: str, store: Store) -> FoundRun:
    """Return the run that a reference means.

    Args:
        reference: The first digits of the run's id, or of its fingerprint, which figures carry; at least four.
        store: The run's store.

    Raises:
        StoreError: There is no such run, or more than one.
    """
    if not is_reference(reference):
        raise StoreError(f"{reference!r} names no run: give at least four digits of an id, as 'tokenviz runs' lists them")
    experiments = _experiments(store, None)
    for by_fingerprint in (False, True):
        found = _that_begin_with(reference, list(experiments), store, by_fingerprint=by_fingerprint)
        if len(found) == 1:
            return _found(found[0], experiments)
        if found:
            ids = ", ".join(run.run_id for run in found[:_SHOWN])
            raise StoreError(f"{reference!r} may be several runs: {ids}{', ...' * (len(found) > _SHOWN)}; give more digits")
    raise StoreError(f"no run {reference!r} in the store {store.name!r}: 'tokenviz runs' lists what there is")


def _that_begin_with(reference: str, experiments: Sequence[str], store: Store, *, by_fingerprint: bool) -> list[Row]:
    """Return runs whose id or fingerprint begins with some digits; at most one more than a message lists."""
    if store.database is not None:
        return read_begun(store.database, experiments, reference, by_fingerprint=by_fingerprint, most=_SHOWN + 1)
    field = f"tags.`{PREFIX}fingerprint`" if by_fingerprint else "attributes.run_id"
    with store_errors(store):
        found = store.client.search_runs(list(experiments), f"{field} LIKE '{reference}%'", max_results=_SHOWN + 1)
    return [Row.of(run) for run in found]


def remove(store: Store, runs: Sequence[FoundRun]) -> None:
    """Mark runs as removed, as MLflow does: they can be restored, but are not found.

    Raises:
        StoreError: The store may not be written, or fails.
    """
    if store.copy is not None:
        raise StoreError(f"the store in {str(store.folder)!r} may not be written: nothing was removed")
    with store_errors(store), task("removing", len(runs), "runs") as advance:
        for run in runs:
            store.client.delete_run(run.run_id)
            if store.folder is not None and store.database is not None:
                keep_record(store.database, artifacts_of(store.folder), run.run_id)
            advance(1)
        if store.database is not None:
            link_runs(store.database)


def _experiments(store: Store, name: str | None) -> dict[str, str]:
    """Return the names of the experiments by id."""
    if store.database is not None:
        there = read_experiments(store.database)
    else:
        with store_errors(store):
            there = {str(one.experiment_id): str(one.name) for one in store.client.search_experiments()}
    if name is None:
        return there
    chosen = {number: one for number, one in there.items() if one == name}
    if not chosen:
        names = sorted(one for one in there.values() if one != "Default")
        raise StoreError(
            f"no experiment {name!r} in the store: it has {', '.join(names) or 'none yet'}{did_you_mean(name, names)}"
        )
    return chosen


def _sweep(store: Store, experiments: dict[str, str], where: Where | None, every: bool, size: int) -> Iterator[FoundRun]:
    """Yield runs in pages of `size`, newest first, except those that the store itself can exclude."""
    if store.database is not None:
        status = "" if every else "FINISHED"
        rows = read_runs(store.database, list(experiments), tags=tags_of(where), status=status, page=min(size, _PAGE))
        yield from (_found(row, experiments) for row in rows)
        return
    finished = "" if every else "attributes.status = 'FINISHED'"
    query = " and ".join(filter(None, [mlflow_filter(where), finished, f"tags.`{PREFIX}kind` != ''"]))
    token = None
    with task("reading runs", None, "runs") as advance:
        while True:
            with store_errors(store):
                page = store.client.search_runs(list(experiments), query, max_results=min(size, _PAGE), page_token=token)
            for run in page:
                yield _found(Row.of(run), experiments)
                advance(1)
            token = page.token
            if not token:
                return


def _found(row: Row, experiments: dict[str, str]) -> FoundRun:
    own = {name.removeprefix(PREFIX): value for name, value in row.tags.items() if name.startswith(PREFIX)}
    params, tags = with_identities(row.params, own)
    metrics, tags = with_numbers({name: value for name, value in row.metrics.items() if _CURVE not in name}, tags)
    return FoundRun(
        experiment=experiments[row.experiment_id],
        experiment_id=row.experiment_id,
        run_id=row.run_id,
        name=row.name,
        commit=row.tags.get("mlflow.source.git.commit", ""),
        status=row.status,
        started=datetime.fromtimestamp(row.started / 1000, UTC),
        seconds=(row.ended - row.started) / 1000 if row.ended else math.nan,
        tags=tags,
        params=params,
        metrics=metrics,
        curves=tuple(name for name in row.metrics if _CURVE in name),
        artifact_uri=row.artifact_uri,
    )


# A run's files: listed, and fetched from the store.

_ATTEMPTS = 3  # tries to download one file from a server
CURE = "run its experiment again with --force: the new run takes its place, and this one stays"
"""Advice for a run whose files are gone or changed."""


def files_of(store: Store, run_id: str, folder: str = "") -> dict[str, int]:
    """Return a run's files and their sizes in bytes.

    Raises:
        StoreError: The store fails.
    """
    if (place := _place_of(store, run_id)) is not None:
        files = sorted(path for path in (place / folder).rglob("*") if path.is_file())
        return {path.relative_to(place).as_posix(): path.stat().st_size for path in files}
    with store_errors(store):
        entries = _files_elsewhere(store, run_id).list_artifacts(folder or None)
    found: dict[str, int] = {}
    for entry in entries:
        found |= files_of(store, run_id, entry.path) if entry.is_dir else {str(entry.path): int(entry.file_size)}
    return found


def _place_of(store: Store, run_id: str) -> Path | None:
    """Return the folder of a run's files in an embedded store; None for a server, and for a location that is not a folder."""
    if store.database is not None:
        location = read_location(store.database, run_id)
        if location is None:
            raise StoreError(f"the store {store.name!r} has no run {run_id!r}: 'tokenviz runs' lists what there is")
        return store.place_of(location)
    return None


def _files_elsewhere(store: Store, run_id: str) -> Any:
    """Return MLflow's access to a run's files on a server.

    MLflow's client also looks for models in the run: a request more for each file, which servers of MLflow 2 do not know.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(store.client.get_run(run_id).info.artifact_uri, tracking_uri=store.uri)


def fetch(store: Store, run_id: str, artifact: str, folder: Path) -> Path:
    """Return the path of a run's file on this disk; download it where necessary.

    Args:
        store: The run's store.
        run_id: The run's id.
        artifact: The path of the file among the run's files; empty for all of them.
        folder: The folder for downloaded files.

    Raises:
        DamagedError: The run does not have the file any more.
        StoreError: A server does not answer.
    """
    if (place := _place_of(store, run_id)) is not None:
        try:
            return _taken(place, artifact, folder)
        except OSError as error:
            raise _lost(run_id, artifact, error.strerror or str(error)) from error
    from mlflow.exceptions import MlflowException

    attempts = 1 if store.folder is not None else _ATTEMPTS
    for left in reversed(range(attempts)):
        try:
            return Path(_files_elsewhere(store, run_id).download_artifacts(artifact, str(folder)))
        except (MlflowException, OSError) as error:
            if store.folder is None and not _is_gone(store, run_id, artifact):
                if left:
                    continue  # MLflow itself does not retry
                raise StoreError(f"the tracking server {store.name!r} failed: {reason_of(error)}") from error
            raise _lost(run_id, artifact, reason_of(error)) from error
    raise AssertionError("there is at least one attempt")


def _taken(place: Path, artifact: str, folder: Path) -> Path:
    """Return a file at its place; copy the folder where all files are asked for."""
    if artifact:
        return (place / artifact).resolve(strict=True)
    if place.is_dir():
        shutil.copytree(place, folder, dirs_exist_ok=True)
    return folder


def _lost(run_id: str, artifact: str, reason: str) -> DamagedError:
    return DamagedError(f"run {run_id} has lost its file {artifact!r} ({reason}): {CURE}")


def _is_gone(store: Store, run_id: str, artifact: str) -> bool:
    """Return whether a server says that a run has no such file; MLflow's error for a failed download does not say it."""
    from mlflow.exceptions import MlflowException

    folder, _, name = artifact.rpartition("/")
    try:
        return bool(name) and all(
            entry.path != artifact for entry in _files_elsewhere(store, run_id).list_artifacts(folder or None)
        )
    except (MlflowException, OSError):
        return False
