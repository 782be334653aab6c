"""The documentation does what it says: every block of commands runs, and every link leads somewhere.

Fenced blocks `sh`, `console` and `python` are run in a copy of the project, page by page, with one store for all. Large models
have small stand-ins, so that this is quick. A comment before a block, `<!-- not run: REASON -->`, keeps it from being run; its
commands are read all the same, and must exist with the options they are given. The blocks of docs/server.md are run by
tests/tracking/test_shared_server.py, those of docs/gallery.md by `make docs`, which makes the pictures with them.
"""

import contextlib
import io
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import ANY

import pytest
import typer
from conftest import copy_schemas
from typer.main import get_command

import tokenviz as tv
from tokenviz.cli.app import app, main

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("", "docs", "experiments", "experiments/texts", "notebooks", "paper", "mlruns")
PAGES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md") if path.name != "CHANGELOG.md")
ELSEWHERE = {"docs/server.md": "tests/tracking/test_shared_server.py", "docs/gallery.md": "docs/generate.py"}
# Long names first: what is named in full is not to be cut.
STAND_INS = {
    "smollm2-135m,quantize=q4_0": "glass-en,dtype=float64",
    "smollm2-135m": "glass-en,dtype=bfloat16",
    "smollm2": "glass-en",
    "gemma3-270m": "glass-en",
    "family-small": "glass-en,dtype=bfloat16",
    "family-large": "glass-en",
}
SMALL = "--models glass-en --models glass-en,dtype=bfloat16 --texts correlation"
UsageError = typer.BadParameter.__bases__[0]
LANGUAGES = {"sh", "console", "python", "text", "latex", "ini", "json", "mermaid", "r", "yaml", ""}
FENCE = re.compile(
    r"(?:<!-- (?P<kind>not run|file): (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, why it is not run, and its lines."""

    line: int
    language: str
    reason: str
    code: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(text[: match.start("code")].count("\n"), match["language"], match["reason"] or "", match["code"])
        for match in FENCE.finditer(text)
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


COMMANDS = [page for page in PAGES if any(block.language in ("sh", "console") for block in blocks_of(page))]
RUNNING = [
    page
    for page in PAGES
    if name_of(page) not in ELSEWHERE and {block.language for block in blocks_of(page)} & {"sh", "console", "python"}
]


def commands_of(block: Block) -> list[str]:
    """The commands of a block, one a line; what is continued is joined, comments are dropped."""
    lines = block.code.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def made_by(command: str) -> list[str]:
    """The commands of `tokenviz` and others that a line of make would run."""
    words = shlex.split(command, comments=True)
    dry = ["make", "--no-print-directory", "-n", "-o", ".venv/ready", *words[1:]]
    # What the tests' own make was told, such as ARGS, is not for this one.
    bare = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS")}
    done = subprocess.run(dry, capture_output=True, text=True, check=False, cwd=ROOT, env=bare)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def check_written_right(command: str) -> None:
    """Whether a line is one that exists, with options that exist."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words[:1] == ["make"]:
        for line in made_by(command):
            if line.startswith(".venv/bin/tokenviz"):
                check_written_right(line.removeprefix(".venv/bin/").partition("||")[0])
        return
    if words[:1] != ["tokenviz"]:
        subprocess.run(["bash", "-n", "-c", command], check=True)
        return
    context = get_command(app).make_context("tokenviz", [], resilient_parsing=True)
    group, name, arguments = get_command(app), "", words[1:]
    while hasattr(group, "commands") and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        group = group.get_command(context, name)
        assert group is not None, f"there is no command {name!r}: {command}"
        if name != "run":
            continue
        example = ROOT / "docs" / "examples" / f"{arguments[0]}.py"  # which the page has copied
        group, arguments = group.get_command(context, str(example) if example.exists() else arguments[0]), arguments[1:]
    if not arguments or not {"--help", "--install-completion"} & set(arguments):
        group.make_context(name, arguments, parent=context)


@pytest.mark.parametrize("page", COMMANDS, ids=name_of)
def test_every_command_exists_with_its_options(page: Path) -> None:
    if name_of(page) in ELSEWHERE:
        assert (ROOT / ELSEWHERE[name_of(page)]).is_file()
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"{page.name}:{block.line}: a block of {block.language!r}"
        if block.language in ("sh", "console"):
            for command in commands_of(block):
                check_written_right(command)


@pytest.mark.parametrize(
    "wrong",
    [
        "tokenviz score --modle x",
        "tokenviz scores -m x",
        "tokenviz ui --port many",
        "tokenviz run single_token_predictions --top-k some",
        'make experiment ARGS="--modles gpt2"',
    ],
)
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises((UsageError, AssertionError)):
        check_written_right(wrong)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, blank_database: Path) -> Iterator[Path]:
    """A copy of what the pages speak of, with a store of its own and the files they take for granted."""
    folder = tmp_path_factory.mktemp("clone")
    ignored = shutil.ignore_patterns("__pycache__", "images", "mlruns", "*.pdf")
    for part in ("experiments", "docs", "paper"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    shutil.copy(ROOT / "Makefile", folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        copy_schemas(monkeypatch, blank_database)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.chdir(folder)
        assert tokenviz_command(f"run single_token_predictions {SMALL}") == (0, ANY)
        yield folder


def tokenviz_command(arguments: str) -> tuple[int, str]:
    """Run a command in this process: its exit code, and what it prints for users of pipes."""
    out, before = io.StringIO(), sys.argv
    sys.argv = ["tokenviz", *shlex.split(arguments, comments=True)]
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(io.StringIO()) as err,
            pytest.raises(SystemExit) as end,
        ):
            main()
    finally:
        sys.argv = before
    code = int(end.value.code or 0)
    return code, out.getvalue() + (err.getvalue() if code else "")


def execute(line: str, where: Path) -> tuple[Path, str]:
    """Run a line of a shell: the folder it ends in, and what it prints."""
    for name, stand_in in STAND_INS.items():
        line = line.replace(name, stand_in)
    words = shlex.split(line, comments=True)
    if words[0] == "cd":
        return where / words[1], ""
    if words[0] == "make":
        for made in made_by(line):
            # The tests are running; LaTeX has tests of its own.
            if made.startswith(".venv/bin/tokenviz"):
                execute(made.removeprefix(".venv/bin/").partition("||")[0], where)
        return where, ""
    if words[0] != "tokenviz":
        subprocess.run(["bash", "-c", line], check=True, cwd=where)
        return where, ""
    if words[1] == "run" and "--models" not in line and "/" not in words[2]:
        line += f" {SMALL}" if words[2] == "single_token_predictions" else ""
    if "RUN" in words:
        line = line.replace("RUN", tv.load_runs(where="kind=comparison")["run_id"][0])
    for word in words:
        if word.startswith("paper/figures/") and not (where / word).exists():  # named after a model that stands in for it
            line = line.replace(word, str(min(where.glob("paper/figures/*_heatmap.pdf"))))
    code, out = tokenviz_command(line.removeprefix("tokenviz "))
    assert code == 0, f"{line}\n{out}"
    return where, out


def alike(shown: str, found: str) -> bool:
    """Whether a word of an output is as shown; numbers to three digits, since another processor sums in another order."""
    try:
        return math.isclose(float(shown.replace("−", "-")), float(found.replace("−", "-")), rel_tol=2e-3)
    except ValueError:
        return shown == found


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_every_block_runs(page: Path, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    names: dict[str, object] = {}
    where = clone
    for block in blocks_of(page):
        monkeypatch.chdir(where)
        if block.reason or block.language not in ("sh", "console", "python"):
            continue
        if block.language == "python":
            code = block.code
            for name, stand_in in STAND_INS.items():
                code = code.replace(name, stand_in)
            exec(compile(code, f"{page.name}:{block.line}", "exec"), names)
            continue
        printed = ""
        for command in commands_of(block):
            where, out = execute(command, where)
            monkeypatch.chdir(where)
            printed += out
        if block.language == "console":
            shown = "".join(line + "\n" for line in block.code.splitlines() if not line.startswith("$ ")).split()
            found = printed.split()
            assert len(shown) == len(found)
            assert all(map(alike, shown, found)), printed


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose_of(page: Path) -> str:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors_of(page: Path) -> set[str]:
    """The anchors that a page's headings have where it is shown as a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose_of(page)):
        if target.startswith("http"):
            assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[\w./~%#?=&-]*)?", target), target
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors_of(there), f"{page.name} links to {target}"


def test_the_index_lists_every_page() -> None:
    listed = set(LINK.findall(prose_of(ROOT / "docs" / "README.md")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md", "benchmarks.md"} <= listed


def test_troubleshooting_quotes_the_program() -> None:
    """Messages in its headings are those of the source, up to what varies."""
    source = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "tokenviz").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source) + (ROOT / "Makefile").read_text()
    headings = re.findall(r"^### (.*)$", (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"), re.M)
    quoted = [words for heading in headings for words in re.findall(r"`([^`]+)`", heading)]
    assert len(quoted) > 12
    for words in quoted:
        for piece in re.split(r"\.\.\.|'gpt2'|127\.0\.0\.1|5000|pytorch_model\.bin|\bN\b|\(Address.*\)|⟨.*⟩|make docs", words):
            assert piece.strip() in source, piece


@pytest.mark.parametrize("columns", ["40", "300"])
def test_the_page_of_the_command_line_does_not_depend_on_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.syspath_prepend(ROOT / "docs")
    import generate

    page = generate.cli_page()
    assert page == (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert str(Path.home()) not in page
    assert str(ROOT) not in page
    for heading in ("tokenviz score", "tokenviz runs export", "tokenviz models pull"):
        assert f"\n## {heading}\n" in page


def test_the_examples_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    shown = re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", page, re.S)
    assert {path for path, _ in shown} == {f"examples/{path.name}" for path in (ROOT / "docs" / "examples").glob("*.py")}
    for path, code in shown:
        assert code == (ROOT / "docs" / path).read_text(encoding="utf-8")
        assert len(code.splitlines()) < 60


# Phrases that readers had to read twice. Write instead: again, next to (compared with), user-defined; one row per token; staged
# run and run record; by default; a sentence that names its subject; what an argument is, with its unit and shape.
UNPLAIN = {
    r"\b(anew|beside|somebody)\b": "computed anew",
    r"\b(a|one) (row|line|run|table|value|number|page) an? (token|unit|word|text|passage|model|pair)\b": "one row a token",
    r"\b(nats|bits) an? (token|unit|word|byte|second)\b": "0.1 nats a token",
    r"\b(a|the) (parcel|slip)s?\b": "the parcel stays",
    r"\bof (its|their|one's) own accord\b": "of its own accord",
    r'\A"""(Of|What|The same)\b': '"""What the files hold."""',
    r"(?m)^ +\w+: ((Of|See|Theirs)\b|The same[.;,])": "        width: Of the figure.",
}


def unplain(prose: str) -> list[str]:
    return [found[0] for pattern in UNPLAIN for found in re.finditer(pattern, re.sub("`[^`]*`", "", prose))]


def test_docstrings_and_comments_are_in_plain_words() -> None:
    assert all(unplain(phrase) for phrase in UNPLAIN.values())
    for path in sorted((ROOT / "tokenviz").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        prose = re.findall(r'"""(?:(?!""").)*"""|(?:(?<=\n)|(?<=  )) *# [^\n]*', source, re.S)
        assert prose, path
        assert {name_of(path): words for part in prose if (words := unplain(part))} == {}
