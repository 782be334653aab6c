"""Standard streams that are closed, full, or without most of Unicode: results are all there, or the command fails."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CLOSED = "error: standard output is closed: give the results somewhere to go, a file or a pipe\n"
FULL = "error: cannot write the results to standard output: No space left on device; make room and repeat the command\n"

# A command that loads nothing heavy and prints as the real ones do.
COMMAND = """
import sys
import pandas as pd
import typer
from tokenviz.cli.shared import print_csv, print_json
from tokenviz.base.progress import shown, warn
from tokenviz.base.terminal import run_command

def command(how: str, text: str = "", rows: int = 1) -> None:
    with shown():
        warn("a notice")
    if how == "json":
        print_json({"text": text})
    elif how == "csv":
        print_csv([pd.DataFrame({"text": [text] * rows})])
    elif how == "file":
        open("file", "w").write("whole")
        print("a", file=sys.stderr)
        typer.echo("printed")
    else:
        typer.echo(text)

app = typer.Typer(rich_markup_mode=None)
app.command()(command)
run_command(typer.main.get_command(app), prog_name="trial")
"""

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A command line of bash, with `$T` for tokenviz and `$C` for the command above."""
    (tmp_path / "command.py").write_text(COMMAND)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T", f"{sys.executable} -m tokenviz")
    monkeypatch.setenv("C", f"{sys.executable} command.py")

    def shell(line: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120)

    return shell


SLOW = pytest.mark.slow  # each of these is a process or two; the rarer ones are looked at less often


@pytest.mark.parametrize("command", [*(pytest.param(one, marks=SLOW) for one in ("$T --version", "$T models")), "$C csv"])
def test_results_that_go_nowhere_are_an_error(shell: Shell, command: str) -> None:
    done = shell(f"{command} >&-")
    assert (done.returncode, done.stderr) == (1, CLOSED)


@pytest.mark.parametrize(
    "command",
    [
        *(pytest.param(one, marks=SLOW) for one in ("$T --version", "$T models", "$C json", "$C csv", "$C text")),
        "$C csv --rows 9999",
    ],
)
def test_results_that_do_not_fit_are_an_error(shell: Shell, command: str) -> None:
    done = shell(f"{command} >/dev/full")
    assert (done.returncode, done.stderr.removeprefix("a notice\n")) == (1, FULL)


@SLOW
def test_the_scores_of_a_text_are_no_exception(shell: Shell) -> None:
    done = shell("$T score -m glass-en -t Alice --csv >/dev/full; $T score -m glass-en -t Alice --csv >&-")
    assert (done.returncode, done.stderr) == (1, FULL + CLOSED)


@pytest.mark.parametrize("stderr", ["2>&-", pytest.param("2>/dev/full", marks=SLOW), pytest.param("2> >(exit)", marks=SLOW)])
def test_notices_that_go_nowhere_are_no_error(shell: Shell, stderr: str) -> None:
    done = shell(f"$C json --text a {stderr}")
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"text": "a"}\n', "")


@SLOW
def test_an_error_that_cannot_be_said_is_still_one(shell: Shell) -> None:
    assert shell("$T score -m nothing 2>&-").returncode == 2
    assert shell("$T models pull nothing 2>/dev/full").returncode == 1


@pytest.mark.parametrize("closed", [pytest.param("<&-", marks=SLOW), pytest.param("2>&-", marks=SLOW), "<&- 2>&-"])
def test_what_is_printed_is_not_written_into_files(shell: Shell, tmp_path: Path, closed: str) -> None:
    """A file that is opened while a standard stream is closed takes its number."""
    done = shell(f"$C file {closed}")
    assert (done.returncode, done.stdout) == (0, "printed\n")
    assert (tmp_path / "file").read_text() == "whole"


def test_a_closed_input_has_no_text(shell: Shell) -> None:
    done = shell("$T score -m glass-en - <&-")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: standard input is closed: pipe a text into the command, or name a file\n"


ASCII = "LC_ALL=C PYTHONIOENCODING=ascii"
TEXT = 'é"\U0001d4d0'


@SLOW
def test_an_output_of_ascii_has_escapes_for_what_it_lacks(shell: Shell) -> None:
    done = shell(f"{ASCII} $T score -m glass-en -t 'Héllo →'")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("H\\xe9llo \\u2192\n")
    assert done.stdout.isascii()


def test_json_in_ascii_is_the_same_json(shell: Shell) -> None:
    printed = shell(f"{ASCII} $C json --text '{TEXT}'").stdout
    assert printed.isascii()
    assert json.loads(printed) == {"text": TEXT}


def test_csv_in_ascii_is_refused_where_it_would_lose_something(shell: Shell) -> None:
    done = shell(f"{ASCII} $C csv --text '{TEXT}'")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "a notice\nerror: standard output is set to ascii, which has no '\\xe9': set PYTHONIOENCODING=utf-8, or take --json, "
        "which has escapes for it\n"
    )
    assert shell(f"{ASCII} $C csv --text plain").stdout == '"text"\n"plain"\n'


def test_csv_in_latin_1_has_what_latin_1_has(shell: Shell) -> None:
    done = shell("PYTHONIOENCODING=latin-1 $C csv --text 'Héllo' | iconv -f latin1 -t utf-8")
    assert [row["text"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["Héllo"]


def test_an_interrupt_inside_code_in_a_string_ends_a_module_with_130(tmp_path: Path) -> None:
    (tmp_path / "trial.py").write_text("""
import typer
from tokenviz.base.terminal import run_command

app = typer.Typer()

@app.command()
def command() -> None:
    exec("raise KeyboardInterrupt")

run_command(typer.main.get_command(app), prog_name="trial")
""")
    done = subprocess.run([sys.executable, "-m", "trial"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        130,
        "error: interrupted; what was finished stays, and the same command goes on from there\n",
    )


def test_an_interrupt_while_an_object_is_freed_is_not_lost_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "trial.py").write_text("""
import signal

import typer
from tokenviz.base.progress import shown, task
from tokenviz.base.terminal import run_command

app = typer.Typer()

class Freed:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        for _ in range(1000):
            pass

@app.command()
def command() -> None:
    with shown(), task("working", 2, "steps") as advance:
        Freed()
        advance(1)
        print("goes on")

run_command(typer.main.get_command(app), prog_name="trial")
""")
    done = subprocess.run([sys.executable, "-m", "trial"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: interrupted; what was finished stays, and the same command goes on from there\n"
