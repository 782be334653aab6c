"""The other end of a worker: start it, give orders, wait for answers, say why it ended."""

import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from benchmarks.lineup import NOT_INSTALLED, ROOT, Entry

_PATIENCE = 1200.0  # seconds for one order; a conversion takes one or two minutes, a round less
_ERROR_LINE = re.compile(r"[\w.]*(Error|Exception|Interrupt|Failure)\b.*")
_LONGEST_REASON = 160
# No tool shall look for a newer model, or report that it was used: OpenVINO stays silent where CI is set.
_SETTINGS = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "CI": "true", "TOKENIZERS_PARALLELISM": "true"}


class ContenderFailed(Exception):
    """A contender that cannot be measured; the message is the reason, for the table."""


class WorkerProcess:
    """One contender's process, idle until it is given an order."""

    def __init__(self, entry: Entry) -> None:
        """Start the process.

        Raises:
            ContenderFailed: Its environment is not there.
        """
        if not entry.python.is_file():
            raise ContenderFailed(NOT_INSTALLED)
        # Its lines are read when the process has ended.
        self._noise = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  close() closes it
        self._process = subprocess.Popen(
            [str(entry.python), "-m", "benchmarks.worker", entry.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            text=True,
            encoding="utf-8",
            cwd=ROOT,
            env=os.environ | _SETTINGS,
            start_new_session=True,  # Ctrl-C is for the parent, which ends its workers itself
        )

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Give an order and wait for its answer.

        Raises:
            ContenderFailed: The process ended, or did not answer in time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(_PATIENCE, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            in_time = timer.is_alive()
            timer.cancel()
        if not line:
            self._process.wait()
            raise ContenderFailed(self._reason() if in_time else f"no answer to {do!r} within {_PATIENCE:.0f} s")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._noise.close()

    def _reason(self) -> str:
        """What the process said last: the error of its traceback, else its last line."""
        code = self._process.returncode
        if code < 0:
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"ended by {signal.Signals(-code).name}{hint}"
        self._noise.seek(0)
        lines = [line.strip() for line in self._noise if line.strip()]
        errors = [line for line in lines if _ERROR_LINE.match(line)]
        reason = (errors or lines or [f"exit code {code}"])[-1]
        # The table is published; where things lie on this machine is not.
        reason = reason.replace(str(ROOT), ".").replace(str(Path.home()), "~")
        return reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 1] + "…"
