"""What a newcomer meets: the guide, the help, the nearest name of a slip, and what the shell completes."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from conftest import Run
from typer.main import get_command

from tokenviz.cli import app
from tokenviz.harness import options


def completed(words: str, shell: str = "bash") -> list[str]:
    """What a shell is answered when Tab is pressed at the end of a line: the protocol of the scripts it loads."""
    typed = ["tokenviz", *words.split(" ")]
    asked = {"_TOKENVIZ_COMPLETE": f"complete_{shell}", "COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
    if shell != "bash":
        asked |= {"_TYPER_COMPLETE_ARGS": " ".join(typed)}
    script = "import sys; sys.argv[:] = ['tokenviz']; from tokenviz.cli.app import main; main()"
    environment = {**os.environ, **asked}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def test_without_arguments_the_way_is_shown(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert [re.findall(r"^     tokenviz (.*)$", out, re.M)] == [[command for _, command in app.STEPS]]
    assert "smollm2-135m 93 MB, gemma3-270m 238 MB, glass-en 3 MB" in out


@pytest.mark.parametrize("command", [command for _, command in app.STEPS])
def test_each_of_the_first_steps_is_a_command_with_options_that_exist(command: str) -> None:
    name, *arguments = shlex.split(command)
    get_command(app.app).commands[name].make_context(name, arguments)


def test_help_lists_every_command_once_by_what_it_is_for(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    named = re.findall(r"^  ([a-z][a-z-]*)  ", out, re.M)
    assert sorted(named) == sorted(get_command(app.app).commands)
    titles = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options:", *(f"{title}:" for title in app._SECTIONS)]
    assert "..." not in out.partition("ARGS]...")[2]  # no sentence is cut short


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["run", "tempalte"], "_template"),
        (["score", "-m", "glass-en", "corelation"], "correlation"),
        (["score", "-m", "glass-en", "-t", "x", "--measure", "surprisal"], "surprisal_bits"),
        (["models", "pull", "glas-en"], "glass-en"),
        (["score", "-m", "./smollm2-135", "-t", "x"], "smollm2-135m"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_name(run: Run, project, arguments: list[str], meant: str) -> None:
    (project / "experiments" / "_template.py").write_text("")
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.endswith(f"; did you mean '{meant}'?\n")


def test_a_name_that_is_near_to_none_is_answered_without_a_guess(run: Run) -> None:
    code, _, err = run("models", "pull", "xyz")
    assert code == 1
    assert "did you mean" not in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("score -m sm", ["smollm2-135m"]),
        ("score -m glass-en,dtype=b", ["glass-en,dtype=bfloat16"]),
        ("score -m glass-en corr", ["correlation"]),
        ("run single", ["single_token_predictions"]),
        ("score --measure e", ["entropy"]),
        ("run single_token_predictions --models gem", ["gemma3-270m"]),
    ],
)
def test_the_shell_completes_models_texts_experiments_and_measures(words: str, expected: list[str]) -> None:
    assert completed(words) == expected


def test_what_is_completed(project) -> None:
    (project / "experiments" / "mine.py").write_text("raise SystemExit\n")
    (project / "experiments" / "_hidden.py").write_text("")
    assert options.experiments("") == ["mine"]  # without running it
    assert options.texts("") == ["correlation", "passage_en"]
    assert options.texts("nothing") == []  # so that the shell goes on with file names
    assert options.models("") == ["smollm2-135m", "gemma3-270m", "glass-en", "family-small", "family-large"]
    assert options.models("glass-en,device=c") == ["glass-en,device=cpu", "glass-en,device=cuda"]
    assert options.colours("c") == ["cividis"]
    assert "difference" in options.measures("d")
