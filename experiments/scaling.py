"""What does a ledger of shards cost, and how does speed grow with the number of workers?"""

import time
from dataclasses import replace

from benchmarks import machine
from benchmarks.recording import Kept, keep, open_runs
from benchmarks.scaling import Scaling, measure_overhead, measure_paces
from tokenviz import experiment
from tokenviz.harness import ExperimentError


@experiment
def scaling(
    model: str = "glass-en",
    tokens: int = 1_000_000,
    rounds: int = 10,
    unlimited: list[int] = [1, 2],
    throttled: list[int] = [1, 2, 4, 8, 16],
    limit: float = 200.0,
    seconds: float = 30.0,
    pace_rounds: int = 3,
) -> Scaling:
    """Compare one worker's ledger with plain scoring, and count tokens per second of several workers on one ledger.

    The overhead is a ratio of processor times, so that other programs of the machine disturb it little; docs/scaling.md says
    what was found.

    Args:
        model: A model spec.
        tokens: To score for the overhead, in all rounds together, about.
        rounds: Rounds of the overhead, each with a text of its own.
        unlimited: Numbers of workers that compute as fast as they can; may be repeated.
        throttled: Numbers of workers with a limit, which may be more than there are cores; may be repeated.
        limit: Tokens per second of a throttled worker.
        seconds: That throttled workers are at it, about.
        pace_rounds: How often each number of workers is measured.
    """
    if min([tokens, rounds, limit, seconds, pace_rounds, *unlimited, *throttled]) <= 0:
        raise ExperimentError("nothing can be measured with a number below 1: give tokens, rounds and workers from 1 on")
    started = time.time()
    runs = open_runs()  # a store that cannot be had is found out before anything is measured
    overhead = measure_overhead(model, tokens=tokens, rounds=rounds)
    free = measure_paces(model, unlimited, limit=0.0, seconds=seconds, rounds=pace_rounds)
    slow = measure_paces(model, throttled, limit=limit, seconds=seconds, rounds=pace_rounds)
    result = Scaling(machine.described(), model, overhead, (*free, *slow))
    name = f"scaling · {model} · {max([*unlimited, *throttled])} workers"
    kept = Kept(
        "scaling", name, result.machine, result.metrics(), result.frame(), result.page(), result.to_json(), result.figure()
    )
    run_id, link = keep(kept, runs, started)
    return replace(result, run_id=run_id, link=link)
