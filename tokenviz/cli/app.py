"""The `tokenviz` command: one small module a group of commands, heavy imports inside the commands only."""

from typing import Annotated

import typer

from tokenviz import __version__
from tokenviz.cli import compare, doctor, experiments, models, paper, report, rerun, runs, score, sync, ui

app = typer.Typer(
    help="See what causal language models predict, token by token.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command(name="score")(score.score_command)
app.command(name="compare")(compare.compare_command)
app.command(name="report")(report.report_command)
app.add_typer(models.app, name="models")
app.command(name="list")(experiments.list_command)
app.add_typer(experiments.run_app, name="run")
app.command(name="pull")(paper.pull_command)
app.command(name="trace")(paper.trace_command)
app.command(name="redraw")(paper.redraw_command)
app.add_typer(runs.app, name="runs")
app.command(name="ui")(ui.ui_command)
app.command(name="sync")(sync.sync_command)
app.command(name="rerun")(rerun.rerun_command)
app.command(name="doctor")(doctor.doctor_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tokenviz {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point."""
    from tokenviz.terminal import run_command

    run_command(typer.main.get_command(app), prog_name="tokenviz")
