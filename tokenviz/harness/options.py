"""Options of the commands: what every one is held to, and what the shell can complete."""

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import typer

from tokenviz.base.disk import experiment_files, samples_folder

# Checks of the options of every command: no option is silently overridden or ignored.
#
# Typer takes the last of two values for an option that has one, and passes the options of a group to the group, which ignores
# them when a command follows. Neither Typer nor Click can be configured otherwise, so the check is here.

Command = Any  # typer's command class is private

_INSTEAD = {("score", "model"): "Many models are read by 'tokenviz report', two are compared by 'tokenviz compare'."}
LARGEST = 2**53  # larger integers are not stored exactly by a database, a GPU or JSON


def parts(line: str) -> tuple[str, ...]:
    """Return the words of an option that are separated by commas, each once."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, line.split(",")))))


def strict(command: Command) -> Command:
    """Make a command, and every command below it, refuse options that would have no effect.

    It refuses an option of one value that is given more than once, an option of a group before one of its commands, and an
    integer beyond `LARGEST`. A flag may be given twice.

    Args:
        command: The result of `typer.main.get_command`; it is changed.

    Returns:
        The same command.
    """
    if "parse_args" in vars(command):
        return command
    parse, find = command.parse_args, getattr(command, "get_command", None)

    def parse_args(context: Any, arguments: list[str]) -> list[str]:
        if not context.resilient_parsing:  # a line that the shell completes may still be wrong
            _, rest, order = command.make_parser(context).parse_args(list(arguments))
            _refuse_repeats(context, order)
            if find is not None and rest and rest[0] and not rest[0].startswith("-"):
                _refuse_in_front(context, order, rest[0])
        left: list[str] = parse(context, arguments)
        for parameter in command.get_params(context):
            _refuse_large(context, parameter)
        return left

    command.parse_args = parse_args
    if find is not None:
        command.get_command = lambda context, name: strict(found) if (found := find(context, name)) is not None else None
    return command


def refuse_unused(context: typer.Context, why: str, names: Collection[str]) -> None:
    """Refuse options that are given and would have no effect next to others.

    Args:
        context: The command's context.
        why: Why they would have none; the message begins with it, and ends with what to leave out.
        names: The options' parameters.

    Raises:
        typer.BadParameter: One of them is given.
    """
    for option in context.command.get_params(context):
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"{why}: leave out {_name(option)}")


def _refuse_repeats(context: Any, order: list[Any]) -> None:
    for option, times in Counter(filter(_takes_one_value, order)).items():
        if times > 1:
            instead = _INSTEAD.get((context.info_name, option.name), "")
            context.fail(
                f"{_name(option)} is given {times} times and takes one value: keep the one that is meant. {instead}".strip()
            )


def _takes_one_value(parameter: Any) -> bool:
    if parameter.param_type_name != "option" or parameter.multiple or parameter.count:
        return False
    return not parameter.is_flag or bool(parameter.secondary_opts)  # --this --no-this is a contradiction


def _refuse_in_front(context: Any, order: list[Any], command: str) -> None:
    for option in order:
        if option.param_type_name == "option" and not option.is_eager:
            name = _name(option)
            context.fail(f"{name} comes before {command!r}, which would not see it: put the options of {command!r} after it.")


def _refuse_large(context: Any, parameter: Any) -> None:
    values = context.params.get(parameter.name)
    for value in values if isinstance(values, list | tuple) else [values]:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise typer.BadParameter(f"{value} is beyond what can be counted: take {LARGEST:,} at most", context, parameter)


def _name(option: Any) -> str:
    return str(max((*option.opts, *option.secondary_opts), key=len))


# Shell completion: models of the catalogue and their options, sample texts, experiments, measures.
#
# Each function takes the beginning of a word and returns whole words. Where it returns none the shell completes file names.


def models(incomplete: str) -> list[str]:
    """Return model specs: names from the catalogue, and after a comma the options and their values."""
    from tokenviz.models.catalogue import CATALOGUE
    from tokenviz.models.spec import CHOICES

    spec, comma, _ = incomplete.rpartition(",")
    words = [f"{spec},{key}={value}" for key, values in CHOICES.items() for value in values] if comma else list(CATALOGUE)
    return [word for word in words if word.startswith(incomplete)]


def family(incomplete: str) -> list[str]:
    """Return the models that are trained here."""
    from tokenviz.models.family import SHAPES

    return [name for name in SHAPES if name.startswith(incomplete)]


def texts(incomplete: str) -> list[str]:
    """Return the names of the sample texts."""
    from tokenviz.data.texts import sample_names

    return [name for name in sample_names(samples_folder()) if name.startswith(incomplete)]


def experiments(incomplete: str) -> list[str]:
    """Return the experiments of the project, and those of the wheel."""
    return [name for name in sorted(experiment_files()) if name.startswith(incomplete) and not name.startswith("_")]


def measures(incomplete: str) -> list[str]:
    """Return the measures that a heatmap can show."""
    from tokenviz.figures.heatmap.measures import MEASURES

    return [name for name in MEASURES if name.startswith(incomplete)]


def colours(incomplete: str) -> list[str]:
    """Return the colour maps of heatmaps."""
    from tokenviz.figures.typeset.colours import COLOUR_MAPS

    return [name for name in COLOUR_MAPS if name.startswith(incomplete)]


OF_ARGUMENTS: dict[str, Callable[[str], list[str]]] = {"model": models, "models": models, "text": texts, "texts": texts}
"""Completions of the arguments that experiments share, by the arguments' names."""
