"""`tokenviz work LEDGER`: score the open shards of a ledger."""

from typing import Annotated

import typer

from tokenviz.harness import completion

FAILED = 3
"""The exit code where passages are missing at the end."""


def work_command(
    ledger: Annotated[str, typer.Argument(help="The ledger: a folder, or an address such as s3://bucket/folder.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The model of the ledger to begin with; by default one that few workers have.",
            show_default=False,
            autocompletion=completion.models,
        ),
    ] = None,
    tokens_per_second: Annotated[float | None, typer.Option(hidden=True, min=1)] = None,
) -> None:
    """Score the open shards of a ledger, as one of any number of workers.

    It loads one model, takes shards of it that no other worker has, and ends when none is open. Exit code 3 where shards
    failed.
    """
    from tokenviz.ledger.book import open_ledger
    from tokenviz.ledger.worker import say, work
    from tokenviz.progress import shown

    with shown():
        worked = work(open_ledger(ledger), model=model, tokens_per_second=tokens_per_second)
        say(worked)
    if worked.failed:
        raise typer.Exit(FAILED)
