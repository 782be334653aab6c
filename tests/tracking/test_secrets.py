"""Secrets of the environment never reach a run."""

import subprocess
import sys
from pathlib import Path

import pytest
from arithmetic import BIGRAM_WEIGHTS, make_bigram_folder

from tokenviz.tracking.provenance import redacted

SECRETS = {
    "HF_TOKEN": "hf_0123456789abcdef",
    "MLFLOW_TRACKING_PASSWORD": "a password, with spaces",
    "AWS_SECRET_ACCESS_KEY": "aws+secret/key",
    "OPENAI_API_KEY": "sk-0123456789",
}
TRIAL = """from tokenviz import Grid, experiment, literal

KEY = "{key}"


@experiment
def trial(label: str = "", labels: list[str] = []):
    \"\"\"What is asked.\"\"\"
    grid = Grid(["first"], [literal("abcd")], top_k=2)
    grid.score()
    return grid.summarise("Found.")
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--token hf_0123456789abcdef --n 3", "--token $HF_TOKEN --n 3"),
        (["sk-0123456789", 1, None], ["$OPENAI_API_KEY", 1, None]),
        ({"a": ("aws+secret/key",)}, {"a": ["$AWS_SECRET_ACCESS_KEY"]}),
        ("https://me:password@example.org/x", "https://example.org/x"),
        ("git@example.org:me/x.git", "git@example.org:me/x.git"),
        ("mail me@example.org", "mail me@example.org"),
        ("https://example.org/@scope/x", "https://example.org/@scope/x"),
        ("", ""),
    ],
)
def test_what_is_a_secret_is_replaced_by_its_name(environment: None, given: object, expected: object) -> None:
    assert redacted(given) == expected


def test_the_longest_secret_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "secret-of-a")
    monkeypatch.setenv("B_TOKEN", "secret-of-a-and-more")
    assert redacted("secret-of-a-and-more secret-of-a") == "$B_TOKEN $A_TOKEN"


@pytest.mark.parametrize("name", ["TOKENVIZ_CACHE", "TOKENIZERS_PARALLELISM", "KEYBOARD", "PATH", "MONKEY"])
def test_other_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/somewhere/else")
    assert redacted("/somewhere/else/model") == "/somewhere/else/model"


@pytest.mark.slow
def test_a_secret_on_the_command_line_in_a_file_and_in_git_is_nowhere_in_the_store(environment: None, project: Path) -> None:
    make_bigram_folder(project / "first", BIGRAM_WEIGHTS)
    (project / "experiments" / "trial.py").write_text(TRIAL.format(key=SECRETS["OPENAI_API_KEY"]))
    (project / ".gitignore").write_text("mlruns\nfirst\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (
        ["init", "-q"], ["add", ".gitignore"], ["commit", "-qm", "begun"],
        ["remote", "add", "origin", f"https://me:{SECRETS['HF_TOKEN']}@example.org/x.git"],
    ):  # fmt: skip
        subprocess.run([*git, *command], check=True, timeout=60)
    arguments = ["--label", SECRETS["MLFLOW_TRACKING_PASSWORD"], "--labels", SECRETS["AWS_SECRET_ACCESS_KEY"]]
    command = [sys.executable, "-m", "tokenviz", "run", "trial", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    files = [path for path in (project / "mlruns").rglob("*") if path.is_file()]
    content = {path: path.read_bytes() for path in files}
    assert any(b"$MLFLOW_TRACKING_PASSWORD" in data for data in content.values())
    patches = [data for path, data in content.items() if path.name == "uncommitted.patch"]
    assert patches
    assert all(b'KEY = "$OPENAI_API_KEY"' in patch for patch in patches)
    assert [(path, name) for path, data in content.items() for name, secret in SECRETS.items() if secret.encode() in data] == []
