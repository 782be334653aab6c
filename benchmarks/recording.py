"""A measurement as an MLflow run: every number, the tables, the figure."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.page import benchmark_page
from benchmarks.report import Throughput, figure, to_frame
from tokenviz.base.display import write_csv
from tokenviz.figures.typeset.saving import save_pages
from tokenviz.harness.session import current_experiment
from tokenviz.tracking.outbox import RunRecord
from tokenviz.tracking.provenance import current_provenance
from tokenviz.tracking.runs import Runs, fingerprint_of
from tokenviz.tracking.store import open_store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def open_runs() -> Runs:
    """The runs of the experiment that is running.

    Raises:
        StoreError: The store cannot be had.
    """
    running = current_experiment()
    return Runs(open_store(), running.name, running.description)


@dataclass(frozen=True)
class Kept:
    """What a run keeps of a measurement.

    Attributes:
        kind: Kind of the measurement; its files have this name.
        name: The run's name.
        machine: The machine that it was made on.
        metrics: Every number by name.
        frame: The table.
        page: The description, in Markdown.
        whole: Everything, as plain values.
        figure: The figure.
    """

    kind: str
    name: str
    machine: Mapping[str, str | int]
    metrics: dict[str, float]
    frame: "pd.DataFrame"
    page: str
    whole: dict[str, Any]
    figure: "Figure"


def record(result: Throughput, runs: Runs, started: float) -> Throughput:
    """Keep a measurement of speed as a run.

    Args:
        result: What was measured.
        runs: From `open_runs`.
        started: When, in seconds since 1970.

    Returns:
        The result with the run's id and page.
    """
    name = f"throughput · {len(result.cases)} case{'s' * (len(result.cases) != 1)} · {result.rounds} rounds"
    kept = Kept(
        "throughput", name, result.machine, result.metrics(), to_frame(result), benchmark_page([result]), result.to_json(),
        figure(result),
    )  # fmt: skip
    run_id, link = keep(kept, runs, started)
    return replace(result, run_id=run_id, link=link)


def keep(kept: Kept, runs: Runs, started: float) -> tuple[str, str]:
    """Keep a measurement as a run; each is a run of its own, since no two are alike.

    Args:
        kept: What was measured.
        runs: From `open_runs`.
        started: When, in seconds since 1970.

    Returns:
        The run's id and the address of its page.
    """
    made = current_provenance()
    params = current_experiment().params | dict(kept.machine)
    fingerprint = fingerprint_of({"kind": kept.kind, "params": params, "time": started})

    def fill(files: Path) -> RunRecord:
        tables, figures = files / "tables", files / "figures"
        tables.mkdir()
        figures.mkdir()
        write_csv(kept.frame, tables / f"{kept.kind}.csv")
        (tables / f"{kept.kind}.md").write_text(kept.page, encoding="utf-8")
        (tables / f"{kept.kind}.json").write_text(json.dumps(kept.whole, indent=1), encoding="utf-8")
        about = json.dumps({"fingerprint": fingerprint, "experiment": runs.name, "kind": kept.kind})
        save_pages(kept.figure, figures / kept.kind, title=kept.kind, description=about)
        made.write(files)
        return RunRecord(
            experiment=runs.name,
            description=runs.description,
            name=kept.name,
            fingerprint=fingerprint,
            grid=fingerprint[:12],
            tags={"kind": kept.kind, **made.tags},
            context=made.context,
            params=params | made.params,
            metrics=kept.metrics,
            curves={},
            note=kept.page,
            dataset={},
            figures=False,
            table=f"tables/{kept.kind}.csv",
            refers={},
            started=int(1000 * started),
            ended=int(1000 * time.time()),
            replaces=False,
        )

    run_id = runs.keep(fingerprint, fill)
    return run_id, f"{runs.store.web_address}/#/experiments/{runs.experiment_id}/runs/{run_id}" if run_id else ""
