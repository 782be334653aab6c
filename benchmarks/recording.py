"""A measurement as an MLflow run: every number, the tables, the figure."""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.page import benchmark_page
from benchmarks.report import Throughput, figure, to_frame
from tokenviz.figures.saving import save_figure
from tokenviz.harness.context import current_experiment
from tokenviz.tables import write_csv
from tokenviz.tracking.runs import Runs, fingerprint_of
from tokenviz.tracking.store import open_store


def open_runs() -> Runs:
    """The runs of the experiment that is running.

    Raises:
        StoreError: The store cannot be had.
    """
    running = current_experiment()
    return Runs(open_store(), running.name, running.description)


def record(result: Throughput, runs: Runs) -> Throughput:
    """Keep a measurement as a run; each is a run of its own, since no two are alike.

    Returns:
        The result with the run's id and page.
    """
    params = current_experiment().params | dict(result.machine)
    fingerprint = fingerprint_of({"kind": "throughput", "params": params, "time": time.time()})
    name = f"throughput · {len(result.cases)} case{'s' * (len(result.cases) != 1)} · {result.rounds} rounds"
    with (
        runs.open(name, fingerprint=fingerprint, grid=fingerprint[:12], tags={"kind": "throughput"}) as run,
        tempfile.TemporaryDirectory(prefix="tokenviz-") as staging,
    ):
        link = f"{runs.store.web_address}/#/experiments/{runs.experiment_id}/runs/{run.run_id}"
        result = replace(result, run_id=run.run_id, link=link)
        tables, figures = Path(staging) / "tables", Path(staging) / "figures"
        tables.mkdir()
        figures.mkdir()
        write_csv(to_frame(result), tables / "throughput.csv")
        page = benchmark_page(result)
        (tables / "throughput.md").write_text(page, encoding="utf-8")
        (tables / "throughput.json").write_text(json.dumps(result.to_json(), indent=1), encoding="utf-8")
        save_figure(figure(result), figures / "throughput", title="throughput", description=json.dumps({"run": run.run_id}))
        run.log(params=params, metrics=result.metrics(), curves={}, note=page, files=Path(staging))
    return result
