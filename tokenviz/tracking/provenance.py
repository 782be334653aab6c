"""The provenance of a run: user, command, commit and machine; secrets of the environment are left out."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenviz.base.disk import project_root
from tokenviz.base.hardware import cores, memory_bytes, processor

_PATIENCE = 10  # seconds that git may take
_LONGEST_DIFF = 5_000_000  # characters of a patch


@dataclass(frozen=True)
class Provenance:
    """The origin that all runs of one process share.

    Attributes:
        context: MLflow's own tags: user, source, commit.
        command: The command line.
        diff: The difference of the project from its commit, as a patch; empty where there is none, or no version control.
        hardware: Processor, cores, memory in GB.
        script: Name and content of the experiment's file, where no commit holds it; else None.
    """

    context: dict[str, str]
    command: str
    diff: str
    hardware: dict[str, str | int | float]
    script: tuple[str, str] | None = None

    @property
    def params(self) -> dict[str, object]:
        """Return the hardware as parameters of a run."""
        return {f"hardware_{name}": value for name, value in self.hardware.items()}

    @property
    def tags(self) -> dict[str, str]:
        """Return the command, and whether there are uncommitted changes, as tags of a run."""
        return {"command": self.command, "git_dirty": "yes" if self.diff else "no"}

    def write(self, files: Path) -> None:
        """Write the patch and the experiment's file, if there are any, to a run's files."""
        kept = [("uncommitted.patch", self.diff)] if self.diff else []
        for name, content in [*kept, *([self.script] if self.script else [])]:
            (files / "provenance").mkdir(exist_ok=True)
            (files / "provenance" / name).write_text(content, encoding="utf-8")


def current_provenance(file: Path | None = None) -> Provenance:
    """Return the origin of runs of this process, in this project.

    Args:
        file: The experiment's file; None outside an experiment.
    """
    hardware: dict[str, str | int | float] = {
        "processor": processor(),
        "cores": cores(),
        "memory_gb": round(memory_bytes() / 1e9, 1),
    }
    script = None
    if file is not None and file.is_file() and not _is_of(project_root(), file):
        script = (file.name, redacted(file.read_text(encoding="utf-8")))
    return Provenance(redacted(_context()), redacted(_command()), redacted(_diff(project_root())), hardware, script)


def _is_of(root: Path, file: Path) -> bool:
    """Return whether a project's version control has a file, so that the commit and `_diff` hold it."""
    try:
        return bool(_git(root, "ls-files", "--", str(file.resolve())))
    except (OSError, subprocess.SubprocessError):
        return False


def _context() -> dict[str, str]:
    """Return MLflow's own tags, which the client's `create_run` does not add."""
    from mlflow.tracking.context.registry import resolve_tags
    from mlflow.utils.git_utils import get_git_commit
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    # MLflow looks in the program's folder, which may be an environment elsewhere. The project with the experiment matters.
    tags = {**resolve_tags(), MLFLOW_GIT_COMMIT: get_git_commit(str(project_root()))}
    return {name: value for name, value in tags.items() if value is not None}


def _command() -> str:
    """Return the command line as a user would type it, with the name of the program or of `python -m` instead of its path."""
    program, *arguments = sys.argv or [""]
    path = Path(program)
    if path.stem == "ipykernel_launcher":
        return "in a notebook"  # nobody can repeat the command line of a notebook's kernel
    name = path.name
    if path.suffix == ".py" and path.parent.name:
        name = f"python -m {path.parent.name}.{path.stem}"
    return " ".join([name, *map(shlex.quote, arguments)]).strip()


def _diff(root: Path) -> str:
    """Return the uncommitted changes of a project as a patch.

    It includes new experiments: one is often not yet committed when it first runs. Other new files may hold anything, and are
    left out.
    """
    try:
        listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", "experiments/*.py")
        parts = [_git(root, "diff", "HEAD", "--no-color", "--no-ext-diff")]
        parts += [_git(root, "diff", "--no-index", "--no-color", "--no-ext-diff", "--", os.devnull, name)
                  for name in listed.split("\0") if name]  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    whole = "".join(parts)
    if len(whole) <= _LONGEST_DIFF:
        return whole
    return f"{whole[:_LONGEST_DIFF]}\n(cut here: the whole has {len(whole):,} characters)\n"


def _git(root: Path, *arguments: str) -> str:
    # No pager, no prompt, and no lock: other programs may use the repository at the same time.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, timeout=_PATIENCE, check=False, env=environment
    )
    if done.returncode and "--no-index" not in arguments:  # with it, exit code 1 means that there is a difference
        raise subprocess.SubprocessError(done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace")


# Removal of the environment's secrets from everything that a run records: command line, settings, patch.

_SECRET = re.compile(r"PASSWO?R?D|SECRET|CREDENTIAL|APIKEY|(^|_)(TOKEN|KEY|PAT|PASSPHRASE)S?(_|$)", re.IGNORECASE)
_SHORTEST = 6  # characters; a shorter value may occur in any text by chance
_IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+@", re.IGNORECASE)


def redacted(value: Any) -> Any:
    """Return a string, or a list or mapping of strings, without secrets.

    The value of an environment variable whose name suggests a secret (`HF_TOKEN`, `MLFLOW_TRACKING_PASSWORD`, ...) is replaced
    by the variable's name. User and password are removed from addresses.
    """
    return _without(_secrets(), value)


def _without(secrets: Sequence[tuple[str, str]], value: Any) -> Any:
    if isinstance(value, str):
        for name, secret in secrets:
            value = value.replace(secret, f"${name}")
        return _IN_ADDRESS.sub(r"\1", value)
    if isinstance(value, list | tuple):
        return [_without(secrets, one) for one in value]
    if isinstance(value, dict):
        return {name: _without(secrets, one) for name, one in value.items()}
    return value


def _secrets() -> list[tuple[str, str]]:
    """Return names and values of secrets, the longest value first: one may begin with another."""
    found = [(name, value) for name, value in os.environ.items() if len(value) >= _SHORTEST and _SECRET.search(name)]
    return sorted(found, key=lambda pair: -len(pair[1]))
