"""`tokenviz rerun RUN`: checks whether a run's model still gives the run's numbers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenviz.cli.inputs import AsJson
from tokenviz.cli.outputs import print_json
from tokenviz.controls import visible

if TYPE_CHECKING:
    from tokenviz.harness.again import Rerun


def rerun_command(
    run: Annotated[str, typer.Argument(help="The first digits of a run's id, or of its fingerprint.", show_default=False)],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest difference that counts as agreement; for log-probs in nats.")
    ] = 1e-4,
    as_json: AsJson = False,
) -> None:
    """Compute a run again from its own table, and say whether the numbers agree; nothing is kept.

    For a summary, every run of its grid is computed again. Exit code 1 where something differs.
    """
    from tokenviz.harness.rerunning import rerun
    from tokenviz.progress import shown
    from tokenviz.tracking.store import open_for_reading

    with shown():
        done = rerun(run, open_for_reading())
    agree = all(one.agrees(tolerance) for one in done)
    if as_json:
        print_json({"agrees": agree, "tolerance": tolerance, "runs": [_document(one, tolerance) for one in done]})
    else:
        for one in done:
            for line in _lines(one, tolerance):
                typer.echo(visible(line))
    if not agree:
        raise typer.Exit(1)


def _document(done: "Rerun", tolerance: float) -> dict[str, Any]:
    from tokenviz.scores import nan_to_none

    return {
        "run_id": done.run.run_id,
        "name": done.run.name,
        "agrees": done.agrees(tolerance),
        "largest_logprob_difference": nan_to_none(done.largest),
        "metrics": {name: [nan_to_none(then), nan_to_none(now)] for name, (then, now) in done.metrics.items()},
        "left_out": list(done.left_out),
        "changed": {name: list(values) for name, values in done.changed.items()},
    }


def _lines(done: "Rerun", tolerance: float) -> list[str]:
    from tokenviz.tables import cell

    if done.largest == float("inf"):
        found = "not of the same tokens"
    elif done.largest:
        found = f"log-probs differ by {done.largest:.2g} nats at most"
    else:
        found = "every log-prob is the same to the last bit"
    lines = [f"{'agrees' if done.agrees(tolerance) else 'DIFFERS'}  {done.run.run_id[:8]}  {done.run.name}: {found}"]
    for name in done.differing(tolerance):
        then, now = done.metrics[name]
        lines.append(f"    {name}: {cell(then)} then, {cell(now)} now")
    lines += [f"    changed since: {name} {then} → {now}" for name, (then, now) in done.changed.items()]
    if done.left_out:
        lines.append(f"    not computed again: {', '.join(done.left_out)}")
    return lines
