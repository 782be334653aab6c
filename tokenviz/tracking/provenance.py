"""Where a run comes from: who computed it, by what command, from which commit, on what machine."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tokenviz.hardware import cores, memory_bytes, processor
from tokenviz.project import project_root
from tokenviz.tracking.redaction import redacted

_PATIENCE = 10  # seconds for git
_LONGEST_DIFF = 5_000_000  # characters


@dataclass(frozen=True)
class Provenance:
    """What is the same for all runs of one process.

    Attributes:
        context: MLflow's own tags: user, source, commit.
        command: The command line.
        diff: How the project differs from its commit, as a patch; empty where it does not, or is under no version control.
        hardware: Processor, cores, memory in GB.
        script: Name and content of the experiment's file, where no commit holds it; None otherwise.
    """

    context: dict[str, str]
    command: str
    diff: str
    hardware: dict[str, str | int | float]
    script: tuple[str, str] | None = None

    @property
    def params(self) -> dict[str, object]:
        """As parameters of a run."""
        return {f"hardware_{name}": value for name, value in self.hardware.items()}

    @property
    def tags(self) -> dict[str, str]:
        """As tags of a run, of our own."""
        return {"command": self.command, "git_dirty": "yes" if self.diff else "no"}

    def write(self, files: Path) -> None:
        """Leave the patch and the experiment's file among a run's files, where there are such."""
        kept = [("uncommitted.patch", self.diff)] if self.diff else []
        for name, content in [*kept, *([self.script] if self.script else [])]:
            (files / "provenance").mkdir(exist_ok=True)
            (files / "provenance" / name).write_text(content, encoding="utf-8")


def provenance(file: Path | None = None) -> Provenance:
    """Of this process, in this project.

    Args:
        file: Of the experiment; None outside one.
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
    """Whether a project is under version control and has a file: its commit and `_diff` hold it then."""
    try:
        return bool(_git(root, "ls-files", "--", str(file.resolve())))
    except (OSError, subprocess.SubprocessError):
        return False


def _context() -> dict[str, str]:
    """The client's `create_run` adds none of these by itself."""
    from mlflow.tracking.context.registry import resolve_tags
    from mlflow.utils.git_utils import get_git_commit
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    # MLflow looks where the program lies, which may be an environment elsewhere; the experiment is what matters.
    tags = {**resolve_tags(), MLFLOW_GIT_COMMIT: get_git_commit(str(project_root()))}
    return {name: value for name, value in tags.items() if value is not None}


def _command() -> str:
    """The command line as one would type it: the program by its name, as is the file of `python -m`."""
    program, *arguments = sys.argv or [""]
    path = Path(program)
    if path.stem == "ipykernel_launcher":
        return "in a notebook"  # the command line of its kernel is none that anybody could repeat
    name = path.name
    if path.suffix == ".py" and path.parent.name:
        name = f"python -m {path.parent.name}.{path.stem}"
    return " ".join([name, *map(shlex.quote, arguments)]).strip()


def _diff(root: Path) -> str:
    """New experiments are part of it: one is often not yet committed when it first runs. Other new files may hold anything,
    and stay out."""
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
    # No pager, no prompt, and no lock taken: other programs may be at work in the repository.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, timeout=_PATIENCE, check=False, env=environment
    )
    if done.returncode and "--no-index" not in arguments:  # with it, 1 says that there is a difference
        raise subprocess.SubprocessError(done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace")
