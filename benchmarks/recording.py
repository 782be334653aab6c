"""A measurement as an MLflow run: every number, the tables, the figure."""

import json
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.page import benchmark_page
from benchmarks.report import Throughput, figure, to_frame
from tokenviz.figures.saving import save_figure
from tokenviz.harness.context import current_experiment
from tokenviz.tables import write_csv
from tokenviz.tracking.outbox import Slip
from tokenviz.tracking.provenance import provenance
from tokenviz.tracking.runs import Runs, fingerprint_of
from tokenviz.tracking.store import open_store


def open_runs() -> Runs:
    """The runs of the experiment that is running.

    Raises:
        StoreError: The store cannot be had.
    """
    running = current_experiment()
    return Runs(open_store(), running.name, running.description)


def record(result: Throughput, runs: Runs, started: float) -> Throughput:
    """Keep a measurement as a run; each is a run of its own, since no two are alike.

    Args:
        result: What was measured.
        runs: From `open_runs`.
        started: When, in seconds since 1970.

    Returns:
        The result with the run's id and page.
    """
    made = provenance()
    params = current_experiment().params | dict(result.machine)
    fingerprint = fingerprint_of({"kind": "throughput", "params": params, "time": started})

    def fill(files: Path) -> Slip:
        tables, figures = files / "tables", files / "figures"
        tables.mkdir()
        figures.mkdir()
        write_csv(to_frame(result), tables / "throughput.csv")
        page = benchmark_page(result)
        (tables / "throughput.md").write_text(page, encoding="utf-8")
        (tables / "throughput.json").write_text(json.dumps(result.to_json(), indent=1), encoding="utf-8")
        about = json.dumps({"fingerprint": fingerprint, "experiment": runs.name, "kind": "throughput"})
        save_figure(figure(result), figures / "throughput", title="throughput", description=about)
        made.write(files)
        return Slip(
            experiment=runs.name,
            description=runs.description,
            name=f"throughput · {len(result.cases)} case{'s' * (len(result.cases) != 1)} · {result.rounds} rounds",
            fingerprint=fingerprint,
            grid=fingerprint[:12],
            tags={"kind": "throughput", **made.tags},
            context=made.context,
            params=params | made.params,
            metrics=result.metrics(),
            curves={},
            note=page,
            dataset={},
            figures=False,
            table="tables/throughput.csv",
            refers={},
            started=int(1000 * started),
            ended=int(1000 * time.time()),
            replaces=False,
        )

    run_id = runs.keep(fingerprint, fill)
    link = f"{runs.store.web_address}/#/experiments/{runs.experiment_id}/runs/{run_id}" if run_id else ""
    return replace(result, run_id=run_id, link=link)
