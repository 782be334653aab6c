"""How fast, how large and how exact is scoring, compared with a plain loop and other tools?"""

import os
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.anatomy import take_apart
from benchmarks.costs import measure_costs
from benchmarks.lineup import CONVERTED, LINEUP, OURS
from benchmarks.measuring import measure
from benchmarks.page import benchmark_page, store, stored
from benchmarks.recording import open_runs, record
from benchmarks.report import Throughput
from benchmarks.samples import described, folder_of, parse_case
from tokenviz import experiment
from tokenviz.harness import ExperimentError


@experiment
def throughput(
    cases: list[str] = ["smollm2-135m:mixed", "smollm2-135m:sentences", "gemma3-270m:mixed", "gemma3-270m:long"],
    contenders: list[str] = [entry.name for entry in LINEUP],
    rounds: int = 5,
    costs_of: str = "smollm2-135m",
    keep: str | None = None,
    page: str | None = None,
) -> Throughput:
    """Score the same texts with tokenviz, a plain loop and other tools, in turn, each in a process of its own.

    Speed is given as a multiple of the plain loop's in the same round, and as a share of what the machine's matrix
    products reach; errors are against the plain loop in float64. docs/benchmarks.md says how, column by column.

    Args:
        cases: MODEL:SET, with the sets mixed, sentences and long; may be repeated.
        contenders: Whom to measure; may be repeated. The others' environment is made by make bench.
        rounds: How often each contender scores the texts.
        costs_of: The model for the costs of a short text besides its forward pass; an empty string leaves them out.
        keep: A folder to keep the result in, as a JSON file of this processor.
        page: A file to write the results to as a page in Markdown, with those of other processors that are kept in that folder.
    """
    known = {entry.name: entry for entry in LINEUP}
    if unknown := [name for name in contenders if name not in known]:
        raise ExperimentError(f"no contender {unknown[0]!r}: there are {', '.join(known)}")
    if rounds < 1:
        raise ExperimentError(f"{rounds} rounds measure nothing: give at least 1")
    # Experiments set the first two, shells the others. Here every tool starts with the libraries' settings, on all cores.
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.pop(name, None)
    parsed = [parse_case(case) for case in cases]
    folders = {case.model: folder_of(case.model) for case in parsed}
    started = time.time()
    runs = open_runs()  # a store that cannot be had is found out before anything is measured
    costs = measure_costs(costs_of, rounds=rounds) if costs_of else None  # first: what fails there fails early
    loads = {model: machine.workload(folder) for model, folder in folders.items()}
    entries = [known[name] for name in contenders]
    measured = tuple(
        measure(case, folders[case.model], loads[case.model], entries, rounds=rounds, work=CONVERTED) for case in parsed
    )
    anatomies = tuple(take_apart(case, loads[case.model]) for case in parsed) if OURS in entries else ()
    models = {model: described(model) for model in folders}
    date = time.strftime("%Y-%m-%d", time.gmtime(started))
    result = record(Throughput(machine.described(), date, models, rounds, measured, anatomies, costs), runs, started)
    if keep is not None:
        store(result, Path(keep))
    if page is not None:
        Path(page).write_text(benchmark_page([result] if keep is None else stored(Path(keep))), encoding="utf-8")
    return result
