"""`@experiment`: one typed function becomes a plain function, a command and an MLflow experiment of the same name."""

import inspect
from collections.abc import Callable, Sequence
from copy import copy
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from docstring_parser import parse as parse_docstring

from tokenviz.figures.limits import Chosen, run_limits
from tokenviz.figures.saving import PAGE_FORMATS, FigureFormat, run_formats
from tokenviz.harness.context import ExperimentContext, LedgerRequest, running
from tokenviz.harness.results import GridResult

if TYPE_CHECKING:
    from rich.table import Table

P = ParamSpec("P")


class OwnResult(Protocol):
    """The result of an experiment that makes no grid; it defines how it is printed."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for `--json`."""
        ...

    def to_table(self) -> "Table":
        """Return a table for the terminal."""
        ...

    def guide(self) -> list[str]:
        """Return lines that say where to look next."""
        ...


R = TypeVar("R", bound=GridResult | OwnResult)


class Experiment(Generic[P, R]):
    """An experiment; call it like the function it was made from.

    Attributes:
        file: The file that defines it; it does not exist for an experiment in a notebook.
        name: The file's name, used for the command and the MLflow experiment; the function's name where there is no file.
        question: The first line of its docstring.
        description: The whole docstring without the list of arguments.
        argument_help: The docstring's description of each argument.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        self.file = Path(inspect.getfile(function))
        self.name = self.file.stem if self.file.is_file() else function.__name__  # a notebook's cell has no file
        documented = parse_docstring(function.__doc__ or "")
        self.question = documented.short_description or ""
        self.description = documented.description or ""
        self.argument_help = {param.arg_name: param.description or "" for param in documented.params}
        self._limits: Chosen = "text"
        self._formats: tuple[FigureFormat, ...] = PAGE_FORMATS
        self._ledger: LedgerRequest | None = None
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._run(False, *args, **kwargs)

    def forced(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run like a call, but compute everything again, including what is finished."""
        return self._run(True, *args, **kwargs)

    def with_limits(self, limits: str | Chosen | None) -> "Experiment[P, R]":
        """Return the same experiment with other limits of its heatmaps' colours; finished runs keep their figures.

        Args:
            limits: The limits, as in `text_heatmap`. Numbers are log-probs.

        Raises:
            FigureError: The limits are not possible.
        """
        other = copy(self)
        other._limits = run_limits(limits)
        return other

    def with_formats(self, formats: Sequence[str]) -> "Experiment[P, R]":
        """Return the same experiment with figures in more formats in its runs; runs that are finished keep their figures.

        Args:
            formats: Some of "png", "svg" and "pdf"; HTML and PNG are always drawn.

        Raises:
            FigureError: There is no such format.
        """
        other = copy(self)
        other._formats = run_formats(formats)
        return other

    def by_ledger(self, request: LedgerRequest | None) -> "Experiment[P, R]":
        """Return the same experiment with its texts scored in shards by the workers of a ledger; None for this process."""
        other = copy(self)
        other._ledger = request
        return other

    @property
    def signature(self) -> inspect.Signature:
        """The function's signature, with its annotations evaluated."""
        return inspect.signature(self._function, eval_str=True)

    def _run(self, force: bool, *args: P.args, **kwargs: P.kwargs) -> R:
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        context = ExperimentContext(
            self.name, self.description, dict(bound.arguments), force, self.file, self._limits, self._formats, self._ledger
        )
        with running(context):
            return self._function(*args, **kwargs)


def experiment(function: Callable[P, R]) -> Experiment[P, R]:
    """Make an experiment from a function.

    The function's typed signature, with defaults that reproduce the result, is its whole configuration: each argument becomes
    an option of the command and a parameter of the summary run. Its docstring becomes the help text and the description of the
    MLflow experiment.

    Args:
        function: A typed function that returns the result of `Grid.summarise`, or an `OwnResult`. In a file of `experiments/`
            the experiment has the file's name, in a notebook the function's.

    Returns:
        The experiment, which is called like the function; `tokenviz run` makes a command of it.

    Example:
        >>> @tv.experiment
        ... def greeting(models: list[str] = ["glass-en"], top_k: int = 3) -> tv.GridResult:
        ...     \"\"\"How predictable is a greeting?\"\"\"
        ...     grid = tv.Grid(models, [tv.literal("Good morning, Alice.", name="hello")], top_k=top_k)
        ...     grid.score()
        ...     return grid.summarise("A greeting, token by token.")
        >>> greeting.name, greeting.question
        ('greeting', 'How predictable is a greeting?')
        >>> greeting()
        GridResult('greeting': 1 scores)
    """
    return Experiment(function)
