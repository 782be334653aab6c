"""The outermost frame of every command: what ends it, with which exit code and what one line."""

import errno
import os
import signal
import sys
from typing import Any, NoReturn

from rich.console import Console

from tokenviz.errors import TokenvizError
from tokenviz.progress import interrupted

_INTERRUPTED = 130


def run_command(command: Any, *, prog_name: str) -> NoReturn:
    """Run a command with this process's arguments and end the process.

    A refusal of ours is one line and exit code 1, a usage error 2, Ctrl-C and SIGTERM 130; anything else keeps
    its traceback.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        command(prog_name=prog_name, standalone_mode=True)
    except TokenvizError as error:
        _fail(str(error), 1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # so Typer ends on Ctrl-C, without a word
            _fail("interrupted; what was finished stays, and the same command goes on from there", _INTERRUPTED)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains at exit
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _fail(
            f"no space left on the disk{f' for {error.filename}' if error.filename else ''}; make room and try again",
            1,
        )
    sys.exit(0)


def results_console() -> Console:
    """Where results are printed: as wide as the terminal, and in a pipe as wide as a table may need."""
    return Console(highlight=False, soft_wrap=True) if sys.stdout.isatty() else Console(highlight=False, width=200)


def _interrupt(number: int, frame: object) -> None:
    interrupted.set()
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    line = " ".join(message.split())
    sys.stderr.write(f"error: {line}\n")
    sys.exit(code)
