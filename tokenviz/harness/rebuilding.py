"""Recorded runs made from their own tables: a lost record rebuilt, or the numbers computed again."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tokenviz.base.errors import StoreError, TokenvizError
from tokenviz.base.progress import task, warn
from tokenviz.data.scores import TokenScores
from tokenviz.figures.origin import provenance_of
from tokenviz.harness.kinds import kind_of, kinds
from tokenviz.harness.kinds.comparison import COMPARISON_METRICS
from tokenviz.harness.kinds.score import logprob_curve, score_metrics, score_params
from tokenviz.harness.recomputing import Again, NotEnoughError, OwnMeasure, Rerun, no_measure
from tokenviz.records.loading import Reader
from tokenviz.records.run import STATISTICS_TABLE, TOKENS_TABLE, UNITS_TABLE
from tokenviz.stats.summaries import resampling_of
from tokenviz.tracking.embedded_runs import OwnRecord
from tokenviz.tracking.entities import CURVE_POINTS, ended, split_identities, split_numbers, with_identities
from tokenviz.tracking.finding import FoundRun, find_run, find_runs
from tokenviz.tracking.runs import NOTE, PREFIX
from tokenviz.tracking.staged_runs import CHECKSUMS, LIST_TAG, TABLE_TAG, checksum, read_checksums
from tokenviz.tracking.store import Store

# Rebuilding the record of a run that has none, from the run's tables and the metadata of its figures.
#
# Versions before 0.2 wrote no record next to a run's files. Their tables hold every number, and the metadata of their figures
# describe the run: fingerprint, experiment, settings, command. The grid, the machine, and the exact start of the run are lost.

_UNIT = re.compile(r"\bof each (token|segment|word|span)\b")  # names the units of a comparison in a scatter's caption
_FIGURES = ("*.svg", "*.html", "*.png", "*.pdf", "*.tex")
_OF_BEFORE = ("score", "comparison", "summary")  # and measures, whose kinds are their names


def record_from_files(folder: Path, known: Sequence[OwnRecord]) -> OwnRecord | None:
    """Make the record of a finished run from its files.

    Args:
        folder: The run's folder; its files are complete.
        known: Records of other runs: a comparison names its two score runs, and a fingerprint is used once.

    Returns:
        The record; None where the files do not identify their run.

    Raises:
        StoreError: The run is of a newer kind, or another run of the experiment has the same fingerprint.
    """
    files = folder / "artifacts"
    about = _about(files)
    if not about:
        return None
    kind = str(about["kind"])
    if kind in kinds() and kind not in _OF_BEFORE:
        raise StoreError(
            f"its run.json is gone, and nothing else has the settings of a run of kind {kind!r}: repeat '{about['command']}'"
        )
    known = sorted(known, key=lambda record: _experiment(record) != about["experiment"])  # first those that it was made with
    same = (about["experiment"], about["fingerprint"])
    if twin := next((one for one in known if (_experiment(one), _tag(one, "fingerprint")) == same), None):
        raise StoreError(f"it is the same as run {twin.run_id}, which is there")
    tags = {"kind": kind, "fingerprint": about["fingerprint"], "command": about["command"], "outbox": "embedded"}
    params: dict[str, object] = {}
    metrics: dict[str, float] = {}
    curve: list[tuple[int, float]] = []
    table = ""
    models, text = about.get("models") or [], about.get("text") or ""
    try:
        if (files / TOKENS_TABLE).is_file():
            scores, table = TokenScores.load(files / TOKENS_TABLE), TOKENS_TABLE
            models, text = [scores.spec.model], scores.text_name
            metrics, params = score_metrics(scores), score_params(scores)
            params |= {"text": text, "text_sha256": scores.text_sha256}
            curve = logprob_curve(scores)[:CURVE_POINTS]
        elif (files / UNITS_TABLE).is_file():
            table = UNITS_TABLE
            metrics = _comparison_metrics(files)
            labels = [str(spec["model"]) for spec in about["specs"]]
            models, text = labels, text or _text_of(about["text_sha256"], known)
            params = {"model_a": labels[0], "model_b": labels[1], "text": text, "text_sha256": about["text_sha256"]}
            if unit := _UNIT.search(str(provenance_of(files / "figures" / "scatter.png").get("caption", ""))):
                params["by"] = unit[1]
            for side, label in zip("ab", labels, strict=True):
                scored = _run_of(label, about["text_sha256"], known)
                params[f"run_{side}"] = scored.run_id if scored else ""
                if scored and (described := _param(scored, "model_description")):
                    params[f"model_{side}_description"] = described
    except (TokenvizError, OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    if len(models) == 1:
        tags |= {"model": models[0], "text": text}
    elif len(models) == 2:
        tags |= {"model_a": models[0], "model_b": models[1], "text": text}
    digest = (read_checksums(files, {}) or {}).get(table)
    if digest:
        tags |= {TABLE_TAG: digest, LIST_TAG: checksum(files / CHECKSUMS)}
    return _record(folder, about, tags, params, metrics, curve)


def _about(files: Path) -> dict[str, Any]:
    """Return the metadata of the figures of a run, from the figure that has most; empty where there is none."""
    found: dict[str, Any] = {}
    for pattern in _FIGURES:
        for path in sorted((files / "figures").glob(pattern)):
            try:
                about = provenance_of(path)
            except TokenvizError:
                continue
            if {"fingerprint", "experiment", "kind", "command"} <= about.keys() and len(about) > len(found):
                found = about
        if found:
            break
    return found


def _comparison_metrics(files: Path) -> dict[str, float]:
    """Return the numbers of a comparison from its table of statistics, except those of measures."""
    table = pd.read_parquet(files / STATISTICS_TABLE)
    numbers = {str(row["statistic"]): row for row in table.to_dict("records")}
    columns = {"": "value", "_low": "low", "_high": "high"}
    found = {f"{name}{end}": float(row[column]) for name, row in numbers.items() for end, column in columns.items()}
    units = float(len(pd.read_parquet(files / UNITS_TABLE)))
    resampling = resampling_of(table, "token")
    return {
        **{name: found[name] for name in COMPARISON_METRICS if name in found},
        **(resampling.numbers if resampling and resampling.count else {}),
        "n": float(numbers["pearson_r"]["n"]),
        "n_units": units,
    }


def _experiment(record: OwnRecord) -> str:
    return str(record.rows["experiments"][0]["name"])


def _tag(record: OwnRecord, name: str) -> str:
    return next((str(row["value"]) for row in record.rows["tags"] if row["key"] == f"{PREFIX}{name}"), "")


def _param(record: OwnRecord, name: str) -> str:
    tags = {str(row["key"]).removeprefix(PREFIX): str(row["value"]) for row in record.rows["tags"]}
    params, _ = with_identities({str(row["key"]): str(row["value"]) for row in record.rows["params"]}, tags)
    return params.get(name, "")


def _text_of(digest: str, known: Sequence[OwnRecord]) -> str:
    return next((_tag(record, "text") for record in known if _param(record, "text_sha256") == digest), "")


def _run_of(label: str, digest: object, known: Sequence[OwnRecord]) -> OwnRecord | None:
    """Return the run of a model's scores of a text; None where it is not known."""
    for record in known:
        if _tag(record, "kind") == "score" and _tag(record, "model") == label and _param(record, "text_sha256") == digest:
            return record
    return None


def _record(
    folder: Path,
    about: Mapping[str, Any],
    tags: Mapping[str, object],
    params: Mapping[str, object],
    metrics: Mapping[str, float],
    curve: Sequence[tuple[int, float]],
) -> OwnRecord:
    run_id, files = folder.name, folder / "artifacts"
    end = int((files / CHECKSUMS).stat().st_mtime * 1000)
    began = min(int(path.stat().st_mtime * 1000) for path in files.rglob("*") if path.is_file())
    models = " and ".join(filter(None, (str(tags.get(name, "")) for name in ("model", "model_a", "model_b"))))
    kind, text = str(tags["kind"]), str(tags.get("text", ""))
    name = f"{text} · {models}" if models else f"{kind} · {about['experiment']}"
    if models and kind not in ("score", "comparison"):
        name = f"{kind} · {name}"
    note = "Restored from its files after the database was lost: the machine, the grid and the exact times are not known."
    written, identities = split_identities(
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
    )
    shown, numbers = split_numbers(metrics)
    values = {f"{PREFIX}{key}": value for key, value in {**tags, **identities, **numbers}.items()} | {
        "mlflow.runName": name,
        NOTE: note,
    }
    if about.get("commit"):
        values["mlflow.source.git.commit"] = about["commit"]
    points = [(key, value, 0) for key, value in shown.items()]
    points += [("token/logprob", value, step) for step, value in ended("token/logprob", curve)]
    rows = [
        {
            "key": key, "value": 0.0 if math.isnan(value) else value, "timestamp": end, "run_uuid": run_id, "step": step,
            "is_nan": int(math.isnan(value)),
        }
        for key, value, step in points
    ]  # fmt: skip
    experiment = {
        "experiment_id": int(folder.parent.name), "name": about["experiment"], "lifecycle_stage": "active",
        "creation_time": began, "last_update_time": began,
    }  # fmt: skip
    run = {
        "run_uuid": run_id, "name": name, "source_type": "UNKNOWN", "source_name": "", "entry_point_name": "", "user_id": "",
        "status": "FINISHED", "start_time": began, "end_time": end, "source_version": "", "lifecycle_stage": "active",
        "experiment_id": experiment["experiment_id"],
    }  # fmt: skip
    empty: list[Mapping[str, Any]] = []
    return OwnRecord(
        run_id,
        {
            "experiments": [experiment],
            "experiment_tags": empty,
            "runs": [run],
            "tags": [{"key": key, "value": str(value), "run_uuid": run_id} for key, value in values.items()],
            "params": [{"key": key, "value": value, "run_uuid": run_id} for key, value in written.items()],
            "metrics": rows,
            "latest_metrics": list({row["key"]: row for row in rows}.values()),
            "datasets": empty,
            "inputs": empty,
            "input_tags": empty,
        },
    )


# Recomputing runs from their own tables, to check whether the numbers agree. The results are not stored.


def rerun(reference: str, store: Store, *, own_measure: OwnMeasure = no_measure) -> list[Rerun]:
    """Compute a run again, or for a summary those of its grid's runs that record enough.

    Args:
        reference: The run's reference, as in `find_run`.
        store: The run's store; nothing is written to it.
        own_measure: Returns the user-defined measure of a run; None where its definition is not at hand, which is the default.

    Raises:
        StoreError: There is no such run, a table is missing, or the run does not record enough to be computed by itself.
        TokenvizError: Its model cannot be loaded.
    """
    found = find_run(reference, store)
    whole = found.tags.get("kind") == "summary"
    runs = _members(found, store) if whole else [found]
    if not runs:
        why = (
            "the store has none of its runs any more"
            if found.tags.get("grid")
            else "its files, which it was restored from, name no grid"
        )
        raise NotEnoughError(
            f"the grid of run {found.run_id} ({found.name!r}) cannot be computed again: {why}; 'tokenviz runs' lists "
            "what there is"
        )
    again, done = Again(Reader(store), own_measure), []
    with task("computing again", len(runs), "runs") as advance:
        for run in runs:
            try:
                done.append(kind_of(run).rerun(run, again))
            except NotEnoughError:
                if not whole:
                    raise
            advance(1)
    if len(done) < len(runs):
        warn(f"{len(runs) - len(done)} of {len(runs)} runs do not say enough to be computed again")
    return done


def _members(summary: FoundRun, store: Store) -> list[FoundRun]:
    """Return a grid's runs: those of one model together, so that it is loaded once, and comparisons last."""
    grid = summary.tags.get("grid", "")
    members = [run for run in find_runs(summary.experiment, store=store) if grid in run.tags.get("grid", "").split()]
    members = [run for run in members if run.tags["kind"] != "summary"]
    return sorted(members, key=lambda run: run.tags.get("model", "\U0010ffff"))
