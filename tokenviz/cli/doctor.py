"""`tokenviz doctor`: checks the installation and the store, and advises what to do."""

from dataclasses import asdict
from typing import Annotated

import typer

from tokenviz.cli.inputs import AsJson
from tokenviz.cli.outputs import print_json


def doctor_command(
    as_json: AsJson = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what takes no time: without runs' files, device, fonts and LaTeX.")
    ] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring a store that an older MLflow made to this MLflow; a copy of it is kept.")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Put runs that the database has lost into it again, from the runs' own records and tables.",
        ),
    ] = False,
) -> None:
    """Check the tracking store, its runs and files, the outbox, the disk, and the installation.

    Nothing is changed, unless --migrate or --rebuild asks for it. Exit code 1 where something is wrong.
    """
    if (as_json or quick) + migrate + rebuild > 1:
        raise typer.BadParameter("--migrate and --rebuild are given alone")
    if migrate:
        return _migrate()
    if rebuild:
        return _rebuild()
    from tokenviz.controls import visible
    from tokenviz.harness.checkup import check_all
    from tokenviz.progress import shown

    with shown():
        checks = check_all(quick=quick)
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


def _migrate() -> None:
    from tokenviz.progress import shown
    from tokenviz.tracking.repairs import migrate

    with shown():
        kept = migrate()
    typer.echo("The store is migrated. As it was before, for the MLflow that made it, it is kept in")
    typer.echo(f"  {kept}")


def _rebuild() -> None:
    from tokenviz.controls import visible
    from tokenviz.harness.rebuilding import record_from_files
    from tokenviz.progress import shown
    from tokenviz.tracking.repairs import rebuild

    with shown():
        done = rebuild(record_from_files)
    typer.echo(f"{done.count:,} run{'s' * (done.count != 1)} put into the database again: {done.from_records:,} from their own "
               f"records, {done.from_database:,} from what was left of the database, {done.from_files:,} from their tables and "
               "figures")  # fmt: skip
    if done.kept is not None:
        typer.echo(f"The database that was there is kept as it was in {visible(str(done.kept))}")
    for line in done.left:
        typer.echo(f"left as it is: {visible(line)}", err=True)
    if done.left:
        raise typer.Exit(1)
