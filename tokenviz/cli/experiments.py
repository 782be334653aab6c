"""`tokenviz list`, `run NAME`, `rerun RUN` and `work LEDGER`: experiments, runs computed again, open shards of ledgers."""

import ast
import importlib
import importlib.util
import shlex
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import CompletionItem, TyperGroup  # type: ignore[attr-defined]  # typer uses this private class itself

from tokenviz.base.characters import visible
from tokenviz.base.disk import experiment_files, project_root, shipped_folder
from tokenviz.base.errors import ExperimentError, TokenvizError, did_you_mean
from tokenviz.cli.shared import AsJson, print_json
from tokenviz.harness import options

if TYPE_CHECKING:
    from tokenviz.harness.measures import Measure
    from tokenviz.harness.recomputing import Rerun
    from tokenviz.tracking.finding import FoundRun


# `tokenviz list` and `tokenviz run NAME`: the experiments of the project.


def question(path: Path) -> str:
    """Return an experiment's question: the first line of its file's docstring, read without running the file."""
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
    """Import one experiment.

    Args:
        name: Name of one of the project's experiments, or the path of a file elsewhere, which ends in `.py`.

    Raises:
        ExperimentError: There is no experiment of that name, or its file defines none.
    """
    from tokenviz.harness.experiments import Experiment

    own, path = not name.endswith(".py"), Path(name)
    shown, room = f"experiments/{name}.py" if own else name, ""
    if own:
        files = experiment_files()
        if name not in files:
            known = [other for other in files if not other.startswith("_")]
            raise ExperimentError(
                f"no experiment {name!r}: experiments/ has {', '.join(known) or 'none here'}, and a file elsewhere is run by "
                f"its path, which ends in .py{did_you_mean(name, files)}"
            )
        path = files[name]
        room = "tokenviz.shipped" if path.parent == shipped_folder() else "experiments"
        root = str(project_root())
        if root not in sys.path:
            sys.path.insert(0, root)
    elif not path.is_file():
        raise ExperimentError(f"no file {name!r}: give the name of an experiment, or the path of a file that holds one")
    try:
        module = importlib.import_module(f"{room}.{name}") if own else _imported(path)
    except TokenvizError:
        raise
    except (Exception, SystemExit) as error:  # a file that exits while it is imported is no experiment
        raise ExperimentError(f"{_place(error, path, shown)}: {_mistake(error)}") from error
    found = [value for value in vars(module).values() if isinstance(value, Experiment) and value.name == path.stem]
    if len(found) != 1:
        raise ExperimentError(f"{shown} defines {len(found)} experiments: decorate one function with @experiment")
    return found[0]


def _place(error: BaseException, path: Path, shown: str) -> str:
    """Return file and line of an error in an experiment's file, or in one that it imports from its own folder."""
    if isinstance(error, SyntaxError) and error.filename:
        frames = [(error.filename, error.lineno)]
    else:
        frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    resolved = [(Path(file).resolve(), line) for file, line in frames if not file.startswith("<")]  # such as "<frozen ...>"
    own = [(file, line) for file, line in resolved if file.parent == path.resolve().parent]
    if not own:
        return f"{shown} cannot be imported"
    file, line = own[-1]
    return f"{shown if file == path.resolve() else Path(shown).with_name(file.name)}, line {line}"


def _mistake(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"not Python: {error.msg}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _imported(path: Path) -> ModuleType:
    """Import a file as a module; like a script, it may import files next to it."""
    name = f"experiment_in_a_file_{path.stem}"  # a name that no other module has
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    return module


class _ExperimentGroup(TyperGroup):
    """Finds experiments by file and imports only the one that is run."""

    def list_commands(self, context: Any) -> list[str]:
        return options.experiments("")

    def shell_complete(self, context: Any, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return [CompletionItem("--help")]
        files = experiment_files()  # without importing any
        return [CompletionItem(name, help=question(files[name])) for name in options.experiments(incomplete)]

    def get_command(self, context: Any, name: str) -> Any:
        from tokenviz.harness.experiments import experiment_command

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


# `tokenviz rerun RUN`: checks whether a run's model still gives the run's numbers.


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
    from tokenviz.base.progress import shown
    from tokenviz.harness.rebuilding import rerun
    from tokenviz.tracking.store import open_for_reading

    with shown():
        done = rerun(run, open_for_reading(), own_measure=own_measure)
    agree = all(one.agrees(tolerance) for one in done)
    if as_json:
        print_json({"agrees": agree, "tolerance": tolerance, "runs": [_document(one, tolerance) for one in done]})
    else:
        for one in done:
            for line in _lines(one, tolerance):
                typer.echo(visible(line))
    if not agree:
        raise typer.Exit(1)


def own_measure(run: "FoundRun") -> "Measure | None":
    """Return the user-defined measure of a run, from the file of its experiment.

    Args:
        run: The run. Its command names the experiment, or the path of its file.

    Returns:
        The measure of the run's name that the file defines outside of functions; None where there is no such file or measure.
    """
    from tokenviz.harness.measures import Measure

    try:
        words = shlex.split(run.tags.get("command", ""))
        module = sys.modules[load_experiment(words[words.index("run") + 1]).__module__]
    except (ExperimentError, ValueError, IndexError):  # the command names no experiment, or one that is not here any more
        return None
    found = (value for value in vars(module).values() if isinstance(value, Measure))
    return next((measure for measure in found if measure.name == run.params["measure"]), None)


def _document(done: "Rerun", tolerance: float) -> dict[str, Any]:
    from tokenviz.data.scores import nan_to_none

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
    from tokenviz.base.display import cell
    from tokenviz.harness.measures import known_measure

    own = "measure" in done.run.params and known_measure(done.run.params) is None
    noun, unit = ("value", "") if own else ("log-prob", " nats")
    if done.largest == float("inf"):
        found = "not of the same tokens"
    elif done.largest:
        found = f"{noun}s differ by {done.largest:.2g}{unit} at most"
    else:
        found = f"every {noun} is the same to the last bit"
    lines = [f"{'agrees' if done.agrees(tolerance) else 'DIFFERS'}  {done.run.run_id[:8]}  {done.run.name}: {found}"]
    for name in done.differing(tolerance):
        then, now = done.metrics[name]
        lines.append(f"    {name}: {cell(then)} then, {cell(now)} now")
    lines += [f"    changed since: {name} {then} → {now}" for name, (then, now) in done.changed.items()]
    if done.left_out:
        lines.append(f"    not computed again: {', '.join(done.left_out)}")
    return lines


# `tokenviz work LEDGER`: score the open shards of a ledger.

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
            autocompletion=options.models,
        ),
    ] = None,
    tokens_per_second: Annotated[float | None, typer.Option(hidden=True, min=1)] = None,
) -> None:
    """Score the open shards of a ledger, as one of any number of workers.

    It loads one model, takes shards of it that no other worker has, and ends when none is open. Exit code 3 where shards
    failed.
    """
    from tokenviz.base.progress import shown
    from tokenviz.ledger.book import open_ledger
    from tokenviz.ledger.worker import say, work

    with shown():
        worked = work(open_ledger(ledger), model=model, tokens_per_second=tokens_per_second)
        say(worked)
    if worked.failed:
        raise typer.Exit(FAILED)
