"""`tokenviz list` and `tokenviz run NAME`: the experiments of the project."""

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from tokenviz.errors import ExperimentError
from tokenviz.project import project_root


def experiment_files() -> dict[str, Path]:
    """The experiments by name; a leading underscore keeps a file out of the list, but not from being run."""
    folder = project_root() / "experiments"
    return {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"}


def question(path: Path) -> str:
    """What an experiment asks: the first line of its file's docstring, read without running the file."""
    try:
        documented = ast.get_docstring(ast.parse(path.read_bytes())) or ""
    except (SyntaxError, ValueError) as error:  # one bad file must not hide the others
        return f"(cannot be read: {error})"
    return documented.partition("\n")[0]


def list_command() -> None:
    """List the experiments and what each asks."""
    files = {name: path for name, path in experiment_files().items() if not name.startswith("_")}
    width = max(map(len, files), default=0)
    for name, path in files.items():
        typer.echo(f"{name:{width}}  {question(path)}")


def load_experiment(name: str) -> Any:
    """Import one experiment by name.

    Raises:
        ExperimentError: There is none of that name, or its file defines no experiment.
    """
    from tokenviz.harness.decorator import Experiment

    files = experiment_files()
    if name not in files:
        known = ", ".join(other for other in files if not other.startswith("_")) or "none here"
        raise ExperimentError(f"no experiment {name!r}: experiments/ has {known}")
    root = str(project_root())
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        module = importlib.import_module(f"experiments.{name}")
    except SyntaxError as error:
        raise ExperimentError(f"experiments/{name}.py is not Python: {error}") from error
    found = [value for value in vars(module).values() if isinstance(value, Experiment) and value.name == name]
    if len(found) != 1:
        raise ExperimentError(f"experiments/{name}.py defines {len(found)} experiments: decorate one function with @experiment")
    return found[0]


class _ExperimentGroup(TyperGroup):
    """Finds experiments by file and imports only the one that is run."""

    def list_commands(self, context: Any) -> list[str]:
        return [name for name in experiment_files() if not name.startswith("_")]

    def get_command(self, context: Any, name: str) -> Any:
        from tokenviz.harness.command import experiment_command

        return experiment_command(load_experiment(name))

    def format_commands(self, context: Any, formatter: Any) -> None:
        with formatter.section("Experiments"):
            formatter.write_dl([(name, question(experiment_files()[name])) for name in self.list_commands(context)])


run_app = typer.Typer(
    cls=_ExperimentGroup, help="Run an experiment; `tokenviz run NAME --help` shows its options.", no_args_is_help=True,
    rich_markup_mode=None, subcommand_metavar="NAME [OPTIONS]",
)  # fmt: skip


@run_app.callback()
def _run() -> None:
    pass
