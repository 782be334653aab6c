"""The `tokenviz` command: its groups, and the first steps that it prints alone; heavy imports are inside the commands."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tokenviz import __version__
from tokenviz.cli import compare, experiments, import_scores, installation, paper, report, runs, score, studies, ui
from tokenviz.harness.options import strict

# The output of `tokenviz` alone: the few commands that a new user needs, in order.

STEPS = (
    (
        "a sentence, each word coloured by how predictable it was to a tiny model",
        'score -m glass-en -t "Alice was very tired."',
    ),
    ("the same by a real one", 'score -m smollm2-135m -t "Your own sentence."'),
    ("two models on one text: how alike, and where they differ most", "compare -m smollm2-135m -m gemma3-270m correlation"),
    ("the same as a page to explore in a browser", "report -m smollm2-135m -m gemma3-270m correlation"),
    ("every pair of three models on eight texts, kept as runs", "run single_token_predictions"),
    ("look at the runs", "ui"),
    ("carry figures, tables and numbers into a paper", "pull single_token_predictions --to paper"),
)


def first_steps() -> str:
    """Return the guide, with the sizes of the models that it names."""
    from tokenviz.base.disk import project_root
    from tokenviz.models.catalogue import CATALOGUE

    guide = project_root() / "docs" / "getting-started.md"
    further = "\ndocs/getting-started.md goes through these steps." if guide.is_file() else ""
    sizes = ", ".join(f"{model.name} {model.download_bytes / 1e6:.0f} MB" for model in CATALOGUE.values() if not model.minutes)
    made = " and ".join(model.name for model in CATALOGUE.values() if model.minutes)
    steps = "\n\n".join(f"  {number}. {what}:\n     tokenviz {command}" for number, (what, command) in enumerate(STEPS, 1))
    return (
        f"tokenviz: see what causal language models predict, token by token.\n\n{steps}\n\n"
        f"Models are fetched once, when they are first named: {sizes}; {made} are trained here.\n"
        "A hub id (gpt2), a folder with safetensors or a .gguf file does as well.\n\n"
        "tokenviz --help lists all commands, tokenviz COMMAND --help its options, and tokenviz doctor says what is wrong."
        f"{further}"
    )


# The command itself, with its groups.

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
app.command(name="items")(studies.items_command)
app.command(name="import-scores")(import_scores.import_command)
app.command(name="report")(report.report_command)
app.add_typer(installation.app, name="models")
app.command(name="list")(experiments.list_command)
app.add_typer(experiments.run_app, name="run")
app.command(name="work")(experiments.work_command)
app.command(name="pull")(paper.pull_command)
app.command(name="trace")(paper.trace_command)
app.command(name="redraw")(paper.redraw_command)
app.command(name="cite")(paper.cite_command)
app.add_typer(runs.app, name="runs")
app.command(name="ui")(ui.ui_command)
app.command(name="sync")(runs.sync_command)
app.command(name="rerun")(experiments.rerun_command)
app.command(name="doctor")(installation.doctor_command)


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
    from tokenviz.base.terminal import run_command
    from tokenviz.models import runtime

    runtime.own_process = True
    run_command(strict(typer.main.get_command(app)), prog_name="tokenviz")
