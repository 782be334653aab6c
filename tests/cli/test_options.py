"""Options that would not count: each is refused in one sentence, in every command there is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Run

from tokenviz.cli.app import app
from tokenviz.harness.experiments import experiment, experiment_command
from tokenviz.harness.options import LARGEST, strict

EXPERIMENT = '''"""Does it run?"""

from tokenviz import Grid, experiment


@experiment
def trial(models: list[str] = ["glass-en"], stride: int | None = None, quick: bool = False):
    """Does it run?"""
    raise AssertionError("it was run")
'''


@pytest.fixture
def trial(project: Path) -> None:
    (project / "experiments" / "trial.py").write_text(EXPERIMENT)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name in getattr(command, "commands", {}):
        yield from commands(command.commands[name], (*path, name))


SCALARS = [
    (path, [max(option.opts, key=len), *["1"] * option.nargs])
    for path, command in commands(typer.main.get_command(app))
    for option in command.params
    if option.param_type_name == "option" and not option.is_flag and not option.multiple
]


def refused(run: Run, *arguments: str) -> str:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    return re.sub(r"\s+", " ", err).partition("Error: ")[2].strip()


def test_there_are_options_of_one_value() -> None:
    assert {("score",), ("pull",), ("redraw",), ("runs",), ("rerun",), ("ui",)} <= {path for path, _ in SCALARS}


@pytest.mark.parametrize(("path", "option"), SCALARS, ids=" ".join)
def test_an_option_of_one_value_counts_once(run: Run, path: tuple[str, ...], option: list[str]) -> None:
    said = refused(run, *path, *option, *option)
    assert said.startswith(f"{option[0]} is given 2 times and takes one value: keep the one that is meant.")


def test_short_and_long_names_are_one_option(run: Run) -> None:
    assert refused(run, "score", "-m", "glass-en", "--model", "gpt2", "-m", "x", "--text", "a") == (
        "--model is given 3 times and takes one value: keep the one that is meant. Many models are read by 'tokenviz report', "
        "two are compared by 'tokenviz compare'."
    )


@pytest.mark.usefixtures("trial")
def test_an_experiments_options_count_once(run: Run) -> None:
    assert refused(run, "run", "trial", "--stride", "2", "--stride=3").startswith("--stride is given 2 times")
    assert refused(run, "run", "trial", "--quick", "--no-quick").startswith("--no-quick is given 2 times")


def test_an_experiment_that_is_run_as_a_module_is_held_to_the_same() -> None:
    @experiment
    def trial(stride: int = 1) -> Any:
        """Does it run?"""

    command = experiment_command(trial)
    assert strict(command) is command
    with pytest.raises(Exception, match="--stride is given 2 times"):
        command(["--stride", "1", "--stride", "2"], standalone_mode=False)


def test_what_may_be_repeated_still_may(run: Run) -> None:
    code, out, _ = run("score", "-m", "glass-en", "-t", "One.", "-t", "Two.", "--json", "--json")
    assert code == 0
    assert out.count('"name"') == 2


@pytest.mark.parametrize("option", [["--json"], ["--where", "a=b"], ["-e", "trial"], ["--all"], ["--most", "3"]])
def test_options_of_a_group_are_refused_before_one_of_its_commands(run: Run, option: list[str]) -> None:
    long = {"-e": "--experiment"}.get(option[0], option[0])
    assert refused(run, "runs", *option, "show", "0") == (
        f"{long} comes before 'show', which would not see it: put the options of 'show' after it."
    )


@pytest.mark.parametrize("value", [LARGEST + 1, -LARGEST - 1, 99999999999999999999, 10**400])
def test_a_number_beyond_every_count_is_refused(run: Run, value: int) -> None:
    for arguments in (["compare", "-m", "a", "-m", "b", "--context"], ["report", "-m", "a", "--stride"]):
        assert f"{value} is beyond what can be counted: take 9,007,199,254,740,992 at most" in refused(
            run, *arguments, str(value), "-t", "x"
        )


@pytest.mark.usefixtures("trial")
def test_an_experiments_numbers_are_held_to_the_same(run: Run) -> None:
    assert "is beyond what can be counted" in refused(run, "run", "trial", "--stride", "1" + "0" * 30)


def test_the_largest_number_of_runs_is_a_number_of_runs(run: Run) -> None:
    code, _, err = run("runs", "--most", str(LARGEST))
    assert code == 1  # a table of runs, were there a store
    assert err.startswith("error: there is no store in ")
