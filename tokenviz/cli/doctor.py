"""`tokenviz doctor`: is everything as it should be, and what to do about what is not."""

from dataclasses import asdict

import typer

from tokenviz.cli.inputs import AsJson
from tokenviz.cli.outputs import print_json


def doctor_command(as_json: AsJson = False) -> None:
    """Look at the tracking store, its runs and files, the outbox, the disk, and the installation; nothing is changed.

    Exit code 1 where something is wrong.
    """
    from tokenviz.controls import visible
    from tokenviz.harness.checkup import check_all
    from tokenviz.progress import shown

    with shown():
        checks = check_all()
    right = all(check.state != "wrong" for check in checks)
    if as_json:
        print_json({"ok": right, "checks": [asdict(check) for check in checks]})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            typer.echo(f"{check.state:5}  {check.name:{width}}  {visible(check.found)}")
            if check.advice:
                typer.echo(f"{'':5}  {'':{width}}  → {visible(check.advice)}")
    if not right:
        raise typer.Exit(1)
