"""The `tokenviz` command: one small module per group of commands; heavy imports are inside the commands."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tokenviz import __version__
from tokenviz.cli import (
    compare,
    doctor,
    experiments,
    import_scores,
    items,
    models,
    paper,
    report,
    rerun,
    runs,
    score,
    sync,
    ui,
    work,
)
from tokenviz.cli.first_steps import first_steps
from tokenviz.harness.options import strict

_SECTIONS = {
    "Texts, without tracking": ("score", "compare", "items", "import-scores", "report", "models"),
    "Experiments, tracked as runs": ("list", "run", "work", "ui", "runs", "rerun", "sync"),
    "Into a paper": ("pull", "trace", "redraw", "cite"),
    "When something is wrong": ("doctor",),
}


class _Sections(TyperGroup):
    """Lists the commands by purpose."""

    def list_commands(self, context: Any) -> list[str]:
        return [name for names in _SECTIONS.values() for name in names]

    def format_commands(self, context: Any, formatter: Any) -> None:
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(200)) for name in names])


app = typer.Typer(
    cls=_Sections,
    help="See what causal language models predict, token by token. Without a command: the first steps.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command(name="score")(score.score_command)
app.command(name="compare")(compare.compare_command)
app.command(name="items")(items.items_command)
app.command(name="import-scores")(import_scores.import_command)
app.command(name="report")(report.report_command)
app.add_typer(models.app, name="models")
app.command(name="list")(experiments.list_command)
app.add_typer(experiments.run_app, name="run")
app.command(name="work")(work.work_command)
app.command(name="pull")(paper.pull_command)
app.command(name="trace")(paper.trace_command)
app.command(name="redraw")(paper.redraw_command)
app.command(name="cite")(paper.cite_command)
app.add_typer(runs.app, name="runs")
app.command(name="ui")(ui.ui_command)
app.command(name="sync")(sync.sync_command)
app.command(name="rerun")(rerun.rerun_command)
app.command(name="doctor")(doctor.doctor_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tokenviz {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(first_steps())


def main() -> None:
    """Run the command line: the entry point of `tokenviz`."""
    from tokenviz.terminal import run_command

    run_command(strict(typer.main.get_command(app)), prog_name="tokenviz")
