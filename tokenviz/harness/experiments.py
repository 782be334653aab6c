"""Experiments: `@experiment` makes a plain function, a command and an MLflow experiment of one typed function."""

import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, ParamSpec, Protocol, TypeVar

import typer
from docstring_parser import parse as parse_docstring
from rich.console import Console

from tokenviz.base.display import KEPT, Column, cell, print_named
from tokenviz.base.errors import ExperimentError
from tokenviz.base.progress import shown
from tokenviz.base.terminal import results_console, takes_unicode
from tokenviz.figures.heatmap.measures import Chosen, run_limits
from tokenviz.figures.typeset.saving import FigureFormat, run_formats
from tokenviz.harness.kinds.score import without
from tokenviz.harness.kinds.summary import models_of, several_tokenizers
from tokenviz.harness.options import OF_ARGUMENTS, Command, parts, strict
from tokenviz.harness.results import GridResult, chart_link, figure_link, grid_link, runs_link
from tokenviz.harness.session import ExperimentContext, LedgerRequest, running
from tokenviz.stats.estimate import LEVEL, interval_source, percent, printed, rounded, rounded_interval
from tokenviz.tracking.embedded import served_at
from tokenviz.tracking.store import server_uri

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


# `@experiment`: one typed function becomes a plain function, a command and an MLflow experiment of the same name.

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
        self._formats: tuple[FigureFormat, ...] = ()
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
            formats: Some of "png", "svg" and "pdf"; what a run's page shows is always drawn.

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

    @property
    def makes_grid(self) -> bool:
        """Whether it makes a grid, which options such as `--ledger` are for; unless its annotation says otherwise, it does."""
        returns = self.signature.return_annotation
        return not isinstance(returns, type) or returns is inspect.Signature.empty or issubclass(returns, GridResult)

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


# Experiments as commands: options from the signature, results on stdout, everything else on stderr.

_FORCE = Annotated[bool, typer.Option("--force", help="Compute everything again, also what is finished.")]
_LIMITS = Annotated[
    str | None,
    typer.Option(
        help="Limits of the colours of heatmaps that are drawn: two numbers such as -12,0 (log-probs); text (the least and the "
        "greatest value of the text); or a percentile such as p1 (from the 1st to the 99th). Finished runs keep their figures.",
        show_default=False,
    ),
]
_FORMATS = Annotated[
    str | None,
    typer.Option(
        help="Formats in which every figure is drawn into the runs, with commas: png, svg, pdf; what a page shows always is. "
        "Without this, files are drawn from a run's tables when they are wanted (pull, redraw, runs fetch). Finished runs keep "
        "their figures.",
        show_default=False,
    ),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
_LEDGER_OPTIONS = {
    "engine": Annotated[
        str | None,
        typer.Option(
            help="What starts the workers that score the texts in shards: local (this machine), slurm or ray. See "
            "docs/scaling.md.",
            show_default=False,
        ),
    ],
    "ledger": Annotated[
        str | None,
        typer.Option(help="Where the shards' results are kept: a folder, or an address such as s3://bucket/folder."),
    ],
    "workers": Annotated[
        int | None,
        typer.Option(min=1, help="The most workers; by default one per GPU, or per eight cores.", show_default=False),
    ],
    "shard_bytes": Annotated[int | None, typer.Option(min=1, hidden=True)],
}
INCOMPLETE = 3
"""The exit code where passages could not be scored, and everything else succeeded."""


def _request(
    engine: str | None, ledger: str | None, workers: int | None, shard_bytes: int | None, *, force: bool
) -> LedgerRequest | None:
    """Return the ledger request that the options describe, or None."""
    if ledger is None:
        for name, value in (("--engine", engine), ("--workers", workers), ("--shard-bytes", shard_bytes)):
            if value is not None:
                raise typer.BadParameter(f"{name} needs --ledger PATH: workers leave their results there")
        return None
    if force:
        raise typer.BadParameter("--force does not go with --ledger, which holds what is done: give a new ledger instead")
    return LedgerRequest(ledger, engine or "local", workers, shard_bytes)


def experiment_command(experiment: Experiment[..., Any]) -> Command:
    """Return the command of an experiment: one option per argument, `--json`, and the options of grids where it makes one."""

    def command(**arguments: Any) -> None:
        as_json = arguments.pop("json")
        if not experiment.makes_grid:
            with shown():
                result = experiment(**arguments)
            print_result(result, as_json=as_json)
            return
        force, limits, formats = (arguments.pop(name) for name in ("force", "limits", "formats"))
        request = _request(*(arguments.pop(name) for name in _LEDGER_OPTIONS), force=force)
        drawn = experiment.with_limits(limits).with_formats(parts(formats or "")).by_ledger(request)
        with shown():
            result = (drawn.forced if force else drawn)(**arguments)
        print_result(result, as_json=as_json)
        if isinstance(result, GridResult) and result.missing:
            raise typer.Exit(INCOMPLETE)

    options = [
        parameter.replace(
            annotation=Annotated[
                parameter.annotation,
                typer.Option(help=experiment.argument_help.get(name, ""), autocompletion=OF_ARGUMENTS.get(name)),
            ],
            kind=inspect.Parameter.KEYWORD_ONLY,
        )
        for name, parameter in experiment.signature.parameters.items()
    ]
    reserved = ("force", "json", "limits", "formats", *_LEDGER_OPTIONS)
    if taken := [name for name in reserved if name in experiment.signature.parameters]:
        raise ExperimentError(
            f"{str(experiment.file)!r} has an argument {taken[0]!r}, which every experiment has as an option already: give it "
            f"another name (none of {', '.join(reserved)})"
        )
    keyword = inspect.Parameter.KEYWORD_ONLY
    if experiment.makes_grid:
        options.append(inspect.Parameter("force", keyword, annotation=_FORCE, default=False))
    options.append(inspect.Parameter("json", keyword, annotation=_JSON, default=False))
    of_grids = {"limits": _LIMITS, "formats": _FORMATS, **_LEDGER_OPTIONS} if experiment.makes_grid else {}
    options += [inspect.Parameter(name, keyword, annotation=option, default=None) for name, option in of_grids.items()]
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # inspect.signature reads it
    command.__annotations__ = {option.name: option.annotation for option in options}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name=experiment.name, help=experiment.description)(command)
    return strict(typer.main.get_command(app))


def print_result(result: GridResult | OwnResult, *, as_json: bool) -> None:
    """Print the result's numbers on stdout, and where to look next on stderr."""
    if as_json:
        sys.stdout.write(json.dumps(result.to_json(), ensure_ascii=not takes_unicode(sys.stdout)) + "\n")
        return
    if not isinstance(result, GridResult):
        results_console().print(result.to_table())
        for line in result.guide():
            Console(stderr=True, soft_wrap=True, highlight=False).print(line, markup=False)
        return
    console, described = results_console(), models_of(result.scores)
    for name, frame in result.tables.items():
        _print_own_table(console, name, frame, described)
    if not result.tables:
        (_print_comparisons if result.comparisons else _print_scores)(console, result, described)
    guide = Console(stderr=True, soft_wrap=True, highlight=False)
    if result.missing:
        guide.print(f"The results are {without(result.missing)}: tables/missing.csv of each run says which.", markup=False)
    if result.waiting:
        total = 1 + len(result.every_run)
        guide.print(
            f"{result.waiting} of {total} results wait in the outbox until the tracking server takes them: repeat the command, "
            "or 'tokenviz sync'",
            markup=False,
        )
        return
    folder = result.scores[0].runs.store.folder if result.scores else None
    if folder is not None:
        guide.print(f"Runs, tables and figures are kept in {folder}.", markup=False)
    served = server_uri() or (folder is not None and served_at(folder))
    guide.print("Look at it:" if served else "Look at it: run [bold]make ui[/bold] (or tokenviz ui), then open")
    guide.print(f"  the grid, models on texts         {grid_link(result)}", markup=False)
    guide.print(f"  the runs                          {runs_link(result)}", markup=False)
    if result.scores:
        one = "two models on one text           " if result.comparisons else "one text                         "
        guide.print(f"  {one} {figure_link(result)}", markup=False)
        guide.print(f"  all models on it, token by token  {chart_link(result)}", markup=False)
    guide.print("Next: tokenviz score --model smollm2-135m --text 'Your own sentence.'", markup=False)


def _print_own_table(console: Console, name: str, frame: "pd.DataFrame", described: Mapping[str, str]) -> None:
    """Print a table of an experiment; an interval is one column after its number."""
    headings = list(map(str, frame.columns))
    # A table of adjusted intervals names their level in the column that says what was resampled.
    said = str(frame["intervals"].iloc[0]) if "intervals" in headings and len(frame) else ""
    level = said.partition(" intervals")[0] if " % intervals" in said else percent(LEVEL)

    def build(names: Mapping[str, str]) -> list[Column]:
        columns: list[Column] = []
        for heading in headings:
            base = heading.removesuffix(" low").removesuffix(" high")
            if base != heading and {base, f"{base} low", f"{base} high"} <= set(headings):
                if heading.endswith(" low"):
                    ends = zip(frame[heading], frame[f"{base} high"], strict=True)
                    intervals = [f"{cell(low)} to {cell(high)}" if low == low else cell(low) for low, high in ends]
                    columns.append(Column(f"{base}, {level} interval", intervals, len(columns), right=True))
                continue
            cells = [names.get(value, value) if isinstance(value, str) else cell(value) for value in frame[heading]]
            right = frame[heading].dtype.kind in "if"
            columns.append(Column(heading, cells, len(columns) if right else KEPT, right=right))
        return columns

    there = {value for heading in frame for value in frame[heading] if isinstance(value, str)}
    print_named(console, {label: words for label, words in described.items() if label in there}, build, title=name)


def _print_comparisons(console: Console, result: GridResult, described: Mapping[str, str]) -> None:
    runs = result.comparisons
    found = {name: [run.estimate(name) for run in runs] for name in ("pearson_r", "spearman_rho", "concordance")}

    def build(names: Mapping[str, str]) -> list[Column]:
        return [
            Column("a", [names[run.a.model] for run in runs]),
            Column("b", [names[run.b.model] for run in runs]),
            Column("text", [run.a.text for run in runs]),
            Column("n", [f"{run.metrics['n']:.0f}" for run in runs], 1, right=True),
            Column("r", list(map(rounded, found["pearson_r"])), right=True),
            Column("95 % interval", list(map(rounded_interval, found["pearson_r"])), 2, right=True),
            Column("ρ", list(map(rounded, found["spearman_rho"])), 4, right=True),
            Column("concordance", list(map(rounded, found["concordance"])), 5, right=True),
            Column("over", [f"{run.by}s" for run in runs], 3),
            Column("resampled", list(map(interval_source, found["pearson_r"])), 2, folds=True),
        ]

    print_named(console, described, build, title=f"{result.experiment}: log-probs of one text by two models")


def _print_scores(console: Console, result: GridResult, described: Mapping[str, str]) -> None:
    summaries = [run.summary for run in result.scores]
    own = " of its own" * several_tokenizers(result.scores)

    def build(names: Mapping[str, str]) -> list[Column]:
        return [
            Column("model", [names[run.model] for run in result.scores]),
            Column("text", [run.text for run in result.scores]),
            Column("bits per byte", [printed(one.bits_per_byte, 3) for one in summaries], right=True),
            Column("tokens", [str(one.n_tokens) for one in summaries], 2, right=True),
            Column("scored", [str(one.n_scored) for one in summaries], 1, right=True),
            Column(f"mean log-prob (nats per token{own})", [printed(one.mean_logprob, 3) for one in summaries], 3, right=True),
        ]

    print_named(console, described, build, title=f"{result.experiment}: texts by models")
